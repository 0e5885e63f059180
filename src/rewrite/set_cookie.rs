//! Rewrites `Set-Cookie` of a backend.
//!
//! On the request path: for every response. The counterpart of [`crate::identity::cookies`]. Login
//! cookies are removed, because the one of the gateway allows to impersonate every user; so are headers
//! that clear one, because the client has none. Others are renamed to `<console>.<name>`: many consoles
//! share one host name, and cookies do not distinguish ports (RFC 6265 section 8.5).
//!
//! `Path`, or its absence, stays: the gateway publishes a console under the backend's own paths, so the
//! browser's default path is the same. `Domain` is removed, so that the cookie stays on this host.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};

use crate::identity::cookies::{is_login_cookie, split};

/// How the cookies of one response are rewritten.
#[derive(Clone, Copy, Debug)]
pub struct CookieRewrite<'a> {
    /// The console's name, which becomes the prefix.
    pub console: &'a str,
    /// Cookies that scripts read by name; they are not renamed.
    pub script: &'a [&'a str],
    /// Whether the client is connected by TLS.
    pub tls: bool,
    /// The only cookies that may pass if the request had a token of the gateway: any other may be a login
    /// cookie under an unknown name. `None`: all except the known login cookies.
    pub only: Option<&'a [Arc<str>]>,
}

/// Rewrites all `Set-Cookie` headers; malformed ones are dropped. Returns whether a cookie was withheld
/// because [`CookieRewrite::only`] does not list it.
pub(crate) fn apply(headers: &mut HeaderMap, jar: &CookieRewrite<'_>) -> bool {
    // Hot path: most responses have no cookie, and a scan of the few names is cheaper than hashing one.
    if !headers.keys().any(|name| *name == header::SET_COOKIE) {
        return false;
    }
    let mut rewritten = Vec::new();
    let mut withheld = false;
    for value in headers.get_all(header::SET_COOKIE) {
        if jar.only.is_none_or(|only| is_listed(value, only)) {
            rewritten.extend(rewrite(value, jar));
        } else {
            withheld = true;
        }
    }
    // Removed and appended, because a map cannot replace one of several values of a name.
    headers.remove(header::SET_COOKIE);
    for value in rewritten {
        headers.append(header::SET_COOKIE, value);
    }
    withheld
}

fn is_listed(value: &HeaderValue, only: &[Arc<str>]) -> bool {
    let pair = value.as_bytes().split(|&byte| byte == b';').next();
    let name = pair.and_then(split).map(|(name, _)| name);
    name.is_some_and(|name| only.iter().any(|listed| **listed == *name))
}

/// Removes session ids from the redirecting headers. A servlet container that has not received its
/// cookie writes the session into the path of redirects (`;jsessionid=…`), where it would be logged and
/// shared.
pub(crate) fn cut_session_ids(headers: &mut HeaderMap) {
    for name in [header::LOCATION, header::CONTENT_LOCATION, header::REFRESH] {
        let cut = headers.get(&name).and_then(without_session_id);
        if let Some(value) = cut {
            headers.insert(name, value);
        }
    }
}

fn without_session_id(value: &HeaderValue) -> Option<HeaderValue> {
    // By bytes, because a redirect may contain raw UTF-8.
    const NAME: &[u8] = b";jsessionid=";
    let bytes = value.as_bytes();
    let is = |window: &[u8]| window.eq_ignore_ascii_case(NAME);
    let begin = bytes.windows(NAME.len()).position(is)?;
    let after = &bytes[begin + NAME.len()..];
    let length = after.iter().position(|byte| b";/?#\"' ".contains(byte));
    let rest = &after[length.unwrap_or(after.len())..];
    HeaderValue::from_bytes(&[&bytes[..begin], rest].concat()).ok()
}

