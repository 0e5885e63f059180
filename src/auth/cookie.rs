//! The cookies of a request (RFC 6265 section 4.2), read in place.
//!
//! This runs for every request and allocates nothing.

use http::{HeaderMap, HeaderValue, header};

/// Every `(name, value)` of all `Cookie` headers, in the order sent, duplicates included.
///
/// A pair of double quotes around a value is removed; names and values are otherwise the received
/// bytes. A pair without `=` has an empty name, as in browsers.
pub(crate) fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&[u8], &[u8])> {
    headers.get_all(header::COOKIE).iter().flat_map(in_header)
}

/// The values of the cookies of one name, without the empty ones.
pub(crate) fn named<'h>(headers: &'h HeaderMap, name: &str) -> impl Iterator<Item = &'h [u8]> {
    pairs(headers)
        .filter(move |(n, v)| *n == name.as_bytes() && !v.is_empty())
        .map(|(_, v)| v)
}

/// The parts of one header between its semicolons, blanks included.
pub(crate) fn pieces(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value.as_bytes());
    std::iter::from_fn(move || {
        let piece = rest?;
        // memchr uses SIMD: session cookies are long, and almost every request has one.
        let Some(at) = memchr::memchr(b';', piece) else {
            return rest.take();
        };
        rest = Some(&piece[at + 1..]);
        Some(&piece[..at])
    })
}

fn in_header(value: &HeaderValue) -> impl Iterator<Item = (&[u8], &[u8])> {
    pieces(value)
        .map(<[u8]>::trim_ascii)
        .filter(|p| !p.is_empty())
        .map(|pair| match memchr::memchr(b'=', pair) {
            Some(at) => (
                pair[..at].trim_ascii_end(),
                unquoted(pair[at + 1..].trim_ascii_start()),
            ),
            None => (&pair[..0], pair),
        })
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(
                header::COOKIE,
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        headers
    }

    fn text(headers: &HeaderMap) -> Vec<(String, String)> {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        pairs(headers).map(|(n, v)| (text(n), text(v))).collect()
    }

    #[test]
    fn all_headers_and_duplicates_are_read() {
        let headers = headers(&["a=1; b=\"2\";;c = 3 ", "a=4", "lonely; d="]);
        let expected = [
            ("a", "1"),
            ("b", "2"),
            ("c", "3"),
            ("a", "4"),
            ("", "lonely"),
            ("d", ""),
        ];
        assert_eq!(
            text(&headers),
            expected.map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
        let copies: Vec<_> = named(&headers, "a").collect();
        assert_eq!(copies, [b"1", b"4"]);
    }

    #[test]
    fn an_empty_cookie_counts_as_none_and_names_match_exactly() {
        let headers = headers(&["s=; S=x; ss=y; s=\"\""]);
        assert_eq!(named(&headers, "s").count(), 0);
    }

    proptest! {
        #[test]
        fn written_pairs_are_read_back(pairs in prop::collection::vec(("[a-z_.-]{1,8}", "[!#-:<-~]{0,12}"), 0..6)) {
            let line = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("; ");
            prop_assert_eq!(text(&headers(&[&line])), pairs);
        }

        #[test]
        fn any_header_is_read_without_a_semicolon_in_a_pair(line in "[ -~]{0,60}") {
            for (name, value) in text(&headers(&[&line])) {
                prop_assert!(!name.contains(';') && !value.contains(';'));
            }
        }
    }
}
