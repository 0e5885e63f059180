//! The SPNEGO step as a Tower layer: session cookie, else token, else 401.
//!
//! In a request's way it stands before everything that needs to know the user; a request that carries
//! a session among its extensions already passes. What follows finds
//! an `Arc<`[`Session`]`>` in the request's extensions; the request is otherwise as it came (who
//! forwards it strips `Authorization` and cookies). The answer gets the mutual authentication token
//! and the session cookie, and where wanted the session among its extensions.
//!
//! It works before any Tower service whose response body can be made of [`Bytes`]:
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
//!     session::{Limits, Session, Sessions},
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
//! let limits = Limits { lifetime: hours(10), idle: hours(1), capacity: 100_000 };
//! let policy = SpnegoPolicy {
//!     console: "hello".into(),
//!     scheme: Scheme::Plain,
//!     services: vec!["HTTP".into()],
//!     hosts: vec!["gw.example.com".into()],
//!     names: Arc::new(names),
//!     sessions: Sessions::new(limits, &Secret::random()?),
//!     challenge_scripts: true,
//!     cookieless: &[],
//!     tell_session: false,
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
    negotiate::{self, Beside},
    session::{Found, Session, Sessions, unix_now},
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

use future::{Answer, Login};

/// What a console asks of its clients.
#[derive(Clone, Debug)]
pub struct SpnegoPolicy {
    /// The console's name, for pages and logs.
    pub console: Arc<str>,
    /// How clients reach it.
    pub scheme: Scheme,
    /// Services that a ticket may name (`HTTP`; `presto` …).
    pub services: Vec<Arc<str>>,
    /// Host names that a ticket may name; case does not matter. Need not equal `Host`: browsers may
    /// follow a CNAME.
    pub hosts: Vec<Arc<str>>,
    /// Principals to users.
    pub names: Arc<AuthToLocal>,
    /// Where logins are remembered.
    pub sessions: Sessions,
    /// Whether scripts (`X-Requested-With`, `Sec-Fetch-Mode: cors`) are challenged too; some
    /// browsers answer by a password prompt. Normally yes.
    pub challenge_scripts: bool,
    /// Words, lower case, in the `User-Agent` of clients that are given no cookie: they want a mutual
    /// authentication token in every answer.
    pub cookieless: &'static [&'static str],
    /// Whether answers carry the session among their extensions, for an access log further out.
    pub tell_session: bool,
}

/// Puts [`SpnegoService`] before a service.
#[derive(Clone, Debug)]
pub struct SpnegoLayer<A = Acceptor> {
    policy: Arc<SpnegoPolicy>,
    acceptor: A,
}

/// Lets through who is logged in; see the [module](self).
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
            Beside::Whole => false,
            Beside::FirstLeg => empty,
            Beside::LaterLeg => true,
        }
}

// === impl SpnegoPolicy ===

impl SpnegoPolicy {
    /// Session cookie first: clients repeat old tokens beside it. But a client in the middle of a
    /// login, cookie or not, may have kept its body for the next leg.
    fn credentials<B>(
        &self,
        request: &Request<B>,
        awaits_leg: impl FnOnce() -> bool,
        now: u64,
    ) -> Credentials {
        let headers = request.headers();
        let without = match self.sessions.find(headers, self.scheme, &self.names, now) {
            Found::Session(session) if !is_leg(request, awaits_leg) => {
                return Credentials::Session(session);
            }
            Found::Session(_) | Found::None => Refusal::LoginRequired,
            Found::Ended => Refusal::SessionEnded,
        };
        match negotiate::token(headers) {
            Ok(Some(token)) => Credentials::Token(token),
            Ok(None) => Credentials::Refused(without),
            Err(refusal) => Credentials::Refused(refusal),
        }
    }

    /// Whether a client that logs in is given a cookie.
    fn gives_cookie(&self, headers: &HeaderMap) -> bool {
        if self.cookieless.is_empty() {
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
        !self.cookieless.iter().any(named)
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
        // somebody further out knows already
        if let Some(known) = request.extensions().get::<Arc<Session>>() {
            let told = self.policy.tell_session.then(|| Arc::clone(known));
            let answer = Answer::of(told, None);
            return SpnegoFuture::calling(self.inner.call(request), answer);
        }
        let now = unix_now();
        let slot = request.extensions().get::<LoginSlot<A::Pending>>();
        let awaits_leg = || slot.is_some_and(LoginSlot::is_awaiting);
        let token = match self.policy.credentials(&request, awaits_leg, now) {
            Credentials::Session(session) => {
                let cookie = self.policy.sessions.renew(&session, now);
                let told = self.policy.tell_session.then(|| Arc::clone(&session));
                request.extensions_mut().insert(session);
                let answer = Answer::of(told, cookie);
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
        // a first token starts anew: the unfinished login may be another user's of this connection
        let pending = unfinished.filter(|_| !negotiate::opens(&token));
        if pending.is_none() && !negotiate::opens(&token) {
            let refusal = Refusal::LoginInterrupted;
            return SpnegoFuture::refused(refuse::response(&self.policy, &request, refusal));
        }
        let accepting = self.acceptor.accept(token, pending, client);
        // the service that was polled ready goes with the request
        let next = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, next);
        let policy = Arc::clone(&self.policy);
        SpnegoFuture::accepting(
            accepting,
            Login {
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
