//! Parses HTTP/1.1 responses from a buffer that may be incomplete.

use std::borrow::Cow;

use anyhow::{Context, Result, bail, ensure};

/// The head of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Status.
    pub status: u16,
    /// How the body ends.
    pub length: Length,
    /// Bytes of the head, the empty line included.
    pub size: usize,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// After this many bytes.
    Known(u64),
    /// With its last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

impl Head {
    /// The head at the start of `buffer`, or `None` while it is incomplete; interim heads are
    /// included (a DataNode sends an unrequested 100).
    pub fn parse(buffer: &[u8]) -> Result<Option<Head>> {
        let Some(end) = find(buffer, b"\r\n\r\n") else {
            ensure!(buffer.len() < 64 * 1024, "an answer's head has no end");
            return Ok(None);
        };
        let status = buffer
            .strip_prefix(b"HTTP/1.1 ")
            .and_then(|rest| std::str::from_utf8(rest.get(..3)?).ok()?.parse().ok())
            .with_context(|| format!("no answer: {}", buffer[..end].escape_ascii()))?;
        let mut length = match status {
            100..200 => {
                let after = end + 4;
                return Ok(Head::parse(&buffer[after..])?.map(|head| Head {
                    size: after + head.size,
                    ..head
                }));
            }
            204 | 304 => Length::Known(0),
            _ => Length::UntilClose,
        };
        for line in lines(&buffer[..end]) {
            if let Some(value) = value(line, "content-length") {
                length = Length::Known(value.parse().context("a Content-Length that is none")?);
            } else if value(line, "transfer-encoding").is_some() {
                length = Length::Chunked;
            }
        }
        let size = end + 4;
        Ok(Some(Head {
            status,
            length,
            size,
        }))
    }
}

/// A complete response.
#[derive(Debug)]
pub struct Answer<'a> {
    /// Status.
    pub status: u16,
    /// The head's bytes.
    pub head: &'a [u8],
    /// The body without its framing.
    pub body: Cow<'a, [u8]>,
}

impl<'a> Answer<'a> {
    /// The response that fills `buffer`, or `None` while it is incomplete; `closed` means that
    /// nothing more will arrive.
    pub fn parse(buffer: &'a [u8], closed: bool) -> Result<Option<Answer<'a>>> {
        let Some(head) = Head::parse(buffer)? else {
            ensure!(!closed, "the connection ended before an answer");
            return Ok(None);
        };
        let rest = &buffer[head.size..];
        let body = match head.length {
            Length::Known(length) => {
                let length = usize::try_from(length)?;
                ensure!(rest.len() <= length, "more bytes than Content-Length says");
                (rest.len() == length).then_some(Cow::Borrowed(rest))
            }
            Length::Chunked => unchunk(rest)?.map(Cow::Owned),
            Length::UntilClose => closed.then_some(Cow::Borrowed(rest)),
        };
        ensure!(
            body.is_some() || !closed,
            "the connection ended in an answer's body"
        );
        Ok(body.map(|body| Answer {
            status: head.status,
            head: &buffer[..head.size],
            body,
        }))
    }

    /// The value of a header by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        lines(self.head).find_map(|line| value(line, name))
    }

    /// The cookie of that name as `name=value`; an empty value counts as absent.
    pub fn cookie(&self, name: &str) -> Option<String> {
        lines(self.head)
            .filter_map(|line| value(line, "set-cookie"))
            .filter_map(|line| line.split(';').next()?.split_once('='))
            .find(|(found, value)| *found == name && !value.is_empty())
            .map(|(name, value)| format!("{name}={value}"))
    }

    /// Fails, with the received response, unless status and body are these.
    pub fn must_be(&self, status: u16, body: &[u8]) -> Result<()> {
        if self.status == status && *self.body == *body {
            return Ok(());
        }
        self.must_have(status)?;
        bail!("another body than was expected: {}", self.excerpt());
    }

