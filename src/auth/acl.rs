//! Access control: `allow.users` or `allow.groups`, and the refusal of requests from other sites.
//!
//! The layer is directly inside the SPNEGO layer, whose `Arc<`[`Session`]`>` it needs, and outside of
//! everything that talks to a backend.

use std::{
    collections::HashSet,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response, header, uri::Authority};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{Scheme, origin, session::Session};
use crate::refusal::{Refusal, page};

mod groups;

use groups::GroupLookup;
pub use groups::{GroupNames, Groups, GroupsError};

/// The access rules of a console.
#[derive(Clone, Debug)]
pub struct AclPolicy {
    /// The console's name, for pages and logs.
    pub console: Arc<str>,
    /// How clients reach it.
    pub scheme: Scheme,
    /// The console's host names, lower case.
    pub hosts: Vec<Arc<str>>,
    /// The allowed users; `None` allows every user that has a name.
    pub allow: Option<Allowed>,
}

/// `console.allow`: a user passes if it or one of its groups is listed, by short name.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// The allowed users.
    pub users: HashSet<Arc<str>>,
    /// The allowed groups, and where to look up a user's; `None` if no group is allowed.
    pub groups: Option<(HashSet<Arc<str>>, Groups)>,
}

/// Wraps a service in [`AclService`].
#[derive(Clone, Debug)]
pub struct AclLayer(Arc<AclPolicy>);

/// Forwards requests of allowed users to the inner service; see the [module](self).
#[derive(Clone)]
pub struct AclService<S> {
    inner: S,
    policy: Arc<AclPolicy>,
}

pin_project! {
    /// The future of [`AclService`]; `Send` when the inner one is.
    #[must_use = "futures do nothing unless polled"]
    pub struct AclFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B>
    where
        S: Service<Request<B>>,
    {
        /// The layer itself responds.
        Refused { response: Option<S::Response> },
        /// The user's groups are looked up.
        LookingUp { #[pin] lookup: GroupLookup, waiting: Option<Waiting<S, B>> },
        /// The inner service has the request.
        Calling { #[pin] inner: S::Future },
    }
}

/// A request whose user's groups are being looked up.
struct Waiting<S, B> {
    request: Request<B>,
    inner: S,
    policy: Arc<AclPolicy>,
}

/// What can be decided without waiting.
enum AccessDecision {
    Pass,
    Refuse(Refusal),
    LookUp(GroupLookup),
}

// === impl Allowed ===

impl Allowed {
    fn decide(&self, user: &str) -> AccessDecision {
        // First the list of users: they are let in even while the groups cannot be looked up.
        if self.users.contains(user) {
            return AccessDecision::Pass;
        }
        let Some((_, system)) = &self.groups else {
            return AccessDecision::Refuse(Refusal::UserDenied);
        };
        match system.cached(user) {
            Some(names) => self.decide_by(&names),
            None => AccessDecision::LookUp(system.look_up(user)),
        }
    }

    fn decide_by(&self, names: &[Box<str>]) -> AccessDecision {
        match &self.groups {
            Some((allowed, _)) if names.iter().any(|n| allowed.contains(&**n)) => {
                AccessDecision::Pass
            }
            Some(_) | None => AccessDecision::Refuse(Refusal::UserDenied),
        }
    }
}

// === impl AclPolicy ===

impl AclPolicy {
    fn decide<B>(&self, request: &Request<B>) -> AccessDecision {
        // Without the SPNEGO layer outside of this one, every request is refused, not allowed.
        let Some(session) = request.extensions().get::<Arc<Session>>() else {
            return AccessDecision::Refuse(Refusal::LoginRequired);
        };
        // Before the user, so that another site's page cannot cause look-ups of groups.
        let (method, headers) = (request.method(), request.headers());
        if !origin::is_safe(method, headers) {
            // HTTP/2 has the host in `:authority` and usually no `Host` header.
            let authority = request.uri().authority().map(Authority::as_str);
            let host = || headers.get(header::HOST).and_then(|h| h.to_str().ok());
            let host = origin::host_name(authority.or_else(host).unwrap_or_default());
            if let Err(refusal) = origin::check(method, headers, host, &self.hosts, self.scheme) {
                return AccessDecision::Refuse(refusal);
            }
        }
        self.allow
            .as_ref()
            .map_or(AccessDecision::Pass, |allow| allow.decide(session.user()))
    }

    fn refuse<B, R: From<Bytes>>(&self, request: &Request<B>, refusal: Refusal) -> Response<R> {
        let session = request.extensions().get::<Arc<Session>>();
        refusal.count();
        tracing::info!(
            target: "spnegate::auth",
            console = %self.console,
            reason = refusal.reason(),
            user = session.map(|s| s.user()),
            principal = session.map(|s| s.principal()),
            "access refused"
        );
        let context = page::PageContext::of(request, &self.console, self.scheme.as_str());
        let principal = session.map(|s| s.principal());
        page::response(
            refusal,
            &page::PageContext {
                principal,
                ..context
            },
        )
    }
}

// === impl AclLayer ===

impl AclLayer {
    /// A layer of one console.
    pub fn new(policy: impl Into<Arc<AclPolicy>>) -> Self {
        Self(policy.into())
    }
}

impl<S> Layer<S> for AclLayer {
    type Service = AclService<S>;

    fn layer(&self, inner: S) -> AclService<S> {
        AclService {
            inner,
            policy: Arc::clone(&self.0),
        }
    }
}

// === impl AclService ===

impl<S, B, R> Service<Request<B>> for AclService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    R: From<Bytes>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = AclFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> AclFuture<S, B> {
        let state = match self.policy.decide(&request) {
            AccessDecision::Pass => State::Calling {
                inner: self.inner.call(request),
            },
            AccessDecision::Refuse(refusal) => State::Refused {
                response: Some(self.policy.refuse(&request, refusal)),
            },
            AccessDecision::LookUp(lookup) => {
                // `call` must use the instance that was polled ready.
                let next = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, next);
                let policy = Arc::clone(&self.policy);
                State::LookingUp {
                    lookup,
                    waiting: Some(Waiting {
                        request,
                        inner,
                        policy,
                    }),
                }
            }
        };
        AclFuture { state }
    }
}

