//! The way of one request through the gateway: a console has it, or the gateway answers by itself.

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
    Stack,
    record::{self, Recorder},
};
use crate::{
    gateway::body::Body,
    refusal::Refusal,
    server::{RequestBody, WantsHttp1},
};

pin_project! {
    /// The future of [`Gateway`](super::Gateway); written by hand, so that the way to a console costs no
    /// allocation here.
    #[must_use = "futures do nothing unless polled"]
    pub(crate) struct Answering {
        #[pin]
        pub(super) state: State,
    }
}

pin_project! {
    #[project = StateProj]
    pub(super) enum State {
        /// A console has the request.
        Console {
            #[pin]
            inner: <Stack as Service<Request<RequestBody>>>::Future,
            recorder: Recorder,
            begun: Option<record::Begun>,
        },
        /// A KDC has it; boxed, as it is seldom and large.
        Kerberos {
            inner: Pin<Box<dyn Future<Output = Response<Body>>>>,
            recorder: Recorder,
            begun: Option<record::Begun>,
        },
        /// The gateway answered by itself.
        Own { response: Option<Response<record::Recorded>> },
    }

    impl PinnedDrop for State {
        fn drop(this: Pin<&mut Self>) {
            match this.project() {
                StateProj::Console { recorder, begun, .. }
                | StateProj::Kerberos { recorder, begun, .. } => {
                    if let Some(begun) = begun.take() {
                        recorder.abandon(begun);
                    }
                }
                StateProj::Own { .. } => {}
            }
        }
    }
}

impl Answering {
    /// The gateway answered by itself.
    pub(super) fn own(response: Response<record::Recorded>) -> Self {
        let response = Some(response);
        Self {
            state: State::Own { response },
        }
    }
}

impl Future for Answering {
    type Output = Result<Response<record::Recorded>, Infallible>;

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
                begun,
            } => {
                let Ok(mut response) = ready!(inner.poll(cx));
                if response.extensions().get() == Some(&Refusal::LoginInterrupted) {
                    response.extensions_mut().insert(WantsHttp1);
                    // the stream is reset instead: nothing of the page is sent
                    if begun.as_ref().is_some_and(record::Begun::is_http2) {
                        *response.body_mut() = Body::Empty;
                    }
                }
                recorder.end(begun.take().expect(AGAIN), response)
            }
            StateProj::Kerberos {
                inner,
                recorder,
                begun,
            } => {
                let response = ready!(inner.as_mut().poll(cx));
                recorder.end(begun.take().expect(AGAIN), response)
            }
            StateProj::Own { response } => response.take().expect(AGAIN),
        }))
    }
}

impl fmt::Debug for Answering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answering").finish_non_exhaustive()
    }
}
