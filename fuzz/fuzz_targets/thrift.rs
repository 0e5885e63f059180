//! `identity::thrift`: the result does not depend on how a call is split; an `OpenSession` that passes names
//! the user, and no other call is changed.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use spnegate::testing::thrift::{ActingAs, CallReader, ThriftError};

fn pass(body: &[u8], size: usize) -> Result<Vec<u8>, ThriftError> {
    let mut call = CallReader::new("alice".into(), ActingAs::User);
    let mut out = Vec::new();
    for piece in body.chunks(size.max(1)) {
        out.extend_from_slice(&call.feed(Bytes::copy_from_slice(piece))?);
    }
    out.extend_from_slice(&call.finish()?);
    Ok(out)
}

fuzz_target!(|input: (&[u8], u8)| {
    let (body, size) = input;
    let whole = pass(body, body.len());
    let pieces = pass(body, usize::from(size));
    // a call that is too large and bad is told as what is seen first
    assert_eq!(whole.is_ok(), pieces.is_ok());
    let Ok(out) = whole else {
        return;
    };
    assert_eq!(Ok(&out), pieces.as_ref());
    let contains = |text: &[u8]| out.windows(text.len()).any(|part| part == text);
    assert!(out == body || contains(b"alice"));
    assert_eq!(pass(&out, out.len()).as_ref(), Ok(&out));
});
