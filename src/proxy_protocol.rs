//! The PROXY protocol, versions 1 and 2: who the client of a balancer in front is, and how a server
//! behind is told.
//!
//! The grammar is the crate `ppp`'s; here stand the bounds. A header is looked for only where the
//! configuration lists the peer, and then it must be there: its bytes are never guessed.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use ppp::{v1, v2};

/// The longest header that is read: version 2 with 2 KiB of additions (TLS facts, ids).
pub const MAX_HEADER: usize = 16 + 2048;
/// The longest header of version 1, its end included.
const MAX_V1: usize = 107;
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The beginning of a header; more bytes are needed.
    Incomplete,
    /// No header.
    Malformed,
    /// A whole header.
    Header {
        /// Its bytes; what follows is the client's.
        length: usize,
        /// The client, where the header says one: a balancer's own health checks have none.
        source: Option<SocketAddr>,
    },
}

/// The versions that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// Looks at the first bytes of a connection.
pub fn parse(bytes: &[u8]) -> Parsed {
    let common = bytes.len().min(V2_SIGNATURE.len());
    if bytes.get(..common) == V2_SIGNATURE.get(..common) {
        parse_v2(bytes)
    } else {
        parse_v1(bytes)
    }
}

fn parse_v1(bytes: &[u8]) -> Parsed {
    const PREFIX: &[u8] = b"PROXY ";
    let common = bytes.len().min(PREFIX.len());
    if bytes.get(..common) != PREFIX.get(..common) {
        return Parsed::Malformed;
    }
    let window = bytes.get(..MAX_V1).unwrap_or(bytes);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < MAX_V1 {
            Parsed::Incomplete
        } else {
            Parsed::Malformed
        };
    };
    let length = end + 2;
    let header = bytes.get(..length).unwrap_or_default();
    let source = match v1::Header::try_from(header).map(|header| header.addresses) {
        Ok(v1::Addresses::Tcp4(ip)) => Some((ip.source_address, ip.source_port).into()),
        Ok(v1::Addresses::Tcp6(ip)) => Some((ip.source_address, ip.source_port).into()),
        Ok(v1::Addresses::Unknown) => None,
        Err(_) => return Parsed::Malformed,
    };
    Parsed::Header {
        length,
        source: source.map(canonical),
    }
}

