//! Waits for conditions with a deadline, and the two probes that determine a server's readiness.

use std::{
    io::{Read, Write},
    net::{SocketAddr, SocketAddrV4, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
const PROBE: Duration = Duration::from_secs(2);

/// Polls until `look` returns `Some`; fails if it fails, or after `limit` with `what` in the error.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() >= end {
            bail!("waited {} s in vain until {what}", limit.as_secs());
        }
        thread::sleep(BETWEEN_LOOKS);
    }
}

/// Whether a server listens there.
pub fn listens(address: SocketAddrV4) -> bool {
    TcpStream::connect_timeout(&SocketAddr::V4(address), PROBE).is_ok()
}

/// The status of an unauthenticated `GET`, or `None` without an HTTP response.
pub fn http_status(address: SocketAddrV4, host: &str, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(address), PROBE).ok()?;
    stream.set_read_timeout(Some(PROBE)).ok()?;
    let port = address.port();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).ok()?;
    std::str::from_utf8(head.strip_prefix(b"HTTP/1.1 ")?)
        .ok()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vain_wait_says_what_for() {
        let error = until::<()>("the moon rises", Duration::ZERO, || Ok(None)).unwrap_err();
        assert_eq!(error.to_string(), "waited 0 s in vain until the moon rises");
    }
}
