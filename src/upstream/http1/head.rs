//! The head of a request as it is written, and of an answer as it is read.

use std::mem::MaybeUninit;

use bytes::{Buf, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header,
    response::Parts,
};

use super::{Decoder, Fault, MAX_HEAD};

/// The header lines that an answer may have.
const MAX_LINES: usize = 100;

/// How long a request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// There is none.
    None,
    /// In bytes.
    Known(u64),
    /// It is sent in chunks.
    Unknown,
}

/// A request's head under way to the wire.
///
/// What is written here comes out of `http`'s types, which hold neither line ends nor, in a method
/// or target, blanks: nothing can be said on a line that does not belong on it.
#[derive(Debug)]
pub struct RequestHead {
    bytes: Vec<u8>,
    wants_length: bool,
    to_head: bool,
    /// The method gives a body no meaning.
    bodiless: bool,
}

/// An answer's head.
#[derive(Debug)]
pub struct Head {
    /// Status and headers.
    pub parts: Parts,
    /// Reason phrase as sent.
    pub reason: Bytes,
    /// What reads the body.
    pub decoder: Decoder,
    /// Another request may follow.
    pub keep_alive: bool,
}

// === impl Length ===

impl Length {
    /// Of a body that has not been read from yet.
    pub fn of(body: &impl http_body::Body) -> Self {
        if body.is_end_stream() {
            return Self::None;
        }
        body.size_hint().exact().map_or(Self::Unknown, Self::Known)
    }
}

// === impl RequestHead ===

impl RequestHead {
    /// Begins with the request line; `target` in origin form.
    pub fn new(method: &Method, target: &http::Uri) -> Self {
        let target = target
            .path_and_query()
            .map_or("/", |target| target.as_str());
        let mut bytes = Vec::with_capacity(1024);
        bytes.extend_from_slice(method.as_str().as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(target.as_bytes());
        bytes.extend_from_slice(b" HTTP/1.1\r\n");
        Self {
            bytes,
            wants_length: [Method::POST, Method::PUT, Method::PATCH].contains(method),
            to_head: method == Method::HEAD,
            bodiless: [Method::GET, Method::HEAD].contains(method),
        }
    }

    /// Adds a line.
    pub fn line(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.bytes.extend_from_slice(name.as_str().as_bytes());
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Adds one line of several values; none where there are none.
    pub fn joined<'v>(
        &mut self,
        name: &HeaderName,
        separator: &str,
        values: impl Iterator<Item = &'v HeaderValue>,
    ) {
        let begin = self.bytes.len();
        for value in values {
            let before = if self.bytes.len() == begin {
                self.bytes.extend_from_slice(name.as_str().as_bytes());
                ": "
            } else {
                separator
            };
            self.bytes.extend_from_slice(before.as_bytes());
            self.bytes.extend_from_slice(value.as_bytes());
        }
        if self.bytes.len() > begin {
            self.bytes.extend_from_slice(b"\r\n");
        }
    }

    /// Adds all lines.
    pub fn lines(mut self, headers: &HeaderMap) -> Self {
        for (name, value) in headers {
            self.line(name, value);
        }
        self
    }

    /// Says where the body ends, and so does the head.
    pub(super) fn end(mut self, length: Length) -> Vec<u8> {
        match length {
            // a method that gives a body a meaning says that there is none (RFC 9110 section 8.6)
            Length::None if self.wants_length => {
                self.bytes.extend_from_slice(b"content-length: 0\r\n");
            }
            Length::None => {}
            Length::Known(bytes) => {
                self.bytes.extend_from_slice(b"content-length: ");
                let mut digits = itoa::Buffer::new();
                self.bytes
                    .extend_from_slice(digits.format(bytes).as_bytes());
                self.bytes.extend_from_slice(b"\r\n");
            }
            Length::Unknown => self
                .bytes
                .extend_from_slice(b"transfer-encoding: chunked\r\n"),
        }
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes
    }

    /// Whether it is a HEAD, whose answer has no body.
    pub(super) const fn is_to_head(&self) -> bool {
        self.to_head
    }

    /// Whether a server may take a body for the next request, as careless ones do with a GET's.
    pub(super) const fn gives_no_meaning_to_a_body(&self) -> bool {
        self.bodiless
    }
}

// === impl Head ===

/// Takes an answer's head off the input, if all of it is there; interim answers (1xx) are passed
/// over. `scanned` is kept by the caller: how much of the input is known to hold no end.
pub fn parse(
    input: &mut BytesMut,
    scanned: &mut usize,
    to_head: bool,
) -> Result<Option<Head>, Fault> {
    loop {
        if *scanned == 0 {
            // empty lines may be left over from the answer before (RFC 9112 section 2.2)
            let blanks = input.iter().position(|byte| !b"\r\n".contains(byte));
            input.advance(blanks.unwrap_or(input.len()));
        } else if !has_empty_line(input, scanned) {
            if input.len() > MAX_HEAD {
                return Err(Fault::LargeHead);
            }
            return Ok(None);
        }
        if input.is_empty() {
            return Ok(None);
        }
        let Some(head) = read(input, to_head)? else {
            // who sends its head byte by byte has it parsed twice, not a thousand times
            *scanned = (*scanned).max(1);
            continue;
        };
        *scanned = 0;
        let status = head.parts.status;
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Some(head));
        }
    }
}

