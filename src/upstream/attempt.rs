//! The one loop for everything that is tried again: a renewed login, a standby server, waiting for
//! an active one, a pooled connection that was closed, a broken answer.
//!
//! [`super::next`] decides; this module carries out.

use std::{pin::pin, rc::Rc, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    backend::{Backend, InFlight, State},
    client,
    group::{Group, Pick},
    login::{self, Credential, LoginError},
    next::{Outcome, Spent, Step, next},
    pool::{Lease, Pool},
    upload::{SendBody, Upload},
};
use crate::{
    config::Timeouts,
    gss::Initiator,
    kinds::{Asked, Head, PREFIX, Verdict},
    refusal::Refusal,
};

/// A wait shorter than this is not worth watching the backend's state meanwhile.
const PATIENCE: Duration = Duration::from_secs(1);

/// A console's servers as one worker reaches them.
#[derive(Debug)]
pub struct Upstream {
    group: Arc<Group>,
    pools: Vec<Rc<Pool>>,
    initiator: Option<Initiator>,
    control: tokio::runtime::Handle,
    timeouts: Timeouts,
}

/// A request as every try sends it.
#[derive(Debug)]
pub struct Outgoing {
    /// Method.
    pub method: Method,
    /// Path and query in origin form.
    pub target: Uri,
    /// Headers without `Host` and without what the gateway logs in with.
    pub headers: HeaderMap,
    /// The client's cookies for this backend; the login cookie joins them.
    pub cookies: Option<HeaderValue>,
    /// The query as the client sent it.
    pub query: String,
}

/// An answer for the client.
#[derive(Debug)]
pub struct Answer {
    /// Status and headers as the backend sent them.
    pub response: Response<()>,
    /// The start of the body, where it had to be looked at.
    pub prefix: Option<Bytes>,
    /// The rest.
    pub incoming: Incoming,
    /// The connection that it comes on.
    pub lease: Lease,
    /// Who answered.
    pub backend: Arc<Backend>,
}

/// One try: how it ended, the cookie it used, the answer if there is one.
struct Tried {
    outcome: Outcome,
    serial: Option<u64>,
    answer: Option<Answer>,
}

impl Tried {
    fn without_answer(outcome: Outcome) -> Self {
        Self {
            outcome,
            serial: None,
            answer: None,
        }
    }
}

impl Upstream {
    /// A worker's way to a console's servers.
    pub fn new(
        group: Arc<Group>,
        initiator: Option<Initiator>,
        control: tokio::runtime::Handle,
        timeouts: Timeouts,
    ) -> Self {
        let pools = group.backends.iter().map(|_| Rc::default()).collect();
        Self {
            group,
            pools,
            initiator,
            control,
            timeouts,
        }
    }

    /// The servers.
    pub fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// Drops what has been idle for too long; called by the worker now and then.
    pub fn sweep(&self) {
        for pool in &self.pools {
            pool.sweep();
        }
    }

    /// Gets a request answered, or says why not.
    pub async fn run(&self, out: &Outgoing, upload: &Upload) -> Result<Answer, Refusal> {
        let mut spent = Spent::default();
        let mut deadline = None;
        let mut stale = None;
        let mut again = None;
        loop {
            let index = match (again.take(), self.group.pick()) {
                (Some(index), _) | (None, Pick::Backend(index)) => index,
                (None, Pick::Refuse(refusal)) => return Err(refusal),
                (None, Pick::Wait) => {
                    let end = *deadline.get_or_insert_with(|| Instant::now() + self.timeouts.hold);
                    Box::pin(self.group.pick_or_wait(end)).await?
                }
            };
            let tried = self.try_once(index, out, upload, stale, &spent).await?;
            if upload.broken() && tried.answer.is_none() {
                return Err(Refusal::BadRequest);
            }
            let step = next(tried.outcome, upload.state(), &out.method, spent);
            spent.book(tried.outcome, step);
            self.learn(index, tried.outcome);
            match (step, tried.answer) {
                (Step::Deliver, Some(answer)) => return Ok(answer),
                (Step::Deliver, None) => return Err(Refusal::BackendBroken),
                (Step::Relogin, _) => {
                    stale = tried.serial;
                    again = Some(index);
                }
                (Step::Reconnect, _) => again = Some(index),
                (Step::Elsewhere, _) => {}
                (Step::Refuse(refusal), _) => return Err(refusal),
            }
        }
    }

