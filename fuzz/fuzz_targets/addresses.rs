//! `rewrite::addresses`: only whole addresses are replaced, and the result does not depend on how the body
//! is split.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use spnegate::testing::{Addresses, Rewriter};

fn rewritten(pieces: &[&[u8]]) -> Vec<u8> {
    let lead = |field: &str, address: &str| {
        (field.len() + address.len())
            .is_multiple_of(2)
            .then(|| format!("https://gw/{address}"))
    };
    let mut addresses = Addresses::new(Box::new(lead));
    let mut out = Vec::new();
    for piece in pieces {
        addresses.feed(&Bytes::copy_from_slice(piece));
        while let Some(ready) = addresses.pop() {
            out.extend_from_slice(&ready);
        }
    }
    addresses.finish();
    while let Some(ready) = addresses.pop() {
        out.extend_from_slice(&ready);
    }
    out
}

fuzz_target!(|input: (&[u8], usize)| {
    let (body, cut) = input;
    let cut = cut % (body.len() + 1);
    assert_eq!(rewritten(&[body]), rewritten(&[&body[..cut], &body[cut..]]));
});
