//! One connection: sends a request and reads the response, concurrently if the body is long.

use std::{
    fmt,
    io::{self, IoSlice, Write as _},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body;
use tokio::io::{AsyncReadExt, AsyncWrite};

use super::{Decoder, Head, Heads, Http1Error, Length, RequestHead};
use crate::upstream::wire::Wire;

/// The size of the read buffer in bytes: at first, and at most, if the server fills it each time.
const WINDOW: usize = 8 * 1024;
// More costs CPU: for a WebHDFS GET of 1 GiB the throughput per CPU was 0.93 of HAProxy's with 64 KiB
// and 0.87 to 0.89 with 128 KiB.
const MAX_WINDOW: usize = 64 * 1024;

/// One connection to a backend; `B` is the type of request bodies.
pub(crate) struct Connection<B> {
    wire: Wire,
    input: BytesMut,
    heads: Heads,
    window: usize,
    sending: Option<Sending<B>>,
    decoder: Decoder,
    to_head: bool,
    /// Whether some of the request has been written.
    begun: bool,
    /// Why the rest of it could not be written.
    lost: Option<Http1Error>,
    keep_alive: bool,
}

/// A request on its way out.
struct Sending<B> {
    /// Precedes the data: the head, or a chunk size. `written` bytes of it are written.
    front: Vec<u8>,
    written: usize,
    data: Bytes,
    /// `None` once it has ended.
    body: Option<B>,
    /// Bytes of the body that are still to be sent; `None`: it is sent in chunks.
    left: Option<u64>,
    /// Whether no chunk has been sent yet.
    first: bool,
}

/// The future of [`Connection::exchange`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Exchange<'c, B>(&'c mut Connection<B>);

/// There is no response.
#[derive(Debug)]
pub(crate) struct ExchangeFailure {
    /// Nothing of the request was written, so it can be sent again safely.
    pub unsent: bool,
    pub error: Http1Error,
}

// === impl Connection ===

impl<B> Connection<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    pub(crate) fn new(wire: Wire) -> Self {
        Self {
            wire,
            input: BytesMut::new(),
            heads: Heads::default(),
            window: WINDOW,
            sending: None,
            decoder: Decoder::Ended,
            to_head: false,
            begun: false,
            lost: None,
            keep_alive: true,
        }
    }

    /// Whether an idle connection cannot be used again: the server has closed it, or has sent something
    /// that no request asked for.
    pub(crate) fn is_closed(&mut self) -> bool {
        !self.is_reusable() || !self.wire.is_silent()
    }

    /// Whether another request may be sent: the last exchange is complete and the connection is kept
    /// alive.
    pub(crate) fn is_reusable(&self) -> bool {
        self.keep_alive
            && self.decoder.has_ended()
            && self.sending.is_none()
            && self.input.is_empty()
    }

    /// Sends a request and waits for the head of the response.
    pub(crate) fn exchange(&mut self, head: RequestHead, body: B) -> Exchange<'_, B> {
        self.to_head = head.is_to_head();
        let length = Length::of(&body);
        // The next request must not be read as this body, or the other way round (request smuggling).
        if length != Length::None && head.gives_no_meaning_to_a_body() {
            self.keep_alive = false;
        }
        self.begun = false;
        self.lost = None;
        self.window = WINDOW;
        self.sending = Some(Sending {
            front: head.end(length),
            written: 0,
            data: Bytes::new(),
            body: (length != Length::None).then_some(body),
            left: match length {
                Length::None => Some(0),
                Length::Known(bytes) => Some(bytes),
                Length::Unknown => None,
            },
            first: true,
        });
        Exchange(self)
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, ExchangeFailure>> {
        match self.poll_send(cx) {
            Poll::Pending | Poll::Ready(Ok(())) => {}
            // A server that closes while it is being sent to may have responded before: a 413, or a
            // 401 to an upload.
            Poll::Ready(Err(error @ Http1Error::Io(_))) if self.begun => self.lost = Some(error),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(self.failed(error))),
        }
        loop {
            match self.heads.take(&mut self.input, self.to_head) {
                Ok(Some(head)) => {
                    self.keep_alive &= head.keep_alive;
                    self.decoder = head.decoder;
                    return Poll::Ready(Ok(head));
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(self.failed(error))),
            }
            let error = match ready!(self.poll_read(cx)) {
                Ok(0) => Http1Error::Closed,
                Ok(_) => continue,
                Err(error) => error.into(),
            };
            let error = self.lost.take().unwrap_or(error);
            return Poll::Ready(Err(self.failed(error)));
        }
    }

    fn failed(&mut self, error: Http1Error) -> ExchangeFailure {
        self.keep_alive = false;
        ExchangeFailure {
            unsent: !self.begun,
            error,
        }
    }

    /// The next piece of the response body; the rest of the request is sent meanwhile.
    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Http1Error>>> {
        // A response that begins before the end of its request is complete in itself, even if the rest
        // of the request cannot be sent.
        let _sent = self.poll_send(cx);
        loop {
            match self.decoder.decode(&mut self.input) {
                Ok(Some(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(None) if self.decoder.has_ended() => return Poll::Ready(None),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(self.failed(error).error))),
            }
            let read = match ready!(self.poll_read(cx)) {
                Ok(0) => self.decoder.close(),
                Ok(_) => Ok(()),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = read {
                return Poll::Ready(Some(Err(self.failed(error).error)));
            }
        }
    }

    /// Whether the response body has ended.
    pub(crate) const fn has_ended(&self) -> bool {
        self.decoder.has_ended()
    }

    /// The size of what has not been read of the response body.
    pub(crate) fn size_hint(&self) -> http_body::SizeHint {
        self.decoder.size_hint()
    }

    /// The socket, and the bytes already read from it: after a 101 another protocol follows.
    pub(crate) fn into_parts(self) -> (Wire, Bytes) {
        (self.wire, self.input.freeze())
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let room = self.input.capacity() - self.input.len();
        if room < self.window / 2 {
            self.input.reserve(self.window);
        }
        let room = self.input.capacity() - self.input.len();
        let read = ready!(pin!(self.wire.read_buf(&mut self.input)).poll(cx))?;
        if read == room {
            self.window = (2 * self.window).min(MAX_WINDOW);
        }
        Poll::Ready(Ok(read))
    }

    /// Sends as much as the socket takes; after an error nothing more is sent.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Http1Error>> {
        let Some(sending) = &mut self.sending else {
            return Poll::Ready(Ok(()));
        };
        let sent = ready!(sending.poll(cx, &mut self.wire, &mut self.begun));
        self.sending = None;
        if sent.is_err() {
            self.keep_alive = false;
        }
        Poll::Ready(sent)
    }
}

