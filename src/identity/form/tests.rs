use http::HeaderValue;
use proptest::prelude::*;

use super::{super::query, *};

const FORBIDDEN: &[&str] = &["doas", "user.name"];

/// The model: the check of a form that is complete.
fn check_whole(body: &[u8], forbidden: &[&str]) -> Result<(), FormError> {
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

/// What goes on of a form that comes in these pieces.
fn pass<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Result<Vec<u8>, FormError> {
    let mut scan = FormScanner::new(FORBIDDEN);
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&scan.feed(piece)?);
    }
    out.extend_from_slice(&scan.finish()?);
    Ok(out)
}

/// The same for every way to cut it in two, and byte by byte; what passes is what came.
#[track_caller]
fn check(body: &[u8], forbidden: &[&str]) -> Result<(), FormError> {
    let judged = pass([body]);
    for cut in 0..=body.len() {
        let (one, two) = body.split_at(cut);
        assert_eq!(pass([one, two]), judged, "cut at {cut}");
    }
    assert_eq!(pass(body.chunks(1)), judged, "byte by byte");
    let whole = check_whole(body, forbidden);
    assert!(judged.is_err() || whole.is_ok());
    assert!(judged.is_ok() || whole.is_err() || body.contains(&b'?'));
    judged.map(|out| assert_eq!(out, body))
}

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

#[test]
fn no_forbidden_name_is_as_long_as_what_divides_a_long_one() {
    for kind in crate::kinds::ALL {
        for name in kind.identity_parameters() {
            assert!(name.len() < scan::LETTERS, "{name}");
        }
    }
}

/// A name of which nothing has gone yet when the forbidden one comes.
fn long(filling: &str, size: usize, end: &str) -> Vec<u8> {
    let mut body = filling.repeat(size / filling.len() + 1);
    body.truncate(size);
    body.push_str(end);
    body.into_bytes()
}

#[test]
fn a_forbidden_name_behind_any_length_is_refused_and_does_not_go_out() {
    let fillings = [
        "a=x&",
        "k=long value ",
        "{\"json\": 1}, ",
        "select 1; ",
        "a",
        "n\u{e4}chste; ",
    ];
    for filling in fillings {
        for size in [100, 4_000, 4_096, 16_384, 70_000] {
            for end in [
                "&doAs=bob",
                ";DO%41S=bob",
                "%26doas=bob",
                "%2526doAs=bob",
                "?%64oas",
            ] {
                let body = long(filling, size - size % filling.len(), end);
                for chunk in [7, 4_096, 1 << 20] {
                    let mut scan = FormScanner::new(FORBIDDEN);
                    let mut out = Vec::new();
                    let refused = body.chunks(chunk).any(|piece| match scan.feed(piece) {
                        Ok(passed) => {
                            out.extend_from_slice(&passed);
                            false
                        }
                        Err(_) => true,
                    });
                    let what = format!("{filling} {size} {end} {chunk}");
                    assert!(
                        refused || scan.finish().is_err() || in_value(filling, end),
                        "{what}"
                    );
                    let text = String::from_utf8_lossy(&out).to_lowercase();
                    assert!(!text.contains("doas") || in_value(filling, end), "{what}");
                }
            }
        }
    }
}

/// Whether that is no name but still the value of a parameter.
fn in_value(filling: &str, end: &str) -> bool {
    filling.starts_with("k=") && !end.starts_with(['&', ';'])
}

#[test]
fn documents_in_the_default_type_stream_and_little_of_them_is_held() {
    for filling in [
        "{\"name\": \"value\", \"list\": [1, 2, 3]},\n",
        "select a, b from t where c < 5;\n",
        "\u{4e2d}\u{6587}\u{6587}\u{672c}",
        "id,name,1,2,3\n",
        "a=1&b=2&c=%20+%2526&",
        "value=",
    ] {
        let body = filling.repeat(1_000_000 / filling.len());
        let mut scan = FormScanner::new(FORBIDDEN);
        let mut out = Vec::new();
        for piece in body.as_bytes().chunks(8_000) {
            out.extend_from_slice(&scan.feed(piece).unwrap());
            assert!(scan.held() < 16_384, "{filling}");
        }
        out.extend_from_slice(&scan.finish().unwrap());
        assert!(out == body.as_bytes(), "{filling}");
    }
    // what could still become a forbidden name, and never ends
    for filling in ["+", "%20", " "] {
        let body = filling.repeat(20_000);
        assert_eq!(
            pass(body.as_bytes().chunks(1_000)),
            Err(FormError::LongName)
        );
    }
}

proptest! {
    #[test]
    fn pieces_of_any_bytes_give_the_result_of_the_complete_form(
        body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let _ = check(&body, FORBIDDEN);
    }

    #[test]
    fn a_form_in_pieces_gives_the_result_of_the_complete_form(
        parts in prop::collection::vec(
            prop_oneof![
                Just("&"), Just(";"), Just("="), Just("%"), Just("25"), Just("26"), Just("doas"),
                Just("do%41s"), Just("+"), Just("user.name"), Just("?"), Just("x"), Just("%3b"),
                Just("\u{17f}"), Just("doA"), Just("%20"),
            ],
            0..12,
        ),
    ) {
        let _ = check(parts.concat().as_bytes(), FORBIDDEN);
    }
}
