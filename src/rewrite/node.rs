//! Node paths: `/.spnegate/node/<scheme>/<host>:<port>/<path>?<query>&.spnegate=<signature>`.
//!
//! On the request path: [`link()`] writes one if a response redirects to an allow-listed `DataNode`.
//! [`open`] reads it when the client follows it, before the gateway connects to anything. The links of
//! `WebHDFS` contain a bearer secret (`delegation`), so they are signed ([`super::link`]), and no node
//! path is followed without a signature. So a client can reach only allow-listed nodes (no SSRF) and use
//! only tokens that were sent to it.

use super::{
    link::{self, LinkFault, LinkGrant, LinkKey, LinkTarget, Signer, parse_digits},
    url::Link,
};
use crate::{auth::Scheme, identity::query, refusal::Refusal};

mod policy;

pub(crate) use policy::NodeLogin;
pub use policy::{NodePolicy, Nodes};

/// Node paths begin with this.
pub const PREFIX: &str = "/.spnegate/node/";

/// Parameters that only a signed link may have.
const SECRETS: &[&str] = &["delegation", "namenoderpcaddress"];

/// A node path whose signature has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTarget<'a> {
    pub scheme: Scheme,
    /// Lower case, IPv6 in brackets; allow-listed.
    pub host: &'a str,
    /// Allow-listed.
    pub port: u16,
    /// The path at the node, with the first slash.
    pub path: &'a str,
    /// The query for the node, without `?` and without the gateway's signature.
    pub query: String,
    /// The user that may follow the link. It has its own credential (`delegation`); the gateway adds none.
    pub grant: LinkGrant,
}

/// Why a node path is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// Not `<scheme>/<host>:<port>/…`.
    #[error("not a node path")]
    Malformed,
    /// The host or port is not in `nodes`.
    #[error("the node is not allow-listed")]
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

/// Whether the query has parameters that only a signed link may have.
pub(crate) fn has_secret(query: &str) -> bool {
    query::mentions(query, SECRETS)
}

/// The signed node path for a link, with its fragment. `None` if the node is not allow-listed.
pub fn link(target: &Link<'_>, policy: &NodePolicy, signer: &Signer<'_>) -> Option<String> {
    let (host, port) = target.host_port()?;
    // One spelling only: the allow-list and the signature compare bytes.
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
    let link_target = LinkTarget::Node {
        scheme,
        host: &host,
        port,
    };
    link::sign(&mut written, link_target, path, query, signer);
    written.push_str(fragment);
    Some(written)
}

// === reading ===

/// Reads the path and query (without `?`) of a request, and checks the allow-list and the signature.
///
/// `path` begins with [`PREFIX`] and has been checked by the gateway's `path` module. `now` is Unix time in
/// seconds.
pub fn open<'a>(
    path: &'a str,
    query: &'a str,
    policy: &NodePolicy,
    key: &LinkKey,
    now: u64,
) -> Result<NodeTarget<'a>, NodeError> {
    let (scheme, host, port, path) = split(path)?;
    // Checked again although the link is signed: the list may have been shortened since.
    if !policy.allows(host, port) {
        return Err(NodeError::Denied);
    }
    let link_target = LinkTarget::Node { scheme, host, port };
    let grant = link::verify(key, link_target, path, query, now)?;
    Ok(NodeTarget {
        scheme,
        host,
        port,
        path,
        query: link::without_signature(query),
        grant,
    })
}

/// The path at the node; `None` if the node path is malformed.
pub(crate) fn inner_path(path: &str) -> Option<&str> {
    split(path).ok().map(|(_, _, _, inner)| inner)
}

/// Whether a node path leads to an allow-listed node, whatever its signature.
pub(crate) fn is_allowed(path: &str, policy: &NodePolicy) -> bool {
    split(path).is_ok_and(|(_, host, port, _)| policy.allows(host, port))
}

/// Scheme, host, port and the path at the node.
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
