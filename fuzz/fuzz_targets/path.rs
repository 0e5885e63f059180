//! `gateway::path`: no path leaves its folder, however often a server decodes it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spnegate::testing::path::{self, AllowedEscapes};

fuzz_target!(|input: (&str, bool, bool)| {
    let (text, slash, backslash) = input;
    if let Err(error) = path::check(text, AllowedEscapes { slash, backslash }) {
        assert!(error.describe(text).is_ascii());
        return;
    }
    assert!(text.starts_with('/') && !text.starts_with("//"));
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..8 {
        let walked = String::from_utf8_lossy(&bytes).replace('\\', "/");
        for segment in walked.split('/') {
            assert!(
                !matches!(segment.split(';').next(), Some("." | "..")),
                "{text:?}"
            );
        }
        bytes = percent_encoding::percent_decode(&bytes).collect();
    }
});
