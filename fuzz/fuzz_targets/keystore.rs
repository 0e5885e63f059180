//! Keystores and truststores of any format are read or rejected.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spnegate::testing::certificates;

fuzz_target!(|data: &[u8]| {
    let _ = certificates(data, None);
    if let Ok(found) = certificates(data, Some("changeit")) {
        assert!(found.iter().all(|der| der.len() <= data.len()));
    }
});
