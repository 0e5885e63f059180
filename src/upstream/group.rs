//! The servers of one console: which of them is asked now, and waiting while there is none.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::backend::{Backend, BackendHealth, now_ms};
use crate::{
    balance::{AdminState, Algorithm, Candidate, choose, effective_weight, stable_hash},
    refusal::Refusal,
    telemetry::metrics,
};

mod limiter;
mod owners;
mod wanted;

use limiter::ConcurrencyLimiter;
pub(crate) use limiter::{Assignment, BackendPermit, ConcurrencyLimits};
pub(crate) use owners::OwnerCache;
pub(crate) use wanted::{PickCriteria, TriedBackends};

/// `console.balance`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Balance {
    /// The one that says it is active (HA pairs).
    Active,
    /// The first that is healthy, in file order.
    First,
    /// In turn, by weight.
    RoundRobin,
    /// The one with the fewest requests for its weight.
    LeastConn,
    /// By the client's address: consistent hashing.
    Source,
}

impl Balance {
    /// The word of the configuration.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::First => "first",
            Self::RoundRobin => "roundrobin",
            Self::LeastConn => "leastconn",
            Self::Source => "source",
        }
    }
}

/// Requests that may wait for an active backend, per console.
const MAX_HELD: usize = 4096;

/// The servers of a console.
#[derive(Debug)]
pub(crate) struct BackendGroup {
    /// The console's name.
    pub console: Arc<str>,
    /// In file order.
    pub backends: Vec<Arc<Backend>>,
    /// The `host:port` of each.
    pub authorities: Vec<Arc<str>>,
    /// How one is chosen.
    pub policy: BalancePolicy,
    /// Woken at every change of a backend's state.
    pub changed: Notify,
    /// What belongs to which.
    pub owners: OwnerCache,
    /// Requests that each may have at once.
    limiter: ConcurrencyLimiter,
    held: AtomicUsize,
}

/// How one of a console's servers is chosen.
#[derive(Clone, Debug)]
pub(crate) struct BalancePolicy {
    /// `balance`
    pub balance: Balance,
    /// `weight` of each backend.
    pub weights: Vec<u32>,
    /// For so long a server's share grows after it came up.
    pub slow_start: Duration,
    /// `max_connections` of each backend, and the queue before them.
    pub limits: ConcurrencyLimits,
}

/// Whom to ask.
#[derive(Debug)]
pub(crate) enum Pick {
    /// This one, and a place there.
    Backend(usize, Option<BackendPermit>),
    /// All that could be asked have as many requests as they may, or the one that alone can be.
    AtCapacity(Option<usize>),
    /// Nobody now; one may become active soon.
    NoneActive,
    /// Nobody, for a reason that waiting does not cure.
    Refuse(Refusal),
}

impl BalancePolicy {
    /// As consoles without a word of balancing have it: `balance` and nothing else.
    #[cfg(test)]
    pub(crate) fn plain(balance: Balance, backends: usize) -> Self {
        Self {
            balance,
            weights: vec![1; backends],
            slow_start: Duration::ZERO,
            limits: ConcurrencyLimits::none(backends),
        }
    }
}

impl BackendGroup {
    /// A group of servers.
    pub(crate) fn new(
        console: Arc<str>,
        backends: Vec<Arc<Backend>>,
        policy: BalancePolicy,
    ) -> Arc<Self> {
        let authorities = backends
            .iter()
            .map(|b| Arc::clone(&b.key.authority))
            .collect();
        Arc::new_cyclic(|group| Self {
            limiter: ConcurrencyLimiter::new(policy.limits.clone(), group.clone()),
            console,
            backends,
            authorities,
            policy,
            changed: Notify::new(),
            owners: OwnerCache::default(),
            held: AtomicUsize::new(0),
        })
    }

    /// Who is to be asked now.
    pub(crate) fn pick(&self, wanted: &PickCriteria) -> Pick {
        if let Some(owner) = wanted.owner {
            return self.pick_owner(owner);
        }
        let mut tried = wanted.tried;
        loop {
            let chosen = self.choose(wanted, |index, backend| {
                !tried.has(index) && may_be_asked(backend) && self.limiter.has_room(index)
            });
            let Some(index) = chosen else {
                if std::mem::take(&mut tried) != TriedBackends::default() {
                    continue;
                }
                let full = |backend: &Arc<Backend>| may_be_asked(backend);
                if self.backends.iter().any(full) {
                    return Pick::AtCapacity(None);
                }
                return self.nobody();
            };
            // another worker may have been faster
            if let Ok(place) = self.limiter.take(index) {
                return Pick::Backend(index, place);
            }
        }
    }

