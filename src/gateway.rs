//! The path of a request: routing, then the stack of its console.
//!
//! [`stack`] has the whole path in one drawing, with the reason for the place of each layer. This
//! file is its middle: [`Gateway`] refuses what two parsers could read differently, serves what needs
//! no login, and hands the rest to the console that [`route`] finds.
//!
//! One clone of [`Gateway`] serves one connection; everything behind it belongs to one worker thread.

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use http::{Extensions, Method, Request, Response, header, request::Parts};
use http_body::Body as _;
use tower_service::Service;

use crate::{
    auth::{
        Scheme,
        names::AuthToLocal,
        origin,
        session::{Session, SessionLookup, Sessions, clearing_cookie, unix_now},
    },
    gateway::body::Body,
    refusal::Refusal,
    server::{ConnInfo, RequestBody, framing},
};

mod body;
mod builtin;
pub(crate) mod console;
pub(crate) mod forward;
mod future;
pub(crate) mod kdc_proxy;
mod link;
pub(crate) mod node;
pub(crate) mod record;
mod refuse;
pub(crate) mod request;
mod response;
mod route;
pub(crate) mod stack;

pub(crate) use builtin::health::Health;
pub(crate) use future::ResponseFuture;
use future::State;
pub(crate) use request::rates::RateLimiter;
use route::Routed;
pub(crate) use route::{Route, Site};

/// The service of one worker, below the layers of [`stack::connection`].
#[derive(Clone, Debug)]
pub(crate) struct Gateway(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    sites: Vec<Site>,
    health: Health,
    sessions: Sessions,
    names: Arc<AuthToLocal>,
    rates: Option<RateLimiter>,
}

/// Whether the request came by TLS.
fn is_tls(extensions: &Extensions) -> bool {
    extensions
        .get::<Arc<ConnInfo>>()
        .is_some_and(|info| info.tls)
}

/// The addresses of the client and of the listener that it connected to.
fn client(extensions: &Extensions) -> (SocketAddr, SocketAddr) {
    const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    extensions
        .get::<Arc<ConnInfo>>()
        .map_or((UNKNOWN, UNKNOWN), |info| (info.peer, info.local))
}

fn scheme(parts: &Parts) -> Scheme {
    if is_tls(&parts.extensions) {
        Scheme::Tls
    } else {
        Scheme::Plain
    }
}

// === impl Gateway ===

impl Gateway {
    /// `sites` are in the order of the server's listeners.
    pub(crate) fn new(
        sites: Vec<Site>,
        health: Health,
        sessions: Sessions,
        names: Arc<AuthToLocal>,
        rates: Option<RateLimiter>,
    ) -> Self {
        Self(Rc::new(Inner {
            sites,
            health,
            sessions,
            names,
            rates,
        }))
    }

    /// Closes the connections that the worker's pools have kept idle for too long.
    pub(crate) fn sweep(&self) {
        for site in &self.0.sites {
            for route in &site.routes {
                route.forward.sweep();
            }
        }
    }
}

