//! A request's body as the service reads it, and the rest of a body that the service does not read.
//!
//! On HTTP/1.1 the connection reads the rest (`Lingering`). On HTTP/2 a response that is complete
//! before its request's body may be followed by `RST_STREAM(NO_ERROR)` (RFC 9113 section 8.1),
//! but clients fail on that: curl 7.88 reports error 92, and Python's httpx and Java's
//! `java.net.http` read no response before they have sent the whole body. The connection therefore
//! reads and discards the rest, during the response and after it. [`DiscardBudget`] limits its
//! bytes and time, because such a client need not have logged in.

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

use super::{discard::DiscardBudget, state::ConnectionState};
use crate::server::clock::TickLimits;

/// Unread bodies after which a connection is sent a GOAWAY.
///
/// On a final response curl ends its upload short of the `Content-Length`, which is a stream error.
/// h2 closes a connection after `MAX_ERRORS` (1024) of them.
const MANY: u32 = 512;

/// The body of a client's request.
#[derive(Debug)]
pub struct RequestBody(Kind);

#[derive(Debug)]
enum Kind {
    Http1(Incoming),
    Http2(StreamBody),
}

struct StreamBody {
    /// Taken when the body is dropped.
    body: Option<Incoming>,
    state: Rc<ConnectionState>,
}

/// Bodies that the service has dropped. There are no more of them than open streams.
#[derive(Debug, Default)]
pub(super) struct UnreadBodies {
    all: RefCell<Vec<UnreadBody>>,
    /// Bodies ever added.
    count: Cell<u32>,
}

#[derive(Debug)]
struct UnreadBody {
    body: Incoming,
    budget: DiscardBudget,
}

// === impl RequestBody ===

impl RequestBody {
    pub(super) fn http1(body: Incoming) -> Self {
        Self(Kind::Http1(body))
    }

    pub(super) fn http2(body: Incoming, state: &Rc<ConnectionState>) -> Self {
        Self(Kind::Http2(StreamBody {
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

// === impl StreamBody ===

impl fmt::Debug for StreamBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.body, f)
    }
}

impl Drop for StreamBody {
    fn drop(&mut self) {
        if let Some(body) = self.body.take()
            && !body.is_end_stream()
        {
            self.state.body_abandoned(body);
        }
    }
}

// === impl UnreadBodies ===

impl UnreadBodies {
    pub(super) fn add(&self, body: Incoming, now: u32) {
        self.count.set(self.count.get().saturating_add(1));
        self.all.borrow_mut().push(UnreadBody {
            body,
            budget: DiscardBudget::new(now),
        });
    }

    pub(super) fn were_many(&self) -> bool {
        self.count.get() >= MANY
    }

    /// Discards what has arrived. Dropping a body before its end resets its stream.
    pub(super) fn poll(&self, now: u32, cx: &mut Context<'_>) {
        self.all
            .borrow_mut()
            .retain_mut(|unread| unread.poll(now, cx).is_pending());
    }

    pub(super) fn expire(&self, now: u32, limits: &TickLimits) {
        self.all
            .borrow_mut()
            .retain(|unread| !unread.budget.is_exhausted(now, limits));
    }
}

impl UnreadBody {
    fn poll(&mut self, now: u32, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(Ok(frame)) = ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            let size = frame.data_ref().map_or(0, Bytes::len);
            if !self.budget.spend(size, now) {
                break;
            }
        }
        Poll::Ready(())
    }
}
