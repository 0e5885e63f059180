//! Signed links: the second step of a `WebHDFS` request is a credential by itself.
//!
//! On the request path: [`sign`] is called when a response is rewritten, [`verify`] when the client
//! follows the link, before the login step and again before the gateway connects to anything. The
//! signature is in the query as `.spnegate=<expiry>.<user>.<session>.<mac>`. It covers the target (a node,
//! or the console itself), path, query, user, session and expiry. The operation is part of the query
//! (`op=`).
//!
//! Clients may write the link in an equivalent spelling: see `canonical`. Not covered are
//!
//! - `offset=<digits>` and `length=<digits>`: `WebHdfsFileSystem` removes them from a link and appends
//!   its own to seek (`removeOffsetParam`). They select a part of a file that the user may read anyway.
//! - `_=<digits>`: jQuery appends it to a GET with `cache: false`, as the `NameNode`'s file browser
//!   does for *Head* and *Tail*.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;

use crate::auth::Scheme;
use crate::refusal::Refusal;

mod canonical;

use canonical::canonical;

/// The parameter that holds the signature.
const SIGNATURE: &str = ".spnegate=";

/// The HMAC key of the signatures.
pub struct LinkKey(hmac::Key);

/// The user and session that a link is signed for, and its expiry.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// Signs the links.
    pub key: &'a LinkKey,
    /// Short name of the user that receives the link.
    pub user: &'a str,
    /// The session in which the link is sent; a logout ends both.
    pub session: &'a [u8; 16],
    /// Unix time in seconds.
    pub expires: u64,
}

/// What a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkTarget<'a> {
    Node {
        scheme: Scheme,
        /// Lower case.
        host: &'a str,
        port: u16,
    },
    /// The console with this name itself.
    Console(&'a str),
}

/// The contents of a verified signature: the user that may follow the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkGrant {
    pub user: String,
    /// The session in which the link was sent.
    pub session: [u8; 16],
    /// Unix time in seconds.
    pub expires: u64,
}

/// Why a link is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    #[error("the link has no signature")]
    Unsigned,
    /// The signature does not match this link and the key of the gateway.
    #[error("the signature of the link is wrong")]
    Signature,
    #[error("the link was made for another user")]
    Foreign,
    /// The time is over, or a logout has ended the session.
    #[error("the link has expired")]
    Expired,
}

impl From<LinkFault> for Refusal {
    fn from(fault: LinkFault) -> Self {
        match fault {
            LinkFault::Unsigned | LinkFault::Signature => Self::NodeLink,
            LinkFault::Foreign => Self::NodeLinkUser,
            LinkFault::Expired => Self::NodeLinkExpired,
        }
    }
}

// === impl LinkKey ===

impl LinkKey {
    /// The `info` of HKDF (RFC 5869) with which the key is derived from the session secret.
    pub const PURPOSE: &'static str = "spnegate-link-v2";

    /// `key`: HMAC-SHA256, derived for [`LinkKey::PURPOSE`] and used for nothing else.
    pub fn new(key: hmac::Key) -> Self {
        Self(key)
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkKey(..)")
    }
}

// === impl LinkGrant ===

impl LinkGrant {
    pub fn check_user(&self, user: &str) -> Result<(), LinkFault> {
        if self.user == user {
            Ok(())
        } else {
            Err(LinkFault::Foreign)
        }
    }
}

/// Appends the signature to a link. `path` and `query` (without `?`) are those at the target.
pub(crate) fn sign(
    link: &mut String,
    target: LinkTarget<'_>,
    path: &str,
    query: Option<&str>,
    by: &Signer<'_>,
) {
    let covered = covered(
        target,
        path,
        query.unwrap_or_default(),
        by.user,
        by.session,
        by.expires,
    );
    let tag = hmac::sign(&by.key.0, &covered);
    link.push(if query.is_none() { '?' } else { '&' });
    link.push_str(SIGNATURE);
    link.push_str(&by.expires.to_string());
    for field in [by.user.as_bytes(), by.session, tag.as_ref()] {
        link.push('.');
        URL_SAFE_NO_PAD.encode_string(field, link);
    }
}

