//! `rewrite::set_cookie`: cookies have the console's prefix, no domain, and are never login cookies.
#![no_main]

use http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use spnegate::testing::set_cookie::{self, CookieRewrite};

fuzz_target!(|input: (&[u8], bool)| {
    let (value, tls) = input;
    let Ok(value) = HeaderValue::from_bytes(value) else {
        return;
    };
    let jar = CookieRewrite {
        console: "nn",
        script: &[],
        tls,
        only: None,
    };
    let Some(rewritten) = set_cookie::rewrite(&value, &jar) else {
        return;
    };
    let text = rewritten.as_bytes().to_ascii_lowercase();
    // the backend's own name: a cookie that is called just `auth` is nobody's login
    let own = text.strip_prefix(b"nn.").expect("it is renamed");
    let name = own.split(|&byte| byte == b'=').next().unwrap_or_default();
    assert!(!name.ends_with(b".auth"));
    for attribute in text.split(|&byte| byte == b';').skip(1) {
        let key = attribute
            .split(|&byte| byte == b'=')
            .next()
            .unwrap_or_default();
        assert_ne!(key.trim_ascii(), b"domain");
        // browsers drop a cookie that is one without being `Secure`
        assert!(tls || key.trim_ascii() != b"partitioned");
    }
});
