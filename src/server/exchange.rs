//! One request between hyper and the service: marks where it begins, is answered and ends.

use std::{
    cell::RefCell,
    convert::Infallible,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use crate::server::{HttpService, RequestBody, Tunnel, WantsHttp1, framing, timers::State};

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

/// What resets an HTTP/2 stream.
#[derive(Debug, thiserror::Error)]
#[error("the client has to ask by HTTP/1.1")]
pub(super) struct Http1Required(#[source] h2::Error);

impl<S: HttpService> hyper::service::Service<Request<Incoming>> for Exchange<S> {
    type Response = Response<Answer<<S as HttpService>::Body>>;
    type Error = Http1Required;
    type Future = Answering<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let info = self.state.info();
        let verdict = self.state.on_request();
        let multiplexed = request.version() == Version::HTTP_2;
        let mut ambiguous = false;
        if multiplexed {
            as_http1(&mut request);
        } else {
            ambiguous = framing::is_ambiguous(verdict, request.headers());
            info.set_ambiguous(ambiguous);
        }
        let info = info.of_request(request.headers());
        request.extensions_mut().insert(info);
        let request = request.map(|body| {
            if multiplexed {
                RequestBody::http2(body, &self.state)
            } else {
                RequestBody::http1(body)
            }
        });
        let mut service = self.service.borrow_mut();
        // the contract of HttpService: always ready; Tower wants to be asked nevertheless
        let _ready = service.poll_ready(&mut Context::from_waker(Waker::noop()));
        Answering {
            future: service.call(request),
            answered: Some(Answered {
                state: Rc::clone(&self.state),
                answering: false,
            }),
            last: ambiguous,
            multiplexed,
        }
    }
}

/// What HTTP/2 says otherwise (RFC 9113 sections 8.3.1 and 8.2.3): the authority is the host, and
/// one cookie header may come in crumbs.
fn as_http1(request: &mut Request<Incoming>) {
    let authority = request
        .uri()
        .authority()
        .map(|a| HeaderValue::from_str(a.as_str()));
    let headers = request.headers_mut();
    if let Some(Ok(authority)) = authority
        && !headers.contains_key(header::HOST)
    {
        headers.insert(header::HOST, authority);
    }
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    if let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) {
        let mut whole = first.as_bytes().to_vec();
        for crumb in std::iter::once(second).chain(crumbs) {
            whole.extend_from_slice(b"; ");
            whole.extend_from_slice(crumb.as_bytes());
        }
        if let Ok(whole) = HeaderValue::from_bytes(&whole) {
            headers.insert(header::COOKIE, whole);
        }
    }
}

pin_project! {
    /// The service's future.
    pub(super) struct Answering<F> {
        #[pin]
        future: F,
        answered: Option<Answered>,
        last: bool,
        multiplexed: bool,
    }
}

impl<F, B> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<Answer<B>>, Http1Required>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(this.future.poll(cx));
        if *this.multiplexed && response.extensions().get::<WantsHttp1>().is_some() {
            let reset = h2::Error::from(h2::Reason::HTTP_1_1_REQUIRED);
            return Poll::Ready(Err(Http1Required(reset)));
        }
        let answered = this.answered.take().map(Answered::begin);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            && let (Some(answered), Some(tunnel)) =
                (&answered, response.extensions_mut().remove::<Tunnel>())
        {
            answered.state.tunnel.replace(Some(Box::new(tunnel)));
            return Poll::Ready(Ok(response.map(|body| Answer {
                body,
                _answered: None,
            })));
        }
        if let Some(answered) = &answered
            && !*this.multiplexed
            && (*this.last || answered.state.is_draining())
        {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        Poll::Ready(Ok(response.map(|body| Answer {
            body,
            _answered: answered,
        })))
    }
}

pin_project! {
    /// The answer's body; hyper drops it when its last byte is in the write buffer.
    pub(super) struct Answer<B> {
        #[pin]
        body: B,
        _answered: Option<Answered>,
    }
}

/// A request, until its answer has ended or nobody wants it any more.
struct Answered {
    state: Rc<State>,
    answering: bool,
}

impl Answered {
    /// The head of the answer is there.
    fn begin(mut self) -> Self {
        self.answering = true;
        self.state.on_answer();
        self
    }
}

impl Drop for Answered {
    fn drop(&mut self) {
        self.state.on_answered(self.answering);
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
