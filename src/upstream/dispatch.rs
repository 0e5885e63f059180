//! The loop of attempts for one request of a console.
//!
//! Everything that is tried again is tried again here: an expired login, a standby server, no active
//! server, a pooled connection that was closed, a connection that broke. [`super::next`] decides, this
//! module acts. One attempt is four steps, see [`super::attempt`].

use std::{pin::pin, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use http::response::Parts;
use tokio::time::{Instant, timeout};

use super::Timeouts;
use super::{
    attempt::{Attempt, Received, visible},
    backend::{Backend, BackendHealth, InFlight},
    body::look_ahead,
    group::{self, BackendGroup, BackendPermit, Pick, PickCriteria},
    login::Credential,
    next::{AttemptOutcome, RetriesUsed, Step, next},
    pool::{Lease, Pool},
    upload::Upload,
    wire::ConnectError,
};
use crate::{gss::Initiator, refusal::Refusal};

mod classify;
mod coarse_timeout;
mod login;
mod outgoing;
mod short_timeout;
mod wait;

use coarse_timeout::CoarseTimeout;
pub(crate) use outgoing::Outgoing;
use short_timeout::ShortTimeout;

/// A response that takes longer than this is waited for with an eye on the backend's health.
const WATCH_AFTER: Duration = Duration::from_secs(1);
/// The same in ticks of [`super::pool::TICK`]: 1 s to 1.5 s.
const WATCH_TICKS: u32 = 3;

/// The servers of a console, with one worker's connections to them.
#[derive(Debug)]
pub(crate) struct Upstream {
    group: Arc<BackendGroup>,
    pools: Vec<Rc<Pool>>,
    initiator: Option<Initiator>,
    control: tokio::runtime::Handle,
    timeouts: Timeouts,
    coarse_timeout: CoarseTimeout,
    short_timeout: ShortTimeout,
    pass_cookies: Arc<[Arc<str>]>,
}

/// A backend's response for the client.
#[derive(Debug)]
pub(crate) struct BackendResponse {
    /// Status and headers as the backend sent them.
    pub parts: Parts,
    /// The start of the body, if it has been read.
    pub prefix: Option<Bytes>,
    /// The connection with the rest of the body.
    pub lease: Lease,
    pub backend: Arc<Backend>,
    /// The index of `backend` in the group.
    pub index: usize,
    /// Whether the request carried a token of the gateway: a cookie in the response may then be the
    /// gateway's login.
    pub by_token: bool,
}

impl BackendResponse {
    /// What of the body kinds may see.
    pub(crate) fn visible_start(&self) -> &[u8] {
        visible(self.prefix.as_deref().unwrap_or_default())
    }
}

/// The parameters of one attempt.
struct AttemptPlan {
    index: usize,
    permit: Option<BackendPermit>,
    /// The serial of a login cookie that the backend has refused.
    stale: Option<u64>,
    /// Whether the request may be sent elsewhere when the probe finds the backend dead.
    may_abandon: bool,
}

/// The result of one attempt; `serial` is that of its login cookie.
struct AttemptReport {
    outcome: AttemptOutcome,
    serial: Option<u64>,
    response: Option<BackendResponse>,
}

impl AttemptReport {
    fn without_response(outcome: AttemptOutcome) -> Self {
        Self {
            outcome,
            serial: None,
            response: None,
        }
    }
}

impl Upstream {
    /// `pass_cookies` are the clients' cookies that may accompany a token of the gateway.
    pub(crate) fn new(
        group: Arc<BackendGroup>,
        initiator: Option<Initiator>,
        control: tokio::runtime::Handle,
        timeouts: Timeouts,
        pass_cookies: Arc<[Arc<str>]>,
    ) -> Self {
        let pools = group.backends.iter().map(|_| Rc::default()).collect();
        Self {
            group,
            pools,
            initiator,
            short_timeout: ShortTimeout::new(control.clone()),
            control,
            timeouts,
            coarse_timeout: CoarseTimeout::new(WATCH_TICKS),
            pass_cookies,
        }
    }

    pub(crate) fn group(&self) -> &Arc<BackendGroup> {
        &self.group
    }

    /// Drops idle connections and wakes overdue requests; called by the worker at every [`super::pool::TICK`].
    pub(crate) fn sweep(&self) {
        self.coarse_timeout.tick();
        for (pool, backend) in self.pools.iter().zip(&self.group.backends) {
            pool.sweep(&backend.addresses());
        }
    }

    /// Sends a request to a backend until there is a response for the client, or a reason to refuse.
    pub(crate) async fn run(
        &self,
        out: &Outgoing,
        upload: &Upload,
    ) -> Result<BackendResponse, Refusal> {
        let mut spent = RetriesUsed::default();
        let mut deadline = None;
        let mut stale = None;
        let mut again = None;
        let mut wanted = PickCriteria {
            client: out.client.0.ip(),
            owner: out
                .server
                .or_else(|| self.group.owners.find(out.owner.as_deref()?)),
            tried: group::TriedBackends::default(),
        };
        loop {
            let pick = match again.take() {
                Some(index) => self.group.pick_again(index),
                None => self.group.pick(&wanted),
            };
            let (index, permit) = match pick {
                Pick::Backend(index, permit) => (index, permit),
                Pick::Refuse(refusal) => return Err(refusal),
                // Boxed, like everything rare in this function: the future of the usual path stays
                // small, and every request moves it.
                Pick::AtCapacity(owner) => Box::pin(self.group.queue(&wanted, owner)).await?,
                Pick::NoneActive => {
                    let end = *deadline.get_or_insert_with(|| Instant::now() + self.timeouts.hold);
                    Box::pin(self.group.pick_or_wait(&wanted, end)).await?
                }
            };
            let plan = AttemptPlan {
                index,
                permit,
                stale,
                may_abandon: out.method.is_safe() && !spent.repeat,
            };
            let mut report = self.attempt(plan, out, upload).await?;
            if report.outcome == AttemptOutcome::NotOwner {
                report.outcome = self.confirm_not_owner(wanted.tried, index);
            }
            if let Some(refusal) = upload.broken()
                && report.response.is_none()
            {
                return Err(refusal);
            }
            if report.response.is_none()
                && let Some(refusal) = upload.late()
            {
                return Err(refusal);
            }
            let step = next(report.outcome, upload.state(), &out.method, spent);
            spent.record(report.outcome, step);
            self.learn(index, report.outcome);
            match (step, report.response) {
                (Step::Deliver, Some(response)) => {
                    self.learn_owner(&response);
                    return Ok(response);
                }
                (Step::Deliver, None) => return Err(Refusal::BackendBroken),
                (Step::Relogin, _) => {
                    stale = report.serial;
                    again = Some(index);
                }
                (Step::Reconnect, _) => again = Some(index),
                (Step::Elsewhere, _) => {
                    wanted.tried.add(index);
                    if report.outcome == AttemptOutcome::NotOwner {
                        again = self.group.another(wanted.tried);
                    }
                    self.await_next_probe(index, report.outcome).await;
                }
                (Step::Refuse(refusal), _) => return Err(refusal),
            }
        }
    }

    /// On a 404, another server is tried, even if this one was taken to be the owner: the cache of
    /// owners may be outdated after a restart. The last server's response goes to the client.
    fn confirm_not_owner(&self, mut tried: group::TriedBackends, index: usize) -> AttemptOutcome {
        tried.add(index);
        if self.group.another(tried).is_some() {
            AttemptOutcome::NotOwner
        } else {
            AttemptOutcome::Response
        }
    }

    /// Remembers that the server owns the transaction named in its response.
    ///
    /// Nothing is learned from ids in a *request*: a wrong owner makes each later poll of its queries a
    /// 404, and a coordinator may serve a page about another one's query, and clients choose the ids of
    /// transactions. The ids of queries are learned from the JSON
    /// of responses (`Learner`).
    fn learn_owner(&self, response: &BackendResponse) {
        if let Some(name) = response.backend.kind.owner_header()
            && let Some(word) = response.parts.headers.get(name)
            && let Ok(word) = word.to_str()
        {
            self.group.owners.learn(word, response.index);
        }
    }

    fn learn(&self, index: usize, outcome: AttemptOutcome) {
        match outcome {
            AttemptOutcome::Standby => self.group.learn(index, BackendHealth::Standby),
            AttemptOutcome::Unreachable => self.group.learn(index, BackendHealth::Down),
            AttemptOutcome::Untrusted => {
                self.group.learn(index, BackendHealth::TlsFailed);
            }
            AttemptOutcome::Broken | AttemptOutcome::Abandoned | AttemptOutcome::TimedOut => {
                // A server that is killed closes all its connections, but the pool may not have
                // noticed yet. The only repetition must not use one of those.
                self.pools[index].clear();
                self.group.backends[index].wake_probe.notify_one();
            }
            AttemptOutcome::Response
            | AttemptOutcome::NotOwner
            | AttemptOutcome::LoginFailed
            | AttemptOutcome::Unsent => {}
        }
    }

    /// A server that broke the connection may be dying while it still counts as active. The repetition
    /// waits for the next probe, so that it is not sent to the same server again.
    async fn await_next_probe(&self, index: usize, outcome: AttemptOutcome) {
        if outcome.leaves_in_doubt() {
            let backend = &self.group.backends[index];
            let next = backend.probe_epoch.next();
            backend.wake_probe.notify_one();
            // the probe may be inconclusive: the request is then repeated anyway
            let _ = timeout(2 * WATCH_AFTER, next).await;
        }
    }

    async fn attempt(
        &self,
        plan: AttemptPlan,
        out: &Outgoing,
        upload: &Upload,
    ) -> Result<AttemptReport, Refusal> {
        let AttemptPlan {
            index,
            permit,
            stale,
            may_abandon,
        } = plan;
        let backend = &self.group.backends[index];
        let credential = self.credential(backend, stale).await?;
        let serial = credential.serial();
        let pooled = match backend.key.send_proxy {
            None => self.pools[index].take(out.method.is_safe()),
            Some(_) => None,
        };
        let mut lease = match pooled {
            Some(lease) => lease,
            None => match Box::pin(self.connect(index, backend, out)).await {
                Ok(lease) => lease,
                Err(error) => {
                    tracing::debug!(backend = %backend.key.authority, "{error}");
                    return Ok(AttemptReport::without_response(match error {
                        ConnectError::Tcp(_) => AttemptOutcome::Unreachable,
                        ConnectError::Tls(_) => AttemptOutcome::Untrusted,
                    }));
                }
            },
        };
        lease.in_flight = Some(InFlight::at(backend, permit));
        let login = credential.header();
        let by_token = matches!(credential, Credential::Token(..));
        let cookies = out.cookies_beside(login, &self.pass_cookies);
        let attempt = Attempt::new(
            &mut lease.connection,
            &out.method,
            &out.target,
            &backend.host_header,
        )
        .authenticate(login, cookies.as_deref())
        .headers(|head| out.write_headers(backend, head));
        let mut exchange = pin!(attempt.send(upload.reader()));
        let waited = self.await_head(exchange.as_mut(), backend, upload, may_abandon);
        let mut received = match waited.await {
            Ok(Ok(head)) => Received::from(head),
            Ok(Err(failed)) => {
                tracing::debug!(backend = %backend.key.authority, "{}", failed.error);
                return Ok(AttemptReport::without_response(
                    if failed.unsent && lease.reused {
                        AttemptOutcome::Unsent
                    } else {
                        AttemptOutcome::Broken
                    },
                ));
            }
            Err(outcome) => return Ok(AttemptReport::without_response(outcome)),
        };
        if backend.kind.needs_body(&received.info()) {
            let reading = received.read_start(&mut lease.connection);
            match Box::pin(timeout(self.timeouts.body_idle, reading)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Ok(AttemptReport::without_response(AttemptOutcome::Broken)),
                Err(_elapsed) => return Err(Refusal::BackendStalled),
            }
        }
        let mut outcome = self.classify(backend, out, &received)?;
        if by_token || outcome == AttemptOutcome::LoginFailed {
            let checked = self.check_login(outcome, backend, &received.parts.headers, credential);
            outcome = Box::pin(checked).await?;
        }
        let delivered = matches!(outcome, AttemptOutcome::Response | AttemptOutcome::NotOwner);
        if delivered && lease.connection.size_hint().exact().is_none() {
            let end = pin!(look_ahead(&mut received.start, &mut lease.connection));
            if let Some(Err(_)) = self.short_timeout.try_wait(end).await {
                return Ok(AttemptReport::without_response(AttemptOutcome::Broken));
            }
        }
        Ok(AttemptReport {
            outcome,
            serial,
            response: delivered.then(|| BackendResponse {
                parts: received.parts,
                prefix: received.start,
                lease,
                backend: Arc::clone(backend),
                index,
                by_token,
            }),
        })
    }

    async fn connect(
        &self,
        index: usize,
        backend: &Arc<Backend>,
        out: &Outgoing,
    ) -> Result<Lease, ConnectError> {
        if backend.addresses().is_empty() {
            backend.resolve().await?;
        }
        let addresses = backend.addresses_in_turn();
        self.pools[index]
            .connect(
                &addresses,
                backend.tls.as_ref(),
                backend
                    .key
                    .send_proxy
                    .map(|version| (version, Some(out.client))),
                self.timeouts.connect,
            )
            .await
    }
}