fn parse_v2(bytes: &[u8]) -> Parsed {
    let Some(&[high, low]) = bytes.get(14..16) else {
        return Parsed::Incomplete;
    };
    let length = 16 + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_HEADER {
        return Parsed::Malformed;
    }
    let Some(header) = bytes.get(..length) else {
        return Parsed::Incomplete;
    };
    let Ok(header) = v2::Header::try_from(header) else {
        return Parsed::Malformed;
    };
    let source = match (header.command, header.addresses) {
        (v2::Command::Local, _) => None,
        (v2::Command::Proxy, v2::Addresses::IPv4(ip)) => {
            Some((ip.source_address, ip.source_port).into())
        }
        (v2::Command::Proxy, v2::Addresses::IPv6(ip)) => {
            Some((ip.source_address, ip.source_port).into())
        }
        (v2::Command::Proxy, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
    };
    Parsed::Header {
        length,
        source: source.map(canonical),
    }
}

/// The header that tells a server of `source`, who connected to `destination`.
pub fn header(version: Version, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let (source, destination) = (canonical(source), canonical(destination));
    match version {
        Version::V1 => {
            let addresses = match (source, destination) {
                (SocketAddr::V4(from), SocketAddr::V4(to)) => {
                    v1::Addresses::new_tcp4(*from.ip(), *to.ip(), from.port(), to.port())
                }
                (from, to) => {
                    let (from, to) = (v6(from), v6(to));
                    v1::Addresses::new_tcp6(*from.ip(), *to.ip(), from.port(), to.port())
                }
            };
            addresses.to_string().into_bytes()
        }
        Version::V2 => {
            let mut bytes = V2_SIGNATURE.to_vec();
            // version 2, command PROXY
            bytes.push(0x21);
            match (source, destination) {
                (SocketAddr::V4(from), SocketAddr::V4(to)) => {
                    bytes.extend_from_slice(&[0x11, 0, 12]);
                    bytes.extend_from_slice(&from.ip().octets());
                    bytes.extend_from_slice(&to.ip().octets());
                }
                (from, to) => {
                    bytes.extend_from_slice(&[0x21, 0, 36]);
                    bytes.extend_from_slice(&v6(from).ip().octets());
                    bytes.extend_from_slice(&v6(to).ip().octets());
                }
            }
            bytes.extend_from_slice(&source.port().to_be_bytes());
            bytes.extend_from_slice(&destination.port().to_be_bytes());
            bytes
        }
    }
}

/// An IPv4 address that came mapped into IPv6 as itself.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Where one end is IPv6 and the other not, both are written as IPv6.
fn v6(address: SocketAddr) -> SocketAddrV6 {
    let mapped = |v4: SocketAddrV4| {
        let ip: Ipv6Addr = v4.ip().to_ipv6_mapped();
        SocketAddrV6::new(ip, v4.port(), 0, 0)
    };
    match address {
        SocketAddr::V4(v4) => mapped(v4),
        SocketAddr::V6(v6) => v6,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_written_is_as_the_specification_has_it() {
        let text = header(Version::V1, at("192.0.2.7:5000"), at("198.51.100.1:88"));
        assert_eq!(text, b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 88\r\n");
        let binary = header(Version::V2, at("192.0.2.7:5000"), at("198.51.100.1:88"));
        assert_eq!(binary[..12], *V2_SIGNATURE);
        assert_eq!(binary[12..16], [0x21, 0x11, 0, 12]);
        assert_eq!(binary[16..24], [192, 0, 2, 7, 198, 51, 100, 1]);
        assert_eq!(binary[24..], [0x13, 0x88, 0, 88]);
    }

    #[test]
    fn what_is_no_header_is_refused_at_its_first_wrong_byte() {
        for bytes in [
            &b"G"[..],
            b"GET / HTTP/1.1\r\n",
            b"PROXX",
            b"PROXY TCP4 a b 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 1.2.3.4 99999 2\r\n",
            b"\r\n\r\nX",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0",
            &[b'P'; 200],
        ] {
            assert_eq!(parse(bytes), Parsed::Malformed, "{bytes:?}");
        }
        let endless = [&b"PROXY TCP4 "[..], &[b'1'; 100]].concat();
        assert_eq!(parse(&endless), Parsed::Malformed);
    }

    #[test]
    fn a_balancer_that_speaks_for_itself_names_nobody() {
        let local = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\0\0rest";
        assert_eq!(
            parse(local),
            Parsed::Header {
                length: 16,
                source: None
            }
        );
        let unknown = b"PROXY UNKNOWN\r\nrest";
        assert_eq!(
            parse(unknown),
            Parsed::Header {
                length: 15,
                source: None
            }
        );
    }

    fn address() -> impl Strategy<Value = SocketAddr> {
        prop_oneof![
            any::<([u8; 4], u16)>().prop_map(SocketAddr::from),
            any::<([u8; 16], u16)>().prop_map(|(ip, port)| canonical((ip, port).into())),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_at_every_length(
            source in address(), destination in address(), v2: bool, rest in prop::collection::vec(any::<u8>(), 0..40),
        ) {
            let version = if v2 { Version::V2 } else { Version::V1 };
            let header = header(version, source, destination);
            for cut in 0..header.len() {
                prop_assert_eq!(parse(&header[..cut]), Parsed::Incomplete);
            }
            let whole = [&header[..], &rest].concat();
            let length = header.len();
            prop_assert_eq!(parse(&whole), Parsed::Header { length, source: Some(source) });
        }

        #[test]
        fn any_bytes_are_looked_at_without_a_fault(bytes in prop::collection::vec(any::<u8>(), 0..200), v2: bool) {
            let prefix: &[u8] = if v2 { V2_SIGNATURE } else { b"PROXY TCP4 " };
            let _ = (parse(&bytes), parse(&[prefix, &bytes].concat()));
        }
    }
}
