//! `rewrite::pages`: links between quotes are rewritten, everything else passes, and the
//! result does not depend on how the page is split.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use spnegate::testing::{Pages, Rewriter};

fn rewritten(page: &[u8], size: usize) -> Vec<u8> {
    let mut pages = Pages::new(Box::new(|address| {
        let (_, rest) = address.split_once("//rm1:8088")?;
        Some(format!("//gw{rest}"))
    }));
    let mut out = Vec::new();
    for piece in page.chunks(size) {
        pages.feed(&Bytes::copy_from_slice(piece));
        while let Some(piece) = pages.pop() {
            out.extend_from_slice(&piece);
        }
    }
    pages.finish();
    while let Some(piece) = pages.pop() {
        out.extend_from_slice(&piece);
    }
    out
}

fuzz_target!(|input: (&[u8], u8)| {
    let (page, size) = input;
    let whole = rewritten(page, page.len().max(1));
    assert_eq!(rewritten(page, usize::from(size).max(1)), whole);
    if !page.windows(10).any(|part| part == b"//rm1:8088") {
        assert_eq!(whole, page);
    }
});
