//! `X-Forwarded-*` and `Forwarded`: where a request comes from, as backends read it.
//!
//! On the request path: after every copy that the client sent was stripped ([`super::headers`]), so that
//! a backend may trust them.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};

const X_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// `console.forwarded`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Forwarded {
    /// `"off"`: none.
    #[default]
    Off,
    /// `"x-forwarded"`: `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.
    X,
    /// `"rfc7239"`: `Forwarded`.
    Rfc7239,
    /// `"both"`
    Both,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestOrigin<'a> {
    /// The client.
    pub client: IpAddr,
    /// Whether it came by TLS.
    pub tls: bool,
    /// The host and port that it asked for, checked already.
    pub authority: Option<&'a HeaderValue>,
}

/// Sets the headers that the console is configured to send.
pub(crate) fn set(headers: &mut HeaderMap, mode: Forwarded, from: &RequestOrigin<'_>) {
    // Off by default, because a server can refuse requests with these headers: Trino responds with 406
    // to any of them unless `http-server.process-forwarded` is set.
    let (x, rfc7239) = match mode {
        Forwarded::Off => return,
        Forwarded::X => (true, false),
        Forwarded::Rfc7239 => (false, true),
        Forwarded::Both => (true, true),
    };
    if x {
        set_x(headers, from);
    }
    if rfc7239 && let Ok(value) = HeaderValue::try_from(forwarded(from)) {
        headers.insert(header::FORWARDED, value);
    }
}

fn set_x(headers: &mut HeaderMap, from: &RequestOrigin<'_>) {
    // One address, not a list: the client's own copy was stripped, so that a server that reads the first
    // element and one that reads the last come to the same result.
    if let Ok(client) = HeaderValue::try_from(from.client.to_string()) {
        headers.insert(X_FOR, client);
    }
    headers.insert(X_PROTO, HeaderValue::from_static(from.scheme()));
    if let Some(authority) = from.authority {
        headers.insert(X_HOST, authority.clone());
    }
    headers.insert(X_PORT, HeaderValue::from(from.port()));
}

fn forwarded(from: &RequestOrigin<'_>) -> String {
    // RFC 7239 section 6: an IPv6 address is in brackets, and brackets and colons are not characters of a
    // token, so the value is quoted. The host is quoted always, because its port has a colon.
    let client = match from.client {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("\"[{v6}]\""),
    };
    let host = from.authority.and_then(|host| host.to_str().ok());
    let host = host.map_or_else(String::new, |host| format!(";host=\"{host}\""));
    format!("for={client}{host};proto={}", from.scheme())
}

impl RequestOrigin<'_> {
    const fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    fn port(&self) -> u16 {
        let authority = self.authority.and_then(|host| host.to_str().ok());
        // The port in `Host` and not the listener's: behind a port mapping only the former is right. A
        // bare IPv6 address ends with `]`, which is not a number.
        let written = authority.and_then(|host| host.rsplit_once(':')?.1.parse().ok());
        written.unwrap_or(if self.tls { 443 } else { 80 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(mode: Forwarded, client: &str, tls: bool, host: &str) -> Vec<String> {
        let mut headers = HeaderMap::new();
        let authority = HeaderValue::from_str(host).unwrap();
        let from = RequestOrigin {
            client: client.parse().unwrap(),
            tls,
            authority: Some(&authority),
        };
        set(&mut headers, mode, &from);
        let line = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        let mut lines: Vec<String> = headers.iter().map(line).collect();
        lines.sort();
        lines
    }

    #[test]
    fn each_form_names_client_host_and_scheme() {
        assert!(said(Forwarded::Off, "192.0.2.1", true, "a").is_empty());
        assert_eq!(
            said(Forwarded::X, "192.0.2.1", false, "proxy:50070"),
            [
                "x-forwarded-for: 192.0.2.1",
                "x-forwarded-host: proxy:50070",
                "x-forwarded-port: 50070",
                "x-forwarded-proto: http",
            ]
        );
        assert_eq!(
            said(Forwarded::Rfc7239, "2001:db8::1", true, "[::1]:443"),
            ["forwarded: for=\"[2001:db8::1]\";host=\"[::1]:443\";proto=https"]
        );
        let both = said(Forwarded::Both, "192.0.2.1", true, "[::1]");
        assert_eq!(both.len(), 5);
        assert!(
            both.contains(&"x-forwarded-port: 443".to_owned()),
            "{both:?}"
        );
    }
}
