//! Signed links: the second step of a `WebHDFS` request as a credential of its own.
//!
//! In a request's way: [`sign`] is called where an answer hands out a link, [`verify`] when the
//! client comes back, before the login step and again before anything is connected to. The signature
//! stands in the query as `.spnegate=<expiry>.<user>.<session>.<mac>` and covers the place (a node,
//! or the console itself), path, query, user, session and expiry. The operation is covered with the
//! query (`op=`).
//!
//! The client may write the link in another spelling of the same meaning: see `canonical`. Not
//! covered are
//!
//! - `offset=<digits>` and `length=<digits>`: `WebHdfsFileSystem` takes them out of a link and
//!   appends its own to seek (`removeOffsetParam`). They move within a file that the user may read
//!   anyway.
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

/// The key of the signatures.
pub struct LinkKey(hmac::Key);

/// Who a link is signed for, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    /// The key.
    pub key: &'a LinkKey,
    /// The short name of the user that gets the link.
    pub user: &'a str,
    /// The session that it was handed out in; the link ends with it.
    pub session: &'a [u8; 16],
    /// Unix time in seconds at which it ends.
    pub expires: u64,
}

/// What a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkTarget<'a> {
    /// A node.
    Node {
        /// How it is spoken to.
        scheme: Scheme,
        /// Its host, lower case.
        host: &'a str,
        /// Its port.
        port: u16,
    },
    /// The console of this name itself.
    Console(&'a str),
}

/// Who may follow a link; its signature has been verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkGrant {
    /// Short name.
    pub user: String,
    /// The session that the link was handed out in.
    pub session: [u8; 16],
    /// Unix time in seconds at which it ends.
    pub expires: u64,
}

/// Why a link is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkFault {
    /// Not signed at all.
    #[error("a link without a signature")]
    Unsigned,
    /// The signature is not of this link and gateway.
    #[error("a wrong signature")]
    Signature,
    /// The link was made for another user than the one that is logged in.
    #[error("another user's link")]
    Foreign,
    /// The link's time is over, or its session has been ended by a logout.
    #[error("an expired link")]
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
    /// What the session secret's key is derived for (the info of HKDF, RFC 5869).
    pub const PURPOSE: &'static str = "spnegate-link-v2";

    /// Takes an HMAC-SHA256 key that was derived for [`LinkKey::PURPOSE`] and nothing else.
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
    /// Whether that user may follow the link.
    pub fn check_user(&self, user: &str) -> Result<(), LinkFault> {
        if self.user == user {
            Ok(())
        } else {
            Err(LinkFault::Foreign)
        }
    }
}

/// Appends the signature to a link; `path` and `query` (without `?`) are those of the place.
pub(crate) fn sign(
    link: &mut String,
    place: LinkTarget<'_>,
    path: &str,
    query: Option<&str>,
    by: &Signer<'_>,
) {
    let covered = covered(
        place,
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

/// Verifies the signature of a link and its time; `now` is Unix time in seconds.
///
/// # Errors
///
/// Every [`LinkFault`] but [`LinkFault::Foreign`], which [`LinkGrant::check_user`] finds.
pub(crate) fn verify(
    key: &LinkKey,
    place: LinkTarget<'_>,
    path: &str,
    query: &str,
    now: u64,
) -> Result<LinkGrant, LinkFault> {
    let mut signatures = query
        .split('&')
        .filter_map(|piece| piece.strip_prefix(SIGNATURE));
    let signature = signatures.next().ok_or(LinkFault::Unsigned)?;
    if signatures.next().is_some() {
        return Err(LinkFault::Signature);
    }
    let (grant, tag) = read(signature).ok_or(LinkFault::Signature)?;
    let covered = covered(
        place,
        path,
        query,
        &grant.user,
        &grant.session,
        grant.expires,
    );
    hmac::verify(&key.0, &covered, &tag).map_err(|_unspecified| LinkFault::Signature)?;
    if grant.expires <= now {
        return Err(LinkFault::Expired);
    }
    Ok(grant)
}

/// The query without its signature.
pub(crate) fn without_signature(query: &str) -> String {
    let pieces: Vec<&str> = query
        .split('&')
        .filter(|piece| !piece.starts_with(SIGNATURE))
        .collect();
    pieces.join("&")
}

/// Reads `<expiry>.<user>.<session>.<mac>`, each in one spelling only.
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

/// What the signature covers: every field with its length before it, so that none can flow into
/// the next.
fn covered(
    place: LinkTarget<'_>,
    path: &str,
    query: &str,
    user: &str,
    session: &[u8; 16],
    expires: u64,
) -> Vec<u8> {
    let (scheme, host, port) = match place {
        LinkTarget::Node { scheme, host, port } => (scheme.as_str(), host, port),
        // no scheme of a node
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

/// Parameters that clients append to a link, in digits only, for netty splits at `;` too.
fn is_free(piece: &str) -> bool {
    piece.split_once('=').is_some_and(|(name, value)| {
        (name.eq_ignore_ascii_case("offset") || name.eq_ignore_ascii_case("length") || name == "_")
            && !value.is_empty()
            && value.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Canonical decimal: no sign, no leading zero.
pub(super) fn parse_digits(digits: &str) -> Option<u64> {
    let canonical = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    canonical.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests;
