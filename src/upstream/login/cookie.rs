//! The authentication cookie of a login.

use http::{HeaderValue, header};

use super::LoginError;
use crate::{
    identity::cookies::is_login_cookie,
    upstream::{backend::now_ms, client::ControlResponse},
};

#[derive(Debug)]
pub(crate) struct LoginCookie {
    /// Counts logins at this backend.
    pub serial: u64,
    /// The value of `Cookie`: `hadoop.auth="…"`; sensitive.
    pub value: HeaderValue,
    /// Unix milliseconds at which to renew it.
    renew_at: u64,
    /// Unix milliseconds at which it expires.
    expires_at: u64,
}

impl LoginCookie {
    pub(super) fn has_expired(&self, now: u64) -> bool {
        self.expires_at <= now
    }

    pub(super) fn is_renewal_due(&self, now: u64) -> bool {
        self.renew_at <= now
    }

    /// Keeps the authentication cookies of a response: those named `*.auth`. The session cookie of a
    /// servlet container beside them must not be shared by all users.
    pub(super) fn of(reply: &ControlResponse, serial: u64) -> Result<Self, LoginError> {
        let mut pairs = String::new();
        let mut expires_at = u64::MAX;
        for value in reply.headers.get_all(header::SET_COOKIE) {
            let Some(pair) = value.to_str().ok().and_then(|v| v.split(';').next()) else {
                continue;
            };
            let Some((name, content)) = pair.trim().split_once('=') else {
                continue;
            };
            if !is_login_cookie(name) || content.trim_matches('"').is_empty() {
                continue;
            }
            if let Some(end) = hadoop_expiry(content) {
                expires_at = expires_at.min(end);
            }
            if !pairs.is_empty() {
                pairs.push_str("; ");
            }
            pairs.push_str(pair.trim());
        }
        if pairs.is_empty() {
            return Err(LoginError::NoCookie);
        }
        let mut value = HeaderValue::try_from(pairs).map_err(|_| LoginError::NoCookie)?;
        value.set_sensitive(true);
        let now = now_ms();
        // a cookie without an expiry is renewed every hour
        let life = expires_at.saturating_sub(now).min(24 * 3600 * 1000);
        let renew_at = if expires_at == u64::MAX {
            now + 3600 * 1000
        } else {
            now + life * 4 / 5
        };
        Ok(Self {
            serial,
            value,
            renew_at,
            expires_at,
        })
    }
}

/// The expiry of a `hadoop.auth` cookie: `e=<Unix ms>` (`AuthToken`).
fn hadoop_expiry(content: &str) -> Option<u64> {
    content
        .trim_matches('"')
        .split('&')
        .find_map(|field| field.strip_prefix("e="))?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::upstream::backend::now_ms;

    fn reply(cookies: &[&str]) -> ControlResponse {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(header::SET_COOKIE, cookie.parse().unwrap());
        }
        ControlResponse {
            status: StatusCode::OK,
            reason: Bytes::new(),
            headers,
            body: Bytes::new(),
            login_failed: false,
        }
    }

    #[test]
    fn only_the_authentication_cookie_is_kept() {
        let end = now_ms() + 36_000_000;
        let auth = format!(
            "hadoop.auth=\"u=HTTP&p=HTTP/gw@R&t=kerberos&e={end}&s=abc=\"; Path=/; HttpOnly"
        );
        let kept = LoginCookie::of(&reply(&["JSESSIONID=1;Path=/oozie", &auth]), 7).unwrap();
        assert_eq!(
            kept.value,
            format!("hadoop.auth=\"u=HTTP&p=HTTP/gw@R&t=kerberos&e={end}&s=abc=\"").as_str()
        );
        assert_eq!(kept.expires_at, end);
        assert!(kept.renew_at < end && kept.renew_at > now_ms());
    }

    #[test]
    fn a_cookie_that_clears_the_login_is_ignored() {
        assert!(matches!(
            LoginCookie::of(&reply(&["hadoop.auth=; Path=/"]), 1),
            Err(LoginError::NoCookie)
        ));
    }
}
