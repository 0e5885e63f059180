//! The path of a request: one reading, or a refusal.
//!
//! In a request's way: first of all. Nothing is rewritten: what passes is authorised, routed and
//! forwarded as **the same bytes**, so a path that two parsers could read differently is refused.
//!
//! | refused | why |
//! |---|---|
//! | dot segments, `..;/`, `%2e` | normalised by some servers, not by others |
//! | `..` behind one more escape (`%252e%252e`, `..%252f`) | servers behind servers decode twice |
//! | backslash, raw or `%5c` (but in the names of `WebHDFS`); NUL and other control bytes, `%00`–`%1f`, `%7f` | separators to some |
//! | `%2f` unless the console allows it | a separator to some |
//! | invalid escapes, escapes that are not UTF-8 (overlong too) | no single reading |
//! | escaped letters, digits, `-` and `_` (`/%6fozie`) | equal to the plain path (RFC 3986 section 6.2.2.2), and would slip past routes and rules |
//! | `//` at the start | a host to those who resolve it as a reference |
//!
//! Legal: `%25` and what follows it short of a dot segment. Hive names partitions `a=x%2Fy`, whose
//! path is `a=x%252Fy`. `;`, empty segments elsewhere (`/webhdfs/v1//tmp`, as clients that join
//! paths write) and `~` either way (old encoders escape it) are legal too.

use std::borrow::Cow;

use http::{Method, Uri};

use crate::refusal::Refusal;

/// How deep escapes may be nested.
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
    /// A dot segment, in whatever disguise.
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
    /// Escapes within escapes within escapes.
    #[error("escapes nested too deep")]
    Nested,
}

/// Why a path is refused, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathError {
    /// Why.
    pub fault: PathFault,
    /// At which byte, from 0.
    pub at: usize,
}

impl PathError {
    /// For the client: fault, place and the bytes there, of the path that was checked.
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

/// What a request line asks for (RFC 9112 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
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

/// What a console's paths may hold beyond what is legal everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// `%2f`: row keys of `HBase`.
    pub slash: bool,
    /// `%5c`: names of HDFS. A raw backslash, which browsers take for a slash, never passes, and a
    /// dot segment between backslashes neither.
    pub backslash: bool,
}

impl Allowed {
    /// Nothing.
    pub const NOTHING: Self = Self {
        slash: false,
        backslash: false,
    };
}

/// Reads a request target in origin, absolute or asterisk form; an absolute form's authority is
/// [`super::host`]'s business.
pub(crate) fn target<'a>(
    method: &Method,
    uri: &'a Uri,
    allowed: Allowed,
) -> Result<Target<'a>, PathError> {
    let path = uri.path();
    if path == "*" && *method == Method::OPTIONS {
        return Ok(Target::Server);
    }
    check(path, allowed)?;
    Ok(Target::Path {
        path,
        query: uri.query(),
    })
}

