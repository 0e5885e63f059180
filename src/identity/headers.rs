//! Request headers that must not reach a backend.
//!
//! On the request path: before the gateway sets its own. The client's `Connection` list is applied
//! **first**, so that it cannot name what the gateway sets afterwards (Traefik CVE-2024-45410:
//! `Connection: X-Remote-User`).
//!
//! Names are compared as the least careful backend would: every character that is neither letter
//! nor digit counts as `-` (WSGI and CGI fold `_`; oauth2-proxy CVE-2025-64484 and CVE-2026-40575).
//! Characters are not dropped, because no server does that. `Content-Length` and `Host` are never
//! removed: the HTTP layers set them from values that they have checked. `Cookie` is built by
//! [`super::cookies`].

use http::{HeaderMap, HeaderName, HeaderValue, header};

mod response;

pub(crate) use response::strip_response;

// One list for each first letter, so that a name is compared with a few patterns and not with all.
// Folding does not change the first letter.
//
// Identity headers of gateways that may have run before this one (Knox, oauth2-proxy, mod_auth_*,
// SiteMinder, WebSEAL, Cloudflare Access, Google IAP, Azure) are included: a backend may still be
// configured to trust them.

/// Stripped headers, by first letter; a final `*` matches any ending.
const A: &[&str] = &["authorization"];
const C: &[&str] = &[
    "cf-access-*",
    "cf-connecting-ip",
    "client-ip",
    "connection",
    // RFC 2965 is obsolete, but some servers still read cookies from it.
    "cookie2",
];
const E: &[&str] = &["expect"];
const F: &[&str] = &["forwarded", "forwarded-*", "fastly-client-ip"];
const H: &[&str] = &["http2-settings"];
const I: &[&str] = &["iv-*"];
const K: &[&str] = &["keep-alive"];
const O: &[&str] = &["oidc-*"];
const P: &[&str] = &[
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "proxy-remote-user",
];
const R: &[&str] = &[
    "remote-addr",
    "remote-group*",
    "remote-name",
    "remote-user*",
];
const S: &[&str] = &["sm-*", "smuser", "ssl-client-*"];
const T: &[&str] = &["te", "trailer", "transfer-encoding", "true-client-ip"];
const U: &[&str] = &["upgrade"];
const X: &[&str] = &[
    "x-access-token",
    "x-amzn-oidc-*",
    "x-authenticated-*",
    "x-authorization*",
    "x-auth-*",
    "x-client-cert*",
    "x-client-dn",
    "x-client-ip",
    "x-client-verify",
    "x-cluster-client-ip",
    "x-forwarded*",
    "x-goog-authenticated-user-*",
    "x-goog-iap-*",
    "x-http-authorization",
    "x-knox-*",
    "x-ms-client-principal*",
    "x-original-*",
    "x-originating-ip",
    // A Presto coordinator puts it before the addresses in its responses, which then lead anywhere.
    "x-presto-prefix-url",
    "x-proxied-user*",
    "x-proxy-user*",
    "x-real-ip",
    "x-remote-*",
    "x-rewrite-url",
    "x-ssl-client-*",
    "x-trusted-*",
    "x-user",
    "x-username",
    "x-user-id",
    "x-webauth-*",
];

/// Headers that nearly every request has and no rule concerns. Compared first, only because that is
/// faster; a test checks that no rule matches one of them.
const ORDINARY: &[&str] = &[
    "host",
    "cookie",
    "accept",
    "referer",
    "user-agent",
    "x-request-id",
    "content-type",
    "cache-control",
    "accept-encoding",
    "accept-language",
];

/// Headers whose aliases (`Content_Length`) are stripped, but not they themselves: a backend that folds
/// `_` would read the alias as a second framing or type that nobody has checked.
const NO_ALIASES: &[&str] = &["content-encoding", "content-length", "content-type"];

/// Strips hop-by-hop headers (RFC 9110 section 7.6.1), credentials, and every header by which a
/// client could claim a user or an address; `extra` are those of the supported servers
/// (`crate::kinds::identity_headers`), lower case.
///
/// `Expect` is stripped too: the gateway itself decides whether the client may send its body, not one of
/// the backends.
pub fn strip(headers: &mut HeaderMap, extra: &[&str]) {
    // Collected first, because a map cannot change while it is read. It does not allocate while it is
    // empty.
    let mut doomed: Vec<HeaderName> = Vec::new();
    for (name, value) in &*headers {
        if *name == header::CONNECTION {
            named_by_connection(value, &mut doomed);
        }
        if !ORDINARY.contains(&name.as_str()) && is_stripped(name.as_str(), extra) {
            doomed.push(name.clone());
        }
    }
    for name in doomed {
        headers.remove(name);
    }
}

/// Adds the headers that a `Connection` names, except those that must stay.
fn named_by_connection(value: &HeaderValue, named: &mut Vec<HeaderName>) {
    // `Connection: content-length` or `host` would remove the framing or the routing of a request that
    // has been checked with them (request smuggling).
    for token in value.as_bytes().split(|&byte| byte == b',') {
        let token = token.trim_ascii();
        if token.eq_ignore_ascii_case(b"keep-alive") || token.eq_ignore_ascii_case(b"close") {
            continue;
        }
        if let Ok(name) = HeaderName::from_bytes(token)
            && name != header::CONTENT_LENGTH
            && name != header::HOST
        {
            named.push(name);
        }
    }
}

