//! A request's body as services get it, and what becomes of one that nobody reads.
//!
//! An HTTP/1.1 connection handles that itself (`Lingering`). On HTTP/2 an answer that comes before
//! the end of its request's body may be followed by `RST_STREAM(NO_ERROR)` (RFC 9113 section 8.1),
//! but clients fail at that: curl 7.88 reports error 92, and Python's httpx and Java's
//! `java.net.http` read no answer before they have sent the whole body. The connection therefore
//! reads the rest and throws it away, while the answer is sent and after. [`Waste`] bounds how much
//! and for how long: nobody has logged in for it.

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

use crate::server::timers::{Limits, State, Waste};

/// After this many a connection is told to go, long before h2 ends it for what curl does: it ends a
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
    waste: Waste,
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
            waste: Waste::begin(now),
        });
    }

    pub(super) fn were_many(&self) -> bool {
        self.count.get() >= MANY
    }

    /// Throws away what has come; dropping a body before its end resets its stream.
    pub(super) fn poll(&self, now: u32, cx: &mut Context<'_>) {
        self.all
            .borrow_mut()
            .retain_mut(|leftover| leftover.poll(now, cx).is_pending());
    }

    /// Gives up on those whose time is over.
    pub(super) fn expire(&self, now: u32, limits: &Limits) {
        self.all
            .borrow_mut()
            .retain(|leftover| !leftover.waste.is_over(now, limits));
    }
}

impl Leftover {
    fn poll(&mut self, now: u32, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(Ok(frame)) = ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            let size = frame.data_ref().map_or(0, Bytes::len);
            if !self.waste.take(size, now) {
                break;
            }
        }
        Poll::Ready(())
    }
}
