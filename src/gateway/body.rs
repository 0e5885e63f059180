//! The body of every response that the gateway sends.
//!
//! An `enum` and not a boxed trait object: a response of a backend that is passed through costs no
//! allocation.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::{
    rewrite::pages::Pages,
    upstream::{
        body::UpstreamBody,
        http1::Http1Error,
        rewritten::{LearningAddresses, RewrittenBody},
    },
};

#[derive(Debug, Default)]
pub(crate) enum Body {
    #[default]
    Empty,
    /// A response of the gateway itself, complete.
    Full(Bytes),
    /// A backend's, passed through.
    Upstream(UpstreamBody),
    /// A backend's JSON, whose addresses are rewritten.
    Addressed(Box<RewrittenBody<LearningAddresses>>),
    /// A backend's page, whose links are rewritten.
    Page(Box<RewrittenBody<Pages>>),
}

impl From<Bytes> for Body {
    fn from(page: Bytes) -> Self {
        if page.is_empty() {
            Self::Empty
        } else {
            Self::Full(page)
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Http1Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Http1Error>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Full(page) => {
                let page = std::mem::take(page);
                *self = Self::Empty;
                Poll::Ready(Some(Ok(Frame::data(page))))
            }
            Self::Upstream(body) => Pin::new(body).poll_frame(cx),
            Self::Addressed(body) => Pin::new(&mut **body).poll_frame(cx),
            Self::Page(body) => Pin::new(&mut **body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(_) => false,
            Self::Upstream(body) => body.is_end_stream(),
            Self::Addressed(body) => body.is_end_stream(),
            Self::Page(body) => body.is_end_stream(),
        }
    }

    // Exact where it is known: HTTP/1.1 then sends a length and not chunks.
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(page) => SizeHint::with_exact(page.len() as u64),
            Self::Upstream(body) => body.size_hint(),
            Self::Addressed(body) => body.size_hint(),
            Self::Page(body) => body.size_hint(),
        }
    }
}
