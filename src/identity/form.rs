//! Form bodies: `getParameter` of a servlet reads them like the query.
//!
//! On the request path: for kinds that [read forms](crate::kinds::Kind::reads_forms), a body that
//! [`is_form`] goes through a [`FormScanner`]. What fits into the replay buffer is checked before a byte is sent
//! to a backend; a larger form is streamed, and the request is broken off before a forbidden name. A
//! form is refused, not cut: no honest client names an identity there, and to cut it would change its
//! length, which the client has announced.
//!
//! `multipart/form-data` passes: Hadoop and Oozie configure no `MultipartConfigElement`, without
//! which Jetty does not read it as parameters.

use http::{HeaderMap, header};

use super::query::QueryError;
use crate::refusal::Refusal;

mod scan;

pub use scan::FormScanner;

/// Why a form is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// It names an identity, plainly or in a hidden way.
    #[error("a form that names an identity")]
    Identity,
    /// Its bytes can be read in several ways.
    #[error("a form with {0}")]
    Ambiguous(#[source] QueryError),
    /// It is compressed, or in a character set in which ASCII letters have other bytes.
    #[error("a form that is compressed or not in UTF-8, ASCII or Latin-1")]
    Encoded,
    /// A name of many kilobytes with escapes or blanks everywhere.
    #[error("a form with a parameter name that is too long to be checked")]
    LongName,
}

impl From<FormError> for Refusal {
    fn from(error: FormError) -> Self {
        match error {
            FormError::Identity
            | FormError::Ambiguous(_)
            | FormError::Encoded
            | FormError::LongName => Self::BadForm,
        }
    }
}

/// Whether some servlet could read the body of this request as a form.
///
/// Errs on the side of yes: any `Content-Type` line that mentions the media type, in any case.
/// Fails where the body could hide its parameters from a [`FormScanner`] (charset, `Content-Encoding`).
pub fn is_form(headers: &HeaderMap) -> Result<bool, FormError> {
    // All lines are read: of two `Content-Type` headers one server takes the first, another the last.
    let mut form = false;
    let mut charsets_known = true;
    for value in headers.get_all(header::CONTENT_TYPE) {
        let text = value.as_bytes().to_ascii_lowercase();
        form |= contains(&text, b"x-www-form-urlencoded");
        charsets_known &= charset_is_plain(&text);
    }
    if !form {
        return Ok(false);
    }
    // A server may decompress a request (Jetty's `GzipHandler` with `inflateBufferSize`), and the scanner
    // does not.
    let compressed = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if compressed || !charsets_known {
        Err(FormError::Encoded)
    } else {
        Ok(true)
    }
}

/// Whether every `charset` of a lower-case `Content-Type` keeps ASCII as ASCII.
///
/// Jetty decodes forms by it: in UTF-16 or EBCDIC `doAs` has other bytes.
fn charset_is_plain(content_type: &[u8]) -> bool {
    const WORD: &[u8] = b"charset";
    // Found anywhere in the value, not by parsing parameters: parsers differ in quotes and blanks, and a
    // `charset` that only one of them sees counts too.
    let mut rest = content_type;
    while let Some(at) = rest.windows(WORD.len()).position(|window| window == WORD) {
        rest = &rest[at + WORD.len()..];
        let value = rest
            .split(|byte| matches!(byte, b';' | b','))
            .next()
            .unwrap_or_default();
        let value: Vec<u8> = value
            .iter()
            .copied()
            .filter(|byte| !b"=\"' \t".contains(byte))
            .collect();
        if !matches!(&value[..], b"utf-8" | b"utf8" | b"us-ascii" | b"iso-8859-1") {
            return false;
        }
    }
    true
}

fn contains(text: &[u8], needle: &[u8]) -> bool {
    text.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests;
