//! The cookie that a login earned.

use http::{HeaderValue, header};

use super::LoginError;
use crate::{
    identity::cookies::is_login_cookie,
    upstream::{backend::now_ms, client::ControlResponse},
};

/// What a login earned.
#[derive(Debug)]
pub(crate) struct LoginCookie {
    /// Counts logins at this backend.
    pub serial: u64,
    /// `hadoop.auth="…"`, ready to be sent; sensitive.
    pub value: HeaderValue,
    /// Unix milliseconds at which it is better renewed.
    renew_at: u64,
    /// Unix milliseconds at which it ends.
    ends_at: u64,
}

impl LoginCookie {
    /// Whether it no longer works at `now`, Unix milliseconds.
    pub(super) fn has_ended(&self, now: u64) -> bool {
        self.ends_at <= now
    }

    /// Whether it is better renewed at `now`, Unix milliseconds.
    pub(super) fn is_due(&self, now: u64) -> bool {
        self.renew_at <= now
    }

    /// Keeps the authentication cookies of an answer: those named `*.auth`. A servlet container's own
    /// session cookie beside it must not be shared by all users.
    pub(super) fn of(reply: &ControlResponse, serial: u64) -> Result<Self, LoginError> {
        let mut pairs = String::new();
        let mut ends_at = u64::MAX;
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
                ends_at = ends_at.min(end);
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
        // what names no end is renewed every hour
        let life = ends_at.saturating_sub(now).min(24 * 3600 * 1000);
        let renew_at = if ends_at == u64::MAX {
            now + 3600 * 1000
        } else {
            now + life * 4 / 5
        };
        Ok(Self {
            serial,
            value,
            renew_at,
            ends_at,
        })
    }
}

/// The end of a `hadoop.auth` cookie: `e=<Unix ms>` (`AuthToken`).
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
        assert_eq!(kept.ends_at, end);
        assert!(kept.renew_at < end && kept.renew_at > now_ms());
    }

    #[test]
    fn a_clearing_cookie_is_no_cookie() {
        assert!(matches!(
            LoginCookie::of(&reply(&["hadoop.auth=; Path=/"]), 1),
            Err(LoginError::NoCookie)
        ));
    }
}