/// Rewrites one header. `None`: it must not reach the client.
///
/// `Secure` is set on TLS and removed on plain listeners, where browsers would ignore the cookie. They
/// also ignore a cookie with `SameSite=None` or `Partitioned` that is not `Secure` (RFC 6265bis section
/// 5.7, CHIPS), so on plain listeners these attributes are removed too.
pub fn rewrite(value: &HeaderValue, jar: &CookieRewrite<'_>) -> Option<HeaderValue> {
    let mut parts = value.as_bytes().split(|&byte| byte == b';');
    let (name, content) = split(parts.next()?)?;
    // a cookie value has no tab (RFC 6265 section 4.1.1)
    if is_login_cookie(name) || content.contains(&b'\t') {
        return None;
    }
    let mut line = Vec::with_capacity(value.len() + jar.console.len() + 10);
    if !jar.script.contains(&name) {
        line.extend_from_slice(jar.console.as_bytes());
        line.push(b'.');
    }
    line.extend_from_slice(name.as_bytes());
    line.push(b'=');
    line.extend_from_slice(content);
    for attribute in parts.map(<[u8]>::trim_ascii) {
        if !is_removed(attribute, jar.tls) {
            line.extend_from_slice(b"; ");
            line.extend_from_slice(attribute);
        }
    }
    if jar.tls {
        line.extend_from_slice(b"; Secure");
    }
    HeaderValue::from_bytes(&line).ok()
}