/// Verifies the signature and the expiry of a link. `now` is Unix time in seconds.
///
/// # Errors
///
/// Every [`LinkFault`] except [`LinkFault::Foreign`], which [`LinkGrant::check_user`] returns.
pub(crate) fn verify(
    key: &LinkKey,
    target: LinkTarget<'_>,
    path: &str,
    query: &str,
    now: u64,
) -> Result<LinkGrant, LinkFault> {
    let mut signatures = query
        .split('&')
        .filter_map(|piece| piece.strip_prefix(SIGNATURE));
    let signature = signatures.next().ok_or(LinkFault::Unsigned)?;
    // With two of them it would depend on the parser which one counts.
    if signatures.next().is_some() {
        return Err(LinkFault::Signature);
    }
    let (grant, tag) = read(signature).ok_or(LinkFault::Signature)?;
    let covered = covered(
        target,
        path,
        query,
        &grant.user,
        &grant.session,
        grant.expires,
    );
    // `ring` compares in constant time. The expiry is read only after this, when it is authentic.
    hmac::verify(&key.0, &covered, &tag).map_err(|_unspecified| LinkFault::Signature)?;
    if grant.expires <= now {
        return Err(LinkFault::Expired);
    }
    Ok(grant)
}

pub(crate) fn without_signature(query: &str) -> String {
    let pieces: Vec<&str> = query
        .split('&')
        .filter(|piece| !piece.starts_with(SIGNATURE))
        .collect();
    pieces.join("&")
}

/// Reads `<expiry>.<user>.<session>.<mac>`. Each field has exactly one valid spelling.
fn read(signature: &str) -> Option<(LinkGrant, Vec<u8>)> {
    let mut fields = signature.split('.');
    let expires = parse_digits(fields.next()?)?;
    let mut bytes = || URL_SAFE_NO_PAD.decode(fields.next()?).ok();
    let (user, session, tag) = (bytes()?, bytes()?, bytes()?);
    let grant = LinkGrant {
        user: String::from_utf8(user).ok()?,
        session: session.try_into().ok()?,
        expires,
    };
    fields.next().is_none().then_some((grant, tag))
}

/// The bytes that the signature covers. Each field has its length before it, so that no byte can be moved
/// from one field to the next.
fn covered(
    target: LinkTarget<'_>,
    path: &str,
    query: &str,
    user: &str,
    session: &[u8; 16],
    expires: u64,
) -> Vec<u8> {
    let (scheme, host, port) = match target {
        LinkTarget::Node { scheme, host, port } => (scheme.as_str(), host, port),
        // differs from every scheme, so a link to a console is never one to a node
        LinkTarget::Console(name) => ("console", name, 0),
    };
    let pieces = query
        .split('&')
        .filter(|piece| !piece.is_empty() && !piece.starts_with(SIGNATURE) && !is_free(piece));
    let mut text = Vec::with_capacity(path.len() + query.len() + 160);
    let mut field = |bytes: &[u8]| {
        text.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        text.extend_from_slice(bytes);
    };
    field(scheme.as_bytes());
    field(host.as_bytes());
    field(&canonical(path));
    field(user.as_bytes());
    for piece in pieces {
        field(&canonical(piece));
    }
    text.extend_from_slice(&port.to_be_bytes());
    text.extend_from_slice(session);
    text.extend_from_slice(&expires.to_be_bytes());
    text
}

/// Parameters that clients append to a link. Only digits are accepted, because netty splits at `;` too:
/// `offset=1;op=DELETE` would be two parameters.
fn is_free(piece: &str) -> bool {
    piece.split_once('=').is_some_and(|(name, value)| {
        (name.eq_ignore_ascii_case("offset") || name.eq_ignore_ascii_case("length") || name == "_")
            && !value.is_empty()
            && value.bytes().all(|b| b.is_ascii_digit())
    })
}

/// A decimal number without sign and leading zeros.
pub(super) fn parse_digits(digits: &str) -> Option<u64> {
    let canonical = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    canonical.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests;
