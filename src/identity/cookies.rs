//! The `Cookie` header that a backend gets.
//!
//! On the request path: built from the client's header, which is never passed on as it is. Many consoles
//! share one host name, and with it the browser's cookies: a backend's cookie is sent to the client as
//! `<console>.<name>` ([`crate::rewrite::set_cookie`]) and comes back as `<name>`. A console's name
//! therefore has no dot.
//!
//! Not passed on are the session cookies of the gateway, the cookies of other consoles, every `*.auth`
//! (`hadoop.auth`, `hive.server2.auth`, `impala.auth`: they name the *gateway*, and servers prefer them
//! to `Authorization`), and every value that a lenient parser could split into several cookies.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};

use crate::auth::cookie::pieces;

/// Builds the backend's `Cookie` header.
///
/// `login` is the gateway's own cookie, `name=value` as the backend sent it; it goes **first**,
/// because `AuthenticationFilter` takes the first of its name. `script`: cookies that scripts read by name,
/// which are not renamed. `None`: there is no cookie to send.
pub fn request(
    headers: &HeaderMap,
    console: &str,
    script: &[&str],
    login: Option<&[u8]>,
) -> Option<HeaderValue> {
    let mut line: Vec<u8> = login.unwrap_or_default().to_vec();
    for header in headers.get_all(header::COOKIE) {
        for cookie in pieces(header) {
            // Hot path: the only cookie of most requests is the gateway's session, and this comparison is
            // cheaper than to split it and to check every byte of it.
            let starts = |name: &str| cookie.trim_ascii_start().starts_with(name.as_bytes());
            if !starts(console) && !script.iter().any(|name| starts(name)) {
                continue;
            }
            let Some((name, value)) = split(cookie) else {
                continue;
            };
            let Some(name) = backend_name(name, console, script) else {
                continue;
            };
            // Dropped and not refused: the user cannot change what an application has set.
            if !is_cookie_value(value) {
                continue;
            }
            if !line.is_empty() {
                line.extend_from_slice(b"; ");
            }
            line.extend_from_slice(name.as_bytes());
            line.push(b'=');
            line.extend_from_slice(value);
        }
    }
    if line.is_empty() {
        return None;
    }
    let mut value = HeaderValue::from_bytes(&line).ok()?;
    // A new value, so the mark that the outermost layer has put on the client's header is not on it.
    value.set_sensitive(true);
    Some(value)
}

/// Those cookies of a header that [`request`] built that have one of these names; `None`: there is none.
pub(crate) fn listed(cookies: &HeaderValue, names: &[Arc<str>]) -> Option<HeaderValue> {
    let is_listed = |cookie: &&[u8]| {
        split(cookie).is_some_and(|(name, _)| names.iter().any(|listed| **listed == *name))
    };
    let pairs = pieces(cookies).map(<[u8]>::trim_ascii);
    let left: Vec<&[u8]> = pairs.filter(is_listed).collect();
    let mut value = HeaderValue::from_bytes(&left.join(&b"; "[..])).ok()?;
    value.set_sensitive(true);
    (!left.is_empty()).then_some(value)
}

/// Splits `name=value` and removes blanks around both; `None` if the name is not a token.
pub(crate) fn split(cookie: &[u8]) -> Option<(&str, &[u8])> {
    let equals = cookie.iter().position(|&byte| byte == b'=')?;
    let name = std::str::from_utf8(cookie[..equals].trim_ascii()).ok()?;
    is_token(name).then(|| (name, cookie[equals + 1..].trim_ascii()))
}

/// Whether a cookie of this name is a login at a Hadoop server (`hadoop.auth`, `impala.auth`).
pub(crate) fn is_login_cookie(name: &str) -> bool {
    // By bytes: a slice of the text could begin inside a character.
    let bytes = name.as_bytes();
    bytes.len() >= 5 && bytes[bytes.len() - 5..].eq_ignore_ascii_case(b".auth")
}

/// The name under which the backend knows a client's cookie; `None`: it is not for this backend.
fn backend_name<'c>(name: &'c str, console: &str, script: &[&str]) -> Option<&'c str> {
    let name = if script.contains(&name) {
        name
    } else {
        name.strip_prefix(console)?.strip_prefix('.')?
    };
    (is_token(name) && !is_login_cookie(name)).then_some(name)
}

