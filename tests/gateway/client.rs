//! A client that writes and reads raw bytes.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use spnegate::testing::Refusal;

use crate::world::World;

/// Far longer than any passing test waits.
pub const FOREVER: Duration = Duration::from_secs(30);

/// A connection.
pub struct Client<S = TcpStream> {
    pub stream: S,
    buffer: Vec<u8>,
}

/// A response.
#[derive(Clone, Debug)]
pub struct RawResponse {
    pub status: u16,
    /// Status line and headers, unmodified.
    pub head: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// A request that is being built.
pub struct RequestBuilder<'w> {
    world: &'w World,
    address: SocketAddr,
    line: String,
    host: Option<String>,
    headers: String,
    body: Vec<u8>,
}

// === impl RawResponse ===

impl RawResponse {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self
            .headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// `name=value` of the session cookie that was set.
    pub fn session(&self) -> Option<String> {
        let cookies = self.all("set-cookie").into_iter();
        let ours =
            cookies.filter(|c| c.starts_with("spnegate=") || c.starts_with("__Host-spnegate="));
        ours.map(|c| c.split(';').next().unwrap().to_owned()).next()
    }

    /// Asserts that this is that refusal, by status, page and headers.
    #[track_caller]
    pub fn is(&self, refusal: Refusal) {
        let word = refusal.reason();
        assert_eq!(
            self.status,
            refusal.status().as_u16(),
            "{word}: {}",
            self.all_text()
        );
        assert!(
            self.text().contains(word),
            "{word} is not on the page: {}",
            self.all_text()
        );
        let challenged = self.all("www-authenticate") == ["Negotiate"];
        assert_eq!(challenged, refusal.challenges(), "{word}: {}", self.head);
        assert_eq!(
            self.header("retry-after").is_some(),
            refusal.retry_after().is_some(),
            "{word}: {}",
            self.head
        );
        assert_eq!(self.header("cache-control"), Some("no-store"), "{word}");
    }

    #[track_caller]
    pub fn is_ok(&self, body: &str) {
        assert_eq!(self.status, 200, "{}", self.all_text());
        assert_eq!(self.text(), body);
    }

    pub fn all_text(&self) -> String {
        format!("{}{}", self.head, self.text())
    }
}

// === impl Client ===

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(FOREVER)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// Whether neither a response nor an end of the stream has arrived; does not wait.
    pub fn is_quiet(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let mut byte = [0];
        let peeked = self.stream.peek(&mut byte);
        self.stream.set_nonblocking(false).unwrap();
        matches!(peeked, Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    pub fn disconnect(self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl<S: Read + Write> Client<S> {
    pub fn over(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    /// Writes; an error is ignored, since the server may have closed the connection on purpose.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
        let _ = self.stream.flush();
    }

    fn fill(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(read) => {
                self.buffer.extend_from_slice(&chunk[..read]);
                read > 0
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof
                ) =>
            {
                false
            }
            Err(error) => panic!(
                "{error}; so far {:?}",
                String::from_utf8_lossy(&self.buffer)
            ),
        }
    }

    /// Reads exactly this many bytes.
    #[track_caller]
    pub fn exactly(&mut self, count: usize) -> Vec<u8> {
        self.take(count).expect("more bytes before the end")
    }

    /// Reads everything until the server closes.
    pub fn to_end(&mut self) -> String {
        while self.fill() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    /// The next head, interim (`1xx`) heads included.
    pub fn head(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..at + 4).collect();
                return Some(String::from_utf8(head).unwrap());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// The next response to a method other than HEAD.
    #[track_caller]
    pub fn response(&mut self) -> RawResponse {
        self.answer_to("GET").expect("an answer before the end")
    }

    pub fn answer_to(&mut self, method: &str) -> Option<RawResponse> {
        let head = loop {
            let head = self.head()?;
            if !head.starts_with("HTTP/1.1 1") {
                break head;
            }
        };
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut answer = RawResponse {
            status,
            head,
            headers,
            body: Vec::new(),
        };
        if method == "HEAD" || status == 304 || status == 204 {
            return Some(answer);
        }
        if answer.header("transfer-encoding").is_some() {
            loop {
                let line = self.take_line()?;
                let size = usize::from_str_radix(line.trim(), 16).unwrap();
                let chunk = self.take(size + 2)?;
                answer.body.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    return Some(answer);
                }
            }
        }
        match answer.header("content-length").map(|l| l.parse().unwrap()) {
            Some(length) => answer.body = self.take(length)?,
            None => answer.body = self.to_end().into_bytes(),
        }
        Some(answer)
    }

    fn take_line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Some(String::from_utf8(line).unwrap());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            if !self.fill() {
                return None;
            }
        }
        Some(self.buffer.drain(..count).collect())
    }
}

// === impl RequestBuilder ===

impl<'w> RequestBuilder<'w> {
    pub fn new(world: &'w World, address: SocketAddr, method_and_target: &str) -> Self {
        Self {
            world,
            address,
            line: format!("{method_and_target} HTTP/1.1\r\n"),
            host: Some(format!("{}:{}", world.proxy, address.port())),
            headers: String::new(),
            body: Vec::new(),
        }
    }

    /// Adds the session cookie of that user.
    pub fn by(self, user: &str) -> Self {
        let cookie = self.world.cookie(user);
        self.header("Cookie", &cookie)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    pub fn host(mut self, host: Option<&str>) -> Self {
        self.host = host.map(str::to_owned);
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        let length = self.body.len().to_string();
        self.header("Content-Length", &length)
    }

    pub fn form(self, body: &str) -> Self {
        self.header("Content-Type", "application/x-www-form-urlencoded")
            .body(body)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let host = self
            .host
            .as_ref()
            .map(|h| format!("Host: {h}\r\n"))
            .unwrap_or_default();
        let mut bytes = format!("{}{host}{}\r\n", self.line, self.headers).into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends the request on a new connection without waiting for a response.
    pub fn send(self) -> Client {
        let mut client = Client::connect(self.address);
        client.send(self.bytes());
        client
    }

    /// Sends the request on a new connection and reads the response.
    #[track_caller]
    pub fn response(self) -> RawResponse {
        let method = self.line.split(' ').next().unwrap().to_owned();
        let mut client = self.send();
        client.answer_to(&method).expect("an answer before the end")
    }
}
