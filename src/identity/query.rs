//! The query: what a client may not say is cut, what the gateway says goes first.
//!
//! In a request's way: the client's query is [`scrub`]bed once, when the request is routed, and
//! [`compose`]d for the backend. Names are judged as *every* parser of the backends could read them
//! (servlets, Jersey, netty: `&` or `;`, `%` and `+` decoded, case folded by Java's rules).
//!
//! - A parameter that is plainly a forbidden one, in any case and escaped once, is **cut**: its
//!   span with one `&`. Every other byte stays as it came (`destination=/a;b` is legal).
//! - What only *some* parser could read as a forbidden one is **refused**: behind a `;`, escaped
//!   twice, with blanks or control bytes, or in letters that fold to it (`doaſ`, Kelvin's sign).
//! - NUL and invalid escapes are refused anywhere: Jetty 6 reads `%&d` as one escape and so
//!   moves the border between two parameters.
//!
//! Known kin: Knox CVE-2017-5646 (`doAs` beside the gateway's own).

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::refusal::Refusal;

/// Everything but the unreserved characters of RFC 3986 section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How often a name may be escaped over and over before it is refused unread.
const DEPTH: usize = 4;

/// Why a query is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// `%` without two hexadecimal digits (`%u0041` too).
    #[error("an invalid escape")]
    Escape,
    /// NUL, raw or as `%00`.
    #[error("a NUL")]
    Nul,
    /// A parameter's name is not UTF-8 (overlong forms too).
    #[error("a parameter name that is not UTF-8")]
    Encoding,
    /// A forbidden name that only some parsers would see.
    #[error("a hidden identity parameter")]
    Hidden,
}

impl From<QueryError> for Refusal {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Escape | QueryError::Nul | QueryError::Encoding | QueryError::Hidden => {
                Self::BadQuery
            }
        }
    }
}

/// Cuts the parameters named in `forbidden` (lower case) out of a query without its `?`.
///
/// Borrowed if there were none.
pub fn scrub<'q>(query: &'q str, forbidden: &[&str]) -> Result<Cow<'q, str>, QueryError> {
    check_bytes(query.as_bytes())?;
    let mut cut: Option<String> = None;
    let mut kept = 0;
    let mut start = 0_usize;
    for piece in query.split('&') {
        if is_forbidden(piece.as_bytes(), forbidden)? {
            cut.get_or_insert_with(|| query[..start.saturating_sub(1)].to_owned());
        } else {
            if let Some(cut) = &mut cut {
                if kept > 0 {
                    cut.push('&');
                }
                cut.push_str(piece);
            }
            kept += 1;
        }
        start += piece.len() + 1;
    }
    Ok(cut.map_or(Cow::Borrowed(query), Cow::Owned))
}

/// The query for the backend: one own parameter first, as `(name, user)`, then the scrubbed rest.
///
/// In the user's name everything that is not unreserved (RFC 3986 section 2.3) is escaped.
pub fn compose(own: Option<(&str, &str)>, scrubbed: &str) -> String {
    let mut query = String::with_capacity(scrubbed.len() + 64);
    append(&mut query, own, scrubbed);
    query
}

/// As [`compose`], at the end of a request target that is being written, after its `?`.
pub fn append(target: &mut String, own: Option<(&str, &str)>, scrubbed: &str) {
    if let Some((name, user)) = own {
        target.push_str(name);
        target.push('=');
        target.extend(utf8_percent_encode(user, RESERVED));
        if !scrubbed.is_empty() {
            target.push('&');
        }
    }
    target.push_str(scrubbed);
}

/// Whether a query has a parameter that is, or could be read as, one of `names`; what
/// [`scrub`] refuses counts.
pub fn mentions(query: &str, names: &[&str]) -> bool {
    !matches!(scrub(query, names), Ok(Cow::Borrowed(_)))
}

/// Cuts the plain spellings of `names` out of a query that a *backend* wrote; what [`scrub`] would
/// refuse stays as it is, for it can only come back through [`scrub`].
pub(crate) fn cut<'q>(query: &'q str, names: &[&str]) -> Cow<'q, str> {
    let plain = |piece: &&str| !is_forbidden(piece.as_bytes(), names).unwrap_or(false);
    if query.split('&').all(|piece| plain(&piece)) {
        return Cow::Borrowed(query);
    }
    Cow::Owned(query.split('&').filter(plain).collect::<Vec<_>>().join("&"))
}