    fn learn(&self, index: usize, outcome: Outcome) {
        match outcome {
            Outcome::Standby => self.group.learn(index, State::Standby),
            Outcome::Unreachable => self.group.learn(index, State::Down),
            Outcome::Broken | Outcome::Abandoned | Outcome::TimedOut => {
                // a killed server breaks off all its connections, of which those in the pool may
                // not have heard yet: the one repetition must not meet another of them
                self.pools[index].clear();
                self.group.backends[index].kick.notify_one();
            }
            Outcome::Answer | Outcome::LoginFailed | Outcome::Unsent => {}
        }
    }

    async fn try_once(
        &self,
        index: usize,
        out: &Outgoing,
        upload: &Upload,
        stale: Option<u64>,
        spent: &Spent,
    ) -> Result<Tried, Refusal> {
        let backend = &self.group.backends[index];
        let credential = self.credential(backend, stale).await?;
        let serial = credential.serial();
        let safe = out.method.is_safe();
        let mut lease = match self.pools[index].take(safe) {
            Some(lease) => lease,
            // boxed, as all that is rare here: the common way's future stays small
            None => match Box::pin(self.connect(index, backend)).await {
                Ok(lease) => lease,
                Err(error) => {
                    tracing::debug!(backend = %backend.key.authority, "cannot connect: {error}");
                    return Ok(Tried::without_answer(Outcome::Unreachable));
                }
            },
        };
        if lease.sender.ready().await.is_err() {
            return Ok(Tried::without_answer(if lease.reused {
                Outcome::Unsent
            } else {
                Outcome::Broken
            }));
        }
        lease.in_flight = Some(InFlight::at(backend));
        let (request, context) = compose(out, backend, credential, upload.reader());
        let exchange = lease.sender.try_send_request(request);
        let may_abandon = safe && !spent.repeat;
        let response = match self.wait(exchange, backend, upload, may_abandon).await {
            Ok(Ok(response)) => response,
            Ok(Err(mut error)) => {
                let unsent = error.take_message().is_some();
                return Ok(Tried::without_answer(if unsent && lease.reused {
                    Outcome::Unsent
                } else {
                    Outcome::Broken
                }));
            }
            Err(outcome) => return Ok(Tried::without_answer(outcome)),
        };
        let (outcome, answer) = self
            .judge(index, out, response, lease, context.is_some())
            .await?;
        if let (Some(context), Outcome::Answer, Some(answer)) = (context, outcome, &answer) {
            login::verify(answer.response.headers(), *context)
                .map_err(|error| Refusal::from(&error))?;
        }
        Ok(Tried {
            outcome,
            serial,
            answer,
        })
    }

    /// What the request carries for the gateway. The shared cookie is at hand; anything else is
    /// fetched on the control runtime, so that a client which hangs up ends no login.
    async fn credential(
        &self,
        backend: &Arc<Backend>,
        stale: Option<u64>,
    ) -> Result<Credential, Refusal> {
        if self.initiator.is_none() {
            return Ok(Credential::None);
        }
        if !backend.login.every_request(backend)
            && let Some(cookie) = backend.login.current()
            && Some(cookie.serial) != stale
        {
            return Ok(Credential::Cookie(cookie));
        }
        let (backend, initiator) = (Arc::clone(backend), self.initiator.clone());
        self.control
            .spawn(async move { login::credential(&backend, initiator.as_ref(), stale).await })
            .await
            .map_err(|_| Refusal::Draining)?
            .map_err(|error: LoginError| Refusal::from(&error))
    }

    async fn connect(&self, index: usize, backend: &Arc<Backend>) -> std::io::Result<Lease> {
        let mut addresses = backend.addresses();
        if addresses.is_empty() {
            addresses = backend.resolve().await?;
        }
        self.pools[index]
            .connect(&addresses, self.timeouts.connect)
            .await
    }

    /// Waits for the head of the answer; gives a safe request back early when the probe finds that
    /// the backend is dead (a frozen one accepts connections for a minute and more).
    async fn wait<T>(
        &self,
        answer: impl Future<Output = T>,
        backend: &Backend,
        upload: &Upload,
        may_abandon: bool,
    ) -> Result<T, Outcome> {
        let mut answer = pin!(answer);
        let first = self.timeouts.first_byte.min(PATIENCE);
        if let Ok(answer) = timeout(first, answer.as_mut()).await {
            return Ok(answer);
        }
        let mut end = Instant::now() + self.timeouts.first_byte.saturating_sub(first);
        loop {
            let changed = self.group.changed.notified();
            if may_abandon && backend.state() == State::Down {
                return Err(Outcome::Abandoned);
            }
            tokio::select! {
                answer = answer.as_mut() => return Ok(answer),
                () = changed => {}
                () = sleep_until(end) => {
                    // the time runs from the end of the request; a stalled one is the server's case
                    if !upload.under_way() {
                        return Err(Outcome::TimedOut);
                    }
                    end = Instant::now() + self.timeouts.first_byte;
                }
            }
        }
    }