    /// A server that this request has not been at, and that may know what it is about: one that is
    /// drained goes on with what it has begun.
    pub(crate) fn another(&self, tried: TriedBackends) -> Option<usize> {
        let knows = |backend: &Backend| {
            let status = backend.status();
            status.health == BackendHealth::Active
                && status.admin != AdminState::Maintenance
                && backend.identity_gate_at(&status).is_ok()
        };
        let mut others = self.backends.iter().enumerate();
        others
            .find(|(index, backend)| !tried.has(*index) && knows(backend))
            .map(|(index, _)| index)
    }

    /// A request that one server alone can answer, even while that takes no new ones.
    fn pick_owner(&self, owner: usize) -> Pick {
        let backend = &self.backends[owner];
        if let Err(refusal) = backend.identity_gate() {
            return Pick::Refuse(refusal);
        }
        if backend.health() == BackendHealth::Down
            || backend.admin_state() == AdminState::Maintenance
        {
            return Pick::Refuse(Refusal::OwnerGone);
        }
        self.limiter
            .take(owner)
            .map_or(Pick::AtCapacity(Some(owner)), |place| {
                Pick::Backend(owner, place)
            })
    }

    /// The same server once more, for a request that it has not done.
    pub(crate) fn pick_again(&self, index: usize) -> Pick {
        self.limiter
            .take(index)
            .map_or(Pick::AtCapacity(Some(index)), |place| {
                Pick::Backend(index, place)
            })
    }

    /// Waits for a place, where [`BackendGroup::pick`] found none.
    pub(crate) async fn queue(
        &self,
        wanted: &PickCriteria,
        owner: Option<usize>,
    ) -> Result<Assignment, Refusal> {
        let look = || match owner {
            Some(index) => self.pick_again(index),
            None => self.pick(wanted),
        };
        let able = |index: usize| may_be_asked(&self.backends[index]);
        self.limiter.queue(owner, look, able).await
    }

    fn choose(
        &self,
        wanted: &PickCriteria,
        able: impl Fn(usize, &Backend) -> bool + Copy,
    ) -> Option<usize> {
        let backends = self.backends.iter().enumerate();
        let algorithm = match self.policy.balance {
            // of two that claim to be active, the one that became so later
            Balance::Active => {
                return backends
                    .filter(|(index, backend)| able(*index, backend))
                    .max_by_key(|(index, b)| (b.status().active_since, std::cmp::Reverse(*index)))
                    .map(|(index, _)| index);
            }
            Balance::First => {
                return backends
                    .filter(|(index, backend)| able(*index, backend))
                    .map(|(index, _)| index)
                    .next();
            }
            Balance::RoundRobin => Algorithm::RoundRobin,
            Balance::LeastConn => Algorithm::LeastConn,
            Balance::Source => Algorithm::Source,
        };
        let client = match algorithm {
            Algorithm::Source => hash_of(wanted.client),
            Algorithm::First | Algorithm::RoundRobin | Algorithm::LeastConn => 0,
        };
        let now = now_ms();
        let candidates = backends.map(|(index, backend)| Candidate {
            state: &backend.balance,
            weight: self.weight(index, backend, now),
            load: backend.in_flight(),
            up: able(index, backend),
        });
        choose(algorithm, client, candidates)
    }

    fn weight(&self, index: usize, backend: &Backend, now: u64) -> u32 {
        let up_for = Duration::from_millis(now.saturating_sub(backend.status().changed_at));
        effective_weight(self.policy.weights[index], up_for, self.policy.slow_start)
    }

    fn nobody(&self) -> Pick {
        let ignored = |b: &Arc<Backend>| b.identity_gate() == Err(Refusal::IdentityIgnored);
        if self.backends.iter().any(ignored) {
            return Pick::Refuse(Refusal::IdentityIgnored);
        }
        let unknown = self
            .backends
            .iter()
            .any(|b| b.health() == BackendHealth::Unknown);
        if let Some(refusal) = self
            .backends
            .iter()
            .find_map(|b| b.health().login_refusal())
            && !unknown
        {
            return Pick::Refuse(refusal);
        }
        if self.policy.balance == Balance::Active || unknown {
            return Pick::NoneActive;
        }
        let out = |b: &Arc<Backend>| {
            b.health() == BackendHealth::Down || b.admin_state() != AdminState::Ready
        };
        if self.backends.iter().all(out) {
            return Pick::Refuse(Refusal::BackendDown);
        }
        Pick::NoneActive
    }

