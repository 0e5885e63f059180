//! Form bodies: `getParameter` of a servlet reads them like the query.
//!
//! In a request's way: for kinds that [read forms](crate::kinds::Kind::reads_forms), a body that
//! [`is_form`] is held back and [`check`]ed before a byte goes to a backend. A form is refused, not
//! cut, for no honest client names an identity there.
//!
//! `multipart/form-data` passes: Hadoop and Oozie configure no `MultipartConfigElement`, without
//! which Jetty does not read it as parameters.

use http::{HeaderMap, header};

use super::query::{self, QueryError};
use crate::refusal::Refusal;

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
}

impl From<FormError> for Refusal {
    fn from(error: FormError) -> Self {
        match error {
            FormError::Identity | FormError::Ambiguous(_) | FormError::Encoded => Self::BadForm,
        }
    }
}

/// Whether some servlet could read the body of this request as a form.
///
/// Errs on the side of yes: any `Content-Type` line that mentions the media type, in any case.
/// Fails where the body could hide its parameters from [`check`] (charset, `Content-Encoding`).
pub fn is_form(headers: &HeaderMap) -> Result<bool, FormError> {
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

/// Looks for `forbidden` parameters (lower case) in a whole form body.
pub fn check(body: &[u8], forbidden: &[&str]) -> Result<(), FormError> {
    query::check_bytes(body).map_err(FormError::Ambiguous)?;
    for piece in body.split(|&byte| byte == b'&') {
        match query::is_forbidden(piece, forbidden) {
            Ok(false) => {}
            Ok(true) | Err(QueryError::Hidden) => return Err(FormError::Identity),
            Err(error @ (QueryError::Escape | QueryError::Nul | QueryError::Encoding)) => {
                return Err(FormError::Ambiguous(error));
            }
        }
    }
    Ok(())
}

/// Whether every `charset` of a lower-case `Content-Type` keeps ASCII as ASCII.
///
/// Jetty decodes forms by it: in UTF-16 or EBCDIC `doAs` has other bytes.
fn charset_is_plain(content_type: &[u8]) -> bool {
    const WORD: &[u8] = b"charset";
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
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const FORBIDDEN: &[&str] = &["doas", "user.name"];

    fn typed(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_TYPE, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn a_form_is_one_in_any_case_with_parameters_and_beside_others() {
        for values in [
            &["application/x-www-form-urlencoded"][..],
            &["Application/X-WWW-Form-URLEncoded ; charset=UTF-8"],
            &["text/plain", "application/x-www-form-urlencoded"],
            &["text/plain, application/x-www-form-urlencoded"],
            &["application/x-www-form-urlencoded;charset=\"iso-8859-1\""],
        ] {
            assert_eq!(is_form(&typed(values)), Ok(true), "{values:?}");
        }
        for values in [
            &[][..],
            &["application/json"],
            &["multipart/form-data; boundary=x"],
        ] {
            assert_eq!(is_form(&typed(values)), Ok(false), "{values:?}");
        }
    }

    #[test]
    fn a_form_that_hides_its_letters_is_refused() {
        for values in [
            &["application/x-www-form-urlencoded; charset=UTF-16"][..],
            &["application/x-www-form-urlencoded; charset=Cp1047"],
            &["application/x-www-form-urlencoded; charset=utf-8; charset=utf-16le"],
            &[
                "application/x-www-form-urlencoded",
                "text/plain;charset=utf-16",
            ],
            &["application/x-www-form-urlencoded; charset"],
        ] {
            assert_eq!(
                is_form(&typed(values)),
                Err(FormError::Encoded),
                "{values:?}"
            );
        }
        let mut headers = typed(&["application/x-www-form-urlencoded"]);
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert_eq!(is_form(&headers), Err(FormError::Encoded));
    }

    #[test]
    fn an_identity_in_a_form_is_refused_in_every_spelling() {
        for body in [
            "doAs=bob",
            "a=1&DO%41S=bob",
            "a;doas=b",
            "user.name=x",
            "do%2541s=1",
            "doAs+",
        ] {
            assert_eq!(
                check(body.as_bytes(), FORBIDDEN),
                Err(FormError::Identity),
                "{body}"
            );
        }
    }

    #[test]
    fn an_honest_form_passes() {
        for body in ["", "a=1&b=2", "x=doAs", "p=%ff\u{e9}", "k=a;b"] {
            assert_eq!(check(body.as_bytes(), FORBIDDEN), Ok(()), "{body}");
        }
        assert_eq!(check(b"v=\xff\xfe", FORBIDDEN), Ok(()));
    }

    #[test]
    fn an_ambiguous_form_is_refused() {
        assert_eq!(
            check(b"a=%&doAs=x", FORBIDDEN),
            Err(FormError::Ambiguous(QueryError::Escape))
        );
        assert_eq!(
            check(b"a=\0", FORBIDDEN),
            Err(FormError::Ambiguous(QueryError::Nul))
        );
        assert_eq!(
            check(b"\xff=1", FORBIDDEN),
            Err(FormError::Ambiguous(QueryError::Encoding))
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_checked(body in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = check(&body, FORBIDDEN);
        }
    }
}
