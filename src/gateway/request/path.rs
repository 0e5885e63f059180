//! The path of a request: one reading, or a refusal.
//!
//! On the request path: before the route. Nothing is normalised. A path that is accepted is authorised,
//! routed and forwarded as **the same bytes**, so a path that two parsers could read differently is
//! refused: the gateway would authorise one resource and the server would serve another.
//!
//! | refused | why |
//! |---|---|
//! | dot segments, `..;/`, `%2e` | normalised by some servers, not by others |
//! | `..` after one more escape (`%252e%252e`, `..%252f`) | a server behind a server decodes twice |
//! | backslash, raw or `%5c` (except in file names of `WebHDFS`); NUL and other control bytes, `%00`–`%1f`, `%7f` | separators to some |
//! | `%2f` unless the console allows it | a separator to some |
//! | invalid escapes, escapes that are not UTF-8 (overlong too) | no single reading |
//! | escaped letters, digits, `-` and `_` (`/%6fozie`) | equal to the plain path (RFC 3986 section 6.2.2.2), and would bypass routes and rules |
//! | `//` at the start | a host, to software that resolves it as a reference (RFC 3986 section 4.2) |
//!
//! Legal: `%25` and what follows it, unless that becomes a dot segment: Hive names partitions `a=x%2Fy`,
//! whose path is `a=x%252Fy`. Legal too are `;`, empty segments that are not the first (`/webhdfs/v1//tmp`,
//! which clients write that join paths), and `~` plain or escaped (old encoders escape it).

use std::borrow::Cow;

use http::{Method, Uri};

use crate::refusal::Refusal;

/// How many times a path may be escaped before it is refused. Servers decode twice at most; the rest is
/// a margin.
const DEPTH: usize = 4;

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// Not a path: `*` without OPTIONS, or no slash at the start.
    #[error("not a path")]
    Form,
    /// Two slashes at the start.
    #[error("a path that begins with two slashes")]
    DoubleSlash,
    /// A dot segment, plain or escaped.
    #[error("a dot segment")]
    DotSegment,
    /// A backslash.
    #[error("a backslash")]
    Backslash,
    /// A control byte, NUL among them.
    #[error("a control byte, blank, `#` or `?`")]
    Control,
    /// `%` without two hexadecimal digits.
    #[error("an invalid escape")]
    Escape,
    /// Escapes that are not UTF-8.
    #[error("escapes that are not UTF-8")]
    Encoding,
    /// An escaped slash.
    #[error("an escaped slash (allow_encoded_slash)")]
    Slash,
    /// An escape of a character that needs none.
    #[error("an escaped letter, digit, dot, hyphen or underscore")]
    Needless,
    /// Escaped more than four times.
    #[error("escapes nested too deep")]
    Nested,
}

/// Why a path is refused, and the position of the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathError {
    pub fault: PathFault,
    /// At which byte, from 0.
    pub at: usize,
}

impl PathError {
    /// For the client: the fault, its position, and the bytes there. `path` is the one that was checked.
    pub fn describe(self, path: &str) -> String {
        let rest = path.as_bytes().get(self.at..).unwrap_or_default();
        let length = match (self.fault, rest) {
            (PathFault::DotSegment, _) => {
                let end = |byte: &u8| matches!(byte, b'/' | b'\\');
                rest.iter().position(end).unwrap_or(rest.len()).min(16)
            }
            (_, [b'%', ..]) => rest.len().min(3),
            (_, _) => rest.len().min(1),
        };
        // Escaped and short: the text goes into a page and into the log.
        let bytes = rest[..length].escape_ascii();
        format!("{} at byte {} of the path (`{bytes}`)", self.fault, self.at)
    }
}

impl From<PathError> for Refusal {
    fn from(error: PathError) -> Self {
        match error.fault {
            PathFault::Form
            | PathFault::DoubleSlash
            | PathFault::DotSegment
            | PathFault::Backslash
            | PathFault::Control
            | PathFault::Escape
            | PathFault::Encoding
            | PathFault::Slash
            | PathFault::Needless
            | PathFault::Nested => Self::BadPath,
        }
    }
}

/// The target of a request (RFC 9112 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestTarget<'a> {
    /// A checked path, and the query as it came, without `?`.
    Path {
        /// Begins with one slash.
        path: &'a str,
        /// `None` where there is no `?`.
        query: Option<&'a str>,
    },
    /// `OPTIONS *`: the server itself.
    Server,
}

/// Escapes that are legal in the paths of some consoles only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowedEscapes {
    /// `%2f`: row keys of `HBase`.
    pub slash: bool,
    /// `%5c`: names of HDFS. A raw backslash, which browsers take for a slash, never passes, and a
    /// dot segment between backslashes neither.
    pub backslash: bool,
}