fn is_stripped(name: &str, extra: &[&str]) -> bool {
    let list = match name.as_bytes().first() {
        Some(b'a') => A,
        Some(b'c') => C,
        Some(b'e') => E,
        Some(b'f') => F,
        Some(b'h') => H,
        Some(b'i') => I,
        Some(b'k') => K,
        Some(b'o') => O,
        Some(b'p') => P,
        Some(b'r') => R,
        Some(b's') => S,
        Some(b't') => T,
        Some(b'u') => U,
        Some(b'x') => X,
        Some(_) | None => &[],
    };
    let is = |pattern: &&str| matches(name.as_bytes(), pattern.as_bytes());
    // `extra` is not sorted by letter: it is short, and the kinds own it.
    list.iter().chain(extra).any(is)
        || (name.starts_with('c') && NO_ALIASES.iter().any(|own| *own != name && is(own)))
}

/// A `-` in the pattern matches any character except letters and digits. Names are lower case already
/// (`HeaderName`).
fn matches(name: &[u8], pattern: &[u8]) -> bool {
    let (pattern, fits) = match pattern.strip_suffix(b"*") {
        Some(start) => (start, name.len() >= start.len()),
        None => (pattern, name.len() == pattern.len()),
    };
    fits && name.iter().zip(pattern).all(|(name, pattern)| {
        if *pattern == b'-' {
            !name.is_ascii_alphanumeric()
        } else {
            name == pattern
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stripped(lines: &[(&'static str, &'static str)], extra: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for &(name, value) in lines {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_static(value),
            );
        }
        strip(&mut headers, extra);
        let mut left: Vec<String> = headers.keys().map(ToString::to_string).collect();
        left.sort();
        left
    }

    #[test]
    fn what_asserts_an_identity_is_stripped_under_every_alias() {
        for name in [
            "X-Forwarded-For",
            "x_forwarded_for",
            "X.Forwarded.User",
            "x-forwarded-",
            "X-Forwarded",
            "Forwarded",
            "X-Real-IP",
            "x_real~ip",
            "Remote-User",
            "REMOTE_USER",
            "remote_user_full_name",
            "X-Remote-User",
            "SM_USER",
            "sm-userdn",
            "X-Auth-Request-User",
            "X!Auth!Token",
            "X-Client-Cert",
            "SSL_CLIENT_S_DN",
            "Cookie2",
            "X-Authorization",
            "x_authorization_user",
            "X-HTTP-Authorization",
            "X-Access-Token",
            "X-Knox-Actor-ID",
            "iv-user",
            "OIDC_CLAIM_sub",
            "X-Trusted-Proxy-Auth-Header",
            "X-Presto-Prefix-Url",
            "x-original-url",
            "Authorization",
            "Proxy-Authorization",
            "Proxy-Connection",
            "Keep-Alive",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "HTTP2-Settings",
            "Expect",
            "X-Trino-User",
            "x_trino_user",
            "content_length",
            "content.type",
            "transfer_encoding",
        ] {
            assert!(
                stripped(&[(name, "v")], &["x-trino-user"]).is_empty(),
                "{name}"
            );
        }
    }

    #[test]
    fn what_clients_need_stays() {
        for name in [
            "host",
            "content-length",
            "content-type",
            "cookie",
            "user-agent",
            "accept-encoding",
            "x-xsrf-header",
            "x-csrf-token",
            "x-requested-with",
            "upgrade-insecure-requests",
            "origin",
            "referer",
            "range",
            "sec-fetch-site",
            "x-trino-session",
            "xforwardedfor",
            "x-users",
        ] {
            assert_eq!(stripped(&[(name, "v")], &["x-trino-user"]), [name]);
        }
    }

    #[test]
    fn the_connection_list_is_applied_but_not_to_framing() {
        let lines = [
            ("connection", "close, X-Odd ,content-length,host"),
            ("connection", "Cookie,,:bad:"),
            ("x-odd", "1"),
            ("content-length", "5"),
            ("host", "h"),
            ("cookie", "a=b"),
            ("accept", "*/*"),
        ];
        assert_eq!(stripped(&lines, &[]), ["accept", "content-length", "host"]);
    }

    #[test]
    fn what_is_let_through_unread_is_nothing_that_a_rule_takes() {
        for name in ORDINARY {
            let extra = crate::kinds::identity_headers();
            assert!(!is_stripped(name, extra), "{name}");
        }
    }

    proptest! {
        #[test]
        fn stripping_twice_is_stripping_once(
            names in prop::collection::vec("[a-z_.-]{1,12}|x[-_.]forwarded[-_.][a-z]{0,4}", 0..8)
        ) {
            let mut headers = HeaderMap::new();
            for name in &names {
                if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                    headers.append(name, HeaderValue::from_static("v"));
                }
            }
            strip(&mut headers, &[]);
            let once = headers.clone();
            strip(&mut headers, &[]);
            prop_assert_eq!(&headers, &once);
            let forwarded = |name: &HeaderName| {
                name.as_str().replace(['_', '.'], "-").starts_with("x-forwarded")
            };
            prop_assert!(!once.keys().any(forwarded));
        }
    }
}
