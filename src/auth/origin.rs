//! Protection against cross-site request forgery. A browser logs in with SPNEGO without asking the
//! user, so a page of another site can use that login just as it can use a cookie.
//!
//! This is the first check after the login. Only browsers send `Origin` and `Sec-Fetch-Site`; a request
//! without both passes (curl, JDBC).

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, header};

use super::Scheme;
use crate::refusal::Refusal;

/// Checks a request with an unsafe method, or an upgrade (WebSocket), which must come from a page of
/// the same host.
///
/// `host` is the request's own host name, `hosts` the console's; ports do not matter, since all
/// consoles of a gateway share one host name. On a plain listener the page may be `https`; on TLS it
/// must be, since anybody on the network path can serve a plain page. GET, HEAD and OPTIONS always
/// pass: links from other sites have to work.
///
/// # Errors
///
/// [`Refusal::CrossSite`].
pub(crate) fn check(
    method: &Method,
    headers: &HeaderMap,
    host: &str,
    hosts: &[Arc<str>],
    scheme: Scheme,
) -> Result<(), Refusal> {
    if is_safe(method, headers) {
        return Ok(());
    }
    // Each header must appear at most once, so that no duplicate escapes the check.
    let mut sites = headers.get_all("sec-fetch-site").iter();
    let site = sites.next().map(HeaderValue::as_bytes);
    let known = match site {
        Some(b"same-origin" | b"none") | None => true,
        // A page on another port of this host or on a sub-domain: `Origin` decides.
        Some(b"same-site") => headers.contains_key(header::ORIGIN),
        // `cross-site`, and values that a future browser may send.
        Some(_) => false,
    };
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let ours = origins
        .next()
        .is_none_or(|o| is_ours(o, host, hosts, scheme));
    if known && ours && sites.next().is_none() && origins.next().is_none() {
        Ok(())
    } else {
        Err(Refusal::CrossSite)
    }
}

/// Whether a request changes nothing on the server, so that its origin does not matter.
pub(super) fn is_safe(method: &Method, headers: &HeaderMap) -> bool {
    // A WebSocket begins with a GET, and browsers let every site open one (RFC 6455 section 10.2).
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
        && !headers.contains_key(header::UPGRADE)
}

/// Whether an `Origin` is a page of this host. `null` (sandboxed frames, files) never is.
fn is_ours(origin: &HeaderValue, host: &str, hosts: &[Arc<str>], scheme: Scheme) -> bool {
    let Some((page, authority)) = origin.to_str().ok().and_then(|o| o.split_once("://")) else {
        return false;
    };
    let allowed = match scheme {
        Scheme::Plain => page == "http" || page == "https",
        Scheme::Tls => page == "https",
    };
    let name = host_name(authority);
    let same = |other: &str| name.eq_ignore_ascii_case(other);
    allowed && !name.is_empty() && (same(host) || hosts.iter().any(|h| same(h)))
}

/// An authority without its port; empty if the port is not a number.
pub(super) fn host_name(authority: &str) -> &str {
    split_port(authority).map_or("", |(name, _)| name)
}

