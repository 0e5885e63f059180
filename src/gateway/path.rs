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
pub enum PathError {
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
    #[error("a control byte")]
    Control,
    /// `%` without two hexadecimal digits.
    #[error("an invalid escape")]
    Escape,
    /// Escapes that are not UTF-8.
    #[error("escapes that are not UTF-8")]
    Encoding,
    /// An escaped slash.
    #[error("an escaped slash")]
    Slash,
    /// An escape of a character that needs none.
    #[error("an escaped letter, digit, dot, hyphen or underscore")]
    Needless,
    /// Escapes within escapes within escapes.
    #[error("escapes nested too deep")]
    Nested,
}

impl From<PathError> for Refusal {
    fn from(error: PathError) -> Self {
        match error {
            PathError::Form
            | PathError::DoubleSlash
            | PathError::DotSegment
            | PathError::Backslash
            | PathError::Control
            | PathError::Escape
            | PathError::Encoding
            | PathError::Slash
            | PathError::Needless
            | PathError::Nested => Self::BadPath,
        }
    }
}

/// What a request line asks for (RFC 9112 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
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
pub fn target<'a>(
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
    match bytes {
        [b'/', b'/', ..] => return Err(PathError::DoubleSlash),
        [b'/', ..] => {}
        [..] => return Err(PathError::Form),
    }
    let mut escaped = false;
    let mut dot = false;
    let mut rest = bytes;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'\\' => return Err(PathError::Backslash),
            0..=b' ' | 0x7f | b'#' | b'?' => return Err(PathError::Control),
            b'.' => dot = true,
            b'%' => {
                check_escape(unescape(after)?, allowed)?;
                rest = &after[2..];
                escaped = true;
            }
            _ => {}
        }
    }
    if dot {
        check_segments(path)?;
    }
    if escaped { check_deeper(path) } else { Ok(()) }
}

/// Whether a checked path is `prefix` or below it; `prefix` as in the configuration, without a
/// final slash.
pub fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn unescape(after: &[u8]) -> Result<u8, PathError> {
    let digit = |at: usize| {
        let digit = after
            .get(at)
            .and_then(|&byte| char::from(byte).to_digit(16));
        digit
            .and_then(|digit| u8::try_from(digit).ok())
            .ok_or(PathError::Escape)
    };
    Ok(digit(0)? << 4 | digit(1)?)
}

fn check_escape(byte: u8, allowed: Allowed) -> Result<(), PathError> {
    match byte {
        b'/' if !allowed.slash => Err(PathError::Slash),
        b'\\' if !allowed.backslash => Err(PathError::Backslash),
        b'.' => Err(PathError::DotSegment),
        0..=0x1f | 0x7f => Err(PathError::Control),
        b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => Err(PathError::Needless),
        _ => Ok(()),
    }
}

/// A segment is what stands between slashes, or backslashes, up to its first `;`.
fn check_segments(path: &str) -> Result<(), PathError> {
    let dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    if path.split(['/', '\\']).any(dots) {
        Err(PathError::DotSegment)
    } else {
        Ok(())
    }
}

/// Decodes again and again and looks for dot segments each time.
fn check_deeper(path: &str) -> Result<(), PathError> {
    let mut text = Cow::Borrowed(path);
    for depth in 0..DEPTH {
        let decoded: Vec<u8> = percent_encoding::percent_decode(text.as_bytes()).collect();
        if decoded == text.as_bytes() {
            return Ok(());
        }
        let decoded = match String::from_utf8(decoded) {
            Ok(decoded) => decoded,
            Err(_) if depth == 0 => return Err(PathError::Encoding),
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        check_segments(&decoded)?;
        text = Cow::Owned(decoded);
    }
    Err(PathError::Nested)
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
            ("", PathError::Form),
            ("*", PathError::Form),
            ("a/b", PathError::Form),
            ("//evil/x", PathError::DoubleSlash),
            ("/.", PathError::DotSegment),
            ("/a/../b", PathError::DotSegment),
            ("/a/./b", PathError::DotSegment),
            ("/a/..", PathError::DotSegment),
            ("/a/..;/b", PathError::DotSegment),
            ("/a/.;x=y/b", PathError::DotSegment),
            ("/a/%2e%2e/b", PathError::DotSegment),
            ("/a/.%2E/b", PathError::DotSegment),
            ("/a%2eb", PathError::DotSegment),
            ("/a/%252e%252e/b", PathError::DotSegment),
            ("/a/..%252fb", PathError::DotSegment),
            ("/a/..%255cb", PathError::DotSegment),
            ("/a/%25252e./b", PathError::DotSegment),
            ("/a/..%3B/b", PathError::DotSegment),
            ("/a\\b", PathError::Backslash),
            ("/a%5Cb", PathError::Backslash),
            ("/a%00", PathError::Control),
            ("/a%0d%0ab", PathError::Control),
            ("/a%7f", PathError::Control),
            ("/a\u{7f}", PathError::Control),
            ("/a b", PathError::Control),
            ("/a#b", PathError::Control),
            ("/a%", PathError::Escape),
            ("/a%4", PathError::Escape),
            ("/a%u002e", PathError::Escape),
            ("/a%+1", PathError::Escape),
            ("/a%c0%ae", PathError::Encoding),
            ("/a%e9", PathError::Encoding),
            ("/a%ed%a0%80", PathError::Encoding),
            ("/a%2Fb", PathError::Slash),
            ("/%6fozie", PathError::Needless),
            ("/a%5fb", PathError::Needless),
            ("/%2525252525", PathError::Nested),
        ] {
            assert_eq!(check(path, Allowed::NOTHING), Err(error), "{path}");
        }
    }

    #[test]
    fn an_escaped_slash_passes_where_allowed_but_hides_no_dots() {
        let allowed = Allowed {
            slash: true,
            backslash: false,
        };
        assert_eq!(check("/t/row%2Fkey", allowed), Ok(()));
        assert_eq!(check("/t/..%2Fkey", allowed), Err(PathError::DotSegment));
        assert_eq!(check("/t/a%2F..", allowed), Err(PathError::DotSegment));
        assert_eq!(check("/t/a%5Cb", allowed), Err(PathError::Backslash));
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
            ("/v1/a\\b", PathError::Backslash),
            ("/v1/..%5Cb", PathError::DotSegment),
            ("/v1/a%5C..", PathError::DotSegment),
            ("/v1/a%5C.%5Cb", PathError::DotSegment),
            ("/v1/a%5C..;x%5Cb", PathError::DotSegment),
            ("/v1/a%5C%2e%2e", PathError::DotSegment),
            ("/v1/a%5C%252e%252e", PathError::DotSegment),
            ("/v1/a%5C%2Fb", PathError::Slash),
        ] {
            assert_eq!(check(path, allowed), Err(error), "{path}");
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
        assert_eq!(target(&Method::OPTIONS, &uri, nothing), Ok(Target::Server));
        assert_eq!(target(&Method::GET, &uri, nothing), Err(PathError::Form));
        let uri: Uri = "gw:443".parse().unwrap();
        assert_eq!(
            target(&Method::CONNECT, &uri, nothing),
            Err(PathError::Form)
        );
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
            let _ = check(&path, Allowed { slash: true, backslash: true });
        }
    }
}
