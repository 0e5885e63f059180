//! The last of a connection.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::server::stream::Stream;

/// The last of a connection: what the client still sends is read and thrown away.
pub(super) struct Lingering {
    pub(super) stream: Stream,
    /// The write side is shut down.
    pub(super) shut: bool,
    /// The client may have sent more than was read as whole requests.
    pub(super) more: bool,
}

impl Lingering {
    /// Shuts down, then reads to the end; ready when nothing is left to wait for.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.shut {
            if ready!(Pin::new(&mut self.stream).poll_shutdown(cx)).is_err() {
                return Poll::Ready(());
            }
            self.shut = true;
        }
        if !self.more {
            return Poll::Ready(());
        }
        let mut waste = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut waste);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }
}
