//! A request's body as services get it, and what becomes of one that nobody reads.
//!
//! An HTTP/1.1 connection looks after that itself. On HTTP/2 an answer that comes before the end of
//! its request's body is followed by a `RST_STREAM` (RFC 9113 section 8.1), which some clients
//! (curl 7.88) take for the answer's failure. What is left of a small body is therefore read and
//! thrown away by the connection, while the answer is on its way and after.

use std::{
    cell::{Cell, RefCell},
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::server::timers::State;

/// What is thrown away of a body, at most; one that is, or turns out to be, larger is reset.
const WASTE: u64 = 256 * 1024;
/// After so many a connection is told to go, long before h2 ends it for what curl does: it ends a
/// body that is not wanted short of its `Content-Length`, which is an error of the stream.
const MANY: u32 = 512;

/// A client's body.
#[derive(Debug)]
pub struct RequestBody(Kind);

#[derive(Debug)]
enum Kind {
    Http1(Incoming),
    Http2(OfStream),
}

/// The body of a stream, until it is dropped.
struct OfStream {
    /// Taken when it is dropped.
    body: Option<Incoming>,
    state: Rc<State>,
}

/// Bodies that nobody reads any more; no more than the connection has streams.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    all: RefCell<Vec<Leftover>>,
    /// All that there ever were.
    count: Cell<u32>,
}

#[derive(Debug)]
struct Leftover {
    body: Incoming,
    /// What may still come.
    room: u64,
    /// The tick at which it was left.
    since: u32,
}

// === impl RequestBody ===

impl RequestBody {
    pub(super) fn http1(body: Incoming) -> Self {
        Self(Kind::Http1(body))
    }

    pub(super) fn http2(body: Incoming, state: &Rc<State>) -> Self {
        Self(Kind::Http2(OfStream {
            body: Some(body),
            state: Rc::clone(state),
        }))
    }

    fn incoming(&self) -> Option<&Incoming> {
        match &self.0 {
            Kind::Http1(body) => Some(body),
            Kind::Http2(stream) => stream.body.as_ref(),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Kind::Http1(body) => Pin::new(body).poll_frame(cx),
            Kind::Http2(stream) => match &mut stream.body {
                Some(body) => Pin::new(body).poll_frame(cx),
                None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming()
            .map_or_else(SizeHint::default, Body::size_hint)
    }
}

// === impl OfStream ===

impl fmt::Debug for OfStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.body, f)
    }
}

impl Drop for OfStream {
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && !body.is_end_stream()
            && body.size_hint().lower() <= WASTE
        {
            self.state.on_leftover(body);
        }
    }
}

// === impl Leftovers ===

impl Leftovers {
    pub(super) fn add(&self, body: Incoming, now: u32) {
        self.count.set(self.count.get().saturating_add(1));
        self.all.borrow_mut().push(Leftover {
            body,
            room: WASTE,
            since: now,
        });
    }

    pub(super) fn were_many(&self) -> bool {
        self.count.get() >= MANY
    }

    /// Throws away what has come; dropping a body before its end resets its stream.
    pub(super) fn poll(&self, cx: &mut Context<'_>) {
        self.all
            .borrow_mut()
            .retain_mut(|leftover| leftover.poll(cx).is_pending());
    }

    /// Gives up on those that were left `limit` ticks ago.
    pub(super) fn expire(&self, now: u32, limit: u32) {
        self.all
            .borrow_mut()
            .retain(|leftover| now.wrapping_sub(leftover.since) < limit);
    }
}

impl Leftover {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(Ok(frame)) = ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            let size = frame.data_ref().map_or(0, Bytes::len);
            let Some(room) = self.room.checked_sub(size as u64) else {
                break;
            };
            self.room = room;
        }
        Poll::Ready(())
    }
}
