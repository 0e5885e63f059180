//! Signed links: which user a link stands for, and whether it may be followed.
//!
//! On the request path: before the login, for a client that sends no credential but the link
//! ([`session`]), and after it, for every client ([`open_own`], [`super::node`]). A link replaces the
//! login of its user in this one request. All other rules of the console (`allow_from`, `allow`, the
//! origin of the page) apply to it as to any request.

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

pub(crate) fn is_link_path(path: &str) -> bool {
    path.starts_with(node::PREFIX) || own_link::inner_path(path).is_some()
}

/// The path that the server will see: the one inside a link, or the path itself if it is not a link.
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
/// [`Refusal::NodeLink`] and [`Refusal::NodeLinkExpired`]: a login would not make such a link valid.
pub(crate) fn session(console: &Console, parts: &Parts) -> Result<Option<Arc<Session>>, Refusal> {
    match console.node_login {
        NodeLogin::Session => return Ok(None),
        NodeLogin::Link => {}
    }
    let grant = match grant(console, parts) {
        Ok(grant) => grant,
        // A path without a signature is not a credential, so the client gets the ordinary challenge.
        Err(NodeError::Malformed | NodeError::Denied | NodeError::Link(LinkFault::Unsigned)) => {
            return Ok(None);
        }
        Err(NodeError::Link(
            fault @ (LinkFault::Signature | LinkFault::Foreign | LinkFault::Expired),
        )) => return Err(fault.into()),
    };
    let session = session_of(&grant);
    // A logout ends the links of its session too; otherwise a copied link would be valid until it expires.
    if console.sessions.is_revoked(&session) {
        return Err(LinkFault::Expired.into());
    }
    Ok(Some(Arc::new(session)))
}

/// Whether this user may follow a link: it was issued to this user, in a session that has not ended.
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
    // The request continues as the one inside the link, so every later check sees what the backend will
    // see.
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
