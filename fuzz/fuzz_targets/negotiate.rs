//! `auth::negotiate`: any `Authorization` gives a token or a refusal.
#![no_main]

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use spnegate::testing::negotiate;

fuzz_target!(|input: (&[u8], Option<&[u8]>)| {
    let mut headers = HeaderMap::new();
    for value in [Some(input.0), input.1].into_iter().flatten() {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(header::AUTHORIZATION, value);
        }
    }
    if let Ok(Some(token)) = negotiate::token(&headers) {
        assert!(!token.is_empty());
    }
});
