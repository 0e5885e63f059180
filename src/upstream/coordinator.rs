//! The body of a coordinator's answer: its addresses are led back to the gateway, and the query that
//! it begins is remembered as this coordinator's.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{body::UpstreamBody, group::Group, http1::Fault};
use crate::{kinds::Kind, rewrite::addresses::Addresses};

/// A coordinator's body, streamed and rewritten.
pub struct CoordinatorBody {
    body: UpstreamBody,
    addresses: Addresses,
    ended: bool,
    group: Arc<Group>,
    kind: &'static dyn Kind,
    index: usize,
}

impl CoordinatorBody {
    /// Leads the addresses of `body` to `origin`; it is the answer of the group's server `index`.
    pub fn new(
        body: UpstreamBody,
        origin: String,
        group: &Arc<Group>,
        kind: &'static dyn Kind,
        index: usize,
    ) -> Self {
        Self {
            body,
            addresses: Addresses::new(origin),
            ended: false,
            group: Arc::clone(group),
            kind,
            index,
        }
    }
}

impl Body for CoordinatorBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = &mut *self;
        loop {
            if let Some(piece) = this.addresses.pop() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => {
                    this.ended = true;
                    this.addresses.finish();
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        this.addresses.feed(&data);
                        // before the client can ask for more of it
                        if let Some(id) = this.addresses.take_id()
                            && let Some(word) = this.kind.owner_by_id(&id)
                        {
                            this.group.owners.learn(word, this.index);
                        }
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl fmt::Debug for CoordinatorBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoordinatorBody").finish_non_exhaustive()
    }
}
