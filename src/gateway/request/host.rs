//! The host of a request, against the console's allow-list.
//!
//! On the request path: before the route. The result is one of the *configured* names, so no text of
//! the client is used from here on. The comparison is exact apart from case: a name with a trailing dot,
//! or another spelling of an address, is unknown.

use std::{net::Ipv6Addr, sync::Arc};

use http::{HeaderMap, Uri, header, request::Parts, uri::Scheme};

use crate::refusal::Refusal;

/// Why a request's host is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Neither `Host` nor an authority.
    #[error("no host")]
    Missing,
    /// More than one `Host` header.
    #[error("several hosts")]
    Several,
    /// Not `host` or `host:port`: a list, user information, odd characters.
    #[error("a malformed host")]
    Malformed,
    /// The authority of the request target differs from `Host`.
    #[error("an authority that differs from the host")]
    Differs,
    /// Well-formed, but not configured for this listener.
    #[error("an unknown host")]
    Unknown,
}

impl From<HostError> for Refusal {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Missing | HostError::Several | HostError::Malformed | HostError::Differs => {
                Self::BadHost
            }
            HostError::Unknown => Self::UnknownHost,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HostPort<'a> {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    host: &'a str,
    port: Option<u16>,
}

/// The configured name that a request is for (RFC 9110 section 7.2, RFC 9112 section 3.2).
///
/// `allowed` are lower-case names without port; an IPv6 address with or without brackets. A port must
/// be valid, but it need not be the listener's: a container or a load balancer may map it.
pub(crate) fn host<'a>(parts: &Parts, allowed: &'a [Arc<str>]) -> Result<&'a Arc<str>, HostError> {
    find(&parts.uri, &parts.headers, allowed)
}

/// As `host`, from the target and the headers of a request.
pub fn find<'a>(
    uri: &Uri,
    headers: &HeaderMap,
    allowed: &'a [Arc<str>],
) -> Result<&'a Arc<str>, HostError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let header = match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => return Err(HostError::Several),
        // Only without an authority: the two have to be compared otherwise.
        (Some(value), None)
            if uri.authority().is_none()
                && let Some(name) = plainly(value.as_bytes(), allowed) =>
        {
            return Ok(name);
        }
        (Some(value), None) => Some(parse(
            value.to_str().map_err(|_not_ascii| HostError::Malformed)?,
        )?),
        (None, _) => None,
    };
    let target = uri
        .authority()
        .map(|authority| parse(authority.as_str()))
        .transpose()?;
    let authority = match (header, target) {
        (Some(header), Some(target)) => {
            let default = if uri.scheme() == Some(&Scheme::HTTPS) {
                443
            } else {
                80
            };
            let port = |authority: HostPort<'_>| authority.port.unwrap_or(default);
            // Intermediaries differ in which of the two counts (RFC 9112 section 3.2.2: the target), so a
            // request that names two hosts is refused.
            if !header.host.eq_ignore_ascii_case(target.host) || port(header) != port(target) {
                return Err(HostError::Differs);
            }
            header
        }
        (Some(only), None) | (None, Some(only)) => only,
        (None, None) => return Err(HostError::Missing),
    };
    among(authority, allowed)
}

/// Fast path: the value is a configured name in the same spelling, with or without a plain port. Nearly
/// every request takes it, and [`parse`] and [`among`] need not run.
fn plainly<'a>(value: &[u8], allowed: &'a [Arc<str>]) -> Option<&'a Arc<str>> {
    allowed.iter().find(|name| {
        let rest = value.strip_prefix(name.as_bytes());
        let is_plain = rest.is_some_and(|rest| match rest {
            [] => true,
            [b':', port @ ..] => match port.len() {
                1..=4 => port[0] != b'0' && port.iter().all(u8::is_ascii_digit),
                5 => {
                    port.iter().all(u8::is_ascii_digit)
                        && (&b"10000"[..]..=&b"65535"[..]).contains(&port)
                }
                _ => false,
            },
            _ => false,
        });
        is_plain && !name.contains(':')
    })
}

/// The configured name that an authority (`host:port`) means.
pub(crate) fn named<'a>(
    authority: &str,
    allowed: &'a [Arc<str>],
) -> Result<&'a Arc<str>, HostError> {
    among(parse(authority)?, allowed)
}

fn among<'a>(authority: HostPort<'_>, allowed: &'a [Arc<str>]) -> Result<&'a Arc<str>, HostError> {
    // IPv6 is compared as an address, because one has many spellings (RFC 5952).
    let address: Option<Ipv6Addr> = authority.host.parse().ok();
    let is = |name: &str| match address {
        Some(address) => name.trim_matches(['[', ']']).parse() == Ok(address),
        None => name.eq_ignore_ascii_case(authority.host),
    };
    allowed
        .iter()
        .find(|name| is(name))
        .ok_or(HostError::Unknown)
}

