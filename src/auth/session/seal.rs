//! The value of the session cookie: `base64url(version, scheme, id, issued, seen, expires, principal,
//! HMAC-SHA256 of the fields before)`.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use ring::hmac;

use crate::auth::Scheme;

/// The first byte of every cookie.
const VERSION: u8 = 1;
/// Version, scheme, id.
const PREFIX: usize = 18;
/// The fields before the principal.
const HEAD: usize = PREFIX + 12;
/// HMAC-SHA256.
const MAC: usize = 32;
/// The most bytes before base64, which allows a principal of about 900 bytes.
const MAX_RAW: usize = 960;

/// The most characters of a cookie's value.
pub(super) const MAX_VALUE: usize = MAX_RAW / 3 * 4;
/// The characters of a value that are its key in the cache: version, scheme and id. 18 bytes are
/// exactly 24 characters of base64, so the key can be taken from a cookie without decoding it.
pub(super) const KEY: usize = PREFIX / 3 * 4;

/// The content of a cookie; times in Unix seconds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claims<'a> {
    pub(super) scheme: Scheme,
    pub(super) id: [u8; 16],
    pub(super) issued: u32,
    pub(super) seen: u32,
    pub(super) expires: u32,
    pub(super) principal: &'a str,
}

/// The memory that a value is decoded into; on the stack, so that opening a cookie does not allocate.
pub(super) struct Buffer([u8; MAX_RAW]);

impl Default for Buffer {
    fn default() -> Self {
        Self([0; MAX_RAW])
    }
}

/// The key of a value in the cache; `None` if its length is not that of any value.
pub(super) fn cache_key(value: &[u8]) -> Option<[u8; KEY]> {
    let plausible = value.len() <= MAX_VALUE && value.len() > (HEAD + MAC) / 3 * 4;
    plausible.then(|| value.first_chunk().copied()).flatten()
}

pub(super) fn seal(key: &hmac::Key, claims: &Claims<'_>) -> String {
    let mut raw = Vec::with_capacity(HEAD + claims.principal.len() + MAC);
    raw.push(VERSION);
    raw.push(match claims.scheme {
        Scheme::Plain => 0,
        Scheme::Tls => 1,
    });
    raw.extend_from_slice(&claims.id);
    for time in [claims.issued, claims.seen, claims.expires] {
        raw.extend_from_slice(&time.to_be_bytes());
    }
    raw.extend_from_slice(claims.principal.as_bytes());
    let mac = hmac::sign(key, &raw);
    raw.extend_from_slice(mac.as_ref());
    BASE64_URL_SAFE_NO_PAD.encode(raw)
}

/// Reads a value; `None` unless its signature is right (compared in constant time).
pub(super) fn open<'b>(
    key: &hmac::Key,
    value: &[u8],
    buffer: &'b mut Buffer,
) -> Option<Claims<'b>> {
    let len = BASE64_URL_SAFE_NO_PAD
        .decode_slice(value, &mut buffer.0)
        .ok()?;
    let (signed, mac) = buffer.0[..len].split_last_chunk::<MAC>()?;
    // Before any field is read: nothing in an unsigned value is interpreted.
    hmac::verify(key, signed, mac).ok()?;
    let (head, principal) = signed.split_first_chunk::<HEAD>()?;
    let scheme = match head[..2] {
        [VERSION, 0] => Scheme::Plain,
        [VERSION, 1] => Scheme::Tls,
        _ => return None,
    };
    let time = |at: usize| head[at..].first_chunk().map(|b| u32::from_be_bytes(*b));
    Some(Claims {
        scheme,
        id: *head[2..].first_chunk()?,
        issued: time(PREFIX)?,
        seen: time(PREFIX + 4)?,
        expires: time(PREFIX + 8)?,
        principal: std::str::from_utf8(principal).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, b"a key")
    }

    proptest! {
        #[test]
        fn a_sealed_value_is_opened(
            id: [u8; 16], issued: u32, seen: u32, expires: u32, tls: bool, principal in ".{1,80}",
        ) {
            let scheme = if tls { Scheme::Tls } else { Scheme::Plain };
            let claims = Claims { scheme, id, issued, seen, expires, principal: &principal };
            let value = seal(&key(), &claims);
            prop_assert!(cache_key(value.as_bytes()).is_some());
            prop_assert!(value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
            let mut buffer = Buffer::default();
            prop_assert_eq!(open(&key(), value.as_bytes(), &mut buffer), Some(claims));
        }

        #[test]
        fn a_changed_or_truncated_value_is_never_opened(at: prop::sample::Index, with: u8, cut: bool) {
            let claims = Claims {
                scheme: Scheme::Plain, id: [1; 16], issued: 1, seen: 2, expires: 3,
                principal: "alice@EXAMPLE.COM",
            };
            let mut value = seal(&key(), &claims).into_bytes();
            let at = at.index(value.len());
            if cut {
                value.truncate(at);
            } else {
                prop_assume!(value[at] != with);
                value[at] = with;
            }
            prop_assert!(open(&key(), &value, &mut Buffer::default()).is_none());
        }

        #[test]
        fn any_bytes_are_refused(value in prop::collection::vec(any::<u8>(), 0..2000)) {
            let _ = cache_key(&value);
            prop_assert!(open(&key(), &value, &mut Buffer::default()).is_none());
        }
    }
}
