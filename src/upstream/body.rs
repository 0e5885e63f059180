//! The body of a backend's answer; its end gives the connection back to the pool.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::pool::Lease;

/// A body of no more than this is looked at for its end.
const SMALL: usize = 8 * 1024;

/// Takes along what has come of a body without a length (chunked); `true`: that is all of it, so
/// that one write carries head and body, and a length says where it ends. Never waits for the
/// backend.
pub(super) async fn look_ahead(
    prefix: &mut Option<Bytes>,
    incoming: &mut Incoming,
) -> Result<bool, hyper::Error> {
    let mut yielded = false;
    poll_fn(|cx| {
        loop {
            let polled = Pin::new(&mut *incoming).poll_frame(cx);
            let data = match polled? {
                Poll::Ready(None) => return Poll::Ready(Ok(true)),
                // a backend's trailers end here
                Poll::Ready(Some(frame)) => {
                    yielded = false;
                    frame.into_data().unwrap_or_default()
                }
                Poll::Pending if yielded || prefix.is_none() => return Poll::Ready(Ok(false)),
                Poll::Pending => {
                    // the connection's task has been woken, and goes before this one
                    yielded = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
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
                return Poll::Ready(Ok(false));
            }
        }
    })
    .await
}

/// A backend's body, streamed.
#[derive(Debug)]
pub struct UpstreamBody {
    /// The start of the body, where it has been looked at.
    prefix: Option<Bytes>,
    /// Nothing comes after the prefix.
    whole: bool,
    incoming: Incoming,
    lease: Option<Lease>,
}

impl UpstreamBody {
    /// Takes over what is left of an answer and the connection that it comes on. `whole`: that is
    /// the prefix alone.
    pub fn new(prefix: Option<Bytes>, whole: bool, incoming: Incoming, lease: Lease) -> Self {
        let mut body = Self {
            prefix,
            whole,
            incoming,
            lease: Some(lease),
        };
        if body.nothing_comes() {
            body.finish();
        }
        body
    }

    fn nothing_comes(&self) -> bool {
        self.whole || self.incoming.is_end_stream()
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
        if self.whole {
            return Poll::Ready(None);
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
        self.prefix.is_none() && self.nothing_comes()
    }

    fn size_hint(&self) -> SizeHint {
        let hint = if self.whole {
            SizeHint::with_exact(0)
        } else {
            self.incoming.size_hint()
        };
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