/// Looks for an empty line behind what was `scanned`, and goes on behind that the next time.
fn has_empty_line(input: &[u8], scanned: &mut usize) -> bool {
    for at in memchr::memchr_iter(b'\n', &input[*scanned..]) {
        let behind = *scanned + at + 1;
        match input[behind..] {
            [b'\n', ..] | [b'\r', b'\n', ..] => {
                *scanned = behind;
                return true;
            }
            // what follows is still to come: look here again
            [] | [b'\r'] => {
                *scanned = behind - 1;
                return false;
            }
            _ => {}
        }
    }
    *scanned = input.len();
    false
}

fn read(input: &mut BytesMut, to_head: bool) -> Result<Option<Head>, Fault> {
    let mut lines = [const { MaybeUninit::uninit() }; MAX_LINES];
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        input,
        &mut lines,
    )?;
    let httparse::Status::Complete(end) = parsed else {
        return Ok(None);
    };
    if end > MAX_HEAD {
        return Err(Fault::LargeHead);
    }
    let status = response.code.map(StatusCode::from_u16);
    let Some(Ok(status)) = status else {
        return Err(httparse::Error::Status.into());
    };
    let is_11 = response.version == Some(1);
    let reason = match (
        response.reason.unwrap_or_default(),
        status.canonical_reason(),
    ) {
        (reason, Some(usual)) if reason == usual => Bytes::from_static(usual.as_bytes()),
        (reason, _) => Bytes::copy_from_slice(reason.as_bytes()),
    };
    // values are shares of what was read, not copies
    let begin = input.as_ptr().addr();
    let span = |of: &[u8]| {
        let begin = of.as_ptr().addr() - begin;
        begin..begin + of.len()
    };
    let lines = response.headers.iter();
    let lines: Vec<_> = lines
        .map(|line| (span(line.name.as_bytes()), span(line.value)))
        .collect();
    let head = input.split_to(end).freeze();
    let mut framing = Framing::default();
    let mut headers = HeaderMap::with_capacity(lines.len());
    for (name, value) in lines {
        let name = HeaderName::from_bytes(&head[name]).map_err(|_| httparse::Error::HeaderName)?;
        let value = HeaderValue::from_maybe_shared(head.slice(value))
            .map_err(|_| httparse::Error::HeaderValue)?;
        if framing.note(&name, &value)? {
            headers.append(name, value);
        }
    }
    // of two framings the chunked one counts (RFC 9112 section 6.3) and the length is a lie
    let contradicts = framing.chunked && framing.length.is_some();
    if contradicts {
        headers.remove(header::CONTENT_LENGTH);
    }
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = status;
    parts.version = if is_11 {
        Version::HTTP_11
    } else {
        Version::HTTP_10
    };
    parts.headers = headers;
    let decoder = framing.decoder(status, to_head, is_11)?;
    let keep_alive = framing.keep_alive.unwrap_or(is_11)
        && !contradicts
        && status != StatusCode::SWITCHING_PROTOCOLS;
    Ok(Some(Head {
        parts,
        reason,
        keep_alive: keep_alive && !matches!(decoder, Decoder::UntilClose),
        decoder,
    }))
}

/// What an answer's lines say of where it ends.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
    keep_alive: Option<bool>,
}

impl Framing {
    /// Whether the line says more than that.
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<bool, Fault> {
        if *name == header::CONTENT_LENGTH {
            let length = length(value.as_bytes()).ok_or(Fault::Framing("Content-Length"))?;
            if self.length.is_some_and(|before| before != length) {
                return Err(Fault::Framing("Content-Length"));
            }
            self.length = Some(length);
        } else if *name == header::TRANSFER_ENCODING {
            // nobody asked for another coding (`TE`)
            match value.as_bytes().trim_ascii() {
                chunked if chunked.eq_ignore_ascii_case(b"chunked") => self.chunked = true,
                identity if identity.eq_ignore_ascii_case(b"identity") => {}
                _ => return Err(Fault::Framing("Transfer-Encoding")),
            }
            return Ok(false);
        } else if *name == header::CONNECTION {
            let mut names_others = false;
            for token in value.as_bytes().split(|byte| *byte == b',') {
                let token = token.trim_ascii();
                if token.eq_ignore_ascii_case(b"close") {
                    self.keep_alive = Some(false);
                } else if token.eq_ignore_ascii_case(b"keep-alive") {
                    self.keep_alive.get_or_insert(true);
                } else {
                    names_others = true;
                }
            }
            return Ok(names_others);
        }
        Ok(true)
    }

    /// RFC 9112 section 6.3.
    fn decoder(&self, status: StatusCode, to_head: bool, is_11: bool) -> Result<Decoder, Fault> {
        let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        Ok(if to_head || bodiless || status.is_informational() {
            Decoder::Ended
        } else if self.chunked && !is_11 {
            return Err(Fault::Framing("Transfer-Encoding"));
        } else if self.chunked {
            Decoder::chunked()
        } else {
            match self.length {
                Some(length) => Decoder::length(length),
                None => Decoder::UntilClose,
            }
        })
    }
}

fn length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}
