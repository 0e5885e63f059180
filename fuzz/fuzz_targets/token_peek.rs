//! `gss::peek`, `gss::shell` and `gss::ap_req`: look into any token without failing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spnegate::testing::{ApReq, Shell, peek};

fuzz_target!(|token: &[u8]| {
    let _ = peek(token);
    let shell = Shell::open(token);
    if let Some(shell) = shell {
        let _ = shell.close(Some(shell.token));
    }
    let token = shell.map_or(token, |shell| shell.token);
    if let Some(request) = ApReq::read(token) {
        assert!(request.ticket.starts_with(b"\x61"));
    }
});