/// The name and the port of an authority. The port is empty if there is none. `None` if there is no
/// name or the port is not a number.
pub(crate) fn split_port(authority: &str) -> Option<(&str, &str)> {
    let (name, port) = match authority.rsplit_once(':') {
        // The colons of an IPv6 address are inside brackets.
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (authority, ""),
    };
    // `gw.example.com:80@evil.org` must not count as gw.example.com.
    let is_port = port.bytes().all(|b| b.is_ascii_digit());
    (!name.is_empty() && is_port).then_some((name, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn passes(method: &Method, scheme: Scheme, headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        check(
            method,
            &map,
            "gw.example.com",
            &["alias.example.com".into()],
            scheme,
        )
        .is_ok()
    }

    /// Headers, and whether the request passes on a plain and on a TLS listener.
    type Row = (&'static [(&'static str, &'static str)], bool, bool);

    #[test]
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn unsafe_methods_pass_from_the_same_host_only() {
        let table: &[Row] = &[
            (&[], true, true),
            (&[("origin", "https://gw.example.com")], true, true),
            (&[("origin", "https://gw.example.com:8443")], true, true),
            (&[("origin", "https://GW.example.com:8443")], true, true),
            (&[("origin", "https://alias.example.com")], true, true),
            (&[("origin", "http://gw.example.com:50070")], true, false),
            (&[("origin", "null")], false, false),
            (&[("origin", "")], false, false),
            (&[("origin", "https://evil.example.com")], false, false),
            (
                &[("origin", "https://gw.example.com.evil.org")],
                false,
                false,
            ),
            (
                &[("origin", "https://gw.example.com@evil.org")],
                false,
                false,
            ),
            (
                &[("origin", "https://gw.example.com:80@evil.org")],
                false,
                false,
            ),
            (
                &[("origin", "https://evil.org/gw.example.com")],
                false,
                false,
            ),
            (&[("origin", "ftp://gw.example.com")], false, false),
            (
                &[("origin", "https://gw.example.com https://evil.org")],
                false,
                false,
            ),
            (
                &[
                    ("origin", "https://gw.example.com"),
                    ("origin", "https://evil.org"),
                ],
                false,
                false,
            ),
            (&[("sec-fetch-site", "same-origin")], true, true),
            (&[("sec-fetch-site", "none")], true, true),
            (&[("sec-fetch-site", "cross-site")], false, false),
            (&[("sec-fetch-site", "new-word")], false, false),
            (
                &[("sec-fetch-site", "none"), ("sec-fetch-site", "cross-site")],
                false,
                false,
            ),
            (
                &[
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://gw.example.com"),
                ],
                false,
                false,
            ),
            (
                &[
                    ("sec-fetch-site", "same-origin"),
                    ("origin", "https://evil.org"),
                ],
                false,
                false,
            ),
            (&[("sec-fetch-site", "same-site")], false, false),
            (
                &[
                    ("sec-fetch-site", "same-site"),
                    ("origin", "https://gw.example.com:8088"),
                ],
                true,
                true,
            ),
            (
                &[
                    ("sec-fetch-site", "same-site"),
                    ("origin", "https://wiki.example.com"),
                ],
                false,
                false,
            ),
        ];
        for (headers, plain, tls) in table {
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                assert_eq!(
                    passes(&method, Scheme::Plain, headers),
                    *plain,
                    "plain {headers:?}"
                );
                assert_eq!(
                    passes(&method, Scheme::Tls, headers),
                    *tls,
                    "tls {headers:?}"
                );
            }
            for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
                assert!(passes(&method, Scheme::Plain, headers), "{headers:?}");
            }
        }
    }

    #[test]
    fn an_upgrade_is_checked_although_it_is_a_get() {
        let evil = [("upgrade", "websocket"), ("origin", "https://evil.org")];
        assert!(!passes(&Method::GET, Scheme::Plain, &evil));
        let own = [
            ("upgrade", "websocket"),
            ("origin", "http://gw.example.com:50070"),
        ];
        assert!(passes(&Method::GET, Scheme::Plain, &own));
    }

    #[test]
    fn ports_are_removed_from_names_and_addresses() {
        assert_eq!(host_name("a:80"), "a");
        assert_eq!(host_name("[::1]:80"), "[::1]");
        assert_eq!(host_name("[::1]"), "[::1]");
        assert_eq!(host_name("a:b"), "");
    }

    proptest! {
        #[test]
        fn any_foreign_origin_is_refused(origin in "[ -~]{0,40}") {
            prop_assume!(!origin.to_ascii_lowercase().contains("example.com"));
            prop_assert!(!passes(&Method::POST, Scheme::Plain, &[("origin", &origin)]));
        }
    }
}
