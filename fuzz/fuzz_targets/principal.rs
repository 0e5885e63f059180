//! `gss::Principal`: parsing and formatting are inverse.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spnegate::gss::Principal;

fuzz_target!(|text: &str| {
    if let Ok(principal) = text.parse::<Principal>() {
        assert_eq!(principal.to_string().parse(), Ok(principal));
    }
});