impl AllowedEscapes {
    /// Neither escape is allowed.
    pub const NOTHING: Self = Self {
        slash: false,
        backslash: false,
    };
}

/// Reads a request target in origin, absolute or asterisk form. [`super::host`] checks the authority of an
/// absolute form.
pub(crate) fn target<'a>(
    method: &Method,
    uri: &'a Uri,
    allowed: AllowedEscapes,
) -> Result<RequestTarget<'a>, PathError> {
    let path = uri.path();
    if path == "*" && *method == Method::OPTIONS {
        return Ok(RequestTarget::Server);
    }
    check(path, allowed)?;
    Ok(RequestTarget::Path {
        path,
        query: uri.query(),
    })
}

/// Checks a path as the client sent it.
pub fn check(path: &str, allowed: AllowedEscapes) -> Result<(), PathError> {
    let bytes = path.as_bytes();
    let fault = |fault, at| Err(PathError { fault, at });
    match bytes {
        [b'/', b'/', ..] => return fault(PathFault::DoubleSlash, 0),
        [b'/', ..] => {}
        [..] => return fault(PathFault::Form, 0),
    }
    // One pass; the slow checks run only if the path has a dot or an escape, which few have.
    let mut escape = None;
    let mut dot = false;
    let mut rest = bytes;
    while let [byte, after @ ..] = rest {
        let at = bytes.len() - rest.len();
        rest = after;
        match byte {
            b'\\' => return fault(PathFault::Backslash, at),
            0..=b' ' | 0x7f | b'#' | b'?' => return fault(PathFault::Control, at),
            b'.' => dot = true,
            b'%' => {
                let decoded = unescape(after).map_err(|fault| PathError { fault, at })?;
                check_escape(decoded, allowed).map_err(|fault| PathError { fault, at })?;
                rest = &after[2..];
                escape = escape.or(Some(at));
            }
            _ => {}
        }
    }
    if dot && let Some(at) = dot_segment(path) {
        return fault(PathFault::DotSegment, at);
    }
    match escape {
        // The position in the path as sent is lost by decoding, so the first escape is reported.
        Some(at) => check_deeper(path).map_err(|fault| PathError { fault, at }),
        None => Ok(()),
    }
}

/// Whether a checked path is `prefix` or below it; `prefix` as in the configuration, without a
/// final slash.
pub(crate) fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn unescape(after: &[u8]) -> Result<u8, PathFault> {
    let digit = |at: usize| {
        let digit = after
            .get(at)
            .and_then(|&byte| char::from(byte).to_digit(16));
        digit
            .and_then(|digit| u8::try_from(digit).ok())
            .ok_or(PathFault::Escape)
    };
    Ok(digit(0)? << 4 | digit(1)?)
}

fn check_escape(byte: u8, allowed: AllowedEscapes) -> Result<(), PathFault> {
    match byte {
        b'/' if !allowed.slash => Err(PathFault::Slash),
        b'\\' if !allowed.backslash => Err(PathFault::Backslash),
        b'.' => Err(PathFault::DotSegment),
        0..=0x1f | 0x7f => Err(PathFault::Control),
        b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => Err(PathFault::Needless),
        _ => Ok(()),
    }
}

/// The position of the first dot segment.
fn dot_segment(path: &str) -> Option<usize> {
    // A backslash separates segments on some servers, and servlet containers cut a segment at its first `;`
    // before they normalise: `/..;/` leaves the directory there.
    let mut at = 0;
    for segment in path.split(['/', '\\']) {
        if matches!(segment.split(';').next(), Some("." | "..")) {
            return Some(at);
        }
        at += segment.len() + 1;
    }
    None
}

/// Decodes until nothing changes, and looks for dot segments each time.
fn check_deeper(path: &str) -> Result<(), PathFault> {
    let mut text = Cow::Borrowed(path);
    for depth in 0..DEPTH {
        let decoded: Vec<u8> = percent_encoding::percent_decode(text.as_bytes()).collect();
        if decoded == text.as_bytes() {
            return Ok(());
        }
        let decoded = match String::from_utf8(decoded) {
            Ok(decoded) => decoded,
            Err(_) if depth == 0 => return Err(PathFault::Encoding),
            // Deeper levels are decoded by few servers, so they are searched for dot segments only.
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        if dot_segment(&decoded).is_some() {
            return Err(PathFault::DotSegment);
        }
        text = Cow::Owned(decoded);
    }
    Err(PathFault::Nested)
}

#[cfg(test)]
mod tests;