impl<S: fmt::Debug> fmt::Debug for AclService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AclService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

// === impl AclFuture ===

impl<S, B, R> Future for AclFuture<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    type Output = Result<Response<R>, S::Error>;

    #[expect(
        clippy::expect_used,
        reason = "polled after completion: a caller's bug, as in std"
    )]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        const COMPLETED: &str = "polled after completion";
        let mut state = self.project().state;
        // The next state is polled immediately: `Pending` without a poll would register no waker.
        loop {
            match state.as_mut().project() {
                StateProj::Refused { response } => {
                    return Poll::Ready(Ok(response.take().expect(COMPLETED)));
                }
                StateProj::LookingUp { lookup, waiting } => {
                    let groups = ready!(lookup.poll(cx));
                    let next = waiting.take().expect(COMPLETED).finish(groups);
                    state.set(next);
                }
                StateProj::Calling { inner } => return inner.poll(cx),
            }
        }
    }
}

impl<S: Service<Request<B>>, B> fmt::Debug for AclFuture<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AclFuture").finish_non_exhaustive()
    }
}

// === impl Waiting ===

impl<S, B, R> Waiting<S, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: From<Bytes>,
{
    fn finish(self, groups: Result<GroupNames, GroupsError>) -> State<S, B> {
        let Self {
            request,
            mut inner,
            policy,
        } = self;
        let refusal = match (groups, &policy.allow) {
            (Ok(names), Some(allow)) => match allow.decide_by(&names) {
                AccessDecision::Pass => {
                    return State::Calling {
                        inner: inner.call(request),
                    };
                }
                AccessDecision::Refuse(refusal) => refusal,
                // `decide_by` never asks for another look-up.
                AccessDecision::LookUp(_) => Refusal::GroupsUnavailable,
            },
            // Not reached: groups are looked up only if there are rules. Refusing is the safe choice.
            (Ok(_), None) => Refusal::UserDenied,
            (Err(error), _) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(target: "spnegate::auth", error, "group look-up failed");
                Refusal::GroupsUnavailable
            }
        };
        State::Refused {
            response: Some(policy.refuse(&request, refusal)),
        }
    }
}

#[cfg(test)]
mod tests;
