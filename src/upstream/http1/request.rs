//! Writes the head of a request.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// No body.
    None,
    /// In bytes.
    Known(u64),
    /// Sent in chunks.
    Unknown,
}

/// The bytes of a request head.
///
/// Names and values come from types of the `http` crate, which contain no line ends, and no blanks in
/// a method or target, so that no header can be injected. Only the connection writes the headers that
/// delimit the body: see [`RequestHead::end`].
#[derive(Debug)]
pub(crate) struct RequestHead {
    bytes: Vec<u8>,
    method: Method,
}

// === impl Length ===

impl Length {
    /// The length of a body that has not been read from yet.
    pub(crate) fn of(body: &impl http_body::Body) -> Self {
        if body.is_end_stream() {
            return Self::None;
        }
        body.size_hint().exact().map_or(Self::Unknown, Self::Known)
    }
}

// === impl RequestHead ===

impl RequestHead {
    /// Writes the request line; `target` is in origin form.
    pub(crate) fn new(method: &Method, target: &Uri) -> Self {
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
            method: method.clone(),
        }
    }

    /// Adds a header, unless it delimits the body.
    pub(crate) fn line(&mut self, name: &HeaderName, value: &HeaderValue) {
        // Here and not in each caller: a caller that forgot it would enable request smuggling (RFC
        // 9112 section 11.2).
        if [header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(name) {
            return;
        }
        self.bytes.extend_from_slice(name.as_str().as_bytes());
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Adds one header of several values; nothing if there are none.
    pub(crate) fn joined<'v>(
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

    /// Adds a header whose value is a URL: `origin`, and the `rest` of the original value.
    pub(crate) fn moved(&mut self, name: &HeaderName, origin: &HeaderValue, rest: &[u8]) {
        self.bytes.extend_from_slice(name.as_str().as_bytes());
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend_from_slice(origin.as_bytes());
        self.bytes.extend_from_slice(rest);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Adds all headers that do not delimit the body.
    pub(crate) fn lines(&mut self, headers: &HeaderMap) {
        for (name, value) in headers {
            self.line(name, value);
        }
    }

    /// Adds the headers that delimit the body, and ends the head.
    pub(super) fn end(mut self, length: Length) -> Vec<u8> {
        match length {
            // methods that define a meaning for a body send 0 if there is none (RFC 9110 section 8.6)
            Length::None if [Method::POST, Method::PUT, Method::PATCH].contains(&self.method) => {
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

    /// Whether it is a HEAD request, whose response has no body.
    pub(super) fn is_to_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Whether a body has no defined meaning (RFC 9110 section 9.3.1). Some servers do not read it and
    /// take it for the next request, so the connection must not be used again.
    pub(super) fn gives_no_meaning_to_a_body(&self) -> bool {
        [Method::GET, Method::HEAD].contains(&self.method)
    }
}
