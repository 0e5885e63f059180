//! The future of one request: a console or the KDC proxy serves it, or the gateway responded itself.

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    record::{self, Recorder},
    stack::ConsoleStack,
};
use crate::{
    gateway::body::Body,
    refusal::Refusal,
    server::{RequestBody, WantsHttp1},
};

pin_project! {
    /// The future of [`Gateway`](super::Gateway). It is an enum and not a boxed `async` block, so that a
    /// request to a console costs no allocation here.
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct ResponseFuture {
        #[pin]
        pub(super) state: State,
    }
}

pin_project! {
    #[project = StateProj]
    pub(super) enum State {
        /// A console serves the request.
        Console {
            #[pin]
            inner: <ConsoleStack as Service<Request<RequestBody>>>::Future,
            recorder: Recorder,
            pending: Option<record::PendingRecord>,
        },
        /// The KDC proxy serves it. Boxed, because it is rare and its future is large.
        Kdc {
            inner: Pin<Box<dyn Future<Output = Response<Body>>>>,
            recorder: Recorder,
            pending: Option<record::PendingRecord>,
        },
        /// The gateway responded itself.
        Ready { response: Option<Response<record::RecordedBody>> },
    }

    impl PinnedDrop for State {
        fn drop(this: Pin<&mut Self>) {
            match this.project() {
                StateProj::Console { recorder, pending, .. }
                | StateProj::Kdc { recorder, pending, .. } => {
                    // The client went away before there was a response.
                    if let Some(pending) = pending.take() {
                        recorder.abandon(pending);
                    }
                }
                StateProj::Ready { .. } => {}
            }
        }
    }
}

impl ResponseFuture {
    pub(super) fn ready(response: Response<record::RecordedBody>) -> Self {
        let response = Some(response);
        Self {
            state: State::Ready { response },
        }
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<record::RecordedBody>, Infallible>;

    #[expect(
        clippy::expect_used,
        reason = "polled after completion: a caller's bug, as in std"
    )]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const AGAIN: &str = "polled after completion";
        Poll::Ready(Ok(match self.project().state.project() {
            StateProj::Console {
                inner,
                recorder,
                pending,
            } => {
                let Ok(mut response) = ready!(inner.poll(cx));
                if response.extensions().get() == Some(&Refusal::LoginInterrupted) {
                    response.extensions_mut().insert(WantsHttp1);
                    // A login of several round trips needs a connection of its own, which HTTP/2 cannot
                    // give. The server resets the stream with HTTP_1_1_REQUIRED (RFC 9113 section 7), so
                    // the page is not sent; without this its length would be logged.
                    if pending
                        .as_ref()
                        .is_some_and(record::PendingRecord::is_http2)
                    {
                        *response.body_mut() = Body::Empty;
                    }
                }
                recorder.end(pending.take().expect(AGAIN), response)
            }
            StateProj::Kdc {
                inner,
                recorder,
                pending,
            } => {
                let response = ready!(inner.as_mut().poll(cx));
                recorder.end(pending.take().expect(AGAIN), response)
            }
            StateProj::Ready { response } => response.take().expect(AGAIN),
        }))
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
