//! `gss::peek`: looks into any token without failing.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|token: &[u8]| {
    let _ = spnegate::gss::peek::peek(token);
});
