//! `upstream::http1`: head and body of a response do not depend on how the bytes are split, or how often
//! they are parsed.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use spnegate::testing::http1::{Http1Error, Heads};

/// Status, headers, body, whether the connection may go on, and what is left of the input.
type Read = (u16, String, Vec<u8>, bool, Vec<u8>);

fn read(heads: &mut Heads, pieces: &[&[u8]], to_head: bool) -> Option<Result<Read, Http1Error>> {
    let mut input = BytesMut::new();
    let mut pieces = pieces.iter();
    let mut head = loop {
        match heads.take(&mut input, to_head) {
            Err(fault) => return Some(Err(fault)),
            Ok(Some(head)) => break head,
            Ok(None) => input.extend_from_slice(pieces.next()?),
        }
    };
    let mut body = Vec::new();
    while !head.decoder.has_ended() {
        match head.decoder.decode(&mut input) {
            Err(fault) => return Some(Err(fault)),
            Ok(Some(data)) => body.extend_from_slice(&data),
            Ok(None) if head.decoder.has_ended() => {}
            Ok(None) => match pieces.next() {
                Some(piece) => input.extend_from_slice(piece),
                None => {
                    if let Err(fault) = head.decoder.close() {
                        return Some(Err(fault));
                    }
                }
            },
        }
    }
    for piece in pieces {
        input.extend_from_slice(piece);
    }
    let headers = format!("{:?}", head.parts.headers);
    Some(Ok((
        head.parts.status.as_u16(),
        headers,
        body,
        head.keep_alive,
        input.to_vec(),
    )))
}

fuzz_target!(|input: (&[u8], u8, bool)| {
    let (answer, size, to_head) = input;
    let sound = |read| match read {
        Some(Ok(read)) => Some(read),
        Some(Err(_)) | None => None,
    };
    let whole = sound(read(&mut Heads::default(), &[answer], to_head));
    let pieces: Vec<_> = answer.chunks(usize::from(size).max(1)).collect();
    assert_eq!(sound(read(&mut Heads::default(), &pieces, to_head)), whole);
    if whole.is_some() {
        let mut heads = Heads::default();
        for _ in 0..4 {
            assert_eq!(sound(read(&mut heads, &[answer], to_head)), whole);
        }
    }
});