/// Checks a path as it came.
pub fn check(path: &str, allowed: Allowed) -> Result<(), PathError> {
    let bytes = path.as_bytes();
    let fault = |fault, at| Err(PathError { fault, at });
    match bytes {
        [b'/', b'/', ..] => return fault(PathFault::DoubleSlash, 0),
        [b'/', ..] => {}
        [..] => return fault(PathFault::Form, 0),
    }
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
        // where in the path it was written is lost with the escapes
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

fn check_escape(byte: u8, allowed: Allowed) -> Result<(), PathFault> {
    match byte {
        b'/' if !allowed.slash => Err(PathFault::Slash),
        b'\\' if !allowed.backslash => Err(PathFault::Backslash),
        b'.' => Err(PathFault::DotSegment),
        0..=0x1f | 0x7f => Err(PathFault::Control),
        b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => Err(PathFault::Needless),
        _ => Ok(()),
    }
}

/// Where a dot segment begins. A segment is what stands between slashes, or backslashes, up to its
/// first `;`.
fn dot_segment(path: &str) -> Option<usize> {
    let mut at = 0;
    for segment in path.split(['/', '\\']) {
        if matches!(segment.split(';').next(), Some("." | "..")) {
            return Some(at);
        }
        at += segment.len() + 1;
    }
    None
}

/// Decodes again and again and looks for dot segments each time.
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_paths_pass() {
        for path in [
            "/",
            "/webhdfs/v1/user/alice/a.txt",
            "/webhdfs/v1//tmp",
            "/a/...",
            "/a/..b/c..",
            "/a/.hidden/.spnegate",
            "/x;jsessionid=1/y",
            "/hive/dt=2020-01-01%2000%3A00/a=x%252Fy",
            "/100%25",
            "/100%2525",
            "/%C3%BC/ü/%7Euser/~x",
            "/a%3Bb",
        ] {
            assert_eq!(check(path, Allowed::NOTHING), Ok(()), "{path}");
        }
    }

    #[test]
    fn what_two_parsers_read_differently_is_refused() {
        for (path, error) in [
            ("", PathFault::Form),
            ("*", PathFault::Form),
            ("a/b", PathFault::Form),
            ("//evil/x", PathFault::DoubleSlash),
            ("/.", PathFault::DotSegment),
            ("/a/../b", PathFault::DotSegment),
            ("/a/./b", PathFault::DotSegment),
            ("/a/..", PathFault::DotSegment),
            ("/a/..;/b", PathFault::DotSegment),
            ("/a/.;x=y/b", PathFault::DotSegment),
            ("/a/%2e%2e/b", PathFault::DotSegment),
            ("/a/.%2E/b", PathFault::DotSegment),
            ("/a%2eb", PathFault::DotSegment),
            ("/a/%252e%252e/b", PathFault::DotSegment),
            ("/a/..%252fb", PathFault::DotSegment),
            ("/a/..%255cb", PathFault::DotSegment),
            ("/a/%25252e./b", PathFault::DotSegment),
            ("/a/..%3B/b", PathFault::DotSegment),
            ("/a\\b", PathFault::Backslash),
            ("/a%5Cb", PathFault::Backslash),
            ("/a%00", PathFault::Control),
            ("/a%0d%0ab", PathFault::Control),
            ("/a%7f", PathFault::Control),
            ("/a\u{7f}", PathFault::Control),
            ("/a b", PathFault::Control),
            ("/a#b", PathFault::Control),
            ("/a%", PathFault::Escape),
            ("/a%4", PathFault::Escape),
            ("/a%u002e", PathFault::Escape),
            ("/a%+1", PathFault::Escape),
            ("/a%c0%ae", PathFault::Encoding),
            ("/a%e9", PathFault::Encoding),
            ("/a%ed%a0%80", PathFault::Encoding),
            ("/a%2Fb", PathFault::Slash),
            ("/%6fozie", PathFault::Needless),
            ("/a%5fb", PathFault::Needless),
            ("/%2525252525", PathFault::Nested),
        ] {
            assert_eq!(
                check(path, Allowed::NOTHING).map_err(|e| e.fault),
                Err(error),
                "{path}"
            );
        }
    }

    #[test]
    fn a_refusal_names_the_byte() {
        for (path, text) in [
            ("/a\\b", "a backslash at byte 2 of the path (`\\\\`)"),
            ("/ab%5Cc", "a backslash at byte 3 of the path (`%5C`)"),
            ("/a/../b", "a dot segment at byte 3 of the path (`..`)"),
            ("/a%", "an invalid escape at byte 2 of the path (`%`)"),
            (
                "/a\u{7f}",
                "a control byte, blank, `#` or `?` at byte 2 of the path (`\\x7f`)",
            ),
            (
                "/x%2Fy",
                "an escaped slash (allow_encoded_slash) at byte 2 of the path (`%2F`)",
            ),
            (
                "//a",
                "a path that begins with two slashes at byte 0 of the path (`/`)",
            ),
            ("", "not a path at byte 0 of the path (``)"),
        ] {
            assert_eq!(
                check(path, Allowed::NOTHING).unwrap_err().describe(path),
                text
            );
        }
    }

    #[test]
    fn an_escaped_slash_passes_where_allowed_but_hides_no_dots() {
        let allowed = Allowed {
            slash: true,
            backslash: false,
        };
        assert_eq!(check("/t/row%2Fkey", allowed), Ok(()));
        assert_eq!(
            check("/t/..%2Fkey", allowed).unwrap_err().fault,
            PathFault::DotSegment
        );
        assert_eq!(
            check("/t/a%2F..", allowed).unwrap_err().fault,
            PathFault::DotSegment
        );
        assert_eq!(
            check("/t/a%5Cb", allowed).unwrap_err().fault,
            PathFault::Backslash
        );
    }

    #[test]
    fn an_escaped_backslash_passes_where_allowed_but_hides_no_dots() {
        let allowed = Allowed {
            slash: false,
            backslash: true,
        };
        for path in ["/v1/a%5Cb", "/v1/%5c", "/v1/a%255Cb", "/v1/...%5C..a"] {
            assert_eq!(check(path, allowed), Ok(()), "{path}");
        }
        for (path, error) in [
            ("/v1/a\\b", PathFault::Backslash),
            ("/v1/..%5Cb", PathFault::DotSegment),
            ("/v1/a%5C..", PathFault::DotSegment),
            ("/v1/a%5C.%5Cb", PathFault::DotSegment),
            ("/v1/a%5C..;x%5Cb", PathFault::DotSegment),
            ("/v1/a%5C%2e%2e", PathFault::DotSegment),
            ("/v1/a%5C%252e%252e", PathFault::DotSegment),
            ("/v1/a%5C%2Fb", PathFault::Slash),
        ] {
            let found = check(path, allowed).map_err(|e| e.fault);
            assert_eq!(found, Err(error), "{path}");
        }
    }

    #[test]
    fn every_form_of_a_target_is_read() {
        let uri: Uri = "http://gw:50070/a?b".parse().unwrap();
        let path = Target::Path {
            path: "/a",
            query: Some("b"),
        };
        assert_eq!(target(&Method::GET, &uri, Allowed::NOTHING), Ok(path));
        let uri: Uri = "*".parse().unwrap();
        let nothing = Allowed::NOTHING;
        let form = Err(PathError {
            fault: PathFault::Form,
            at: 0,
        });
        assert_eq!(target(&Method::OPTIONS, &uri, nothing), Ok(Target::Server));
        assert_eq!(target(&Method::GET, &uri, nothing), form);
        let uri: Uri = "gw:443".parse().unwrap();
        assert_eq!(target(&Method::CONNECT, &uri, nothing), form);
    }

    #[test]
    fn a_prefix_ends_at_a_slash() {
        assert!(is_under("/oozie", "/oozie") && is_under("/oozie/v1", "/oozie"));
        assert!(!is_under("/oozier", "/oozie") && !is_under("/Oozie/", "/oozie"));
        assert!(is_under("/x", ""));
    }

    /// A server that decodes `times` and then walks the segments: how deep it ends below the root.
    fn climbs(path: &str, times: usize) -> bool {
        let mut bytes = path.as_bytes().to_vec();
        for _ in 0..times {
            bytes = percent_encoding::percent_decode(&bytes).collect();
        }
        let text = String::from_utf8_lossy(&bytes).replace('\\', "/");
        text.split('/')
            .any(|segment| segment.split(';').next() == Some(".."))
    }

    proptest! {
        #[test]
        fn no_server_climbs(parts in prop::collection::vec(
            prop_oneof![
                Just("/"), Just(".."), Just("."), Just("%2e"), Just("%25"), Just("2e"), Just("%2f"),
                Just("5c"), Just("\\"), Just(";"), Just("a"), Just("%c0%ae"), Just("2f"),
                Just("%5c"),
            ], 0..10), slash: bool, backslash: bool) {
            let path = format!("/{}", parts.concat());
            if check(&path, Allowed { slash, backslash }).is_ok() {
                for times in 0..6 {
                    prop_assert!(!climbs(&path, times), "{path}");
                }
            }
        }

        #[test]
        fn any_text_is_checked(path in ".*") {
            for allowed in [Allowed::NOTHING, Allowed { slash: true, backslash: true }] {
                if let Err(error) = check(&path, allowed) {
                    let text = error.describe(&path);
                    prop_assert!(error.at <= path.len() && text.len() < 160, "{text}");
                    prop_assert!(text.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{text}");
                }
            }
        }
    }
}
