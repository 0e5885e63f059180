//! The SPNEGO step as a Tower layer: session cookie, else token, else 401.
//!
//! The layer is outside of everything that needs to know the user. It puts an `Arc<`[`Session`]`>` into
//! the request's extensions and changes nothing else: a service that forwards the request has to remove
//! `Authorization` and cookies itself. A request that already has a session in its extensions passes.
//! The response gets the mutual authentication token and the session cookie and, if the policy says so,
//! the session in its extensions.
//!
//! It works with any Tower service whose response body can be made of [`Bytes`]:
//!
//! ```
//! # use std::{convert::Infallible, future::{Ready, ready}, net::IpAddr, sync::Arc, time::{Duration, SystemTime}};
//! # use spnegate::{Refusal, auth::spnego::Accept, gss::{Accepted, LoginStep}};
//! use bytes::Bytes;
//! use http::{Request, Response, header};
//! use http_body_util::Full;
//! use spnegate::auth::{
//!     Scheme,
//!     names::{AuthToLocal, Mechanism},
//!     secret::Secret,
//!     session::{SessionLimits, Session, Sessions},
//!     spnego::{SpnegoLayer, SpnegoPolicy},
//! };
//! use tower::{Layer, ServiceExt};
//!
//! # // a scripted acceptor: the token "b3Blbg==" is alice's
//! # #[derive(Clone)]
//! # struct Acceptor;
//! # impl Accept for Acceptor {
//! #     type Pending = ();
//! #     type Error = std::io::Error;
//! #     type Future = Ready<Result<LoginStep<()>, Self::Error>>;
//! #     fn accept(&self, token: Vec<u8>, _: Option<()>, _: Option<IpAddr>) -> Self::Future {
//! #         assert_eq!(token, b"open");
//! #         ready(Ok(LoginStep::Done(Accepted {
//! #             client: "alice@EXAMPLE.COM".parse().unwrap(),
//! #             service: "HTTP/gw.example.com@EXAMPLE.COM".parse().unwrap(),
//! #             expires: SystemTime::now() + Duration::from_secs(3600),
//! #             reply: Some(b"mutual".to_vec()),
//! #         })))
//! #     }
//! #     fn refusal(_: &Self::Error) -> Refusal { Refusal::TokenRejected }
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let names = AuthToLocal::compile(&["DEFAULT"], Mechanism::Hadoop, "EXAMPLE.COM").unwrap();
//! let hours = |h: u64| Duration::from_secs(h * 3600);
//! let limits = SessionLimits { lifetime: hours(10), idle: hours(1), capacity: 100_000 };
//! let policy = SpnegoPolicy {
//!     console: "hello".into(),
//!     scheme: Scheme::Plain,
//!     services: vec!["HTTP".into()],
//!     hosts: vec!["gw.example.com".into()],
//!     names: Arc::new(names),
//!     sessions: Sessions::new(limits, &Secret::random()?),
//!     challenge_scripts: true,
//!     cookieless_agents: &[],
//!     session_in_response: false,
//! };
//! # let acceptor = Acceptor;
//! // `acceptor` is a `spnegate::gss::Acceptor`, started with a keytab
//! let hello = SpnegoLayer::new(policy, acceptor).layer(tower::service_fn(
//!     async |request: Request<()>| {
//!         let session: Option<&Arc<Session>> = request.extensions().get();
//!         let text = format!("hello {}", session.map_or("nobody", |s| s.user()));
//!         Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(text)))
//!     },
//! ));
//!
//! // without credentials: the challenge
//! let response = hello.clone().oneshot(Request::new(())).await?;
//! assert_eq!(response.status(), 401);
//! assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Negotiate");
//!
//! // with a token: a login, and a cookie for further requests
//! let login = Request::builder().header("authorization", "Negotiate b3Blbg==").body(())?;
//! let response = hello.clone().oneshot(login).await?;
//! assert_eq!(response.status(), 200);
//! assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Negotiate bXV0dWFs");
//! let cookie = response.headers()[header::SET_COOKIE].to_str()?;
//!
//! // with the cookie: no token needed
//! let again = Request::builder().header("cookie", cookie.split(';').next().unwrap()).body(())?;
//! assert_eq!(hello.oneshot(again).await?.status(), 200);
//! # Ok(())
//! # }
//! ```

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    Scheme,
    names::AuthToLocal,
    negotiate::{self, Credential},
    session::{Session, SessionLookup, Sessions, unix_now},
};
use crate::{
    gss::{Acceptor, Principal},
    refusal::Refusal,
};