    /// Reads what the backend's answer means.
    async fn judge(
        &self,
        index: usize,
        out: &Outgoing,
        response: Response<Incoming>,
        lease: Lease,
        own_token: bool,
    ) -> Result<(Outcome, Option<Answer>), Refusal> {
        let backend = &self.group.backends[index];
        let reason = client::reason(&response);
        let (parts, mut incoming) = response.into_parts();
        // nobody asked for another protocol: what follows would be no HTTP to the client
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Refusal::BackendBroken);
        }
        let head = Head {
            status: parts.status,
            reason: &reason,
            headers: &parts.headers,
        };
        let mut prefix = None;
        if backend.kind.needs_body(&head) {
            let read = read_prefix(&mut incoming);
            match Box::pin(timeout(self.timeouts.body_idle, read)).await {
                Ok(Ok(bytes)) => prefix = Some(bytes),
                Ok(Err(_)) => return Ok((Outcome::Broken, None)),
                Err(_) => return Err(Refusal::BackendTimeout),
            }
        }
        let asked = Asked {
            method: &out.method,
            path: out.target.path(),
            query: &out.query,
        };
        let seen = prefix.as_deref().unwrap_or_default();
        let verdict = backend
            .kind
            .verdict(&asked, &head, seen, &self.group.authorities);
        let outcome = match verdict {
            Verdict::Answer => Outcome::Answer,
            Verdict::Standby => return Ok((Outcome::Standby, None)),
            Verdict::LoginFailed => {
                tracing::debug!(
                    backend = %backend.key.authority,
                    own_token,
                    "the backend refused the gateway's login: {} {}",
                    parts.status.as_u16(),
                    String::from_utf8_lossy(&reason)
                );
                // a console without login that wants one: its 401 is not the client's
                if self.initiator.is_none() {
                    return Err(Refusal::BackendLogin);
                }
                return Ok((Outcome::LoginFailed, None));
            }
        };
        let answer = Answer {
            response: Response::from_parts(parts, ()),
            prefix,
            incoming,
            lease,
            backend: Arc::clone(backend),
        };
        Ok((outcome, Some(answer)))
    }
}

fn compose(
    out: &Outgoing,
    backend: &Backend,
    credential: Credential,
    body: SendBody,
) -> (Request<SendBody>, Option<Box<crate::gss::ClientToken>>) {
    let mut request = Request::new(body);
    *request.method_mut() = out.method.clone();
    *request.uri_mut() = out.target.clone();
    let mut headers = out.headers.clone();
    headers.insert(header::HOST, backend.host_header.clone());
    let mut context = None;
    match credential {
        Credential::None => {
            if let Some(cookies) = &out.cookies {
                headers.insert(header::COOKIE, cookies.clone());
            }
        }
        Credential::Cookie(login) => {
            let value = match &out.cookies {
                None => login.value.clone(),
                Some(cookies) => joined(&login.value, cookies),
            };
            headers.insert(header::COOKIE, value);
        }
        Credential::Token(value, verifier) => {
            if let Some(cookies) = &out.cookies {
                headers.insert(header::COOKIE, cookies.clone());
            }
            headers.insert(header::AUTHORIZATION, value);
            context = Some(verifier);
        }
    }
    *request.headers_mut() = headers;
    (request, context)
}

fn joined(login: &HeaderValue, cookies: &HeaderValue) -> HeaderValue {
    let mut both = Vec::with_capacity(login.len() + 2 + cookies.len());
    both.extend_from_slice(login.as_bytes());
    both.extend_from_slice(b"; ");
    both.extend_from_slice(cookies.as_bytes());
    HeaderValue::from_bytes(&both).unwrap_or_else(|_| login.clone())
}

async fn read_prefix(incoming: &mut Incoming) -> Result<Bytes, hyper::Error> {
    let mut read = BytesMut::new();
    while read.len() < PREFIX {
        match incoming.frame().await {
            None => break,
            Some(frame) => {
                if let Ok(data) = frame?.into_data() {
                    read.extend_from_slice(&data);
                }
            }
        }
    }
    Ok(read.freeze())
}