    /// Whom to ask, waiting until `deadline` for somebody, and in the queue where all are full.
    pub(crate) async fn pick_or_wait(
        &self,
        wanted: &PickCriteria,
        deadline: Instant,
    ) -> Result<Assignment, Refusal> {
        let mut held = None;
        loop {
            // armed before looking, so that no change is missed
            let changed = self.changed.notified();
            match self.pick(wanted) {
                Pick::Backend(index, place) => return Ok((index, place)),
                Pick::Refuse(refusal) => return Err(refusal),
                Pick::AtCapacity(owner) => return self.queue(wanted, owner).await,
                Pick::NoneActive => {
                    if held.is_none() {
                        held = Some(self.hold()?);
                    }
                    if timeout_at(deadline, changed).await.is_err() {
                        return Err(self.verdict_of_waiting());
                    }
                }
            }
        }
    }

    /// Requests that wait for a place at a backend.
    pub(crate) fn queued(&self) -> usize {
        self.limiter.queued()
    }

    fn verdict_of_waiting(&self) -> Refusal {
        if self
            .backends
            .iter()
            .any(|b| b.health() == BackendHealth::Active && b.identity_gate().is_err())
        {
            return Refusal::IdentityUnproven;
        }
        if self
            .backends
            .iter()
            .all(|b| b.health() == BackendHealth::Down)
        {
            return Refusal::BackendDown;
        }
        match self.policy.balance {
            Balance::Active => Refusal::NoActive,
            Balance::First | Balance::RoundRobin | Balance::LeastConn | Balance::Source => {
                Refusal::BackendDown
            }
        }
    }

    fn hold(&self) -> Result<Held<'_>, Refusal> {
        if self.held.fetch_add(1, Ordering::AcqRel) >= MAX_HELD {
            self.held.fetch_sub(1, Ordering::AcqRel);
            return Err(Refusal::HoldFull);
        }
        metrics::held_requests().increment(1.0);
        Ok(Held(self))
    }

    /// Books what a request or a probe learnt of a backend; wakes who waits and lets the probes
    /// look again at once where something is wrong.
    pub(crate) fn learn(&self, index: usize, state: BackendHealth) {
        let backend = &self.backends[index];
        if backend.set_health(state) {
            tracing::info!(
                console = %self.console,
                backend = %backend.key.authority,
                state = state.as_str(),
                "backend changed"
            );
            if state != BackendHealth::Active {
                for other in &self.backends {
                    other.wake_probe.notify_one();
                }
            }
        }
        // another console's look at the same server may have made the news: who waits here has not
        // heard of it
        let up = matches!(state, BackendHealth::Active | BackendHealth::Standby);
        metrics::BackendMetrics::new(&self.console, &backend.key.authority)
            .set(up, state == BackendHealth::Active);
        self.changed.notify_waiters();
        self.offer();
    }

    /// Hands free places to those who wait for one.
    fn offer(&self) {
        self.limiter
            .offer(|index| may_be_asked(&self.backends[index]));
    }

    /// Takes a server out of service, or back in.
    pub(crate) fn assign(&self, index: usize, duty: AdminState) {
        let backend = &self.backends[index];
        if backend.set_admin_state(duty) {
            tracing::warn!(
                console = %self.console,
                backend = %backend.key.authority,
                duty = duty.as_str(),
                "backend reassigned"
            );
            self.changed.notify_waiters();
            self.offer();
            backend.wake_probe.notify_one();
        }
    }
}

fn may_be_asked(backend: &Backend) -> bool {
    let status = backend.status();
    status.health == BackendHealth::Active
        && status.admin == AdminState::Ready
        && backend.identity_gate_at(&status).is_ok()
}

/// What `source` knows a client by.
fn hash_of(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(address) => stable_hash(&address.octets()),
        IpAddr::V6(address) => stable_hash(&address.octets()),
    }
}

/// A place among the waiting requests.
#[derive(Debug)]
struct Held<'a>(&'a BackendGroup);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::AcqRel);
        metrics::held_requests().decrement(1.0);
    }
}

#[cfg(test)]
mod tests;
