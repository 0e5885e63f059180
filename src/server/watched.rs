//! What hyper reads and writes through: tells the connection's state what passes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::server::{
    stream::Stream,
    timers::{Phase, State},
};

/// A stream whose bytes are watched.
#[derive(Debug)]
pub(super) struct Watched {
    stream: Stream,
    state: Rc<State>,
}

impl Watched {
    pub(super) const fn new(stream: Stream, state: Rc<State>) -> Self {
        Self { stream, state }
    }

    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        this.state.read_blocked.set(true);
        let read = ready!(Pin::new(&mut this.stream).poll_read(cx, buf));
        this.state.read_blocked.set(false);
        if read.is_ok() {
            this.state.on_read(&buf.filled()[before..]);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.state.withholds() {
            return Poll::Ready(Ok(buf.len()));
        }
        this.state.flushed.set(false);
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, buf));
        this.state.on_write();
        Poll::Ready(written)
    }

    /// hyper flushes when its own buffer is empty, so a flush that succeeds says that everything
    /// is out.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = ready!(Pin::new(&mut this.stream).poll_flush(cx));
        match &flushed {
            Ok(()) => this.state.on_flush(),
            Err(_) => this.state.flushed.set(false),
        }
        Poll::Ready(flushed)
    }

    /// The connection shuts down by itself once it has the stream back: it may be parked instead.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.state.phase() {
            // neither gives the stream back
            Phase::Multiplexed | Phase::Tunnel => Pin::new(&mut this.stream).poll_shutdown(cx),
            Phase::Handshake
            | Phase::Idle
            | Phase::Head
            | Phase::Busy
            | Phase::Body
            | Phase::Tail
            | Phase::Linger => Poll::Ready(Ok(())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.state.withholds() {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        this.state.flushed.set(false);
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, bufs));
        this.state.on_write();
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