impl<B> fmt::Debug for Connection<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("wire", &self.wire)
            .field("decoder", &self.decoder)
            .finish_non_exhaustive()
    }
}

// === impl Exchange ===

impl<B> Future for Exchange<'_, B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    type Output = Result<Head, ExchangeFailure>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_head(cx)
    }
}

// === impl Sending ===

impl<B> Sending<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        wire: &mut Wire,
        begun: &mut bool,
    ) -> Poll<Result<(), Http1Error>> {
        loop {
            if self.data.is_empty() && self.body.is_some() {
                self.gather(cx)?;
            }
            let front = &self.front[self.written..];
            let written = match (front, &*self.data) {
                ([], []) => {
                    ready!(Pin::new(&mut *wire).poll_flush(cx))?;
                    return match self.body {
                        None => Poll::Ready(Ok(())),
                        Some(_) => Poll::Pending,
                    };
                }
                ([], data) => Pin::new(&mut *wire).poll_write(cx, data),
                (front, []) => Pin::new(&mut *wire).poll_write(cx, front),
                (front, data) => {
                    let both = [IoSlice::new(front), IoSlice::new(data)];
                    Pin::new(&mut *wire).poll_write_vectored(cx, &both)
                }
            };
            let written = ready!(written)?;
            if written == 0 {
                return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
            }
            *begun = true;
            let of_front = written.min(front.len());
            self.written += of_front;
            self.data.advance(written - of_front);
        }
    }

    /// Fetches more of the body, if there is more.
    fn gather(&mut self, cx: &mut Context<'_>) -> Result<(), Http1Error> {
        while let Some(body) = &mut self.body
            && let Poll::Ready(frame) = Pin::new(body).poll_frame(cx)
        {
            match frame {
                None => self.end()?,
                Some(Err(error)) => return Err(Http1Error::Upload(error.into())),
                Some(Ok(frame)) => {
                    // Trailers are not forwarded: a server may merge them into the headers (RFC 9110
                    // section 6.5.1), which have been checked before.
                    let Ok(data) = frame.into_data() else {
                        continue;
                    };
                    if data.is_empty() {
                        continue;
                    }
                    self.announce(data.len())?;
                    self.data = data;
                    if self.body.as_ref().is_some_and(Body::is_end_stream) && self.left.is_some() {
                        self.end()?;
                    }
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Prepares for a piece of the body.
    fn announce(&mut self, size: usize) -> Result<(), Http1Error> {
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(size as u64)
                .ok_or_else(|| Http1Error::Upload("the body is longer than announced".into()))?;
            return Ok(());
        }
        self.say(if self.first { b"" } else { b"\r\n" });
        self.first = false;
        Ok(write!(self.front, "{size:X}\r\n")?)
    }

    fn end(&mut self) -> Result<(), Http1Error> {
        self.body = None;
        match self.left {
            Some(0) => {}
            Some(_) => {
                return Err(Http1Error::Upload(
                    "the body is shorter than announced".into(),
                ));
            }
            None if self.first => self.say(b"0\r\n\r\n"),
            None => self.say(b"\r\n0\r\n\r\n"),
        }
        Ok(())
    }

    fn say(&mut self, bytes: &[u8]) {
        if self.written == self.front.len() {
            self.front.clear();
            self.written = 0;
        }
        self.front.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests;
