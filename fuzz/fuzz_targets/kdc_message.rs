//! Messages to KDCs, with and without the encoding of MS-KKDCP.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spnegate::testing::{
    kkdcp,
    message::{self, KrbErrorCode, MAX_MESSAGE, KdcRequest},
};

fuzz_target!(|bytes: &[u8]| {
    if let Some(proxied) = kkdcp::read(bytes) {
        assert!(proxied.message.len() <= MAX_MESSAGE);
        look(proxied.message);
    }
    look(bytes);
    // an answer has no realm: it is no request
    assert_eq!(kkdcp::read(&kkdcp::write(bytes)), None);
});

fn look(message: &[u8]) {
    if let Some(KdcRequest::Ticket { realm }) = message::classify(message) {
        let error = message::error(KrbErrorCode::Generic, realm, realm);
        assert!(message::is_error(&error, KrbErrorCode::Generic));
    }
    let _ = message::is_error(message, KrbErrorCode::ServiceUnavailable);
}
