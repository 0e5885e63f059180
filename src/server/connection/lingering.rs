//! The end of a connection: the write side is shut down, and what the client still sends is
//! discarded until it closes.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{discard::DiscardBudget, stream::Stream};
use crate::server::clock::TickLimits;

const BUFFER: usize = 16 * 1024;

pub(super) struct Lingering {
    stream: Stream,
    shut_down: bool,
    /// The client may have sent more than the requests that were read completely.
    more: bool,
    budget: DiscardBudget,
}

impl Lingering {
    pub(super) const fn new(stream: Stream, more: bool, now: u32) -> Self {
        Self {
            stream,
            shut_down: false,
            more,
            budget: DiscardBudget::new(now),
        }
    }

    /// Shuts down, then reads to the end. Has to be polled at every tick too, because it has no
    /// timer of its own.
    pub(super) fn poll(&mut self, now: u32, limits: &TickLimits, cx: &mut Context<'_>) -> Poll<()> {
        if self.budget.is_exhausted(now, limits) {
            return Poll::Ready(());
        }
        if !self.shut_down {
            if ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).is_err() {
                return Poll::Ready(());
            }
            self.shut_down = true;
        }
        if !self.more {
            return Poll::Ready(());
        }
        let mut bytes = [0; BUFFER];
        loop {
            let mut buf = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf));
            let size = buf.filled().len();
            if read.is_err() || size == 0 || !self.budget.spend(size, now) {
                return Poll::Ready(());
            }
        }
    }
}
