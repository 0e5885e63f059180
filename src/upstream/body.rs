//! The body of a backend's answer; its end gives the connection back to the pool.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::pool::Lease;

/// A backend's body, streamed.
#[derive(Debug)]
pub struct UpstreamBody {
    /// The start of the body, where a kind had to look at it.
    prefix: Option<Bytes>,
    incoming: Incoming,
    lease: Option<Lease>,
}

impl UpstreamBody {
    /// Takes over what is left of an answer and the connection that it comes on.
    pub fn new(prefix: Option<Bytes>, incoming: Incoming, lease: Lease) -> Self {
        let mut body = Self {
            prefix,
            incoming,
            lease: Some(lease),
        };
        if body.incoming.is_end_stream() {
            body.finish();
        }
        body
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(prefix) = self.prefix.take() {
            return Poll::Ready(Some(Ok(Frame::data(prefix))));
        }
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                None => {
                    self.finish();
                    None
                }
                // a backend's trailers end here
                Some(Ok(frame)) if frame.is_trailers() => continue,
                Some(Ok(frame)) => Some(Ok(frame)),
                Some(Err(error)) => {
                    self.lease = None;
                    Some(Err(error))
                }
            });
        }
    }

    fn is_end_stream(&self) -> bool {
        self.prefix.is_none() && self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.incoming.size_hint();
        let Some(prefix) = &self.prefix else {
            return hint;
        };
        let extra = prefix.len() as u64;
        let mut sum = SizeHint::new();
        sum.set_lower(hint.lower() + extra);
        if let Some(upper) = hint.upper() {
            sum.set_upper(upper + extra);
        }
        sum
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        if self.incoming.is_end_stream() {
            self.finish();
        }
    }
}
