//! The stream that hyper reads from and writes to: reports every read, write and flush to the
//! connection's state.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    state::{ConnectionState, Phase},
    stream::Stream,
};

#[derive(Debug)]
pub(super) struct ObservedStream {
    stream: Stream,
    state: Rc<ConnectionState>,
}

impl ObservedStream {
    pub(super) const fn new(stream: Stream, state: Rc<ConnectionState>) -> Self {
        Self { stream, state }
    }

    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }
}

impl AsyncRead for ObservedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        this.state.read_pending();
        let read = ready!(Pin::new(&mut this.stream).poll_read(cx, buf));
        this.state.read_finished();
        if read.is_ok() {
            this.state.bytes_read(&buf.filled()[before..]);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for ObservedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.state.withholds_write() {
            return Poll::Ready(Ok(buf.len()));
        }
        this.state.write_started();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, buf));
        this.state.bytes_written();
        Poll::Ready(written)
    }

    /// hyper flushes only after its own buffer is empty, so a successful flush means that the whole
    /// response is written.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = ready!(Pin::new(&mut this.stream).poll_flush(cx));
        match &flushed {
            Ok(()) => this.state.flushed(),
            Err(_) => this.state.flush_failed(),
        }
        Poll::Ready(flushed)
    }

    /// Ignored on HTTP/1.1: hyper shuts down when it is taken apart, also for parking. The connection
    /// gets the stream back and shuts it down itself where it is to be closed.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.state.phase() {
            // The stream does not come back from these.
            Phase::Multiplexed | Phase::Tunnel => Pin::new(&mut this.stream).poll_shutdown(cx),
            Phase::Handshake
            | Phase::Idle
            | Phase::Head
            | Phase::Service
            | Phase::Response
            | Phase::UploadTail
            | Phase::Linger => Poll::Ready(Ok(())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.state.withholds_write() {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        this.state.write_started();
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, bufs));
        this.state.bytes_written();
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
