//! `Origin` and `Referer` that name the console itself.
//!
//! On the request path: read once, before a request is sent to a backend. The request has the backend's
//! own name in `Host`, and servers compare: the WebSocket endpoints of Jetty and Zeppelin, and the CSRF
//! filters of Spring, Ranger, Hue and Django refuse a page of another host. So a header that names the
//! gateway's own origin is changed to name the backend's, like `Host`. A header that names another page
//! stays: whether that page may send the request is the backend's decision, and for requests that change
//! something the gateway has already decided ([`crate::auth::origin`]).

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{auth::origin::split_port, rewrite::node};

/// Which of the two headers name the console's own origin, and where the origin ends in them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnPage {
    origin: Option<usize>,
    referer: Option<usize>,
}

impl OwnPage {
    /// Compares the headers with `Host`. On a plain listener the page may be `https` too, because a load
    /// balancer in front may terminate TLS.
    pub fn of(headers: &HeaderMap, tls: bool) -> Self {
        let only = |name| {
            let mut values = headers.get_all(name).iter();
            values.next().filter(|_| values.next().is_none())
        };
        let end = |name| {
            let value = only(name)?.to_str().ok()?;
            let host = only(header::HOST)?.to_str().ok()?;
            own_end(value, host, tls)
        };
        Self {
            // An `Origin` is an origin only, so nothing may follow it.
            origin: end(header::ORIGIN)
                .filter(|end| headers.get(header::ORIGIN).is_some_and(|v| v.len() == *end)),
            referer: end(header::REFERER),
        }
    }

    /// The part after the console's origin, if the header names it.
    pub fn rest_of<'v>(&self, name: &HeaderName, value: &'v HeaderValue) -> Option<&'v [u8]> {
        let end = if *name == header::ORIGIN {
            self.origin?
        } else if *name == header::REFERER {
            self.referer?
        } else {
            return None;
        };
        value.as_bytes().get(end..)
    }
}

/// Removes a `Referer` that is a [node path](crate::rewrite::node): its signature is a credential, and it
/// is not a page of the backend. Returns what is left to rewrite.
pub(crate) fn without_node_links(headers: &mut HeaderMap, own: OwnPage) -> OwnPage {
    let referer = headers.get(header::REFERER);
    let rest = referer.and_then(|value| own.rest_of(&header::REFERER, value));
    if rest.is_some_and(|rest| rest.starts_with(node::PREFIX.as_bytes())) {
        headers.remove(header::REFERER);
        return OwnPage {
            referer: None,
            ..own
        };
    }
    own
}

/// Replaces the gateway's origin by the node's. A `Referer` of the gateway is removed: the node does not
/// have such a page.
pub(crate) fn for_node(headers: &mut HeaderMap, tls: bool, node_tls: bool, authority: &str) {
    let own = OwnPage::of(headers, tls);
    if own.referer.is_some() {
        headers.remove(header::REFERER);
    }
    if own.origin.is_some() {
        let scheme = if node_tls { "https" } else { "http" };
        match HeaderValue::try_from(format!("{scheme}://{authority}")) {
            Ok(origin) => headers.insert(header::ORIGIN, origin),
            Err(_) => headers.remove(header::ORIGIN),
        };
    }
}

/// Where the origin ends in an address of the same origin as `host`.
fn own_end(address: &str, host: &str, tls: bool) -> Option<usize> {
    let (scheme, rest) = address.split_once("://")?;
    let is_https = scheme.eq_ignore_ascii_case("https");
    if !is_https && (tls || !scheme.eq_ignore_ascii_case("http")) {
        return None;
    }
    let length = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let standard = if is_https { 443 } else { 80 };
    let page = name_and_port(&rest[..length], standard)?;
    let own = name_and_port(host, standard)?;
    let same = page.0.eq_ignore_ascii_case(own.0) && page.1 == own.1;
    same.then_some(scheme.len() + 3 + length)
}

