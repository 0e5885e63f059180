//! `server::forwarded_for`: what is left of an address that a trusted proxy added is ignored.
#![no_main]

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use spnegate::testing::forwarded_for::{NAME, client};

fuzz_target!(|data: &[u8]| {
    let trusted = ["10.0.0.0/8".parse().unwrap()];
    let peer = "10.0.0.1".parse().unwrap();
    let of = |line: &[u8]| {
        let mut headers = HeaderMap::new();
        headers.append(NAME, HeaderValue::from_bytes(line).ok()?);
        Some(client(&headers, peer, &trusted))
    };
    of(data);
    let added = [data, b", 192.0.2.7, 10.0.0.2"].concat();
    if let Some(named) = of(&added) {
        assert_eq!(named.to_string(), "192.0.2.7");
    }
});
