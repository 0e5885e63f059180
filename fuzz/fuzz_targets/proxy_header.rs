//! `proxy_protocol::parse`: a header is whole, incomplete or none, and nothing else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spnegate::proxy_protocol::{MAX_HEADER, Parsed, parse};

fuzz_target!(|bytes: &[u8]| {
    let Parsed::Header { length, source } = parse(bytes) else {
        return;
    };
    assert!(length <= bytes.len() && length <= MAX_HEADER);
    // what follows is the client's, and does not matter
    assert_eq!(parse(&bytes[..length]), Parsed::Header { length, source });
    for cut in 0..length.min(64) {
        assert_eq!(parse(&bytes[..cut]), Parsed::Incomplete);
    }
});
