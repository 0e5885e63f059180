//! The canonical spelling of a path or parameter.
//!
//! Clients change the spelling of a link before they follow it: browsers escape `'` in a query (WHATWG
//! URL), Python's requests decodes `%7E` and escapes `"` (`requote_uri`), others change the case of
//! hexadecimal digits (RFC 3986 section 6.2.2). The server reads the same, so the signature has to stay
//! valid.

use std::fmt::Write as _;

/// Characters that some parser reads differently when they are escaped.
const STRUCTURE: &[u8] = b"%/\\;?#&=+";

/// The spelling that is signed: escapes have upper-case digits, and only characters that need one have
/// one.
///
/// Two texts have the same canonical spelling only if every server that decodes once reads them alike. A
/// `%` that does not begin an escape is doubled, so that it cannot form one with what follows.
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
                // writing to a String cannot fail
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
    fn equivalent_spellings_have_the_same_canonical_one() {
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
    fn texts_that_a_server_could_read_differently_stay_different() {
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
        // a server that decodes once, after it has split at the separators
        #[test]
        fn texts_with_the_same_canonical_spelling_are_read_alike(
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
        fn an_escaped_text_has_the_same_canonical_spelling(text in "[ -~]{0,20}", lower: bool) {
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
        fn the_canonical_spelling_is_printable_ascii(text in ".{0,30}") {
            let once = canonical(&text);
            prop_assert!(once.iter().all(u8::is_ascii_graphic));
        }
    }
}