/// Whether an attribute is removed.
fn is_removed(attribute: &[u8], tls: bool) -> bool {
    let mut sides = attribute.splitn(2, |&byte| byte == b'=');
    let key = sides.next().unwrap_or_default().trim_ascii();
    let value = sides.next().unwrap_or_default().trim_ascii();
    let is = |name: &str| key.eq_ignore_ascii_case(name.as_bytes());
    let needs_secure = is("partitioned") || (is("samesite") && value.eq_ignore_ascii_case(b"none"));
    key.is_empty() || is("domain") || is("secure") || (needs_secure && !tls)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn jar(console: &str, tls: bool) -> CookieRewrite<'_> {
        CookieRewrite {
            console,
            script: &["seen"],
            tls,
            only: None,
        }
    }

    fn rewritten(value: &str, tls: bool) -> Option<String> {
        let value = HeaderValue::from_str(value).unwrap();
        rewrite(&value, &jar("oozie", tls)).map(|v| v.to_str().unwrap().to_owned())
    }

    #[test]
    fn login_cookies_never_reach_a_client() {
        for value in [
            "hadoop.auth=\"u=HTTP&p=HTTP/gw@R&t=kerberos&e=1&s=x\"; Path=/; HttpOnly",
            "hadoop.auth=; Path=/",
            " HADOOP.AUTH =x",
            "hive.server2.auth=cu=HTTP;Version=0",
            "impala.auth=x",
        ] {
            assert_eq!(rewritten(value, false), None, "{value}");
        }
    }

    #[test]
    fn other_cookies_are_renamed_and_stay_on_this_host() {
        assert_eq!(
            rewritten(
                "JSESSIONID=a=b;Path=/oozie; Domain=.example.com;;HttpOnly",
                false
            ),
            Some("oozie.JSESSIONID=a=b; Path=/oozie; HttpOnly".into())
        );
        assert_eq!(rewritten("seen=1", false).as_deref(), Some("seen=1"));
    }

    #[test]
    fn secure_follows_the_listener() {
        assert_eq!(
            rewritten("a=1; secure", true).as_deref(),
            Some("oozie.a=1; Secure")
        );
        assert_eq!(
            rewritten("a=1; Secure", false).as_deref(),
            Some("oozie.a=1")
        );
    }

    #[test]
    fn malformed_cookies_are_dropped() {
        for value in ["", "novalue", "=x", "a b=x", "a,b=x", "$a=1"] {
            assert_eq!(rewritten(value, false), None, "{value}");
        }
    }

    #[test]
    fn all_headers_of_a_response_are_rewritten() {
        let mut headers = HeaderMap::new();
        for value in ["hadoop.auth=x", "a=1", "b=2"] {
            headers.append(header::SET_COOKIE, HeaderValue::from_static(value));
        }
        assert!(!apply(&mut headers, &jar("c", false)));
        assert_eq!(
            headers
                .get_all(header::SET_COOKIE)
                .iter()
                .collect::<Vec<_>>(),
            ["c.a=1", "c.b=2"]
        );
    }

    #[test]
    fn attributes_that_require_secure_are_removed_with_it() {
        for (value, plain, tls) in [
            (
                "a=1; Path=/; Secure; HttpOnly; SameSite=None; Partitioned",
                "oozie.a=1; Path=/; HttpOnly",
                "oozie.a=1; Path=/; HttpOnly; SameSite=None; Partitioned; Secure",
            ),
            (
                "a=1;samesite = none ;PARTITIONED=",
                "oozie.a=1",
                "oozie.a=1; samesite = none; PARTITIONED=; Secure",
            ),
            (
                "a=1; SameSite=Strict",
                "oozie.a=1; SameSite=Strict",
                "oozie.a=1; SameSite=Strict; Secure",
            ),
        ] {
            assert_eq!(rewritten(value, false).as_deref(), Some(plain));
            assert_eq!(rewritten(value, true).as_deref(), Some(tls));
        }
    }

    #[test]
    fn only_listed_cookies_pass_in_a_response_to_a_token() {
        let mut headers = HeaderMap::new();
        for value in [
            "gssapi_session=x",
            "JSESSIONID=1; Path=/",
            "jsessionid=2",
            "=x",
        ] {
            headers.append(header::SET_COOKIE, HeaderValue::from_static(value));
        }
        let listed = ["JSESSIONID".into()];
        let only = CookieRewrite {
            only: Some(&listed),
            ..jar("c", false)
        };
        assert!(apply(&mut headers, &only));
        assert_eq!(headers[header::SET_COOKIE], "c.JSESSIONID=1; Path=/");
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn a_session_id_is_removed_from_a_redirect() {
        for (value, left) in [
            ("/a;jsessionid=node0abc.x?b=c;d#e", "/a?b=c;d#e"),
            ("http://h:1/a/;JSESSIONID=1/b", "http://h:1/a//b"),
            ("3; url='/a;jsessionid=1'", "3; url='/a'"),
            ("/a;v=1;jsessionid=", "/a;v=1"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::LOCATION, HeaderValue::from_static(value));
            cut_session_ids(&mut headers);
            assert_eq!(headers[header::LOCATION], left);
        }
        for value in ["/a;b=jsessionid", "/a?jsessionid=1", ""] {
            let mut headers = HeaderMap::new();
            headers.insert(header::REFRESH, HeaderValue::from_static(value));
            cut_session_ids(&mut headers);
            assert_eq!(headers[header::REFRESH], value);
        }
    }

    proptest! {
        #[test]
        fn a_session_id_is_removed_from_any_address(value in prop::collection::vec(32_u8..=255, 0..40), id in "[!-~&&[^;/?#\"' ]]{0,9}") {
            let line = [b"/x;jsessionid=", id.as_bytes(), b"/", &value].concat();
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                let left = without_session_id(&value).unwrap();
                prop_assert!(left.as_bytes().starts_with(b"/x/"));
            }
        }

        #[test]
        fn a_renamed_cookie_comes_back_under_its_own_name(name in "[a-zA-Z_]{1,8}", value in "[!-+\\--:<-\\[\\]-~&&[^\"]]{0,8}") {
            let set = HeaderValue::from_str(&format!("{name}={value}; Path=/")).unwrap();
            let set = rewrite(&set, &jar("nn", false)).unwrap();
            let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
            let mut headers = HeaderMap::new();
            headers.append(header::COOKIE, HeaderValue::from_str(&pair).unwrap());
            let back = crate::identity::cookies::request(&headers, "nn", &[], None).unwrap();
            prop_assert_eq!(back.to_str().unwrap(), format!("{name}={value}"));
        }

        #[test]
        fn any_value_is_rewritten_or_dropped(value in prop::collection::vec(32_u8..=255, 0..40)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let _ = rewrite(&value, &jar("nn", true));
            }
        }
    }
}
