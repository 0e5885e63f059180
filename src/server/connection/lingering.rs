//! The last of a connection.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::server::{
    stream::Stream,
    timers::{Limits, Waste},
};

/// What is read at once of what is thrown away.
const BUFFER: usize = 16 * 1024;

/// The last of a connection: what the client still sends is read and thrown away, so that a client
/// that sends its whole body before it reads gets its answer (Java's and Python's do).
pub(super) struct Lingering {
    stream: Stream,
    /// The write side is shut down.
    shut: bool,
    /// The client may have sent more than was read as whole requests.
    more: bool,
    waste: Waste,
}

impl Lingering {
    pub(super) const fn new(stream: Stream, more: bool, now: u32) -> Self {
        Self {
            stream,
            shut: false,
            more,
            waste: Waste::begin(now),
        }
    }

    /// Shuts down, then reads to the end; ready when nothing is left to wait for. To be called at
    /// every tick, too.
    pub(super) fn poll(&mut self, now: u32, limits: &Limits, cx: &mut Context<'_>) -> Poll<()> {
        if self.waste.is_over(now, limits) {
            return Poll::Ready(());
        }
        if !self.shut {
            if ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).is_err() {
                return Poll::Ready(());
            }
            self.shut = true;
        }
        if !self.more {
            return Poll::Ready(());
        }
        let mut bytes = [0; BUFFER];
        loop {
            let mut buf = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf));
            let size = buf.filled().len();
            if read.is_err() || size == 0 || !self.waste.take(size, now) {
                return Poll::Ready(());
            }
        }
    }
}
