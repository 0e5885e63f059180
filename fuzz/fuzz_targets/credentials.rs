//! `identity::credentials`: no server that decodes once or twice finds a request for a token.
#![no_main]

use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode_str;
use spnegate::testing::credentials;

fuzz_target!(|input: (&str, &str)| {
    let (path, query) = input;
    if credentials::asks_for_one(path, query) {
        return;
    }
    let mut text = query.to_owned();
    for _ in 0..2 {
        text = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        // as Java's `toUpperCase` before `Enum.valueOf`
        for value in text.split(['&', ';', '=']) {
            assert_ne!(value.to_uppercase(), "GETDELEGATIONTOKEN");
            assert_ne!(value.to_uppercase(), "GET_BLOCK_LOCATIONS");
        }
    }
});