fn parse(text: &str) -> Result<HostPort<'_>, HostError> {
    let (host, rest) = if let Some(after) = text.strip_prefix('[') {
        let (address, rest) = after.split_once(']').ok_or(HostError::Malformed)?;
        address
            .parse::<Ipv6Addr>()
            .map_err(|_not_v6| HostError::Malformed)?;
        (address, rest)
    } else {
        let end = text.find(':').unwrap_or(text.len());
        let host = &text[..end];
        let plain = host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        if host.is_empty() || !plain {
            return Err(HostError::Malformed);
        }
        (host, &text[end..])
    };
    let port = match rest.strip_prefix(':') {
        // `host:` is legal (RFC 3986 section 3.2.3).
        Some("") => None,
        Some(digits) if digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit()) => {
            let port: u16 = digits.parse().map_err(|_too_large| HostError::Malformed)?;
            if port == 0 {
                return Err(HostError::Malformed);
            }
            Some(port)
        }
        None if rest.is_empty() => None,
        Some(_) | None => return Err(HostError::Malformed),
    };
    Ok(HostPort { host, port })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn found(uri: &str, hosts: &[&str]) -> Result<String, HostError> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(
                header::HOST,
                HeaderValue::from_bytes(host.as_bytes()).unwrap(),
            );
        }
        let allowed: [Arc<str>; 3] = ["proxy.example.com".into(), "10.0.0.1".into(), "::1".into()];
        find(&uri.parse().unwrap(), &headers, &allowed).map(ToString::to_string)
    }

    #[test]
    fn a_known_host_is_found_in_any_case_with_any_port() {
        for host in [
            "proxy.example.com",
            "PROXY.example.com:50070",
            "proxy.example.com:",
        ] {
            assert_eq!(
                found("/", &[host]).as_deref(),
                Ok("proxy.example.com"),
                "{host}"
            );
        }
        assert_eq!(found("/", &["10.0.0.1:1"]).as_deref(), Ok("10.0.0.1"));
        assert_eq!(found("/", &["[0:0::1]:8088"]).as_deref(), Ok("::1"));
    }

    #[test]
    fn an_unknown_host_is_not_guessed_at() {
        for host in [
            "proxy.example.com.",
            "proxy",
            "evil.proxy.example.com",
            "proxy.example.com.evil",
            "10.0.0.01",
            "167772161",
            "[::2]",
        ] {
            assert_eq!(found("/", &[host]), Err(HostError::Unknown), "{host}");
        }
    }

    #[test]
    fn a_malformed_host_is_refused() {
        for host in [
            "",
            ":80",
            "a@proxy.example.com",
            "proxy.example.com, other",
            "proxy.example.com:80:80",
            "proxy.example.com:+80",
            "proxy.example.com:0",
            "proxy.example.com:65536",
            "proxy.example.com/",
            "proxy.example.com\u{e9}",
            "[::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "::1",
            "proxy%2eexample.com",
        ] {
            assert_eq!(found("/", &[host]), Err(HostError::Malformed), "{host}");
        }
    }

    #[test]
    fn two_hosts_none_and_a_differing_authority_are_refused() {
        let known = "proxy.example.com";
        assert_eq!(found("/", &[]), Err(HostError::Missing));
        assert_eq!(found("/", &[known, known]), Err(HostError::Several));
        assert_eq!(found("http://other/", &[known]), Err(HostError::Differs));
        assert_eq!(
            found("http://proxy.example.com:81/", &[known]),
            Err(HostError::Differs)
        );
        assert_eq!(
            found("http://u@proxy.example.com/", &[known]),
            Err(HostError::Malformed)
        );
        assert_eq!(
            found("http://proxy.example.com:80/", &[known]).as_deref(),
            Ok(known)
        );
        assert_eq!(
            found("http://proxy.example.com/", &[]).as_deref(),
            Ok(known)
        );
    }

    proptest! {
        #[test]
        fn the_short_way_finds_what_the_long_way_finds(
            name in prop::sample::select(vec!["proxy.example.com", "10.0.0.1", "::1", "PROXY.example.com", "x"]),
            rest in "(:[0-9]{0,6})?|:?[0-9a-z:]{0,3}",
        ) {
            let allowed: [Arc<str>; 3] = ["proxy.example.com".into(), "10.0.0.1".into(), "::1".into()];
            let value = format!("{name}{rest}");
            if let Some(short) = plainly(value.as_bytes(), &allowed) {
                prop_assert_eq!(Ok(short), named(&value, &allowed), "{}", value);
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(host in ".*") {
            if let Ok(authority) = parse(&host) {
                prop_assert!(!authority.host.contains(['@', ',', '/', ' ']));
            }
        }
    }
}