/// Refuses NUL and invalid escapes.
pub(super) fn check_bytes(text: &[u8]) -> Result<(), QueryError> {
    let mut rest = text;
    while let [first, after @ ..] = rest {
        rest = after;
        match first {
            0 => return Err(QueryError::Nul),
            b'%' => {
                match after {
                    [b'0', b'0', ..] => return Err(QueryError::Nul),
                    [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {}
                    [..] => return Err(QueryError::Escape),
                }
                rest = &after[2..];
            }
            _ => {}
        }
    }
    Ok(())
}

/// Judges what stands between two `&`: cut it (`true`), keep it, or refuse all.
pub(super) fn is_forbidden(piece: &[u8], forbidden: &[&str]) -> Result<bool, QueryError> {
    if name_is_forbidden(name_of(piece), forbidden)? {
        return Ok(true);
    }
    if piece.contains(&b';') {
        for part in piece.split(|&byte| byte == b';') {
            if name_is_forbidden(name_of(part), forbidden)? {
                return Err(QueryError::Hidden);
            }
        }
    }
    Ok(false)
}

fn name_of(piece: &[u8]) -> &[u8] {
    piece.split(|&byte| byte == b'=').next().unwrap_or_default()
}

fn name_is_forbidden(name: &[u8], forbidden: &[&str]) -> Result<bool, QueryError> {
    let is = |name: &[u8]| {
        forbidden
            .iter()
            .any(|f| name.eq_ignore_ascii_case(f.as_bytes()))
    };
    if name
        .iter()
        .all(|byte| matches!(byte, b'!'..=b'~') && !matches!(byte, b'%' | b'+'))
    {
        return Ok(is(name));
    }
    let mut text = String::from_utf8(decode(name)).map_err(|_not_utf8| QueryError::Encoding)?;
    if is(text.as_bytes()) {
        return Ok(true);
    }
    for _ in 0..DEPTH {
        if forbidden.iter().any(|f| looks_like(&text, f)) {
            return Err(QueryError::Hidden);
        }
        let deeper = decode(text.as_bytes());
        if deeper == text.as_bytes() {
            return Ok(false);
        }
        text = String::from_utf8_lossy(&deeper).into_owned();
    }
    Err(QueryError::Hidden)
}

/// Decodes once, as `application/x-www-form-urlencoded`; an invalid escape stands for itself.
fn decode(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text
        .iter()
        .map(|&b| if b == b'+' { b' ' } else { b })
        .collect();
    percent_encoding::percent_decode(&spaced).collect()
}

/// Whether some parser could take this decoded name, or a part of it after one more split, for
/// `forbidden`.
fn looks_like(name: &str, forbidden: &str) -> bool {
    name.split(['&', ';', '=', '?']).any(|part| {
        let letters = part.chars().filter(|&c| !is_ignorable(c)).map(fold);
        letters.eq(forbidden.chars())
    })
}

/// Blanks, control and zero-width characters.
fn is_ignorable(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}')
}

