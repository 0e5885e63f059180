//! `net::proxy_protocol`: a header is read to its end and no further, however it is split.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spnegate::testing::proxy_protocol::{Progress, read};

fuzz_target!(|data: &[u8]| {
    let mut taken = 0;
    while let Ok(Progress::More(more)) = read(&data[..taken]) {
        assert!(more > 0, "it would never end");
        if taken == data.len() {
            return;
        }
        taken = (taken + more).min(data.len());
    }
});
