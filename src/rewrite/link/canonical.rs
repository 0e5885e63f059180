//! One spelling for all spellings of the same path or parameter.
//!
//! Clients rewrite a link before they follow it: browsers escape `'` in a query (WHATWG URL), Python's
//! requests decodes `%7E` and escapes `"` (`requote_uri`), others write hexadecimal digits in the
//! other case (RFC 3986 section 6.2.2). None of that changes what a server reads, so none of it may
//! break a signature.

use std::fmt::Write as _;

/// Characters that mean something else when they are escaped, to one parser or another.
const STRUCTURE: &[u8] = b"%/\\;?#&=+";

/// The spelling that is signed: escapes in capitals, and only where they make a difference.
///
/// Two texts have the same spelling only if every server that decodes once reads them alike. A `%`
/// that begins no escape is doubled, so that it cannot make one with what follows.
pub(super) fn canonical(text: &str) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        let escape = match (first, after) {
            (b'%', [high, low, tail @ ..]) => digit(*high)
                .zip(digit(*low))
                .map(|(high, low)| (high << 4 | low, tail)),
            _ => None,
        };
        if let Some((_, tail)) = escape {
            rest = tail;
        }
        let byte = escape.map_or(*first, |(byte, _)| byte);
        let plain = byte.is_ascii_graphic() && (escape.is_none() || !STRUCTURE.contains(&byte));
        match (plain, byte) {
            (true, b'%') => out.push_str("%%"),
            (true, byte) => out.push(char::from(byte)),
            (false, byte) => {
                // a String takes everything
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out.into_bytes()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    fn text(spelling: &str) -> String {
        String::from_utf8(canonical(spelling)).unwrap()
    }

    #[test]
    fn equivalent_spellings_are_one() {
        for (spellings, one) in [
            (&["/a~b", "/a%7Eb", "/a%7eb"][..], "/a~b"),
            (&["it's", "it%27s"], "it's"),
            (&["a\"b", "a%22b"], "a\"b"),
            (&["a%2fb", "a%2Fb"], "a%2Fb"),
            (&["%c3%bc", "%C3%BC", "ü"], "%C3%BC"),
            (&["a%20b"], "a%20b"),
        ] {
            for spelling in spellings {
                assert_eq!(text(spelling), one, "{spelling}");
            }
        }
    }

    #[test]
    fn what_a_server_could_read_differently_stays_different() {
        for (one, other) in [
            ("a/b", "a%2Fb"),
            ("a&b", "a%26b"),
            ("a=b", "a%3Db"),
            ("a+b", "a%2Bb"),
            ("a;b", "a%3Bb"),
            ("a%20b", "a+b"),
            ("%25", "%2%35"),
            ("%2541", "%41"),
            ("%", "%25"),
            ("%%25", "%25%25"),
            ("A", "a"),
        ] {
            assert_ne!(text(one), text(other), "{one} {other}");
        }
    }

    proptest! {
        /// A server that decodes once, after it has split at what separates.
        #[test]
        fn equal_spellings_are_read_alike(
            one in "[a~%'/&=+;%0-9a-fA-F]{0,12}", other in "[a~%'/&=+;%0-9a-fA-F]{0,12}"
        ) {
            if text(&one) == text(&other) {
                for separator in ['&', ';', '/', '=', '+'] {
                    let read = |text: &str| -> Vec<Vec<u8>> {
                        text.split(separator).map(|part| percent_decode_str(part).collect()).collect()
                    };
                    prop_assert_eq!(read(&one), read(&other), "{} {}", one, other);
                }
            }
        }

        #[test]
        fn other_spellings_of_a_text_have_its_signature(text in "[ -~]{0,20}", lower: bool) {
            let escaped: String = text
                .bytes()
                .map(|byte| match byte {
                    byte if STRUCTURE.contains(&byte) || byte == b' ' => format!("{}", char::from(byte)),
                    byte if lower => format!("%{byte:02x}"),
                    byte => format!("%{byte:02X}"),
                })
                .collect();
            prop_assume!(!text.contains('%'));
            prop_assert_eq!(canonical(&text), canonical(&escaped));
        }

        #[test]
        fn any_text_has_one_spelling(text in ".{0,30}") {
            let once = canonical(&text);
            prop_assert!(once.iter().all(u8::is_ascii_graphic));
        }
    }
}
