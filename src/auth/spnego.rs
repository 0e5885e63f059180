//! The SPNEGO step as a Tower layer: session cookie, else token, else 401.
//!
//! The layer goes in front of everything that needs to know the user. It puts an `Arc<`[`Session`]`>` into
//! the request's extensions and changes nothing else: a service that forwards the request has to remove
//! `Authorization` and cookies itself. A request that already has a session in its extensions passes. The
//! response gets the mutual authentication token and the session cookie, and on request the session in
//! its extensions.
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
//! # // a keytab that fits on a page: the ticket "b3Blbg==" is alice's
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
//! let answer = hello.clone().oneshot(Request::new(())).await?;
//! assert_eq!(answer.status(), 401);
//! assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], "Negotiate");
//!
//! // with a token: logged in, and a cookie for the next time
//! let login = Request::builder().header("authorization", "Negotiate b3Blbg==").body(())?;
//! let answer = hello.clone().oneshot(login).await?;
//! assert_eq!(answer.status(), 200);
//! assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], "Negotiate bXV0dWFs");
//! let cookie = answer.headers()[header::SET_COOKIE].to_str()?;
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

/// The rules of one console for its clients' logins.
#[derive(Clone, Debug)]
pub struct SpnegoPolicy {
    /// The console's name, for pages and logs.
    pub console: Arc<str>,
    /// The scheme that clients use.
    pub scheme: Scheme,
    /// Services that a ticket may name (`HTTP`; `presto` …).
    pub services: Vec<Arc<str>>,
    /// Host names that a ticket may name; case does not matter. Need not equal `Host`: browsers may
    /// follow a CNAME.
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

/// Puts [`SpnegoService`] before a service.
#[derive(Clone, Debug)]
pub struct SpnegoLayer<A = Acceptor> {
    policy: Arc<SpnegoPolicy>,
    acceptor: A,
}

/// Passes requests of logged-in clients on; see the [module](self).
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

/// What the headers of a request amount to.
enum Credentials {
    Session(Arc<Session>),
    Token(Vec<u8>),
    Refused(Refusal),
}

/// Whether a request with a session is nevertheless a leg of a login: one that its connection awaits,
/// or one that keeps back what it is to write.
fn is_leg<B>(request: &Request<B>, awaits_leg: impl FnOnce() -> bool) -> bool {
    if !request.headers().contains_key(header::AUTHORIZATION) {
        return false;
    }
    let (empty, awaited) = (negotiate::is_empty_write(request), awaits_leg());
    (empty || awaited)
        && match negotiate::beside(request.headers()) {
            Credential::Complete => false,
            Credential::FirstToken => empty,
            Credential::LaterToken => true,
        }
}

// === impl SpnegoPolicy ===

impl SpnegoPolicy {
    /// The session cookie comes first: clients repeat old tokens beside it (`PyHive`, browsers). But a client
    /// in the middle of a login, with or without a cookie, may keep its body for the next token.
    fn credentials<B>(
        &self,
        request: &Request<B>,
        awaits_leg: impl FnOnce() -> bool,
        now: u64,
    ) -> Credentials {
        let headers = request.headers();
        let without = match self.sessions.find(headers, self.scheme, &self.names, now) {
            SessionLookup::Session(session) if !is_leg(request, awaits_leg) => {
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

    /// Whether a client that logs in is given a cookie.
    fn gives_cookie(&self, headers: &HeaderMap) -> bool {
        if self.cookieless_agents.is_empty() {
            return true;
        }
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

    /// Whether a ticket for this service opens this console; a port in its name does not matter, as
    /// others may map it.
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
        // An outer layer has made the session already (`identity = "none"`, a signed link).
        if let Some(known) = request.extensions().get::<Arc<Session>>() {
            let told = self.policy.session_in_response.then(|| Arc::clone(known));
            let answer = ResponseExtras::of(told, None);
            return SpnegoFuture::calling(self.inner.call(request), answer);
        }
        let now = unix_now();
        let slot = request.extensions().get::<LoginSlot<A::Pending>>();
        let awaits_leg = || slot.is_some_and(LoginSlot::is_awaiting);
        let token = match self.policy.credentials(&request, awaits_leg, now) {
            Credentials::Session(session) => {
                let cookie = self.policy.sessions.renew(&session, now);
                let told = self
                    .policy
                    .session_in_response
                    .then(|| Arc::clone(&session));
                request.extensions_mut().insert(session);
                let answer = ResponseExtras::of(told, cookie);
                return SpnegoFuture::calling(self.inner.call(request), answer);
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
        // A first token begins another login: the unfinished one may be of another user, since load
        // balancers send requests of several users over one connection.
        let pending = unfinished.filter(|_| !negotiate::opens(&token));
        if pending.is_none() && !negotiate::opens(&token) {
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
