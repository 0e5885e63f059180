//! Reads requests strictly and writes responses.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    sync::Arc,
};

use spnegate::testing::proxy_protocol::{Progress, read};

use super::{AfterResponse, Inner, Seen};

/// An accepted connection.
pub struct Connection<'i> {
    inner: &'i Inner,
    stream: TcpStream,
    number: usize,
    buffer: Vec<u8>,
}

impl<'i> Connection<'i> {
    pub(super) fn new(inner: &'i Inner, stream: TcpStream, number: usize) -> Self {
        Self {
            inner,
            stream,
            number,
            buffer: Vec::new(),
        }
    }

    pub(super) fn shut(&self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Reads more bytes; false at the end of the stream.
    fn fill(&mut self) -> bool {
        let mut chunk = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return false,
                Ok(read) => {
                    self.buffer.extend_from_slice(&chunk[..read]);
                    let mut bytes = self.inner.bytes.lock().unwrap();
                    // the start of a long upload is enough for the assertions
                    if bytes[self.number].len() < 1 << 20 {
                        bytes[self.number].extend_from_slice(&chunk[..read]);
                    }
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// Takes the bytes up to and including the end of the line.
    fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                return Some(self.buffer.drain(..at + 2).collect());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            if !self.fill() {
                return None;
            }
        }
        Some(self.buffer.drain(..count).collect())
    }

    /// Ends a chunked response; false if the gateway has closed the connection.
    pub(super) fn end(&mut self) -> bool {
        self.stream.write_all(b"0\r\n\r\n").is_ok()
    }

    /// The client named by a PROXY protocol header; `None` if the header is absent or names no
    /// client.
    pub(super) fn proxy_header(&mut self) -> Option<SocketAddr> {
        let mut header = Vec::new();
        loop {
            match read(&header).ok()? {
                Progress::Done(client) => return client,
                Progress::More(more) => header.extend_from_slice(&self.exactly(more)?),
            }
        }
    }

    /// Reads one request and sends the response; `None` at the end of the connection.
    pub(super) fn exchange(&mut self) -> Option<AfterResponse> {
        let mut seen = self.head()?;
        let clients = seen.is_clients();
        if clients {
            let early = Arc::clone(&self.inner.state.lock().unwrap().early);
            if let Some(reply) = early(&seen) {
                self.inner.seen.lock().unwrap().push(seen);
                self.stream.write_all(&reply.bytes(&[], false)).ok()?;
                return Some(reply.then);
            }
        }
        self.body(&mut seen)?;
        let list = if clients {
            &self.inner.seen
        } else {
            &self.inner.own_requests
        };
        {
            let (frozen, changed) = &self.inner.frozen;
            let mut frozen = frozen.lock().unwrap();
            while *frozen {
                frozen = changed.wait(frozen).unwrap();
            }
        }
        let authenticated = self.inner.authenticate(&seen);
        // a 401 to the gateway's own login is recorded too
        list.lock().unwrap().push(seen.clone());
        let (reply, extra) = match authenticated {
            Err(reply) => (reply, Vec::new()),
            Ok(extra) if clients => {
                let script = Arc::clone(&self.inner.state.lock().unwrap().script);
                (script(&seen), extra)
            }
            Ok(extra) => (self.inner.respond_as_hadoop(&seen), extra),
        };
        let bytes = reply.bytes(&extra, seen.method == "HEAD");
        self.stream.write_all(&bytes).ok()?;
        Some(reply.then)
    }

    /// Parses strictly: a head that a lenient server would have to interpret fails the test.
    fn head(&mut self) -> Option<Seen> {
        let first = self.line()?;
        let mut raw = first.clone();
        let line = String::from_utf8(first).unwrap();
        let parts: Vec<&str> = line.trim_end().split(' ').collect();
        let [method, target, "HTTP/1.1"] = parts[..] else {
            panic!("request line {line:?}")
        };
        let mut seen = Seen {
            connection: self.number,
            raw: Vec::new(),
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        loop {
            let line = self.line()?;
            raw.extend_from_slice(&line);
            let text = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
            assert!(!text.contains(['\r', '\n', '\0']), "header line {text:?}");
            if text.is_empty() {
                break;
            }
            let (name, value) = text
                .split_once(':')
                .unwrap_or_else(|| panic!("header {text:?}"));
            assert!(
                !name.is_empty() && !name.contains([' ', '\t']),
                "header name {text:?}"
            );
            seen.headers
                .push((name.to_owned(), value.trim().to_owned()));
        }
        seen.raw = raw;
        assert!(seen.header("host").is_some(), "no host: {seen:?}");
        Some(seen)
    }

    fn body(&mut self, seen: &mut Seen) -> Option<()> {
        let length = seen
            .header("content-length")
            .map(|v| v.parse::<usize>().unwrap());
        match (length, seen.header("transfer-encoding")) {
            (Some(_), Some(_)) => panic!("two framings: {seen:?}"),
            (None, None) => {}
            (Some(length), None) => {
                seen.body = self.exactly(length)?;
                seen.raw.extend_from_slice(&seen.body);
            }
            (None, Some(coding)) => {
                assert_eq!(coding, "chunked");
                loop {
                    let line = self.line()?;
                    seen.raw.extend_from_slice(&line);
                    let digits = std::str::from_utf8(&line[..line.len() - 2]).unwrap();
                    let size = usize::from_str_radix(digits, 16)
                        .unwrap_or_else(|_| panic!("chunk size {digits:?}"));
                    let chunk = self.exactly(size + 2)?;
                    assert!(chunk.ends_with(b"\r\n"), "no trailers, no odd chunks");
                    seen.raw.extend_from_slice(&chunk);
                    if size == 0 {
                        break;
                    }
                    seen.body.extend_from_slice(&chunk[..size]);
                }
            }
        }
        Some(())
    }
}
