//! One request between hyper and the service: reports its beginning, its response and its end to the
//! connection's state.

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

use super::{request_body::RequestBody, state::ConnectionState, tunnel::Tunnel};
use crate::server::{HttpService, WantsHttp1, framing};

/// The gateway's service as a service of hyper.
pub(super) struct Exchange<S> {
    service: RefCell<S>,
    state: Rc<ConnectionState>,
}

impl<S> Exchange<S> {
    pub(super) const fn new(service: S, state: Rc<ConnectionState>) -> Self {
        Self {
            service: RefCell::new(service),
            state,
        }
    }
}

/// Resets an HTTP/2 stream: hyper looks for an `h2::Error` among the sources.
#[derive(Debug, thiserror::Error)]
#[error("the client has to repeat the request with HTTP/1.1")]
pub(super) struct Http1Required(#[source] h2::Error);

impl<S: HttpService> hyper::service::Service<Request<Incoming>> for Exchange<S> {
    type Response = Response<GuardedBody<<S as HttpService>::Body>>;
    type Error = Http1Required;
    type Future = ResponseFuture<S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let info = self.state.info();
        let verdict = self.state.request_received();
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
        // An HttpService is always ready by its contract, but Tower requires the call.
        let _ready = service.poll_ready(&mut Context::from_waker(Waker::noop()));
        ResponseFuture {
            future: service.call(request),
            guard: Some(RequestGuard {
                state: Rc::clone(&self.state),
                responding: false,
            }),
            close_after: ambiguous,
            multiplexed,
        }
    }
}

/// Converts what HTTP/2 writes in another form (RFC 9113 sections 8.3.1 and 8.2.3): the `:authority`
/// becomes `Host`, and cookies that were split over several header lines become one line again.
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
    pub(super) struct ResponseFuture<F> {
        #[pin]
        future: F,
        guard: Option<RequestGuard>,
        // An ambiguously framed request is the last of its connection.
        close_after: bool,
        multiplexed: bool,
    }
}

impl<F, B> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = Result<Response<GuardedBody<B>>, Http1Required>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Ok(mut response) = ready!(this.future.poll(cx));
        if *this.multiplexed && response.extensions().get::<WantsHttp1>().is_some() {
            let reset = h2::Error::from(h2::Reason::HTTP_1_1_REQUIRED);
            return Poll::Ready(Err(Http1Required(reset)));
        }
        let guard = this.guard.take().map(RequestGuard::response_started);
        if response.status() == StatusCode::SWITCHING_PROTOCOLS
            && let (Some(guard), Some(tunnel)) =
                (&guard, response.extensions_mut().remove::<Tunnel>())
        {
            guard.state.upgrade_to(tunnel);
            return Poll::Ready(Ok(response.map(|body| GuardedBody { body, _guard: None })));
        }
        if let Some(guard) = &guard
            && !*this.multiplexed
            && (*this.close_after || guard.state.is_draining())
        {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        Poll::Ready(Ok(response.map(|body| GuardedBody {
            body,
            _guard: guard,
        })))
    }
}

pin_project! {
    /// The response's body. hyper drops it when its last byte is in the write buffer.
    pub(super) struct GuardedBody<B> {
        #[pin]
        body: B,
        _guard: Option<RequestGuard>,
    }
}

/// Reports the end of a request when it is dropped: with the response's body, or with the future of
/// a request that was given up.
struct RequestGuard {
    state: Rc<ConnectionState>,
    responding: bool,
}

impl RequestGuard {
    fn response_started(mut self) -> Self {
        self.responding = true;
        self.state.response_started();
        self
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.state.request_ended(self.responding);
    }
}

impl<B: Body<Data = Bytes>> Body for GuardedBody<B> {
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
