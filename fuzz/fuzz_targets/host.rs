//! `gateway::host` and `refusal::page::instead`: only configured hosts are found.
#![no_main]

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Uri, header};
use libfuzzer_sys::fuzz_target;
use spnegate::testing::{host, name_for};

fuzz_target!(|input: (&[u8], &str)| {
    let (value, uri) = input;
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.insert(header::HOST, value);
    }
    let Ok(uri) = uri.parse::<Uri>() else { return };
    if let Some(name) = name_for(&uri.to_string(), ["proxy.example.com"].into_iter()) {
        assert_eq!(name, "proxy.example.com");
    }
    let allowed: [Arc<str>; 2] = ["proxy".into(), "::1".into()];
    if host::find(&uri, &headers, &allowed).is_ok()
        && let Some(value) = headers.get(header::HOST)
    {
        let text = value
            .to_str()
            .expect("a known host is ASCII")
            .to_ascii_lowercase();
        assert!(text.starts_with("proxy") || text.starts_with('['));
        assert!(!text.contains(['@', ',', '/', ' ']));
    }
});