mod accept;
mod future;
mod refuse;
mod slot;

pub use accept::Accept;
pub use future::SpnegoFuture;
pub use slot::LoginSlot;

use future::{PendingLogin, ResponseExtras};

/// How clients log in to one console.
#[derive(Clone, Debug)]
pub struct SpnegoPolicy {
    /// The console's name, for pages and logs.
    pub console: Arc<str>,
    /// The scheme that clients use.
    pub scheme: Scheme,
    /// Services that a ticket may be for (`HTTP`, `presto` …).
    pub services: Vec<Arc<str>>,
    /// Host names that a ticket may be for, in any case. They need not include that of `Host`: browsers
    /// may follow a CNAME.
    pub hosts: Vec<Arc<str>>,
    /// Maps principals to users.
    pub names: Arc<AuthToLocal>,
    /// The sessions, shared by all consoles.
    pub sessions: Sessions,
    /// Whether scripts (`X-Requested-With`, `Sec-Fetch-Mode: cors`) get a challenge too; some browsers
    /// show a password prompt for it. Normally yes.
    pub challenge_scripts: bool,
    /// Lower-case words in the `User-Agent` of clients that get no cookie, because they expect a mutual
    /// authentication token in every response.
    pub cookieless_agents: &'static [&'static str],
    /// Whether responses get the session in their extensions, for an access log in an outer layer.
    pub session_in_response: bool,
}

/// Wraps a service in [`SpnegoService`].
#[derive(Clone, Debug)]
pub struct SpnegoLayer<A = Acceptor> {
    policy: Arc<SpnegoPolicy>,
    acceptor: A,
}

/// Forwards requests of logged-in clients to the inner service; see the [module](self).
#[derive(Clone)]
pub struct SpnegoService<S, A = Acceptor> {
    inner: S,
    policy: Arc<SpnegoPolicy>,
    acceptor: A,
}

// === impl SpnegoLayer ===

impl<A> SpnegoLayer<A> {
    /// A layer of one console.
    pub fn new(policy: impl Into<Arc<SpnegoPolicy>>, acceptor: A) -> Self {
        Self {
            policy: policy.into(),
            acceptor,
        }
    }
}

impl<S, A: Clone> Layer<S> for SpnegoLayer<A> {
    type Service = SpnegoService<S, A>;

    fn layer(&self, inner: S) -> Self::Service {
        SpnegoService {
            inner,
            policy: Arc::clone(&self.policy),
            acceptor: self.acceptor.clone(),
        }
    }
}

/// The credentials in the headers of a request.
enum Credentials {
    Session(Arc<Session>),
    Token(Vec<u8>),
    Refused(Refusal),
}

/// Whether a request with a session belongs to a login nevertheless: its connection waits for the next
/// token, or the client keeps its body back until the login is complete.
fn is_login_step<B>(request: &Request<B>, awaits_token: impl FnOnce() -> bool) -> bool {
    // The usual request within a session, checked first: it has no credentials but the cookie.
    if !request.headers().contains_key(header::AUTHORIZATION) {
        return false;
    }
    let (empty, awaited) = (negotiate::is_empty_write(request), awaits_token());
    (empty || awaited)
        && match negotiate::classify(request.headers()) {
            Credential::Complete => false,
            // Forwarding the empty write with the session stored an empty file, and the upload was
            // lost.
            Credential::FirstToken => empty,
            Credential::LaterToken => true,
        }
}

// === impl SpnegoPolicy ===