/// RFC 9110 section 5.6.2.
pub(crate) fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
        // `$Path` and `$Version` are attributes to parsers of RFC 2965.
        && !name.starts_with('$')
}

/// RFC 6265 section 4.1.1, with or without quotes: no comma (Jetty's `CookieCutter` splits there),
/// no quote or backslash inside.
fn is_cookie_value(value: &[u8]) -> bool {
    let inner = match value {
        [b'"', inner @ .., b'"'] => inner,
        value => value,
    };
    inner
        .iter()
        .all(|b| matches!(b, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn built(lines: &[&str], script: &[&str], login: Option<&[u8]>) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, HeaderValue::from_str(line).unwrap());
        }
        request(&headers, "nn", script, login).map(|v| v.to_str().unwrap().to_owned())
    }

    #[test]
    fn only_this_consoles_cookies_come_through_by_their_own_names() {
        let lines = [
            "spnegate=s; nn.JSESSIONID=1; rm.JSESSIONID=2; other=3",
            "__Host-spnegate=s;nn.a=\"q\"; nn.b=x=y; nnx.c=4; NN.d=5; nn=6",
        ];
        assert_eq!(
            built(&lines, &[], None).as_deref(),
            Some("JSESSIONID=1; a=\"q\"; b=x=y")
        );
    }

    #[test]
    fn no_login_cookie_of_a_client_passes_under_any_name() {
        for line in [
            "hadoop.auth=u=bob",
            "nn.hadoop.auth=u=bob",
            "nn.HADOOP.AUTH=x",
            "nn.hive.server2.auth=x",
            "impala.auth=x",
            "nn..auth=x",
            "nn.x=1,hadoop.auth=u=bob",
            "nn.x=\"1, hadoop.auth=u=bob\"",
            "nn.x=\"; hadoop.auth=u=bob; nn.y=\"",
            "nn.$Path=/",
            "nn.=x",
            "nn.hadoop.auth =x",
        ] {
            assert_eq!(built(&[line], &["hadoop.auth"], None), None, "{line}");
        }
    }

    #[test]
    fn the_gateways_cookie_goes_first() {
        let login = Some(&b"hadoop.auth=\"u=HTTP&s=x\""[..]);
        assert_eq!(
            built(&["nn.a=1"], &[], login).as_deref(),
            Some("hadoop.auth=\"u=HTTP&s=x\"; a=1")
        );
        assert_eq!(
            built(&[], &[], login).as_deref(),
            Some("hadoop.auth=\"u=HTTP&s=x\"")
        );
        assert_eq!(built(&["x=1"], &[], None), None);
    }

    #[test]
    fn of_the_built_cookies_only_the_listed_ones_go_beside_a_token() {
        let built =
            HeaderValue::from_static("JSESSIONID=1; gssapi_session=x; q=\"v\"; jsessionid=2");
        let listed = |names: &[&str]| {
            let names: Vec<Arc<str>> = names.iter().map(|name| Arc::from(*name)).collect();
            listed(&built, &names).map(|v| v.to_str().unwrap().to_owned())
        };
        assert_eq!(listed(&[]), None);
        assert_eq!(listed(&["other"]), None);
        assert_eq!(
            listed(&["q", "JSESSIONID"]).as_deref(),
            Some("JSESSIONID=1; q=\"v\"")
        );
    }

    #[test]
    fn script_cookies_keep_their_names() {
        assert_eq!(
            built(&["_xsrf=2; b=3"], &["_xsrf"], None).as_deref(),
            Some("_xsrf=2")
        );
    }

    proptest! {
        #[test]
        fn no_lenient_parser_finds_a_login_cookie(line in "(nn\\.)?[a-zA-Z.$=,;\" ]{0,24}(hadoop.auth=x)?") {
            let Ok(value) = HeaderValue::from_str(&line) else { return Ok(()) };
            let mut headers = HeaderMap::new();
            headers.append(header::COOKIE, value);
            if let Some(sent) = request(&headers, "nn", &[], None) {
                let sent = sent.to_str().unwrap();
                for cookie in sent.split([';', ',']) {
                    let name = cookie.split('=').next().unwrap_or_default().trim();
                    prop_assert!(!is_login_cookie(name), "{}", sent);
                }
            }
        }
    }
}
