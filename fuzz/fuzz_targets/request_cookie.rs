//! `identity::cookies`: no parser, however lenient, finds a login cookie of the client.
#![no_main]

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use spnegate::testing::cookies;

fuzz_target!(|lines: Vec<&[u8]>| {
    let mut headers = HeaderMap::new();
    for line in lines {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(header::COOKIE, value);
        }
    }
    let login = b"hadoop.auth=own";
    let sent = cookies::request(&headers, "nn", &["seen"], Some(login)).expect("the login cookie");
    let sent = sent.to_str().expect("cookies are ASCII");
    let rest = sent.strip_prefix("hadoop.auth=own").expect("it goes first");
    for cookie in rest.split([';', ',']) {
        let name = cookie.split('=').next().unwrap_or_default().trim();
        assert!(!name.to_ascii_lowercase().ends_with(".auth"), "{sent}");
    }
});
