//! Signed links: who follows one, and to where.
//!
//! On the request path: before the login, for a client that sends no credential but the link
//! ([`session`]), and after it, for every client ([`open_own`], [`super::node`]). A link stands for the
//! login of its user in this one request; what the console asks of that user (`allow_from`, `allow`,
//! the origin of the page) is asked all the same.

use std::sync::Arc;

use http::{
    Uri,
    request::Parts,
    uri::{self, PathAndQuery},
};

use super::console::Console;
use crate::{
    auth::session::{Session, unix_now},
    refusal::Refusal,
    rewrite::{
        link::{LinkFault, LinkGrant},
        node::{self, NodeError, NodeLogin},
        own_link,
    },
};

/// Whether a path is one of a signed link.
pub(crate) fn is_link_path(path: &str) -> bool {
    path.starts_with(node::PREFIX) || own_link::inner_path(path).is_some()
}

/// The path that the server behind a link will see; of other paths they themselves.
pub(crate) fn inner_path(path: &str) -> &str {
    node::inner_path(path)
        .or_else(|| own_link::inner_path(path))
        .unwrap_or(path)
}

/// The session of a client that follows a signed link and brings no other credential; `None`: it has
/// to log in.
///
/// # Errors
///
/// [`Refusal::NodeLink`] and [`Refusal::NodeLinkExpired`]: no login would make such a link good.
pub(crate) fn session(console: &Console, parts: &Parts) -> Result<Option<Arc<Session>>, Refusal> {
    match console.node_login {
        NodeLogin::Session => return Ok(None),
        NodeLogin::Link => {}
    }
    let grant = match grant(console, parts) {
        Ok(grant) => grant,
        // what does not even claim to be signed gets the ordinary challenge
        Err(NodeError::Malformed | NodeError::Denied | NodeError::Link(LinkFault::Unsigned)) => {
            return Ok(None);
        }
        Err(NodeError::Link(
            fault @ (LinkFault::Signature | LinkFault::Foreign | LinkFault::Expired),
        )) => return Err(fault.into()),
    };
    let session = session_of(&grant);
    if console.sessions.is_revoked(&session) {
        return Err(LinkFault::Expired.into());
    }
    Ok(Some(Arc::new(session)))
}

/// Whether this user may follow a link: it was handed out to them, in a session that goes on.
pub(crate) fn check(console: &Console, grant: &LinkGrant, user: &str) -> Result<(), LinkFault> {
    grant.check_user(user)?;
    if console.sessions.is_revoked(&session_of(grant)) {
        return Err(LinkFault::Expired);
    }
    Ok(())
}

/// Replaces a signed link to the console itself by the request that it stands for.
///
/// # Errors
///
/// Those of [`LinkFault`].
pub(crate) fn open_own(console: &Console, user: &str, parts: &mut Parts) -> Result<(), Refusal> {
    let query = parts.uri.query().unwrap_or("");
    let target = own_link::open(
        parts.uri.path(),
        query,
        &console.name,
        &console.link_key,
        unix_now(),
    )?;
    check(console, &target.grant, user)?;
    let target = if target.query.is_empty() {
        target.path.to_owned()
    } else {
        format!("{}?{}", target.path, target.query)
    };
    let mut inner = uri::Parts::default();
    let target = PathAndQuery::try_from(target).map_err(|_| Refusal::BadQuery)?;
    inner.path_and_query = Some(target);
    parts.uri = Uri::from_parts(inner).map_err(|_| Refusal::BadPath)?;
    Ok(())
}

fn grant(console: &Console, parts: &Parts) -> Result<LinkGrant, NodeError> {
    let (path, query) = (parts.uri.path(), parts.uri.query().unwrap_or(""));
    let (key, now) = (&console.link_key, unix_now());
    if path.starts_with(node::PREFIX) {
        let policy = console.nodes.as_ref().ok_or(NodeError::Denied)?;
        Ok(node::open(path, query, policy, key, now)?.grant)
    } else {
        Ok(own_link::open(path, query, &console.name, key, now)?.grant)
    }
}

fn session_of(grant: &LinkGrant) -> Session {
    Session::of_link(&grant.user, grant.session, grant.expires)
}
