//! The query: parameters that a client must not send are removed, the gateway's own goes first.
//!
//! On the request path: the client's query is [`scrub`]bed once, after the request is routed, and
//! [`compose`]d for the backend. Names are compared as *every* parser of the backends could read them
//! (servlets, Jersey, netty: separated by `&` or `;`, `%` and `+` decoded, case folded by Java's rules).
//!
//! - A parameter that every parser reads as a forbidden one, in any case and escaped at most once, is
//!   **cut** with one `&`. Every other byte stays as it came (`destination=/a;b` is legal).
//! - A parameter that only *some* parser reads as a forbidden one is **refused**: after a `;`, escaped
//!   twice, with blanks or control bytes, or in letters that fold to it (`doaſ`, the Kelvin sign).
//! - NUL and invalid escapes are refused anywhere: Jetty 6 reads `%&d` as one escape, which moves the
//!   border between two parameters.
//!
//! A gateway that left a client's `doAs` beside its own had Knox CVE-2017-5646.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::refusal::Refusal;

/// Everything but the unreserved characters of RFC 3986 section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// How many times a name may be escaped before it is refused. The limit bounds the work for `%252525…`.
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
    // Hot path: `cut` stays `None`, and nothing is allocated, until a parameter is removed.
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

/// The query for the backend: the gateway's own parameter, as `(name, user)`, then the scrubbed rest.
pub fn compose(own: Option<(&str, &str)>, scrubbed: &str) -> String {
    let mut query = String::with_capacity(scrubbed.len() + 64);
    append(&mut query, own, scrubbed);
    query
}

/// As [`compose`], at the end of a request target that is being written, after its `?`.
pub(crate) fn append(target: &mut String, own: Option<(&str, &str)>, scrubbed: &str) {
    // First, because `getParameter` of a servlet returns the first value of a name. Should a spelling
    // pass `scrub` that it does not know, the gateway's own still wins.
    if let Some((name, user)) = own {
        target.push_str(name);
        target.push('=');
        // A name may contain `&` or `%`, so everything that is not unreserved is escaped.
        target.extend(utf8_percent_encode(user, RESERVED));
        if !scrubbed.is_empty() {
            target.push('&');
        }
    }
    target.push_str(scrubbed);
}

/// Whether a query of a *backend* has a parameter that is, or could be read as, one of `names`.
///
/// Unlike [`scrub`] it never fails: a query that parsers would read differently is searched as text.
pub(crate) fn mentions(query: &str, names: &[&str]) -> bool {
    // A false positive here costs a refused redirect, a false negative a delegation token, so the whole
    // text counts if the query is ambiguous.
    match scrub(query, names) {
        Ok(left) => matches!(left, Cow::Owned(_)),
        Err(QueryError::Hidden) => true,
        Err(QueryError::Escape | QueryError::Nul | QueryError::Encoding) => {
            let text = String::from_utf8_lossy(&decode(query.as_bytes())).to_lowercase();
            names.iter().any(|name| text.contains(name))
        }
    }
}

/// Cuts the plain spellings of `names` out of a query that a *backend* wrote.
///
/// A spelling that [`scrub`] would refuse stays: the client can only send it back through [`scrub`].
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

/// Checks the text between two `&`. `true`: it has to be cut. Fails if the whole query has to be refused.
pub(super) fn is_forbidden(piece: &[u8], forbidden: &[&str]) -> Result<bool, QueryError> {
    if name_is_forbidden(name_of(piece), forbidden)? {
        return Ok(true);
    }
    // After a `;` a parameter is one for some parsers only (HTML 4.01 appendix B.2.2, netty), so to cut it
    // would change what the others read.
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

pub(super) fn name_is_forbidden(name: &[u8], forbidden: &[&str]) -> Result<bool, QueryError> {
    let is = |name: &[u8]| {
        forbidden
            .iter()
            .any(|f| name.eq_ignore_ascii_case(f.as_bytes()))
    };
    // Hot path: almost every name is plain ASCII without escapes, which all parsers read alike.
    if name
        .iter()
        .all(|byte| matches!(byte, b'!'..=b'~') && !matches!(byte, b'%' | b'+'))
    {
        return Ok(is(name));
    }
    // Parsers do not agree on which name invalid UTF-8 is (replaced, dropped, overlong forms decoded).
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

/// Decodes once, as `application/x-www-form-urlencoded`; an invalid escape is kept as it is.
pub(super) fn decode(text: &[u8]) -> Vec<u8> {
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
        // Invisible characters are skipped: a parser that trims or normalizes the name would find it.
        let letters = part.chars().filter(|&c| !is_ignorable(c)).map(fold);
        letters.eq(forbidden.chars())
    })
}

/// Blanks, control and zero-width characters.
pub(super) fn is_ignorable(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}')
}

/// Folds as `String.equalsIgnoreCase` does, upper case and then lower, so that `ſ` is `s`, the
/// Kelvin sign `k` and both Turkish i's `i`; and full-width letters to plain ones.
pub(super) fn fold(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let c = match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        c => c,
    };
    let upper = c.to_uppercase().next().unwrap_or(c);
    upper.to_lowercase().next().unwrap_or(upper)
}

#[cfg(test)]
mod tests;