/// Folds as `String.equalsIgnoreCase` does, upper case and then lower, so that `ſ` is `s`, the
/// Kelvin sign `k` and both Turkish i's `i`; and full-width letters to plain ones.
fn fold(c: char) -> char {
    let c = match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        c => c,
    };
    let upper = c.to_uppercase().next().unwrap_or(c);
    upper.to_lowercase().next().unwrap_or(upper)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORBIDDEN: &[&str] = &["doas", "user.name", "delegation"];

    fn scrubbed(query: &str) -> Result<String, QueryError> {
        scrub(query, FORBIDDEN).map(Cow::into_owned)
    }

    #[test]
    fn every_plain_spelling_is_cut_and_all_else_stays() {
        for (query, left) in [
            ("", ""),
            ("doAs=bob", ""),
            ("a=1&doAs=bob", "a=1"),
            ("doas=bob&a=1", "a=1"),
            ("a=1&DOAS=bob&b=2", "a=1&b=2"),
            ("do%41s=bob&a=%2f", "a=%2f"),
            ("%64%6f%61%73&a", "a"),
            ("user%2Ename=x&op=LISTSTATUS", "op=LISTSTATUS"),
            ("doas=1&doAs=2&a&doas", "a"),
            ("&a&&doAs=x&&b&", "&a&&&b&"),
            ("doAs==x", ""),
            ("doAs=b;c=d&e", "e"),
            ("delegation=abc&offset=0", "offset=0"),
        ] {
            assert_eq!(scrubbed(query).as_deref(), Ok(left), "{query}");
        }
    }

    #[test]
    fn what_is_legal_passes_byte_for_byte() {
        for query in [
            "op=RENAME&destination=/a;b",
            "a=1;b=2",
            "x=doAs=bob",
            "x=%26doAs%3Dbob",
            "qry=Hadoop:service=NameNode,name=NameNodeStatus",
            "doAsX=1&xdoAs=2&do.as=3&username=x",
            "a=%FF&b=+%20+",
            "na%20me=1&na+me=2&100%25=x",
        ] {
            let result = scrub(query, FORBIDDEN);
            assert!(
                matches!(result, Ok(Cow::Borrowed(same)) if same == query),
                "{query}"
            );
        }
    }

    #[test]
    fn what_only_some_parsers_would_read_is_refused() {
        for query in [
            "a=1;doAs=bob",
            "destination=/a;doas=b",
            ";doAs=bob",
            "a;DO%41S",
            "do%2541s=bob",
            "do%252541s=bob",
            "doAs+=bob",
            "+doAs=bob",
            "doAs%20=bob",
            "do%0aAs=bob",
            "do%C2%ADas=bob",
            "doa%C5%BF=bob",
            "doaſ=bob",
            "delegat%C4%B1on=x",
            "delegat%C4%B0on=x",
            "%EF%BD%84oAs=bob",
            "x%26doAs=bob",
            "x%3bdoAs=bob",
            "doAs%3Dbob",
            "%2525252525252541=x",
        ] {
            assert_eq!(scrubbed(query), Err(QueryError::Hidden), "{query}");
        }
    }

    #[test]
    fn kelvin_folds_to_k() {
        assert!(looks_like("to\u{212a}en", "token"));
    }

    #[test]
    fn nul_bad_escapes_and_bad_names_are_refused_anywhere() {
        for query in ["a=\0", "a=%00", "doAs%00=x", "%00"] {
            assert_eq!(scrubbed(query), Err(QueryError::Nul), "{query}");
        }
        for query in [
            "a=%",
            "a=%4",
            "a=%u0041",
            "a=%&doAs=x",
            "%u0064oAs=x",
            "a=100%",
            "%x1",
        ] {
            assert_eq!(scrubbed(query), Err(QueryError::Escape), "{query}");
        }
        for query in ["do%c1%81s=x", "%ff=x", "a%e9=1", "%ed%a0%80=1"] {
            assert_eq!(scrubbed(query), Err(QueryError::Encoding), "{query}");
        }
    }

    #[test]
    fn the_gateway_speaks_first_and_once() {
        assert_eq!(
            compose(Some(("doAs", "alice")), "op=OPEN"),
            "doAs=alice&op=OPEN"
        );
        assert_eq!(compose(Some(("doAs", "")), ""), "doAs=");
        assert_eq!(compose(None, "a=b"), "a=b");
        assert_eq!(
            compose(Some(("user.name", "a&b=c d/ü+%")), ""),
            "user.name=a%26b%3Dc%20d%2F%C3%BC%2B%25"
        );
    }

    #[test]
    fn a_backends_query_loses_only_plain_spellings() {
        assert_eq!(cut("doAs=alice&a=%zz", FORBIDDEN), "a=%zz");
        assert!(matches!(cut("a=%zz;doAs=x", FORBIDDEN), Cow::Borrowed(_)));
    }

    /// What a parser sees that splits at `separators`: names decoded once, lower case.
    fn names(query: &str, separators: &[char]) -> Vec<String> {
        query
            .split(separators)
            .map(|piece| piece.split('=').next().unwrap_or_default())
            .map(|name| String::from_utf8_lossy(&decode(name.as_bytes())).to_lowercase())
            .collect()
    }

    fn piece() -> impl Strategy<Value = String> {
        let name = prop_oneof![
            Just("doAs".to_owned()),
            Just("do%41s".to_owned()),
            Just("DELEGATION".to_owned()),
            Just("user%2ename".to_owned()),
            Just("doa%C5%BF".to_owned()),
            "[a-z]{0,3}",
            "[a-zA-Z%;+. =&]{0,8}",
            ".{0,4}",
        ];
        let value = prop_oneof!["[a-z]{0,3}", "[ -~]{0,6}", Just("x;doAs=y".to_owned())];
        (name, value).prop_map(|(name, value)| format!("{name}={value}"))
    }

    proptest! {
        #[test]
        fn no_parser_sees_a_forbidden_name(pieces in prop::collection::vec(piece(), 0..6)) {
            let query = pieces.join("&");
            if let Ok(left) = scrub(&query, FORBIDDEN) {
                let sent = compose(Some(("doAs", "alice")), &left);
                for separators in [&['&'][..], &['&', ';'][..]] {
                    let seen = names(&sent, separators);
                    prop_assert_eq!(&seen[0], "doas");
                    prop_assert!(seen[1..].iter().all(|name| !FORBIDDEN.contains(&name.as_str())));
                }
            }
        }

        #[test]
        fn all_other_parameters_keep_bytes_and_order(pieces in prop::collection::vec(piece(), 0..6)) {
            let query = pieces.join("&");
            if let Ok(left) = scrub(&query, FORBIDDEN) {
                let kept: Vec<&str> = query
                    .split('&')
                    .filter(|piece| !FORBIDDEN.contains(&names(piece, &['&'])[0].as_str()))
                    .collect();
                prop_assert_eq!(left.as_ref(), kept.join("&"));
                prop_assert_eq!(scrub(&left, FORBIDDEN).unwrap(), left.as_ref());
            }
        }

        #[test]
        fn any_text_is_scrubbed_or_refused(query in ".*") {
            let _ = scrub(&query, FORBIDDEN);
            let _ = cut(&query, FORBIDDEN);
        }
    }
}