fn name_and_port(authority: &str, standard: u16) -> Option<(&str, u16)> {
    let (name, port) = split_port(authority)?;
    if port.is_empty() {
        return Some((name, standard));
    }
    Some((name, port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn own(name: &HeaderName, value: &str, host: &'static str, tls: bool) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static(host));
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        let rest = OwnPage::of(&headers, tls)
            .rest_of(name, &headers[name])?
            .to_vec();
        Some(String::from_utf8(rest).unwrap())
    }

    #[test]
    fn only_the_consoles_own_origin_is_recognised() {
        for (value, host, tls) in [
            ("http://gw:50070", "gw:50070", false),
            ("https://gw:50070", "GW:50070", true),
            ("HTTP://Gw", "gw:80", false),
            ("https://gw:443", "gw", true),
            // a load balancer in front terminates TLS
            ("https://gw", "gw", false),
            ("http://[::1]:80", "[::1]", false),
        ] {
            let rest = own(&header::ORIGIN, value, host, tls);
            assert_eq!(rest.as_deref(), Some(""), "{value} {host}");
            let page = format!("{value}/a?b=c");
            let rest = own(&header::REFERER, &page, host, tls);
            assert_eq!(rest.as_deref(), Some("/a?b=c"), "{page} {host}");
        }
        for (value, host, tls) in [
            ("http://gw:8088", "gw:50070", false),
            ("http://gw", "gw:443", false),
            ("http://gw:50070", "gw:50070", true),
            ("http://gw.evil.org", "gw", false),
            ("http://u@gw", "gw", false),
            ("http://gw@evil.org", "gw", false),
            ("ws://gw", "gw", false),
            ("null", "gw", false),
            ("gw", "gw", false),
            ("http://gw:x", "gw:x", false),
            ("", "", false),
        ] {
            for name in [header::ORIGIN, header::REFERER] {
                assert_eq!(own(&name, value, host, tls), None, "{value} {host}");
            }
        }
        assert_eq!(own(&header::ORIGIN, "http://gw/x", "gw", false), None);
    }

    #[test]
    fn repeated_headers_are_not_changed() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("gw"));
        headers.append(header::ORIGIN, HeaderValue::from_static("http://gw"));
        headers.append(header::ORIGIN, HeaderValue::from_static("http://evil"));
        assert_eq!(OwnPage::of(&headers, false), OwnPage::default());
    }

    #[test]
    fn a_node_link_is_not_sent_to_a_backend_as_referer() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("gw"));
        let link = "http://gw/.spnegate/node/http/dn1:9864/x?.spnegate=1.a";
        headers.insert(header::REFERER, HeaderValue::from_static(link));
        let own = OwnPage::of(&headers, false);
        assert_eq!(without_node_links(&mut headers, own), OwnPage::default());
        assert!(!headers.contains_key(header::REFERER));
    }

    #[test]
    fn a_node_receives_its_own_origin() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("gw"));
        headers.insert(header::ORIGIN, HeaderValue::from_static("http://gw"));
        headers.insert(
            header::REFERER,
            HeaderValue::from_static("http://gw/explorer.html"),
        );
        for_node(&mut headers, false, false, "dn1:9864");
        assert_eq!(headers[header::ORIGIN], "http://dn1:9864");
        assert!(!headers.contains_key(header::REFERER));
        headers.insert(header::ORIGIN, HeaderValue::from_static("http://evil"));
        for_node(&mut headers, false, false, "dn1:9864");
        assert_eq!(headers[header::ORIGIN], "http://evil");
    }

    proptest! {
        #[test]
        fn any_address_is_read_and_only_a_prefix_is_taken(address in ".{0,40}", host in "[a-z.:\\[\\]0-9]{0,12}", tls: bool) {
            if let Some(end) = own_end(&address, &host, tls) {
                prop_assert!(address.is_char_boundary(end) && end <= address.len());
                let (_, authority) = address[..end].split_once("://").unwrap();
                prop_assert!(!authority.contains(['/', '@', '?', '#']));
            }
        }
    }
}
