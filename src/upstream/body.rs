//! The body of a backend's answer; its end gives the connection back to the pool.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::task::yield_now;

use super::{
    http1::{Connection, Fault},
    pool::Lease,
    upload::SendBody,
};

/// A body of no more than this is looked at for its end.
const SMALL: usize = 8 * 1024;

/// Takes along what has come of a body without a length (chunked); `true`: that is all of it, so
/// that one write carries head and body, and a length says where it ends. Does not wait for the
/// backend for longer than a look at the sockets takes.
pub(super) async fn look_ahead(
    prefix: &mut Option<Bytes>,
    connection: &mut Connection<SendBody>,
) -> Result<bool, Fault> {
    let mut looked = false;
    while !connection.has_ended() {
        let data = match poll_fn(|cx| Poll::Ready(connection.poll_data(cx))).await {
            Poll::Ready(None) => break,
            Poll::Ready(Some(data)) => data?,
            Poll::Pending if looked || prefix.is_none() => return Ok(false),
            Poll::Pending => {
                looked = true;
                yield_now().await;
                continue;
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
            break;
        }
    }
    Ok(connection.has_ended())
}

/// A backend's body, streamed.
#[derive(Debug)]
pub struct UpstreamBody {
    /// The start of the body, where it has been looked at.
    prefix: Option<Bytes>,
    /// Until the body's end, or what broke it off.
    lease: Option<Lease>,
    /// What broke it off, until it is told.
    fault: Option<Box<Fault>>,
}

impl UpstreamBody {
    /// Takes over what is left of an answer, and the connection that it comes on.
    pub fn new(prefix: Option<Bytes>, lease: Lease) -> Self {
        let mut body = Self {
            prefix,
            lease: Some(lease),
            fault: None,
        };
        body.give_back_at_end();
        body
    }

    fn give_back_at_end(&mut self) {
        if let Some(lease) = self.lease.take_if(|lease| lease.connection.has_ended()) {
            lease.give_back();
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
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
                // what came before it goes out first
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
