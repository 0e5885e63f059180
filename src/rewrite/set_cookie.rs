//! `Set-Cookie` of a backend, as the client gets it.
//!
//! In a request's way: on every answer. The counterpart of [`crate::identity::cookies`]: login
//! cookies never pass (whoever holds the gateway's may impersonate anybody; a *clearing* one would
//! only confuse), others are renamed `<console>.<name>`, for many consoles share one host name.
//!
//! `Path` stays, as does its absence: the gateway publishes a console under the backend's own
//! paths, so the browser's default path is the same. `Domain` goes: cookies stay on this host.

use http::{HeaderMap, HeaderValue, header};

use crate::identity::cookies::{is_login_cookie, split};

/// Rewrites all `Set-Cookie` headers of an answer; malformed ones are dropped.
///
/// `tls` says how the client is connected: `Secure` is set on TLS and taken off on plain listeners,
/// where browsers would ignore the cookie.
pub fn apply(headers: &mut HeaderMap, console: &str, script: &[&str], tls: bool) {
    if !headers.keys().any(|name| *name == header::SET_COOKIE) {
        return;
    }
    let rewritten: Vec<HeaderValue> = headers
        .get_all(header::SET_COOKIE)
        .iter()
        .filter_map(|value| rewrite(value, console, script, tls))
        .collect();
    headers.remove(header::SET_COOKIE);
    for value in rewritten {
        headers.append(header::SET_COOKIE, value);
    }
}

/// Rewrites one; `None`: it must not reach the client.
pub fn rewrite(
    value: &HeaderValue,
    console: &str,
    script: &[&str],
    tls: bool,
) -> Option<HeaderValue> {
    let mut parts = value.as_bytes().split(|&byte| byte == b';');
    let (name, content) = split(parts.next()?)?;
    if is_login_cookie(name) || content.contains(&b'\t') {
        return None;
    }
    let mut line = Vec::with_capacity(value.len() + console.len() + 10);
    if !script.contains(&name) {
        line.extend_from_slice(console.as_bytes());
        line.push(b'.');
    }
    line.extend_from_slice(name.as_bytes());
    line.push(b'=');
    line.extend_from_slice(content);
    for attribute in parts.map(<[u8]>::trim_ascii) {
        let key = attribute
            .split(|&byte| byte == b'=')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        let goes = ["", "domain", "secure"]
            .iter()
            .any(|k| key.eq_ignore_ascii_case(k.as_bytes()));
        if !goes {
            line.extend_from_slice(b"; ");
            line.extend_from_slice(attribute);
        }
    }
    if tls {
        line.extend_from_slice(b"; Secure");
    }
    HeaderValue::from_bytes(&line).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rewritten(value: &str, tls: bool) -> Option<String> {
        let value = HeaderValue::from_str(value).unwrap();
        rewrite(&value, "oozie", &["seen"], tls).map(|v| v.to_str().unwrap().to_owned())
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
    fn all_lines_of_an_answer_are_rewritten() {
        let mut headers = HeaderMap::new();
        for value in ["hadoop.auth=x", "a=1", "b=2"] {
            headers.append(header::SET_COOKIE, HeaderValue::from_static(value));
        }
        apply(&mut headers, "c", &[], false);
        assert_eq!(
            headers
                .get_all(header::SET_COOKIE)
                .iter()
                .collect::<Vec<_>>(),
            ["c.a=1", "c.b=2"]
        );
    }

    proptest! {
        #[test]
        fn what_goes_out_comes_back_by_its_own_name(name in "[a-zA-Z_]{1,8}", value in "[!-+\\--:<-\\[\\]-~&&[^\"]]{0,8}") {
            let set = HeaderValue::from_str(&format!("{name}={value}; Path=/")).unwrap();
            let set = rewrite(&set, "nn", &[], false).unwrap();
            let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
            let mut headers = HeaderMap::new();
            headers.append(header::COOKIE, HeaderValue::from_str(&pair).unwrap());
            let back = crate::identity::cookies::request(&headers, "nn", &[], None).unwrap();
            prop_assert_eq!(back.to_str().unwrap(), format!("{name}={value}"));
        }

        #[test]
        fn any_value_is_rewritten_or_dropped(value in prop::collection::vec(32_u8..=255, 0..40)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let _ = rewrite(&value, "nn", &[], true);
            }
        }
    }
}
