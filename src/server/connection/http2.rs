//! An HTTP/2 connection: how many requests are in progress, and whether a head has arrived in part.
//!
//! Requests overlap, so the connection as a whole has no [`Phase`](super::state::Phase) of its own.

use std::{
    cell::{Cell, RefCell},
    task::Context,
};

use hyper::body::Incoming;

use super::{request_body::UnreadBodies, state::CloseReason};
use crate::server::clock::TickLimits;

/// Bytes of the client connection preface (RFC 9113 section 3.4).
const PREFACE: u32 = 24;
const FRAME_HEADER: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

#[derive(Debug, Default)]
pub(super) struct Http2State {
    /// Requests that the service has, or whose responses are being sent.
    open: Cell<u32>,
    /// Of these, the requests whose responses are being sent.
    responding: Cell<u32>,
    /// The tick at which an incomplete head began.
    head_since: Cell<Option<u32>>,
    request_seen: Cell<bool>,
    goodbye_sent: Cell<bool>,
    unread_bodies: UnreadBodies,
    frames: RefCell<Frames>,
}

impl Http2State {
    pub(super) fn bytes_read(&self, bytes: &[u8], now: u32) {
        let mut frames = self.frames.borrow_mut();
        frames.feed(bytes);
        let began = self.head_since.get().unwrap_or(now);
        self.head_since.set(frames.in_head().then_some(began));
    }

    pub(super) fn request_received(&self) {
        self.open.set(self.open.get() + 1);
        self.request_seen.set(true);
    }

    pub(super) fn response_started(&self) {
        self.responding.set(self.responding.get() + 1);
    }

    /// `responding`: whether the request's response had started.
    pub(super) fn request_ended(&self, responding: bool) {
        self.open.set(self.open.get() - 1);
        self.responding
            .set(self.responding.get() - u32::from(responding));
    }

    pub(super) fn goodbye_sent(&self) {
        self.goodbye_sent.set(true);
    }

    pub(super) fn body_abandoned(&self, body: Incoming, now: u32) {
        self.unread_bodies.add(body, now);
    }

    pub(super) fn poll_unread_bodies(&self, now: u32, cx: &mut Context<'_>) {
        self.unread_bodies.poll(now, cx);
    }

    /// Why the connection has to be closed, or sent a GOAWAY. `quiet`: ticks without progress.
    pub(super) fn overdue(
        &self,
        now: u32,
        quiet: u32,
        draining: bool,
        limits: &TickLimits,
    ) -> Option<CloseReason> {
        self.unread_bodies.expire(now, limits);
        let head = self.head_since.get();
        if head.is_some_and(|since| now.wrapping_sub(since) >= limits.head) {
            return Some(CloseReason::HeadTimeout);
        }
        let goodbye_sent = self.goodbye_sent.get();
        if (draining || self.unread_bodies.were_many()) && !goodbye_sent {
            return Some(CloseReason::Goodbye);
        }
        match (self.open.get(), self.responding.get()) {
            // RFC 9113 section 6.8 asks the client to close after a GOAWAY; not all do.
            (0, _) if goodbye_sent => (quiet >= limits.linger).then_some(CloseReason::Quiet),
            (0, _) if self.request_seen.get() => {
                (quiet >= limits.idle).then_some(CloseReason::Goodbye)
            }
            (0, _) => (quiet >= limits.first).then_some(CloseReason::Goodbye),
            // Waiting for the service is limited by the service.
            (_, 0) => None,
            (_, _) => (quiet >= limits.body_idle).then_some(CloseReason::BodyTimeout),
        }
    }
}

/// Parses the frame headers that a client sends, to know whether a header block is incomplete.
///
/// h2 does not tell: it calls the service only for complete heads.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes of the preface that have not arrived.
    preface: u32,
    header: [u8; FRAME_HEADER],
    filled: usize,
    /// Bytes of the current frame that have not arrived.
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
                    // RFC 9113 section 6.2: any other frame within a block is a connection error, on
                    // which h2 closes the connection.
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
        fn result_does_not_depend_on_how_bytes_are_split(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0_usize..300) {
            let (mut whole, mut pieces) = (Frames::default(), Frames::default());
            whole.feed(&bytes);
            let (a, b) = bytes.split_at(at.min(bytes.len()));
            pieces.feed(a);
            pieces.feed(b);
            prop_assert_eq!(format!("{whole:?}"), format!("{pieces:?}"));
        }
    }
}
