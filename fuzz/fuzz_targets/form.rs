//! `identity::form`: a form that passes, however it is split, names no user to a parser that splits at `&`
//! and `;`, and is not changed.
#![no_main]

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use spnegate::testing::form::{self, FormScanner};

fuzz_target!(|input: (&[u8], &[u8], u8)| {
    let (content_type, body, size) = input;
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(content_type) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    let _ = form::is_form(&headers);
    let mut scan = FormScanner::new(&["doas"]);
    let mut out = Vec::new();
    let mut whole = true;
    for piece in body.chunks(usize::from(size).max(1)) {
        match scan.feed(piece) {
            Ok(passed) => out.extend_from_slice(&passed),
            Err(_) => {
                whole = false;
                break;
            }
        }
    }
    match scan.finish() {
        Ok(rest) if whole => {
            out.extend_from_slice(&rest);
            assert_eq!(out, body);
        }
        Ok(_) | Err(_) => {}
    }
    for piece in out.split(|byte| matches!(byte, b'&' | b';')) {
        let name = piece.split(|&byte| byte == b'=').next().unwrap_or_default();
        let name: Vec<u8> = percent_encoding::percent_decode(name).collect();
        assert!(!name.eq_ignore_ascii_case(b"doas"));
    }
});
