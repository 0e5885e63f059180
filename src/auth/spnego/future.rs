//! The future of one request in the layer.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{Accept, LoginSlot, SpnegoPolicy, refuse, refuse::LoginFailure};
use crate::{
    auth::session::{BeginError, NewSession, Session, unix_now},
    gss::{Accepted, LoginStep},
    refusal::Refusal,
};

pin_project! {
    /// The future of [`SpnegoService`](super::SpnegoService); `Send` when the inner one is.
    #[must_use = "futures do nothing unless polled"]
    pub struct SpnegoFuture<S, A, B>
    where
        S: Service<Request<B>>,
        A: Accept,
    {
        #[pin]
        state: State<S, A, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, A, B>
    where
        S: Service<Request<B>>,
        A: Accept,
    {
        /// The layer itself responds.
        Refused { response: Option<S::Response> },
        /// The acceptor verifies the token.
        Accepting {
            #[pin]
            accepting: A::Future,
            login: Option<PendingLogin<S, B, A::Pending>>,
        },
        /// The inner service has the request.
        Calling {
            #[pin]
            inner: S::Future,
            extras: ResponseExtras,
        },
    }
}

/// A request that waits for its token to be accepted.
pub(super) struct PendingLogin<S, B, P> {
    pub(super) request: Request<B>,
    pub(super) inner: S,
    pub(super) policy: Arc<SpnegoPolicy>,
    pub(super) slot: Option<LoginSlot<P>>,
}

/// What is added to the response of the inner service.
#[derive(Default)]
pub(super) struct ResponseExtras {
    session: Option<Arc<Session>>,
    cookie: Option<HeaderValue>,
    mutual: Option<HeaderValue>,
}

// === impl SpnegoFuture ===

impl<S, A, B> SpnegoFuture<S, A, B>
where
    S: Service<Request<B>>,
    A: Accept,
{
    pub(super) fn refused(response: S::Response) -> Self {
        Self {
            state: State::Refused {
                response: Some(response),
            },
        }
    }

    pub(super) fn accepting(accepting: A::Future, login: PendingLogin<S, B, A::Pending>) -> Self {
        Self {
            state: State::Accepting {
                accepting,
                login: Some(login),
            },
        }
    }

    pub(super) fn calling(inner: S::Future, extras: ResponseExtras) -> Self {
        Self {
            state: State::Calling { inner, extras },
        }
    }
}

impl<S, A, B, R> Future for SpnegoFuture<S, A, B>
where
    S: Service<Request<B>, Response = Response<R>>,
    A: Accept,
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
                StateProj::Accepting { accepting, login } => {
                    let step = ready!(accepting.poll(cx));
                    let next = match login.take().expect(COMPLETED).finish::<A, R>(step) {
                        Ok((inner, extras)) => State::Calling { inner, extras },
                        Err(response) => State::Refused {
                            response: Some(response),
                        },
                    };
                    state.set(next);
                }
                StateProj::Calling { inner, extras } => {
                    let mut response = ready!(inner.poll(cx))?;
                    extras.add_to(&mut response);
                    return Poll::Ready(Ok(response));
                }
            }
        }
    }
}

impl<S, A, B> fmt::Debug for SpnegoFuture<S, A, B>
where
    S: Service<Request<B>>,
    A: Accept,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpnegoFuture").finish_non_exhaustive()
    }
}

// === impl PendingLogin ===

