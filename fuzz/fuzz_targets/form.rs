//! `identity::form`: a form that passes names no identity to a parser that splits at `&` and `;`.
#![no_main]

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use spnegate::identity::form;

fuzz_target!(|input: (&[u8], &[u8])| {
    let (content_type, body) = input;
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(content_type) {
        headers.insert(header::CONTENT_TYPE, value);
    }
    let _ = form::is_form(&headers);
    if form::check(body, &["doas"]).is_err() {
        return;
    }
    for piece in body.split(|byte| matches!(byte, b'&' | b';')) {
        let name = piece.split(|&byte| byte == b'=').next().unwrap_or_default();
        let name: Vec<u8> = percent_encoding::percent_decode(name).collect();
        assert!(!name.eq_ignore_ascii_case(b"doas"));
    }
});
