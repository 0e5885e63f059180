//! The body of an answer that names addresses: they are led to the gateway as it streams, and the query
//! that it begins is remembered as its coordinator's.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::{body::UpstreamBody, group::Group, http1::Fault};
use crate::{
    kinds::Kind,
    rewrite::addresses::{Addresses, Lead},
};

/// A backend's JSON, streamed and rewritten.
pub struct AddressedBody {
    body: UpstreamBody,
    addresses: Addresses,
    /// What is ready, where all of it is.
    whole: Option<Bytes>,
    ended: bool,
    learner: Option<Learner>,
}

/// Remembers which server has begun what the answer names.
#[derive(Debug)]
pub struct Learner {
    /// The servers.
    pub group: Arc<Group>,
    /// What they are.
    pub kind: &'static dyn Kind,
    /// The one that answered.
    pub index: usize,
}

impl AddressedBody {
    /// Leads the addresses of `body` by `lead`. One that is here already, up to its end, is rewritten
    /// at once, so that it has a length.
    pub fn new(mut body: UpstreamBody, lead: Lead, learner: Option<Learner>) -> Self {
        let known = body.take_whole();
        let mut this = Self {
            body,
            addresses: Addresses::new(lead),
            whole: None,
            ended: known.is_some(),
            learner,
        };
        if let Some(known) = known {
            this.feed(&known);
            this.addresses.finish();
            let mut whole = BytesMut::with_capacity(known.len() + known.len() / 4);
            while let Some(piece) = this.addresses.pop() {
                whole.extend_from_slice(&piece);
            }
            this.whole = (!whole.is_empty()).then(|| whole.freeze());
        }
        this
    }

    fn feed(&mut self, data: &Bytes) {
        self.addresses.feed(data);
        // before the client can ask for more of it
        if let Some(learner) = &self.learner
            && let Some(id) = self.addresses.take_id()
            && let Some(word) = learner.kind.owner_by_id(&id)
        {
            learner.group.owners.learn(word, learner.index);
        }
    }
}

impl Body for AddressedBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = &mut *self;
        if let Some(whole) = this.whole.take() {
            return Poll::Ready(Some(Ok(Frame::data(whole))));
        }
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
                        this.feed(&data);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.whole.is_none() && self.addresses.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.whole {
            Some(whole) => SizeHint::with_exact(whole.len() as u64),
            None if self.is_end_stream() => SizeHint::with_exact(0),
            None => SizeHint::default(),
        }
    }
}

impl fmt::Debug for AddressedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressedBody").finish_non_exhaustive()
    }
}