impl Service<Request<RequestBody>> for Gateway {
    type Response = Response<record::RecordedBody>;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let inner = &*self.0;
        let listener = request
            .extensions()
            .get::<Arc<ConnInfo>>()
            .map_or(0, |info| info.listener.0);
        let site = &inner.sites[listener];
        let framing = framing::check(&request);
        let (mut parts, body) = request.into_parts();
        // before any refusal, so that refusals are logged and counted like responses
        let pending = site.recorder.begin(&parts);
        let context = |parts: &Parts| refuse::RefusalContext::of(parts, !body.is_end_stream());
        // Framing comes first: a request whose end is in doubt must not be read further (request
        // smuggling, RFC 9112 section 11.2). The rate limit comes before routing, which costs more.
        let routed = framing
            .and_then(|()| inner.check_rate(&parts))
            .map_err(refuse::DetailedRefusal::from)
            .and_then(|()| route::route(site, &mut parts));
        let response = match routed {
            Ok(Routed::Console(route)) => {
                let recorder = route.recorder.clone();
                match inner.session_without_login(route, &parts) {
                    Ok(Some(session)) => {
                        // The SPNEGO layer lets a request pass that has a session already.
                        parts.extensions.insert(session);
                    }
                    Ok(None) => {}
                    Err(refusal) => {
                        let response = refuse::response(refusal, &context(&parts), &route.name);
                        return ResponseFuture::ready(recorder.end(pending, response));
                    }
                }
                let inner = route
                    .stack
                    .borrow_mut()
                    .call(Request::from_parts(parts, body));
                let state = State::Console {
                    inner,
                    recorder,
                    pending: Some(pending),
                };
                return ResponseFuture { state };
            }
            Ok(Routed::KdcProxy(proxy)) => {
                let state = State::Kdc {
                    inner: Box::pin(proxy.clone().respond(parts, body)),
                    recorder: site.recorder.clone(),
                    pending: Some(pending),
                };
                return ResponseFuture { state };
            }
            Ok(Routed::Health) => inner.health.response(),
            Ok(Routed::Logout(host)) => inner
                .log_out(&parts, host)
                .unwrap_or_else(|refusal| site.refuse(&refusal.into(), context(&parts), &parts)),
            Err(refusal) => site.refuse(&refusal, context(&parts), &parts),
        };
        ResponseFuture::ready(site.recorder.end(pending, response))
    }
}

// === impl Inner ===

impl Inner {
    /// Counts the request against the rate of the client's address. A load balancer's health check is
    /// not counted: were it refused, the balancer would take the whole gateway out of service.
    fn check_rate(&self, parts: &Parts) -> Result<(), Refusal> {
        let Some(rates) = &self.rates else {
            return Ok(());
        };
        let client = self::client(&parts.extensions).0.ip();
        if parts.uri.path() == builtin::HEALTH || rates.admit(client, Instant::now()) {
            Ok(())
        } else {
            Err(Refusal::RateLimited)
        }
    }

    /// The session of a request that needs no login: the anonymous one of a console with
    /// `identity = "none"`, or that of a signed link whose client sends no other credential.
    fn session_without_login(
        &self,
        route: &Route,
        parts: &Parts,
    ) -> Result<Option<Arc<Session>>, Refusal> {
        if route.anonymous.is_some() {
            return Ok(route.anonymous.clone());
        }
        if !link::is_link_path(parts.uri.path())
            || parts.headers.contains_key(header::AUTHORIZATION)
        {
            return Ok(None);
        }
        let scheme = scheme(parts);
        let found = self
            .sessions
            .find(&parts.headers, scheme, &self.names, unix_now());
        match found {
            // The user is known by a cookie. `link::check` then compares it with the user of the link,
            // so that a link does not turn one user into another.
            SessionLookup::Session(_) => Ok(None),
            SessionLookup::Ended | SessionLookup::None => route.forward.session_of_link(parts),
        }
    }

    /// Ends every session whose cookie the client sends, whichever console started it. A page of
    /// another site must not do it, hence the check of `Origin` as for a POST.
    fn log_out(&self, parts: &Parts, host: &Arc<str>) -> Result<Response<Body>, Refusal> {
        let scheme = scheme(parts);
        let hosts = std::slice::from_ref(host);
        origin::check(&Method::POST, &parts.headers, host, hosts, scheme)?;
        let now = unix_now();
        // A client may send several session cookies. A session that was ended is not found again, so
        // the loop terminates.
        while let SessionLookup::Session(session) =
            self.sessions.find(&parts.headers, scheme, &self.names, now)
        {
            self.sessions.end(&session, now);
        }
        let mut response = builtin::logged_out();
        let headers = response.headers_mut();
        headers.append(header::SET_COOKIE, clearing_cookie(scheme));
        Ok(response)
    }
}
