//! Node paths: `/.spnegate/node/<scheme>/<host>:<port>/<path>?<query>&.spnegate=<signature>`.
//!
//! In a request's way: [`link()`] writes one where an answer leads to an allow-listed `DataNode`;
//! [`open`] reads it when the client comes back, before anything is connected to. What `WebHDFS` hands
//! out holds a bearer secret (`delegation`), so it is signed ([`super::link`]), and no node path is
//! followed without a signature. A client can thus reach only allow-listed nodes (no SSRF) and use a
//! token only that was handed to it.

use super::{
    link::{self, LinkFault, LinkGrant, LinkKey, LinkTarget, Signer, parse_digits},
    url::Link,
};
use crate::{auth::Scheme, identity::query, refusal::Refusal};

mod policy;

pub(crate) use policy::NodeLogin;
pub use policy::{NodePolicy, Nodes};

/// The path below which nodes are reached.
pub const PREFIX: &str = "/.spnegate/node/";

/// What only a signed link may carry.
const SECRETS: &[&str] = &["delegation", "namenoderpcaddress"];

/// A node path that may be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTarget<'a> {
    /// How the node is spoken to.
    pub scheme: Scheme,
    /// Its host, lower case, IPv6 in brackets; allow-listed.
    pub host: &'a str,
    /// Its port; allow-listed.
    pub port: u16,
    /// The path for the node, with its first slash.
    pub path: &'a str,
    /// The query for the node, without `?` and without our signature.
    pub query: String,
    /// Who may follow it. The link carries its own credential, and the gateway adds none.
    pub grant: LinkGrant,
}

/// Why a node path is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// Not `<scheme>/<host>:<port>/…`.
    #[error("not a node path")]
    Malformed,
    /// The host or port is not in `nodes`.
    #[error("a node that is not allow-listed")]
    Denied,
    /// The signature is missing, wrong, or too old.
    #[error(transparent)]
    Link(#[from] LinkFault),
}

impl From<NodeError> for Refusal {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Malformed => Self::NotFound,
            NodeError::Denied => Self::NodeDenied,
            NodeError::Link(fault) => fault.into(),
        }
    }
}

// === writing ===

/// Whether a link's query holds what only a signed node path may carry.
pub(crate) fn has_secret(query: &str) -> bool {
    query::mentions(query, SECRETS)
}

/// The node path for a link that leads to an allow-listed node, with its fragment; `None` where
/// the node is not allowed.
pub fn link(target: &Link<'_>, policy: &NodePolicy, signer: &Signer<'_>) -> Option<String> {
    let (host, port) = target.host_port()?;
    let host = host.to_ascii_lowercase();
    if !policy.allows(&host, port) {
        return None;
    }
    let scheme = if target.is_tls() {
        Scheme::Tls
    } else {
        Scheme::Plain
    };
    let (rest, fragment) = match target.rest.find('#') {
        Some(at) => target.rest.split_at(at),
        None => (target.rest, ""),
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let path = if path.is_empty() { "/" } else { path };
    let mut written = format!("{PREFIX}{}/{host}:{port}{path}", scheme.as_str());
    if let Some(query) = query {
        written.push('?');
        written.push_str(query);
    }
    let place = LinkTarget::Node {
        scheme,
        host: &host,
        port,
    };
    link::sign(&mut written, place, path, query, signer);
    written.push_str(fragment);
    Some(written)
}

// === reading ===

/// Reads a request's path and query (without `?`), checks allow-list and signature.
///
/// `path` starts with [`PREFIX`] and has passed [`crate::gateway::request::path::check`]; `now` is Unix time
/// in seconds.
pub fn open<'a>(
    path: &'a str,
    query: &'a str,
    policy: &NodePolicy,
    key: &LinkKey,
    now: u64,
) -> Result<NodeTarget<'a>, NodeError> {
    let (scheme, host, port, path) = split(path)?;
    if !policy.allows(host, port) {
        return Err(NodeError::Denied);
    }
    let place = LinkTarget::Node { scheme, host, port };
    let grant = link::verify(key, place, path, query, now)?;
    Ok(NodeTarget {
        scheme,
        host,
        port,
        path,
        query: link::without_signature(query),
        grant,
    })
}

/// The path for the node of a node path; `None` where it is malformed.
pub(crate) fn inner_path(path: &str) -> Option<&str> {
    split(path).ok().map(|(_, _, _, inner)| inner)
}

/// Whether a node path leads to an allow-listed node, whatever its signature.
pub(crate) fn is_allowed(path: &str, policy: &NodePolicy) -> bool {
    split(path).is_ok_and(|(_, host, port, _)| policy.allows(host, port))
}

/// Scheme, host, port and the path for the node.
fn split(path: &str) -> Result<(Scheme, &str, u16, &str), NodeError> {
    let rest = path.strip_prefix(PREFIX).ok_or(NodeError::Malformed)?;
    let (scheme, rest) = rest.split_once('/').ok_or(NodeError::Malformed)?;
    let scheme = match scheme {
        "http" => Scheme::Plain,
        "https" => Scheme::Tls,
        _ => return Err(NodeError::Malformed),
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let (host, digits) = authority.rsplit_once(':').ok_or(NodeError::Malformed)?;
    let port = parse_port(digits).ok_or(NodeError::Malformed)?;
    Ok((scheme, host, port, path))
}

fn parse_port(digits: &str) -> Option<u16> {
    let port = u16::try_from(parse_digits(digits)?).ok()?;
    (port != 0).then_some(port)
}

#[cfg(test)]
mod tests;
