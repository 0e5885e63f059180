//! A small blocking HTTP/1.1 client that keeps its connection: for load, and for tests that must
//! know whether a connection was refused, reset or answered.

use std::{
    fmt::Write as _,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, SocketAddrV4, TcpStream},
    time::Duration,
};

/// Longer than a gateway may hold a request, so a timeout here is a failure of the test.
const PATIENCE: Duration = Duration::from_secs(180);
/// Maximum number of head lines; a response with more is malformed.
const MAX_HEADERS: usize = 200;

/// A client whose requests use one connection as long as the server keeps it open.
#[derive(Debug)]
pub struct Client {
    address: SocketAddrV4,
    head: String,
    connection: Option<BufReader<TcpStream>>,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Header lines with lower-case names, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of that lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.iter();
        lines
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str, word: &str) -> bool {
        self.header(name)
            .is_some_and(|value| value.to_ascii_lowercase().contains(word))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    /// A client of the server at `address` that sends `host` (without port) as its `Host`.
    pub fn new(address: SocketAddrV4, host: &str) -> Client {
        Client {
            address,
            head: format!("Host: {host}:{}\r\n", address.port()),
            connection: None,
        }
    }

    /// Adds a header to every request.
    pub fn header(mut self, name: &str, value: &str) -> Client {
        let _ = write!(self.head, "{name}: {value}\r\n");
        self
    }

    /// Whether there is a connection that the server has not announced to close.
    pub fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Connects unless connected. Fails with [`io::ErrorKind::ConnectionRefused`] if the port is
    /// closed.
    pub fn connect(&mut self) -> io::Result<()> {
        if self.connection.is_none() {
            let stream = TcpStream::connect_timeout(&SocketAddr::V4(self.address), PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            self.connection = Some(BufReader::new(stream));
        }
        Ok(())
    }

    /// Sends a request and reads the whole response, without a retry. Fails with
    /// [`io::ErrorKind::ConnectionAborted`] if a response had started and was cut.
    pub fn request(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Reply> {
        self.connect()?;
        let Some(mut connection) = self.connection.take() else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let mut request = format!("{method} {path} HTTP/1.1\r\n{}", self.head);
        if !body.is_empty() || matches!(method, "PUT" | "POST") {
            let _ = write!(request, "Content-Length: {}\r\n", body.len());
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        connection.get_mut().write_all(&bytes)?;
        let (reply, ends) = read_reply(&mut connection, method == "HEAD")?;
        if !ends {
            self.connection = Some(connection);
        }
        Ok(reply)
    }

    /// `GET`.
    pub fn get(&mut self, path: &str) -> io::Result<Reply> {
        self.request("GET", path, b"")
    }
}

/// The response, and whether the connection ends with it.
fn read_reply(connection: &mut impl BufRead, no_body: bool) -> io::Result<(Reply, bool)> {
    let status_line = line(connection)?;
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or_else(|| broken(&format!("no status line: {status_line:?}")))?;
    let mut reply = Reply {
        status,
        headers: Vec::new(),
        body: Vec::new(),
    };
    loop {
        let text = line(connection)?;
        if text.is_empty() {
            break;
        }
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| broken(&format!("no header: {text:?}")))?;
        let name = name.to_ascii_lowercase();
        reply.headers.push((name, value.trim().to_owned()));
        if reply.headers.len() > MAX_HEADERS {
            return Err(broken("too many headers"));
        }
    }
    let mut ends = reply.has("connection", "close");
    if no_body || status == 204 || status == 304 {
        return Ok((reply, ends));
    }
    if reply.has("transfer-encoding", "chunked") {
        reply.body = chunks(connection).map_err(|error| cut(&error))?;
    } else if let Some(length) = reply.header("content-length") {
        let length = length.parse().map_err(|_| broken("Content-Length"))?;
        let mut body = vec![0; length];
        connection
            .read_exact(&mut body)
            .map_err(|error| cut(&error))?;
        reply.body = body;
    } else {
        connection.read_to_end(&mut reply.body)?;
        ends = true;
    }
    Ok((reply, ends))
}

fn chunks(connection: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let text = line(connection)?;
        let size = text.split(';').next().unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(|_| broken("chunk size"))?;
        if size == 0 {
            while !line(connection)?.is_empty() {}
            return Ok(body);
        }
        let read = connection.by_ref().take(size).read_to_end(&mut body)?;
        if read as u64 != size {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line(connection)?;
    }
}

fn line(connection: &mut impl BufRead) -> io::Result<String> {
    let mut text = String::new();
    if connection.read_line(&mut text)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// The response had started.
fn cut(error: &io::Error) -> io::Error {
    let text = format!("the answer was cut short: {error}");
    io::Error::new(io::ErrorKind::ConnectionAborted, text)
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Reply, bool) {
        read_reply(&mut text.as_bytes(), false).unwrap()
    }

    #[test]
    fn lengths_chunks_and_closed_connections_end_a_body() {
        let (reply, ends) = read("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP");
        assert_eq!((reply.text().as_str(), ends), ("ok", false));
        let (reply, ends) =
            read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
        assert_eq!((reply.text().as_str(), ends), ("ok", false));
        let (reply, ends) = read("HTTP/1.1 503 x\r\nConnection: close\r\n\r\nok");
        assert_eq!(
            (reply.status, reply.text().as_str(), ends),
            (503, "ok", true)
        );
    }

    #[test]
    fn an_answer_cut_short_is_an_error() {
        for text in [
            "",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nok",
        ] {
            assert!(read_reply(&mut text.as_bytes(), false).is_err(), "{text:?}");
        }
    }
}