impl SpnegoPolicy {
    /// The session cookie has priority, because clients repeat old tokens beside it (`PyHive`,
    /// browsers) and the replay cache would refuse those. A client in the middle of a login is the
    /// exception: it may keep its body for the request with the last token.
    fn credentials<B>(
        &self,
        request: &Request<B>,
        awaits_token: impl FnOnce() -> bool,
        now: u64,
    ) -> Credentials {
        let headers = request.headers();
        let without = match self.sessions.find(headers, self.scheme, &self.names, now) {
            SessionLookup::Session(session) if !is_login_step(request, awaits_token) => {
                return Credentials::Session(session);
            }
            SessionLookup::Session(_) | SessionLookup::None => Refusal::LoginRequired,
            SessionLookup::Ended => Refusal::SessionEnded,
        };
        match negotiate::token(headers) {
            Ok(Some(token)) => Credentials::Token(token),
            Ok(None) => Credentials::Refused(without),
            Err(refusal) => Credentials::Refused(refusal),
        }
    }

    /// Whether a client that logs in gets a cookie.
    fn sets_cookie(&self, headers: &HeaderMap) -> bool {
        if self.cookieless_agents.is_empty() {
            return true;
        }
        // Only at a login, and only on consoles of a kind that names such clients.
        let agents = headers.get_all(header::USER_AGENT).iter();
        let agents: Vec<u8> = agents
            .flat_map(|a| a.as_bytes().to_ascii_lowercase())
            .collect();
        let named = |word: &&str| {
            agents
                .windows(word.len())
                .any(|part| part == word.as_bytes())
        };
        !self.cookieless_agents.iter().any(named)
    }

    /// Whether a ticket for this service is accepted on this console. A port in its name is ignored: a
    /// load balancer or a container may map ports.
    fn serves(&self, principal: &Principal) -> bool {
        let among = |name: Option<&str>, list: &[Arc<str>]| {
            name.is_some_and(|name| list.iter().any(|l| l.eq_ignore_ascii_case(name)))
        };
        among(principal.service(), &self.services) && among(principal.host_name(), &self.hosts)
    }
}

// === impl SpnegoService ===

impl<S, A, B, R> Service<Request<B>> for SpnegoService<S, A>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    A: Accept,
    R: From<Bytes>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = SpnegoFuture<S, A, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // An outer layer has set the session already (`identity = "none"`, or a signed link).
        if let Some(known) = request.extensions().get::<Arc<Session>>() {
            let session = self.policy.session_in_response.then(|| Arc::clone(known));
            let extras = ResponseExtras::of(session, None);
            return SpnegoFuture::calling(self.inner.call(request), extras);
        }
        let now = unix_now();
        let slot = request.extensions().get::<LoginSlot<A::Pending>>();
        let awaits_token = || slot.is_some_and(LoginSlot::is_awaiting);
        let token = match self.policy.credentials(&request, awaits_token, now) {
            Credentials::Session(session) => {
                let cookie = self.policy.sessions.renew(&session, now);
                let in_response = self
                    .policy
                    .session_in_response
                    .then(|| Arc::clone(&session));
                request.extensions_mut().insert(session);
                let extras = ResponseExtras::of(in_response, cookie);
                return SpnegoFuture::calling(self.inner.call(request), extras);
            }
            Credentials::Refused(refusal) => {
                return SpnegoFuture::refused(refuse::response(&self.policy, &request, refusal));
            }
            Credentials::Token(token) => token,
        };
        let slot = slot.cloned();
        let client = slot.as_ref().and_then(LoginSlot::client);
        let slot = slot.filter(LoginSlot::keeps);
        let unfinished = slot.as_ref().and_then(|slot| slot.take(Instant::now()));
        // A first token begins another login and ends the unfinished one, which may be of another user:
        // load balancers send requests of several users over one connection.
        let pending = unfinished.filter(|_| !negotiate::is_initial(&token));
        if pending.is_none() && !negotiate::is_initial(&token) {
            let refusal = Refusal::LoginInterrupted;
            return SpnegoFuture::refused(refuse::response(&self.policy, &request, refusal));
        }
        let accepting = self.acceptor.accept(token, pending, client);
        // `call` must use the instance that was polled ready; the clone stays for the next request.
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        let policy = Arc::clone(&self.policy);
        SpnegoFuture::accepting(
            accepting,
            PendingLogin {
                request,
                inner,
                policy,
                slot,
            },
        )
    }
}

impl<S: fmt::Debug, A> fmt::Debug for SpnegoService<S, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpnegoService")
            .field("inner", &self.inner)
            .field("console", &self.policy.console)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
