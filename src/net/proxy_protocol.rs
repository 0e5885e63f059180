//! The PROXY protocol, versions 1 and 2: read from balancers in front of the gateway, and written to
//! servers behind it (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
//!
//! A header is read before TLS, and only from listed peers, which then have to send one. Exactly the
//! header is read, because what follows belongs to TLS or HTTP.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use ppp::{v1, v2};

/// `PROXY UNKNOWN\r\n`, the shortest header of version 1; no part of version 2 ends before it.
const MIN_HEADER: usize = 15;
/// The longest header of version 1, including its end of line.
const MAX_V1: usize = 107;
/// The length of the fixed part of version 2.
const FIXED_V2: usize = 16;
/// The longest header of version 2 that is read: addresses and a certificate's name or two.
const MAX_V2: usize = 4096;

/// The result of parsing the bytes read so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// At least this many more bytes belong to the header.
    More(usize),
    /// The header is complete: the client, or `None` where the peer connects for itself (health checks).
    Done(Option<SocketAddr>),
}

/// The version of a written header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// Text.
    V1,
    /// Binary.
    V2,
}

/// The bytes are not a PROXY protocol header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no PROXY protocol header, or a malformed one")]
pub struct Malformed;

/// Parses the beginning of a header. `bytes` must not extend beyond the header.
///
/// # Errors
/// `Malformed`, as soon as the bytes cannot become a header.
pub fn read(bytes: &[u8]) -> Result<Progress, Malformed> {
    let begins = |with: &[u8]| {
        let both = bytes.len().min(with.len());
        bytes[..both] == with[..both]
    };
    let progress = if bytes.is_empty() {
        // It may become either version.
        Progress::More(MIN_HEADER)
    } else if begins(v2::PROTOCOL_PREFIX) {
        version_2(bytes)?
    } else if begins(b"PROXY ") {
        version_1(bytes)?
    } else {
        return Err(Malformed);
    };
    Ok(match progress {
        Progress::Done(client) => Progress::Done(client.map(canonical)),
        more @ Progress::More(_) => more,
    })
}

fn version_1(bytes: &[u8]) -> Result<Progress, Malformed> {
    if bytes.len() < MIN_HEADER {
        return Ok(Progress::More(MIN_HEADER - bytes.len()));
    }
    if !bytes.ends_with(b"\r\n") {
        // Byte by byte, because the length is unknown: a longer read could take bytes of the client.
        let more = bytes.len() < MAX_V1 && !bytes[..bytes.len() - 1].contains(&b'\n');
        return more.then_some(Progress::More(1)).ok_or(Malformed);
    }
    // The specification says to ignore everything after `UNKNOWN`.
    if bytes.starts_with(b"PROXY UNKNOWN ") || bytes == b"PROXY UNKNOWN\r\n" {
        return Ok(Progress::Done(None));
    }
    let header = v1::Header::try_from(bytes).map_err(|_| Malformed)?;
    Ok(Progress::Done(match header.addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(v4) => Some((v4.source_address, v4.source_port).into()),
        v1::Addresses::Tcp6(v6) => Some((v6.source_address, v6.source_port).into()),
    }))
}

fn version_2(bytes: &[u8]) -> Result<Progress, Malformed> {
    let Some(length) = bytes.get(FIXED_V2 - 2..FIXED_V2) else {
        return Ok(Progress::More(FIXED_V2 - bytes.len()));
    };
    let whole = FIXED_V2 + usize::from(u16::from_be_bytes([length[0], length[1]]));
    // The peer chooses the length (16 bits). Addresses need 216 bytes at most; the limit leaves room for
    // TLVs, and bounds what is held before TLS.
    if whole > MAX_V2 {
        return Err(Malformed);
    }
    if bytes.len() < whole {
        return Ok(Progress::More(whole - bytes.len()));
    }
    let header = v2::Header::try_from(bytes).map_err(|_| Malformed)?;
    let client = match (header.command, header.addresses) {
        // The health check of the balancer; its addresses must be ignored (section 2.2).
        (v2::Command::Local, _) => None,
        (v2::Command::Proxy, v2::Addresses::IPv4(v4)) => {
            Some((v4.source_address, v4.source_port).into())
        }
        (v2::Command::Proxy, v2::Addresses::IPv6(v6)) => {
            Some((v6.source_address, v6.source_port).into())
        }
        (v2::Command::Proxy, v2::Addresses::Unspecified | v2::Addresses::Unix(_)) => None,
    };
    Ok(Progress::Done(client))
}

/// The header for a server: `source` is the client, `destination` the address it connected to.
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
            let mut bytes = v2::PROTOCOL_PREFIX.to_vec();
            // Version 2, command PROXY. Then the family (0x11: TCP over IPv4, 0x21: over IPv6) and the
            // length.
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

