//! Response headers that must not reach a client.
//!
//! The host name of the gateway is shared: several servers respond under it, and below the
//! `ResourceManager`'s `/proxy/` so do the applications of any user. A header that a browser applies
//! to the whole origin or host must therefore not come from one of them.

use http::{HeaderMap, header};

use super::named_by_connection;

/// Strips from a backend's response: hop-by-hop headers and those that its `Connection` names; challenges
/// and mutual tokens of the gateway's own login; and headers that a browser or a proxy in front would
/// apply to the whole host.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    // Hot path: one pass over the few headers of a response is cheaper than some forty hash look-ups.
    let mut doomed = Vec::new();
    for (name, value) in &*headers {
        // The most frequent value names no header.
        if *name == header::CONNECTION && value != "keep-alive" {
            named_by_connection(value, &mut doomed);
        }
        // With both framings the chunked one counts (RFC 9112 section 6.3), so the length is wrong and
        // must not reach the client, whose connection has a framing of its own.
        if *name == header::TRANSFER_ENCODING {
            doomed.push(header::CONTENT_LENGTH);
        }
        if is_withheld(name.as_str()) {
            doomed.push(name.clone());
        }
    }
    for name in doomed {
        headers.remove(name);
    }
}

/// Whether a response header is withheld from the client.
///
/// Beyond hop-by-hop headers and logins (`Set-Cookie2`, RFC 2965, would carry one past the check of
/// `Set-Cookie`): what outlives the page and holds for its whole origin or host in browsers
/// (`Service-Worker-Allowed`, `Strict-Transport-Security`, `Public-Key-Pins`, `Expect-CT`, `Alt-Svc`,
/// `Clear-Site-Data`, `NEL` and the reporting headers, client hints, `Origin-Agent-Cluster`, `FedCM`'s
/// `Set-Login`, device-bound sessions), orders to a proxy in front (nginx' `X-Accel-Redirect` and its
/// like), and the gateway's own `X-Spnegate-…`.
fn is_withheld(name: &str) -> bool {
    match name.as_bytes()[0] {
        b'a' => matches!(
            name,
            "accept-ch"
                | "accept-ch-lifetime"
                | "alt-svc"
                | "authentication-control"
                | "authentication-info"
        ),
        b'c' => matches!(name, "clear-site-data" | "connection" | "critical-ch"),
        b'e' => matches!(name, "expect-ct" | "expect-staple"),
        b'k' => name == "keep-alive",
        b'n' => name == "nel",
        b'o' => matches!(name, "optional-www-authenticate" | "origin-agent-cluster"),
        b'p' => matches!(
            name,
            "proxy-authenticate"
                | "proxy-authorization"
                | "proxy-authentication-info"
                | "proxy-connection"
                | "public-key-pins"
                | "public-key-pins-report-only"
        ),
        b'r' => matches!(name, "report-to" | "reporting-endpoints"),
        b's' => matches!(
            name,
            "sec-session-challenge"
                | "sec-session-registration"
                | "secure-session-challenge"
                | "secure-session-registration"
                | "service-worker-allowed"
                | "set-cookie2"
                | "set-login"
                | "strict-transport-security"
        ),
        b't' => matches!(name, "te" | "trailer" | "transfer-encoding"),
        b'u' => name == "upgrade",
        b'w' => name == "www-authenticate",
        b'x' => {
            matches!(name, "x-reproxy-url" | "x-sendfile")
                || name.starts_with("x-accel-")
                || name.starts_with("x-spnegate-")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_response_keeps_nothing_of_the_gateways_login() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("www-authenticate", "Negotiate abc"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("location", "/x"),
        ] {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        strip_response(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), [&header::LOCATION]);
    }

    #[test]
    fn a_response_sets_nothing_for_the_whole_host() {
        let mut headers = HeaderMap::new();
        for name in [
            "Accept-CH",
            "Alt-Svc",
            "Clear-Site-Data",
            "Critical-CH",
            "Expect-CT",
            "NEL",
            "Origin-Agent-Cluster",
            "Public-Key-Pins",
            "Public-Key-Pins-Report-Only",
            "Report-To",
            "Reporting-Endpoints",
            "Secure-Session-Registration",
            "Service-Worker-Allowed",
            "Set-Cookie2",
            "Set-Login",
            "Strict-Transport-Security",
            "X-Accel-Redirect",
            "X-Sendfile",
            "X-Spnegate-Reason",
        ] {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_static("needle"));
        }
        // Headers that apply to the page alone are kept.
        let own = [
            "access-control-allow-origin",
            "cache-control",
            "content-security-policy",
            "cross-origin-opener-policy",
            "link",
            "permissions-policy",
            "referrer-policy",
            "refresh",
            "server-timing",
            "set-cookie",
            "x-frame-options",
        ];
        for name in own {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        strip_response(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, own);
    }

    #[test]
    fn a_response_with_two_framings_loses_its_length() {
        let mut headers = HeaderMap::new();
        headers.append(header::CONTENT_LENGTH, HeaderValue::from_static("3"));
        strip_response(&mut headers);
        assert_eq!(headers.len(), 1);
        headers.append(
            header::TRANSFER_ENCODING,
            HeaderValue::from_static("chunked"),
        );
        strip_response(&mut headers);
        assert!(headers.is_empty());
    }
}
