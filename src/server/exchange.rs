//! One request between hyper and the service: marks where it begins, is answered and ends.

use std::{
    cell::RefCell,
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use crate::server::{HttpService, framing, timers::State};

/// A connection's service as hyper wants it.
pub(super) struct Exchange<S> {
    service: RefCell<S>,
    state: Rc<State>,
}

impl<S> Exchange<S> {
    pub(super) const fn new(service: S, state: Rc<State>) -> Self {
        Self {
            service: RefCell::new(service),
            state,
        }
    }
}

impl<S: HttpService> hyper::service::Service<Request<Incoming>> for Exchange<S> {
    type Response = Response<Answer<<S as HttpService>::Body>>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let info = &self.state.info;
        let ambiguous = framing::is_ambiguous(self.state.on_request(), request.headers());
        info.set_ambiguous(ambiguous);
        request.extensions_mut().insert(Arc::clone(info));
        let mut service = self.service.borrow_mut();
        // the contract of HttpService: always ready; Tower wants to be asked nevertheless
        let _ready = service.poll_ready(&mut Context::from_waker(Waker::noop()));
        Answering {
            future: service.call(request),
            state: Rc::clone(&self.state),
            last: ambiguous,
        }
    }
}

pin_project! {
    /// The service's future.
    pub(super) struct Answering<F> {
        #[pin]
        future: F,
        state: Rc<State>,
        last: bool,
    }
}

impl<F, B> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<Answer<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.future.poll(cx))?;
        this.state.on_answer();
        if *this.last || this.state.is_draining() {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        let state = Rc::clone(this.state);
        Poll::Ready(Ok(response.map(|body| Answer {
            body,
            _answered: Answered { state },
        })))
    }
}

pin_project! {
    /// The answer's body; hyper drops it when its last byte is in the write buffer.
    pub(super) struct Answer<B> {
        #[pin]
        body: B,
        _answered: Answered,
    }
}

struct Answered {
    state: Rc<State>,
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.state.on_answered();
    }
}

impl<B: Body<Data = Bytes>> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
