//! `X-Forwarded-For` of incoming requests: an HTTP proxy in front of the gateway names the client.
//!
//! It is read before the service, and only from peers in `trusted_proxies`. Each proxy appends the
//! address of its own peer on the right, and whatever a client wrote itself is on the left. So the
//! client is the right-most address that is not a trusted proxy's; everything left of it is ignored.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use crate::net::sources::contains;

/// `X-Forwarded-For`
pub const NAME: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client of a request from `peer`, which is one of `trusted`.
///
/// Where a trusted proxy names no client, or its entry is not an address, that proxy is the client.
pub fn client(headers: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    let mut client = peer;
    // Several header lines form one list (RFC 9110 section 5.3).
    let lines = headers.get_all(NAME).iter().rev();
    for entry in lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b',')) {
        let entry = entry.trim_ascii();
        if entry.is_empty() {
            continue;
        }
        match address(entry) {
            Some(named) if contains(trusted, named) => client = named,
            Some(named) => return named,
            None => break,
        }
    }
    client
}

/// An address, with or without a port; an IPv6 address may be in brackets.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || Some(text.parse::<SocketAddr>().ok()?.ip());
    let plain = text.parse().ok();
    let address: IpAddr = plain.or_else(bracketed).or_else(with_port)?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn named(lines: &[&[u8]]) -> IpAddr {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(NAME, HeaderValue::from_bytes(line).unwrap());
        }
        let trusted = ["10.0.0.0/24", "2001:db8:1::/48"].map(|net| net.parse().unwrap());
        client(&headers, ip("10.0.0.1"), &trusted)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_right_most_address_that_is_not_trusted_is_the_client() {
        for (line, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7, 10.0.0.2", "192.0.2.7"),
            ("203.0.113.1,192.0.2.7 ,\t10.0.0.2,", "192.0.2.7"),
            ("10.0.0.9, 192.0.2.7", "192.0.2.7"),
            ("192.0.2.7:50000", "192.0.2.7"),
            ("2001:db8::7, 2001:db8:1::1", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:50000, 10.0.0.2:80", "2001:db8::7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            // Only proxies: the one that is farthest away.
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("", "10.0.0.1"),
        ] {
            assert_eq!(named(&[line.as_bytes()]), ip(expected), "{line}");
        }
        assert_eq!(named(&[]), ip("10.0.0.1"));
        assert_eq!(
            named(&[b"203.0.113.1", b"192.0.2.7", b"10.0.0.2"]),
            ip("192.0.2.7")
        );
    }

    #[test]
    fn an_invalid_address_ends_the_list() {
        for entry in [
            "unknown",
            "_hidden",
            "192.0.2",
            "0192.0.2.7",
            "fe80::1%1",
            "[10.0.0.1",
        ] {
            let line = format!("192.0.2.7, {entry}, 10.0.0.2");
            assert_eq!(named(&[line.as_bytes()]), ip("10.0.0.2"), "{entry}");
        }
        assert_eq!(named(&[b"192.0.2.7, \xff"]), ip("10.0.0.1"));
    }

    proptest! {
        #[test]
        fn entries_written_by_a_client_change_nothing(
            lie in "[ -~]{0,60}",
            lines in prop::collection::vec("[0-9a-f:., ]{0,30}", 0..3),
            client in any::<[u8; 4]>(),
        ) {
            let client = IpAddr::from(client);
            prop_assume!(!client.to_string().starts_with("10.0.0."));
            let added = format!("{lie}, {client}, 10.0.0.2");
            let mut all: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
            all.push(added.as_bytes());
            prop_assert_eq!(named(&all), client);
        }

        #[test]
        fn any_bytes_result_in_an_address(line in prop::collection::vec(32_u8..=255, 0..100)) {
            prop_assume!(HeaderValue::from_bytes(&line).is_ok());
            named(&[&line]);
        }
    }
}
