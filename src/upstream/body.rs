//! The body of a backend's response; at its end the connection returns to the pool.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::{
    http1::{Connection, Http1Error},
    pool::Lease,
    upload::SendBody,
};

/// In bytes: a body is read ahead up to this size. It is enough for `GETFILESTATUS`, of which two
/// thirds of the responses arrived in two pieces.
const SMALL: usize = 8 * 1024;

/// Reads what has arrived of a body without a length (chunked), up to its end. A short response can
/// then be sent with one write and a `Content-Length`. Waits for the end of a body that has begun. If
/// the future is dropped, what it has read stays in `prefix`.
pub(super) async fn look_ahead(
    prefix: &mut Option<Bytes>,
    connection: &mut Connection<SendBody>,
) -> Result<(), Http1Error> {
    while !connection.has_ended() {
        let begun = prefix.is_some();
        let data = poll_fn(|cx| match connection.poll_data(cx) {
            // A server that has sent only a head streams events, or computes for longer.
            Poll::Pending if !begun => Poll::Ready(None),
            polled => polled,
        });
        let Some(data) = data.await.transpose()? else {
            break;
        };
        let known = prefix.take().unwrap_or_default();
        let all = if known.is_empty() {
            data
        } else {
            let mut all = BytesMut::from(known);
            all.extend_from_slice(&data);
            all.freeze()
        };
        let large = all.len() > SMALL;
        *prefix = Some(all);
        if large {
            break;
        }
    }
    Ok(())
}

#[derive(Debug)]
pub(crate) struct UpstreamBody {
    /// The start of the body, if it has been read.
    prefix: Option<Bytes>,
    /// `None` after the end of the body, or after an error.
    lease: Option<Lease>,
    /// The error that ended it, until it is reported.
    fault: Option<Box<Http1Error>>,
}

impl UpstreamBody {
    pub(crate) fn new(prefix: Option<Bytes>, lease: Lease) -> Self {
        let mut body = Self {
            prefix,
            lease: Some(lease),
            fault: None,
        };
        body.give_back_at_end();
        body
    }

    /// Takes all of the body, if it has arrived completely.
    pub(crate) fn take_whole(&mut self) -> Option<Bytes> {
        let here = self.lease.is_none() && self.fault.is_none();
        here.then(|| self.prefix.take().unwrap_or_default())
    }

    fn give_back_at_end(&mut self) {
        if let Some(lease) = self.lease.take_if(|lease| lease.connection.has_ended()) {
            lease.give_back();
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = Http1Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Http1Error>>> {
        if let Some(prefix) = self.prefix.take() {
            return Poll::Ready(Some(Ok(Frame::data(prefix))));
        }
        let Some(lease) = &mut self.lease else {
            return Poll::Ready(self.fault.take().map(|fault| Err(*fault)));
        };
        match ready!(lease.connection.poll_data(cx)) {
            Some(Err(fault)) => {
                self.lease = None;
                self.fault = Some(Box::new(fault));
                // One more poll, so that hyper flushes what came before the error.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            data => {
                self.give_back_at_end();
                Poll::Ready(data.map(|data| data.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.prefix.is_none() && self.lease.is_none() && self.fault.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = match &self.lease {
            Some(lease) => lease.connection.size_hint(),
            None if self.fault.is_some() => SizeHint::default(),
            None => SizeHint::with_exact(0),
        };
        let Some(prefix) = &self.prefix else {
            return rest;
        };
        let extra = prefix.len() as u64;
        let mut sum = SizeHint::new();
        sum.set_lower(rest.lower() + extra);
        if let Some(upper) = rest.upper() {
            sum.set_upper(upper + extra);
        }
        sum
    }
}
