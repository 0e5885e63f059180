//! A response body that is rewritten while it is streamed, and learning the owners of queries from it.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use super::{body::UpstreamBody, group::BackendGroup, http1::Http1Error};
use crate::{
    kinds::Kind,
    rewrite::{Rewriter, addresses::Addresses},
};

/// A backend's body, sent through a [`Rewriter`].
pub(crate) struct RewrittenBody<R> {
    body: UpstreamBody,
    rewriter: R,
    /// The whole result, if the body had already arrived.
    whole: Option<Bytes>,
    ended: bool,
}

/// Rewrites the addresses in JSON and learns which server owns the query that the JSON names.
pub(crate) struct LearningAddresses {
    pub addresses: Addresses,
    /// `None` if the response does not prove that its server owns the query.
    pub learner: Option<Learner>,
}

/// Learns that a server owns the query named in its response.
#[derive(Debug)]
pub(crate) struct Learner {
    pub group: Arc<BackendGroup>,
    pub kind: &'static dyn Kind,
    /// The index of the server in `group`.
    pub index: usize,
}

// === impl LearningAddresses ===

impl Rewriter for LearningAddresses {
    fn feed(&mut self, piece: &Bytes) {
        self.addresses.feed(piece);
        // Before the piece is sent: the client's next request may follow it immediately.
        if let Some(learner) = &self.learner
            && let Some(id) = self.addresses.take_id()
            && let Some(word) = learner.kind.owner_by_id(&id)
        {
            learner.group.owners.learn(word, learner.index);
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        self.addresses.pop()
    }

    fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    fn finish(&mut self) {
        self.addresses.finish();
    }
}

// === impl RewrittenBody ===

impl<R: Rewriter> RewrittenBody<R> {
    /// Sends `body` through `rewriter`. A body that has already arrived is rewritten immediately, so
    /// that the response has a length.
    pub(crate) fn new(mut body: UpstreamBody, rewriter: R) -> Self {
        let arrived = body.take_whole();
        let mut this = Self {
            body,
            rewriter,
            whole: None,
            ended: arrived.is_some(),
        };
        if let Some(arrived) = arrived {
            this.rewriter.feed(&arrived);
            this.rewriter.finish();
            this.whole = this.take_ready();
        }
        this
    }

    /// All that is ready, in one piece: each piece would become a chunk of its own, and a page has one
    /// for every quotation mark.
    fn take_ready(&mut self) -> Option<Bytes> {
        let first = self.rewriter.pop()?;
        if self.rewriter.is_empty() {
            return Some(first);
        }
        let mut joined = BytesMut::from(first);
        while let Some(piece) = self.rewriter.pop() {
            joined.extend_from_slice(&piece);
        }
        Some(joined.freeze())
    }
}

impl<R: Rewriter + Unpin> Body for RewrittenBody<R> {
    type Data = Bytes;
    type Error = Http1Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Http1Error>>> {
        let this = &mut *self;
        loop {
            if let Some(ready) = this.whole.take().or_else(|| this.take_ready()) {
                return Poll::Ready(Some(Ok(Frame::data(ready))));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => {
                    this.ended = true;
                    this.rewriter.finish();
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        this.rewriter.feed(&data);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.whole.is_none() && self.rewriter.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.whole {
            Some(whole) => SizeHint::with_exact(whole.len() as u64),
            None if self.is_end_stream() => SizeHint::with_exact(0),
            None => SizeHint::default(),
        }
    }
}

impl<R> fmt::Debug for RewrittenBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RewrittenBody").finish_non_exhaustive()
    }
}
