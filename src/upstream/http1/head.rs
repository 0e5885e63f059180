//! Parses the head of a response.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, header, response::Parts,
};

use super::{Decoder, Http1Error, MAX_HEAD};

/// The most header lines of a response.
const MAX_LINES: usize = 100;

#[derive(Clone, Debug)]
pub struct Head {
    pub parts: Parts,
    /// Reason phrase as sent.
    pub reason: Bytes,
    pub decoder: Decoder,
    /// Whether another request may follow on the connection.
    pub keep_alive: bool,
}

/// Takes a head off the input, if all of it has arrived; returns its bytes too.
pub(super) fn read(
    input: &mut BytesMut,
    to_head: bool,
) -> Result<Option<(Head, Bytes)>, Http1Error> {
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
        return Err(Http1Error::LargeHead);
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
    // The values share the buffer that was read; they are not copied.
    let begin = input.as_ptr().addr();
    let span = |of: &[u8]| {
        let begin = of.as_ptr().addr() - begin;
        begin..begin + of.len()
    };
    let lines = response.headers.iter();
    let lines: Vec<_> = lines
        .map(|line| (span(line.name.as_bytes()), span(line.value)))
        .collect();
    let bytes = input.split_to(end).freeze();
    let mut framing = Framing::default();
    let mut headers = HeaderMap::with_capacity(lines.len());
    for (name, value) in lines {
        let name = HeaderName::from_bytes(&bytes[name]).map_err(|_| httparse::Error::HeaderName)?;
        let value = HeaderValue::from_maybe_shared(bytes.slice(value))
            .map_err(|_| httparse::Error::HeaderValue)?;
        if framing.note(&name, &value)? {
            headers.append(name, value);
        }
    }
    // With both framings the chunked one counts, and the connection is closed after the response:
    // the message may be an attempt at response splitting (RFC 9112 section 6.3).
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
    let head = Head {
        parts,
        reason,
        keep_alive: keep_alive && !matches!(decoder, Decoder::UntilClose),
        decoder,
    };
    Ok(Some((head, bytes)))
}

/// The headers that delimit the body and the connection.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    chunked: bool,
    keep_alive: Option<bool>,
}

impl Framing {
    /// Reads one header line; whether it has a meaning for the client too.
    fn note(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<bool, Http1Error> {
        if *name == header::CONTENT_LENGTH {
            let length = length(value.as_bytes()).ok_or(Http1Error::Framing("Content-Length"))?;
            if self.length.is_some_and(|before| before != length) {
                return Err(Http1Error::Framing("Content-Length"));
            }
            self.length = Some(length);
        } else if *name == header::TRANSFER_ENCODING {
            // No other coding was offered in `TE`.
            match value.as_bytes().trim_ascii() {
                chunked if chunked.eq_ignore_ascii_case(b"chunked") => self.chunked = true,
                identity if identity.eq_ignore_ascii_case(b"identity") => {}
                _ => return Err(Http1Error::Framing("Transfer-Encoding")),
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
    fn decoder(
        &self,
        status: StatusCode,
        to_head: bool,
        is_11: bool,
    ) -> Result<Decoder, Http1Error> {
        let bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status);
        Ok(if to_head || bodiless || status.is_informational() {
            Decoder::Ended
        } else if self.chunked && !is_11 {
            return Err(Http1Error::Framing("Transfer-Encoding"));
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
