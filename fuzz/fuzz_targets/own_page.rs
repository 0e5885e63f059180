//! `rewrite::own_page`: only the console's own origin is recognised, letter by letter.
#![no_main]

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use spnegate::testing::own_page::OwnPage;

fuzz_target!(|input: (&[u8], bool)| {
    let (value, tls) = input;
    let Ok(value) = HeaderValue::from_bytes(value) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert(
        header::HOST,
        HeaderValue::from_static("gw.example.com:50070"),
    );
    headers.insert(header::REFERER, value);
    let own = OwnPage::of(&headers, tls);
    let value = &headers[header::REFERER];
    if let Some(rest) = own.rest_of(&header::REFERER, value) {
        let origin = &value.as_bytes()[..value.len() - rest.len()];
        let origin = origin.to_ascii_lowercase();
        assert!(origin.starts_with(b"https://") || (!tls && origin.starts_with(b"http://")));
        let authority = origin
            .rsplit(|&byte| byte == b'/')
            .next()
            .unwrap_or_default();
        // a port may be written with zeros before it
        assert!(authority.starts_with(b"gw.example.com:") && authority.ends_with(b"50070"));
        assert!(rest.is_empty() || b"/?#\\".contains(&rest[0]));
    }
});