/// Converts an IPv4-mapped IPv6 address to IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    // A balancer with one socket for both families sends `::ffff:192.0.2.7`, and no IPv4 network of
    // `allow_from` contains that.
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// If only one of the two addresses is IPv6, both are written as IPv6.
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

    /// Reads as a connection does: no more than what is asked for.
    fn all(bytes: &[u8]) -> Result<(Option<SocketAddr>, usize), Malformed> {
        let mut taken = 0;
        loop {
            match read(&bytes[..taken])? {
                Progress::Done(client) => return Ok((client, taken)),
                Progress::More(0) => panic!("it would never end"),
                Progress::More(more) => taken = (taken + more).min(bytes.len()),
            }
            if taken == bytes.len() && matches!(read(bytes)?, Progress::More(_)) {
                return Err(Malformed);
            }
        }
    }

    fn v2(command: v2::Command, addresses: impl Into<v2::Addresses>) -> Vec<u8> {
        v2::Builder::with_addresses(v2::Version::Two | command, v2::Protocol::Stream, addresses)
            .build()
            .unwrap()
    }

    #[test]
    fn the_client_is_read_but_nothing_after_the_header() {
        let client: SocketAddr = "192.0.2.7:50000".parse().unwrap();
        let here: SocketAddr = "10.0.0.1:443".parse().unwrap();
        let client6: SocketAddr = "[2001:db8::7]:50000".parse().unwrap();
        let here6: SocketAddr = "[2001:db8::1]:443".parse().unwrap();
        for (header, expected) in [
            (
                &b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 443\r\n"[..],
                Some(client),
            ),
            (
                b"PROXY TCP6 2001:db8::7 2001:db8::1 50000 443\r\n",
                Some(client6),
            ),
            (b"PROXY UNKNOWN\r\n", None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
            (&v2(v2::Command::Proxy, (client, here)), Some(client)),
            (&v2(v2::Command::Proxy, (client6, here6)), Some(client6)),
            (&v2(v2::Command::Local, (client, here)), None),
            // From a balancer with one socket for both families.
            (
                b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:10.0.0.1 50000 443\r\n",
                Some(client),
            ),
            (
                &v2(
                    v2::Command::Proxy,
                    (
                        "[::ffff:192.0.2.7]:50000".parse::<SocketAddr>().unwrap(),
                        here6,
                    ),
                ),
                Some(client),
            ),
        ] {
            let stream = [header, b"\r\n\r\nGET / HTTP/1.1\r\n"].concat();
            assert_eq!(all(&stream), Ok((expected, header.len())), "{header:?}");
        }
    }

    #[test]
    fn anything_else_is_refused_as_early_as_possible() {
        for bytes in [
            &b"G"[..],
            b"PROXX",
            b"\x16\x03\x01",
            b"\r\n\r\n\0\r\nX",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 50000\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 50000 443\n........",
            b"PROXY TCP4 192.0.2.256 10.0.0.1 50000 443\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 70000 443\r\n",
        ] {
            assert_eq!(all(bytes), Err(Malformed), "{bytes:?}");
        }
        let endless = [b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 200]].concat();
        assert_eq!(all(&endless), Err(Malformed));
        let mut large = v2(v2::Command::Local, v2::Addresses::Unspecified);
        large[14..16].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(read(&large), Err(Malformed));
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn written_headers_match_the_specification() {
        let text = header(Version::V1, at("192.0.2.7:5000"), at("198.51.100.1:88"));
        assert_eq!(text, b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 88\r\n");
        let binary = header(Version::V2, at("192.0.2.7:5000"), at("198.51.100.1:88"));
        assert_eq!(binary[..12], *v2::PROTOCOL_PREFIX);
        assert_eq!(binary[12..16], [0x21, 0x11, 0, 12]);
        assert_eq!(binary[16..24], [192, 0, 2, 7, 198, 51, 100, 1]);
        assert_eq!(binary[24..], [0x13, 0x88, 0, 88]);
    }

    fn address() -> impl Strategy<Value = SocketAddr> {
        prop_oneof![
            any::<([u8; 4], u16)>().prop_map(SocketAddr::from),
            any::<([u8; 16], u16)>().prop_map(|(ip, port)| canonical((ip, port).into())),
        ]
    }

    proptest! {
        #[test]
        fn written_headers_can_be_read(source in address(), destination in address(), binary: bool) {
            let version = if binary { Version::V2 } else { Version::V1 };
            let header = header(version, source, destination);
            let stream = [&header[..], b"payload"].concat();
            prop_assert_eq!(all(&stream), Ok((Some(source), header.len())));
        }

        #[test]
        fn any_bytes_are_read_or_refused(
            start in prop_oneof![Just(&b"PROXY TCP4 "[..]), Just(v2::PROTOCOL_PREFIX), Just(&b""[..])],
            tail in prop::collection::vec(any::<u8>(), 0..200)
        ) {
            let bytes = [start, &tail].concat();
            if let Ok((_, taken)) = all(&bytes) {
                prop_assert!(taken <= bytes.len());
            }
        }
    }
}