impl<S, B, P> PendingLogin<S, B, P> {
    /// Calls the inner service, or refuses the login.
    fn finish<A, R>(
        self,
        step: Result<LoginStep<P>, A::Error>,
    ) -> Result<(S::Future, ResponseExtras), Response<R>>
    where
        S: Service<Request<B>, Response = Response<R>>,
        A: Accept<Pending = P>,
        R: From<Bytes>,
    {
        let Self {
            mut request,
            mut inner,
            policy,
            slot,
        } = self;
        let refuse = |refusal, why: &LoginFailure<'_>, mutual| {
            refuse::login(&policy, &request, refusal, why, mutual)
        };
        let accepted = match step {
            Ok(LoginStep::Done(accepted)) => accepted,
            Ok(LoginStep::Continue { token, pending }) => {
                // Without a slot (HTTP/2) the next token could not be matched with this login.
                let kept = slot.map_or(Err(Refusal::LoginInterrupted), |slot| slot.put(pending));
                return Err(match kept {
                    Ok(()) => refuse::continue_login(&policy, &request, negotiate(&token)),
                    Err(refusal) => refuse::response(&policy, &request, refusal),
                });
            }
            Err(error) => {
                return Err(refuse(
                    A::refusal(&error),
                    &LoginFailure::Accept(&error),
                    None,
                ));
            }
        };
        let Accepted {
            client,
            service,
            expires,
            reply,
        } = &accepted;
        // Sent with a refusal too: some clients discard a response that does not authenticate the
        // gateway.
        let mutual = reply.as_deref().map(negotiate);
        // The keytab may have keys of several services; a `presto/…` ticket must not open an `HTTP`
        // console.
        if !policy.serves(service) {
            let why = LoginFailure::Service(&accepted);
            return Err(refuse(Refusal::WrongService, &why, mutual));
        }
        let now = unix_now();
        let new_session =
            policy
                .sessions
                .begin(client, *expires, policy.scheme, &policy.names, now);
        let NewSession { session, cookie } = match new_session {
            Ok(new_session) => new_session,
            Err(error) => {
                let refusal = match error {
                    BeginError::Name(_) => Refusal::NameUnmapped,
                    BeginError::Random(_) => Refusal::LoginBusy,
                };
                return Err(refuse(
                    refusal,
                    &LoginFailure::Client(client, &error),
                    mutual,
                ));
            }
        };
        refuse::count("ok");
        let cookie = cookie.filter(|_| policy.sets_cookie(request.headers()));
        let in_response = policy.session_in_response.then(|| Arc::clone(&session));
        request.extensions_mut().insert(session);
        let extras = ResponseExtras {
            session: in_response,
            cookie,
            mutual,
        };
        Ok((inner.call(request), extras))
    }
}

// === impl ResponseExtras ===

impl ResponseExtras {
    pub(super) fn of(session: Option<Arc<Session>>, cookie: Option<HeaderValue>) -> Self {
        Self {
            session,
            cookie,
            mutual: None,
        }
    }

    pub(super) fn add_to<R>(&mut self, response: &mut Response<R>) {
        if let Some(session) = self.session.take() {
            response.extensions_mut().insert(session);
        }
        let headers = response.headers_mut();
        if let Some(cookie) = self.cookie.take() {
            headers.append(header::SET_COOKIE, cookie);
        }
        if let Some(mutual) = self.mutual.take() {
            headers.append(header::WWW_AUTHENTICATE, mutual);
        }
        keep_private(headers);
    }
}

/// Adds `Cache-Control: private`, unless the response has it or `no-store`. RFC 9111 section 3.5 keeps
/// shared caches from storing responses to requests with `Authorization`, but not to those with a
/// cookie.
fn keep_private(headers: &mut HeaderMap) {
    let private = |value: &HeaderValue| {
        let has = |word: &[u8]| {
            value
                .as_bytes()
                .windows(word.len())
                .any(|part| part.eq_ignore_ascii_case(word))
        };
        has(b"private") || has(b"no-store")
    };
    // Appended, so that the directives of the backend stay as they are.
    if !headers.get_all(header::CACHE_CONTROL).iter().any(private) {
        headers.append(header::CACHE_CONTROL, HeaderValue::from_static("private"));
    }
}

/// `Negotiate <token>`
#[expect(clippy::expect_used, reason = "base64 is visible ASCII")]
fn negotiate(token: &[u8]) -> HeaderValue {
    let mut text = String::with_capacity(10 + token.len().div_ceil(3) * 4);
    text.push_str("Negotiate ");
    BASE64_STANDARD.encode_string(token, &mut text);
    let mut value = HeaderValue::try_from(text).expect("base64 is a header value");
    value.set_sensitive(true);
    value
}
