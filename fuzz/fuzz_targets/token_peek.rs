//! `gss::peek`, `gss::spnego_wrapper` and `gss::ap_req`: look into any token without failing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spnegate::testing::{ApReq, SpnegoWrapper, peek};

fuzz_target!(|token: &[u8]| {
    let _ = peek(token);
    let wrapper = SpnegoWrapper::read(token);
    if let Some(wrapper) = wrapper {
        let _ = wrapper.response(Some(wrapper.token));
    }
    let token = wrapper.map_or(token, |wrapper| wrapper.token);
    if let Some(request) = ApReq::read(token) {
        assert!(request.ticket.starts_with(b"\x61"));
    }
});
