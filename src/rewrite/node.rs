//! Node paths: `/.spnegate/node/<scheme>/<host>:<port>/<path>?<query>&.spnegate=<expiry>.<mac>`.
//!
//! In a request's way: [`link`] writes one where an answer leads to an allow-listed `DataNode` or
//! `NodeManager`; [`open`] reads it when the client comes back, before anything is connected to.
//! What `WebHDFS` hands out holds a bearer secret (`delegation`), so it is signed over target, path,
//! query, user and expiry; an unsigned node path with a `delegation` is refused. A client can thus
//! reach only allow-listed nodes (no SSRF) and use a token only that was handed to it.
//!
//! Not covered by the signature are `offset=<digits>` and `length=<digits>`: `WebHdfsFileSystem`
//! takes them out of a link it has got and appends its own to seek (`removeOffsetParam`). They move
//! within a file that the user may read anyway.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;

use super::url::Link;
use crate::{identity::query, refusal::Refusal};

mod policy;

pub use policy::NodePolicy;

/// The path below which nodes are reached.
pub const PREFIX: &str = "/.spnegate/node/";

/// How long a signed link is valid, in seconds.
pub const LIFETIME: u64 = 600;

/// The parameter that holds expiry and signature.
const SIGNATURE: &str = ".spnegate=";

/// What only a signed link may carry.
const SECRETS: &[&str] = &["delegation", "namenoderpcaddress"];

/// What no client says, signed or not by us.
const IDENTITIES: &[&str] = &["doas", "user.name"];

/// The key of the signatures.
pub struct NodeKey(hmac::Key);

/// Who a link is signed for, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// The key.
    pub key: &'a NodeKey,
    /// The short name of the user that gets the link.
    pub user: &'a str,
    /// Unix time in seconds at which it ends; now + [`LIFETIME`].
    pub expires: u64,
}

/// How a node is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

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
    /// The query for the node, without `?`, without our signature and, where unsigned, without
    /// identity parameters.
    pub query: Cow<'a, str>,
    /// Whether the link is signed: it carries its own credential, and the gateway adds none.
    pub signed: bool,
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
    /// The signature is not of this link, user and gateway.
    #[error("a wrong signature")]
    Signature,
    /// The link's time is over.
    #[error("an expired link")]
    Expired,
    /// A delegation token without a signature.
    #[error("a delegation token in an unsigned link")]
    Unsigned,
    /// The query can be read in several ways.
    #[error("an ambiguous query: {0}")]
    Query(#[from] query::QueryError),
}

impl From<NodeError> for Refusal {
    fn from(error: NodeError) -> Self {
        match error {
            NodeError::Malformed => Self::NotFound,
            NodeError::Denied => Self::NodeDenied,
            NodeError::Signature | NodeError::Expired | NodeError::Unsigned => Self::NodeLink,
            NodeError::Query(error) => error.into(),
        }
    }
}

// === impl NodeKey ===

impl NodeKey {
    /// What the session secret's key is derived for (the info of HKDF, RFC 5869).
    pub const PURPOSE: &'static str = "spnegate-node-v1";

    /// Takes an HMAC-SHA256 key that was derived for [`NodeKey::PURPOSE`] and nothing else.
    pub fn new(key: hmac::Key) -> Self {
        Self(key)
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey(..)")
    }
}

// === impl Scheme ===

impl Scheme {
    /// `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

// === writing ===

/// Whether a link's query holds what only a signed node path may carry.
pub fn has_secret(query: &str) -> bool {
    query::mentions(query, SECRETS)
}

/// The node path for a link that leads to an allow-listed node, with its fragment; `None` where
/// the node is not allowed.
pub fn link(target: &Link<'_>, policy: &NodePolicy, signer: Option<&Signer<'_>>) -> Option<String> {
    let (host, port) = target.host_port()?;
    let host = host.to_ascii_lowercase();
    if !policy.allows(&host, port) {
        return None;
    }
    let scheme = if target.is_tls() {
        Scheme::Https
    } else {
        Scheme::Http
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
    if let Some(signer) = signer {
        let tag = hmac::sign(
            &signer.key.0,
            &covered(
                scheme,
                &host,
                port,
                path,
                query.unwrap_or_default(),
                signer.user,
                signer.expires,
            ),
        );
        written.push(if query.is_none() { '?' } else { '&' });
        written.push_str(SIGNATURE);
        written.push_str(&signer.expires.to_string());
        written.push('.');
        URL_SAFE_NO_PAD.encode_string(tag, &mut written);
    }
    written.push_str(fragment);
    Some(written)
}

// === reading ===

/// Reads a request's path and query (without `?`), checks allow-list and signature.
///
/// `path` starts with [`PREFIX`] and has passed [`crate::gateway::path::check`]; `now` is Unix time
/// in seconds.
pub fn open<'a>(
    path: &'a str,
    query: &'a str,
    policy: &NodePolicy,
    key: &NodeKey,
    user: &str,
    now: u64,
) -> Result<NodeTarget<'a>, NodeError> {
    let (scheme, host, port, path) = split(path)?;
    if !policy.allows(host, port) {
        return Err(NodeError::Denied);
    }
    let target = |query, signed| NodeTarget {
        scheme,
        host,
        port,
        path,
        query,
        signed,
    };