    /// Fails, with the received response, unless the status is this.
    pub fn must_have(&self, status: u16) -> Result<()> {
        ensure!(
            self.status == status,
            "status {} in place of {status}: {}",
            self.status,
            self.excerpt()
        );
        Ok(())
    }

    fn excerpt(&self) -> String {
        const LONG: usize = 300;
        let excerpt = &self.body[..self.body.len().min(LONG)];
        String::from_utf8_lossy(excerpt).into_owned()
    }
}

/// The bytes of a chunked body, or `None` while its last chunk has not come.
fn unchunk(mut rest: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let Some(end) = find(rest, b"\r\n") else {
            return Ok(None);
        };
        let size = chunk_size(&rest[..end])?;
        let Some(after) = rest.get(end + 2 + size..) else {
            return Ok(None);
        };
        let Some(next) = after.get(2..) else {
            return Ok(None);
        };
        if size == 0 {
            ensure!(next.is_empty(), "more bytes than the last chunk");
            return Ok(Some(body));
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = next;
    }
}

/// The size in a chunk's first line.
pub fn chunk_size(line: &[u8]) -> Result<usize> {
    let text = std::str::from_utf8(line)?;
    let digits = text.split(';').next().unwrap_or_default().trim();
    usize::from_str_radix(digits, 16).with_context(|| format!("a chunk's size is {text:?}"))
}

/// Where `what` begins in `bytes`.
pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn lines(head: &[u8]) -> impl Iterator<Item = &str> {
    head.split(|byte| *byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok())
        .map(|line| line.trim_end_matches('\r'))
}

/// The value of a header line, if it has this lower-case name.
fn value<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let (found, value) = line.split_at_checked(name.len())?;
    if found.eq_ignore_ascii_case(name) {
        Some(value.strip_prefix(':')?.trim())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let text = b"HTTP/1.1 200 OK\r\ncontent-Length: 2\r\n\r\nok";
        for cut in 0..text.len() {
            assert!(Answer::parse(&text[..cut], false).unwrap().is_none());
        }
        let answer = Answer::parse(text, false).unwrap().unwrap();
        answer.must_be(200, b"ok").unwrap();
        assert!(answer.must_be(200, b"no").is_err());
        assert!(answer.must_have(201).is_err());
    }

    #[test]
    fn chunks_are_put_together() {
        let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n";
        for cut in 0..text.len() {
            assert!(Answer::parse(&text[..cut], false).unwrap().is_none());
        }
        let answer = Answer::parse(text, false).unwrap().unwrap();
        assert_eq!(*answer.body, *b"abc");
    }

    #[test]
    fn an_interim_answer_is_no_answer() {
        let text =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
        assert!(Answer::parse(&text[..25], false).unwrap().is_none());
        let answer = Answer::parse(text, false).unwrap().unwrap();
        answer.must_be(201, b"").unwrap();
    }

    #[test]
    fn a_body_without_length_ends_with_the_connection() {
        let text = b"HTTP/1.1 200 OK\r\n\r\nab";
        assert!(Answer::parse(text, false).unwrap().is_none());
        assert_eq!(*Answer::parse(text, true).unwrap().unwrap().body, *b"ab");
    }

    #[test]
    fn a_connection_that_ends_early_is_an_error() {
        assert!(Answer::parse(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", true).is_err());
        assert!(Answer::parse(b"", true).is_err());
    }

    #[test]
    fn a_cookie_is_read_and_an_emptied_one_is_not() {
        let text =
            b"HTTP/1.1 204 No\r\nSet-Cookie: a=; Path=/\r\nset-cookie: a=b=c; Path=/\r\n\r\n";
        let answer = Answer::parse(text, false).unwrap().unwrap();
        assert_eq!(answer.cookie("a").unwrap(), "a=b=c");
        assert_eq!(answer.cookie("b"), None);
    }
}
