//! What is watched of an HTTP/2 connection: how many streams are open, and whether a head is half
//! sent. Requests overlap, so a connection has no one phase.

use std::cell::Cell;

use crate::server::{
    incoming::Leftovers,
    timers::{End, Limits},
};

/// The client's first bytes (RFC 9113 section 3.4).
const PREFACE: u32 = 24;
const FRAME_HEADER: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// The state of an HTTP/2 connection.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Requests that the service has, or whose answers are on their way.
    pub(super) open: Cell<u32>,
    /// Answers on their way.
    pub(super) answering: Cell<u32>,
    /// The tick at which a head began that has not ended.
    pub(super) head_since: Cell<Option<u32>>,
    /// A request has come.
    pub(super) asked: Cell<bool>,
    /// The client has been told to go.
    pub(super) goodbye: Cell<bool>,
    /// Bodies of requests that were answered without them.
    pub(super) leftovers: Leftovers,
}

impl Streams {
    /// Why the connection has to end now, or to be told to go; `quiet`: ticks without progress.
    pub(super) fn judge(&self, now: u32, quiet: u32, drains: bool, limits: &Limits) -> Option<End> {
        self.leftovers.expire(now, limits);
        let head = self.head_since.get();
        if head.is_some_and(|since| now.wrapping_sub(since) >= limits.head) {
            return Some(End::Head);
        }
        let goodbye = self.goodbye.get();
        if (drains || self.leftovers.were_many()) && !goodbye {
            return Some(End::Goodbye);
        }
        match (self.open.get(), self.answering.get()) {
            // who does not go when told to is not waited for
            (0, _) if goodbye => (quiet >= limits.linger).then_some(End::Silent),
            (0, _) if self.asked.get() => (quiet >= limits.idle).then_some(End::Goodbye),
            (0, _) => (quiet >= limits.first).then_some(End::Goodbye),
            (_, 0) => None,
            (_, _) => (quiet >= limits.body_idle).then_some(End::Body),
        }
    }
}

/// Follows the frames that a client sends, no further than heads.
#[derive(Debug)]
pub(super) struct Frames {
    /// What is left of the preface.
    preface: u32,
    header: [u8; FRAME_HEADER],
    filled: usize,
    /// What is left of the frame at hand.
    payload: u32,
    /// A header block has begun and not ended.
    block: bool,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            preface: PREFACE,
            header: [0; FRAME_HEADER],
            filled: 0,
            payload: 0,
            block: false,
        }
    }
}

impl Frames {
    /// Takes what the client sent.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let open = if self.preface > 0 {
                &mut self.preface
            } else {
                &mut self.payload
            };
            if *open > 0 {
                let taken = bytes.len().min(*open as usize);
                *open -= u32::try_from(taken).unwrap_or(u32::MAX);
                bytes = &bytes[taken..];
            } else {
                let taken = bytes.len().min(FRAME_HEADER - self.filled);
                self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
                self.filled += taken;
                bytes = &bytes[taken..];
                if self.filled < FRAME_HEADER {
                    return;
                }
                self.filled = 0;
                let [a, b, c, kind, flags, ..] = self.header;
                self.payload = u32::from_be_bytes([0, a, b, c]);
                match kind {
                    HEADERS | CONTINUATION => self.block = flags & END_HEADERS == 0,
                    // anything else within a block is an error, which ends the connection
                    _ => {}
                }
            }
        }
    }

    /// Whether a head, or the preface, has begun and not ended.
    pub(super) fn in_head(&self) -> bool {
        let of_head = matches!(self.header[3], HEADERS | CONTINUATION);
        self.preface > 0 || self.block || (self.payload > 0 && of_head)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut bytes = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        bytes.extend(std::iter::repeat_n(7, length.into()));
        bytes
    }

    #[test]
    fn a_head_lasts_until_its_block_ends() {
        let mut frames = Frames::default();
        let mut after = |bytes: &[u8]| {
            frames.feed(bytes);
            frames.in_head()
        };
        assert!(after(&START[..20]));
        assert!(!after(&START[20..]));
        assert!(!after(&frame(4, 0, 12)));
        let head = frame(HEADERS, END_HEADERS, 10);
        assert!(after(&head[..12]));
        assert!(!after(&head[12..]));
        assert!(after(&frame(HEADERS, 0, 3)));
        assert!(after(&frame(CONTINUATION, 0, 3)));
        assert!(!after(&frame(CONTINUATION, END_HEADERS, 0)));
        assert!(!after(&frame(0, 0, 100)[..40]));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0_usize..300) {
            let (mut whole, mut pieces) = (Frames::default(), Frames::default());
            whole.feed(&bytes);
            let (a, b) = bytes.split_at(at.min(bytes.len()));
            pieces.feed(a);
            pieces.feed(b);
            prop_assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
        }
    }
}