    let mut signatures = query
        .split('&')
        .filter_map(|piece| piece.strip_prefix(SIGNATURE));
    let Some(signature) = signatures.next() else {
        if has_secret(query) {
            return Err(NodeError::Unsigned);
        }
        return Ok(target(query::scrub(query, IDENTITIES)?, false));
    };
    if signatures.next().is_some() {
        return Err(NodeError::Signature);
    }
    let (expires, tag) = signature.split_once('.').ok_or(NodeError::Signature)?;
    let expires: u64 = parse_digits(expires).ok_or(NodeError::Signature)?;
    let tag = URL_SAFE_NO_PAD
        .decode(tag)
        .map_err(|_not_base64| NodeError::Signature)?;
    let covered = covered(scheme, host, port, path, query, user, expires);
    hmac::verify(&key.0, &covered, &tag).map_err(|_unspecified| NodeError::Signature)?;
    if expires <= now {
        return Err(NodeError::Expired);
    }
    let unsigned: Vec<&str> = query
        .split('&')
        .filter(|piece| !piece.starts_with(SIGNATURE))
        .collect();
    Ok(target(Cow::Owned(unsigned.join("&")), true))
}

/// Whether a node path leads to an allow-listed node, signed or not.
pub fn is_allowed(path: &str, policy: &NodePolicy) -> bool {
    split(path).is_ok_and(|(_, host, port, _)| policy.allows(host, port))
}

/// Scheme, host, port and the path for the node.
fn split(path: &str) -> Result<(Scheme, &str, u16, &str), NodeError> {
    let rest = path.strip_prefix(PREFIX).ok_or(NodeError::Malformed)?;
    let (scheme, rest) = rest.split_once('/').ok_or(NodeError::Malformed)?;
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
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

/// What the signature covers: every field with its length before it, so that none can flow into
/// the next.
fn covered(
    scheme: Scheme,
    host: &str,
    port: u16,
    path: &str,
    query: &str,
    user: &str,
    expires: u64,
) -> Vec<u8> {
    let query: Vec<&str> = query
        .split('&')
        .filter(|piece| !piece.is_empty() && !piece.starts_with(SIGNATURE) && !is_range(piece))
        .collect();
    let query = query.join("&");
    let mut text = Vec::with_capacity(path.len() + query.len() + 128);
    for field in [scheme.as_str(), host, path, &query, user] {
        text.extend_from_slice(&(field.len() as u64).to_be_bytes());
        text.extend_from_slice(field.as_bytes());
    }
    text.extend_from_slice(&port.to_be_bytes());
    text.extend_from_slice(&expires.to_be_bytes());
    text
}

/// `offset=<digits>` or `length=<digits>`; digits only, for netty splits at `;` too.
fn is_range(piece: &str) -> bool {
    piece.split_once('=').is_some_and(|(name, value)| {
        (name.eq_ignore_ascii_case("offset") || name.eq_ignore_ascii_case("length"))
            && !value.is_empty()
            && value.bytes().all(|b| b.is_ascii_digit())
    })
}

fn parse_port(digits: &str) -> Option<u16> {
    let port = u16::try_from(parse_digits(digits)?).ok()?;
    (port != 0).then_some(port)
}

/// Canonical decimal: no sign, no leading zero.
fn parse_digits(digits: &str) -> Option<u64> {
    let canonical = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    canonical.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests;
