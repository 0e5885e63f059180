//! The body of a page that names other servers: their addresses are led to the gateway as it streams.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::{body::UpstreamBody, http1::Fault};
use crate::rewrite::pages::{Lead, Pages};

/// A backend's page, streamed and rewritten.
pub struct PageBody {
    body: UpstreamBody,
    pages: Pages,
    ended: bool,
}

impl PageBody {
    /// Leads the addresses in `body` by `lead`.
    pub fn new(body: UpstreamBody, lead: Lead) -> Self {
        Self {
            body,
            pages: Pages::new(lead),
            ended: false,
        }
    }
}

impl Body for PageBody {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let this = &mut *self;
        loop {
            if let Some(piece) = this.pages.pop() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => {
                    this.ended = true;
                    this.pages.finish();
                }
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        this.pages.feed(&data);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.pages.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl fmt::Debug for PageBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageBody").finish_non_exhaustive()
    }
}
