//! `gss::peek` and `gss::shell`: look into any token without failing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spnegate::gss::{peek, shell::Shell};

fuzz_target!(|token: &[u8]| {
    let _ = peek::peek(token);
    if let Some(shell) = Shell::open(token) {
        let _ = shell.close(Some(shell.token));
    }
});
