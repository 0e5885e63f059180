//! Sessions and their cookies.
//!
//! This is the first look-up for a request, and on the hot path the only one: cookie → cache →
//! [`Session`], without an allocation and without a MAC (`tests/session_cost.rs`). A cookie is complete
//! and signed, so that a cache miss (after a restart, on another replica, after an eviction) costs one
//! verification and never a login; eviction revokes nothing.
//!
//! The cookie has no `Max-Age`: browsers delete it when they close. Idle time and lifetime are enforced
//! here, with the signed times.

use std::{fmt, sync::atomic::AtomicU32, time::SystemTime};

use http::HeaderValue;

use super::Scheme;

mod revoked;
mod seal;
mod store;

use seal::Claims;
pub use store::{BeginError, NewSession, SessionLimits, SessionLookup, Sessions};

/// A logged-in client; the SPNEGO layer puts an `Arc<Session>` into the request's extensions.
pub struct Session {
    id: [u8; 16],
    scheme: Scheme,
    issued: u32,
    seen: u32,
    expires: u32,
    reissued: AtomicU32,
    generation: u64,
    /// Cookie value, principal and user in one allocation: a cached session takes 476 bytes in all,
    /// against a target of 640.
    text: Box<str>,
    value_len: u16,
    principal_len: u16,
}

/// Unix time in seconds, the clock of this module.
pub fn unix_now() -> u64 {
    unix(SystemTime::now())
}

/// A time in Unix seconds; 0 before 1970.
fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

/// A time as stored in cookies: 32 bits, enough until the year 2106.
fn short(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// The name of the session cookie on listeners of a scheme.
pub fn cookie_name(scheme: Scheme) -> &'static str {
    match scheme {
        Scheme::Plain => "spnegate",
        Scheme::Tls => "__Host-spnegate",
    }
}

/// The `Set-Cookie` that ends a session in the browser.
pub fn clearing_cookie(scheme: Scheme) -> HeaderValue {
    HeaderValue::from_static(match scheme {
        Scheme::Plain => "spnegate=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax",
        Scheme::Tls => "__Host-spnegate=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax",
    })
}

fn set_cookie(scheme: Scheme, value: &str) -> Option<HeaderValue> {
    let secure = match scheme {
        Scheme::Plain => "",
        Scheme::Tls => " Secure;",
    };
    let name = cookie_name(scheme);
    let text = format!("{name}={value}; Path=/;{secure} HttpOnly; SameSite=Lax");
    let mut value = HeaderValue::try_from(text).ok()?;
    // `Debug` then prints `Sensitive` instead of the cookie, which is a credential.
    value.set_sensitive(true);
    Some(value)
}

// === impl Session ===

impl Session {
    fn new(claims: &Claims<'_>, value: &str, user: &str, generation: u64) -> Self {
        // A value that is too long for a cookie is never sent, so it is not stored either.
        let value = if value.len() <= seal::MAX_VALUE {
            value
        } else {
            ""
        };
        let length = |text: &str| u16::try_from(text.len()).ok();
        let (principal, user, value_len, principal_len) =
            match (length(value), length(claims.principal)) {
                (Some(v), Some(p)) => (claims.principal, user, v, p),
                _ => ("", user, 0, 0),
            };
        Self {
            id: claims.id,
            scheme: claims.scheme,
            issued: claims.issued,
            seen: claims.seen,
            expires: claims.expires,
            reissued: AtomicU32::new(0),
            generation,
            text: [value, principal, user].concat().into(),
            value_len,
            principal_len,
        }
    }

    /// The session of every request when `identity = "none"`. It has no name, no principal and no
    /// cookie.
    pub fn anonymous() -> Self {
        Self {
            id: [0; 16],
            scheme: Scheme::Plain,
            issued: 0,
            seen: 0,
            expires: u32::MAX,
            reissued: AtomicU32::new(0),
            generation: 0,
            text: "".into(),
            value_len: 0,
            principal_len: 0,
        }
    }

    /// The session of one request for a signed link, with the user and the session id that the link was
    /// issued to. It has no principal and no cookie.
    pub fn of_link(user: &str, id: [u8; 16], expires: u64) -> Self {
        Self {
            id,
            expires: short(expires),
            text: user.into(),
            ..Self::anonymous()
        }
    }

    /// The short name that `auth_to_local` gave.
    pub fn user(&self) -> &str {
        &self.text[usize::from(self.value_len) + usize::from(self.principal_len)..]
    }

    /// The Kerberos principal, in MIT's text form.
    pub fn principal(&self) -> &str {
        &self.text[usize::from(self.value_len)..][..usize::from(self.principal_len)]
    }

    /// A random id, equal in all cookies of this session.
    pub fn id(&self) -> &[u8; 16] {
        &self.id
    }

    /// The scheme that the client logged in with.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// When the client logged in, Unix seconds.
    pub fn issued(&self) -> u64 {
        self.issued.into()
    }

    /// When the session ends at the latest, Unix seconds.
    pub fn expires(&self) -> u64 {
        self.expires.into()
    }

    fn value(&self) -> &str {
        &self.text[..usize::from(self.value_len)]
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("user", &self.user())
            .field("principal", &self.principal())
            .field("issued", &self.issued)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
