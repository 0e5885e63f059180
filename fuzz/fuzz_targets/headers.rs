//! `identity::headers`: with any `Connection` header, no alias of an identity header is left and the
//! framing is not changed.
#![no_main]

use http::{HeaderMap, HeaderName, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use spnegate::testing::headers;

fuzz_target!(|input: (&[u8], Vec<&[u8]>)| {
    let (connection, names) = input;
    let mut map = HeaderMap::new();
    for name in names {
        if let Ok(name) = HeaderName::from_bytes(name) {
            map.append(name, HeaderValue::from_static("v"));
        }
    }
    map.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    map.insert(header::HOST, HeaderValue::from_static("h"));
    if let Ok(value) = HeaderValue::from_bytes(connection) {
        map.insert(header::CONNECTION, value);
    }
    headers::strip(&mut map, &["x-trino-user"]);
    assert!(map.contains_key(header::CONTENT_LENGTH) && map.contains_key(header::HOST));
    for name in map.keys() {
        let folded: String = name
            .as_str()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        assert!(!folded.starts_with("x-forwarded") && !folded.starts_with("remote-user"));
        assert!(!["connection", "authorization", "upgrade", "x-trino-user"].contains(&&*folded));
    }
});
