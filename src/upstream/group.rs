//! The backends of one console: choosing one for a request, and waiting while there is none.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};

use super::backend::{Backend, BackendHealth};
use crate::{balance::AdminState, refusal::Refusal, telemetry::metrics};

mod criteria;
mod limiter;
mod owners;
mod policy;

pub(crate) use criteria::{PickCriteria, TriedBackends};
use limiter::ConcurrencyLimiter;
pub(crate) use limiter::{Assignment, BackendPermit, ConcurrencyLimits};
pub(crate) use owners::OwnerCache;
pub(crate) use policy::{Balance, BalancePolicy};

/// Requests of one console that may wait for an active backend.
const MAX_HELD: usize = 4096;

#[derive(Debug)]
pub(crate) struct BackendGroup {
    pub console: Arc<str>,
    /// In file order.
    pub backends: Vec<Arc<Backend>>,
    /// The `host:port` of each.
    pub authorities: Vec<Arc<str>>,
    pub policy: BalancePolicy,
    /// Notified at every change of a backend's health.
    pub changed: Notify,
    pub owners: OwnerCache,
    limiter: ConcurrencyLimiter,
    held: AtomicUsize,
}

/// The choice of a backend for a request.
#[derive(Debug)]
pub(crate) enum Pick {
    /// The index of the backend, and a permit if it has a limit.
    Backend(usize, Option<BackendPermit>),
    /// All suitable backends have reached `max_connections`, or the only suitable one has.
    AtCapacity(Option<usize>),
    /// There is none at the moment, but one may become active.
    NoneActive,
    /// There is none, for a reason that waiting does not change.
    Refuse(Refusal),
}

impl BackendGroup {
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

    /// Chooses a backend for a request.
    pub(crate) fn pick(&self, wanted: &PickCriteria) -> Pick {
        if let Some(owner) = wanted.owner {
            return self.pick_owner(owner);
        }
        let mut tried = wanted.tried;
        loop {
            let chosen = self.choose(wanted, |index, backend| {
                !tried.has(index) && is_available(backend) && self.limiter.has_room(index)
            });
            let Some(index) = chosen else {
                if std::mem::take(&mut tried) != TriedBackends::default() {
                    continue;
                }
                let full = |backend: &Arc<Backend>| is_available(backend);
                if self.backends.iter().any(full) {
                    return Pick::AtCapacity(None);
                }
                return self.none_available();
            };
            // another worker may have taken the last permit
            if let Ok(permit) = self.limiter.take(index) {
                return Pick::Backend(index, permit);
            }
        }
    }

    /// A server that has not been tried and may own what the request is about: a drained server still
    /// owns its queries.
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

    /// Chooses the only server that can serve the request, even if it gets no new ones.
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
            .map_or(Pick::AtCapacity(Some(owner)), |permit| {
                Pick::Backend(owner, permit)
            })
    }

    /// Chooses the same server again, for a request that it has not executed.
    pub(crate) fn pick_again(&self, index: usize) -> Pick {
        self.limiter
            .take(index)
            .map_or(Pick::AtCapacity(Some(index)), |permit| {
                Pick::Backend(index, permit)
            })
    }

    /// Waits for a permit, after [`BackendGroup::pick`] has found none.
    pub(crate) async fn queue(
        &self,
        wanted: &PickCriteria,
        owner: Option<usize>,
    ) -> Result<Assignment, Refusal> {
        let look = || match owner {
            Some(index) => self.pick_again(index),
            None => self.pick(wanted),
        };
        let able = |index: usize| is_available(&self.backends[index]);
        self.limiter.queue(owner, look, able).await
    }

    fn none_available(&self) -> Pick {
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

    /// Chooses a backend; waits until `deadline` for one, or in the queue if all are at their limit.
    pub(crate) async fn pick_or_wait(
        &self,
        wanted: &PickCriteria,
        deadline: Instant,
    ) -> Result<Assignment, Refusal> {
        let mut held = None;
        loop {
            // registered before the check, so that no change is missed
            let changed = self.changed.notified();
            match self.pick(wanted) {
                Pick::Backend(index, permit) => return Ok((index, permit)),
                Pick::Refuse(refusal) => return Err(refusal),
                Pick::AtCapacity(owner) => return self.queue(wanted, owner).await,
                Pick::NoneActive => {
                    // Counted once, however often the state changes while the request waits.
                    if held.is_none() {
                        held = Some(self.hold()?);
                    }
                    if timeout_at(deadline, changed).await.is_err() {
                        return Err(self.refusal_after_waiting());
                    }
                }
            }
        }
    }

    /// The number of requests that wait for a permit.
    pub(crate) fn queued(&self) -> usize {
        self.limiter.queued()
    }

    fn refusal_after_waiting(&self) -> Refusal {
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
            Balance::By(_) => Refusal::BackendDown,
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

    /// Records what a request or a probe has found out about a backend, and wakes waiting requests. If
    /// the backend is not active, all backends are probed immediately: another one may take over.
    pub(crate) fn learn(&self, index: usize, health: BackendHealth) {
        let backend = &self.backends[index];
        if backend.set_health(health) {
            tracing::info!(
                console = %self.console,
                backend = %backend.key.authority,
                state = health.as_str(),
                "backend changed"
            );
            if health != BackendHealth::Active {
                for other in &self.backends {
                    other.wake_probe.notify_one();
                }
            }
        }
        // Not only after a change: consoles share backends, and the requests waiting in this group have
        // not been woken by a change that another console's probe recorded.
        let up = matches!(health, BackendHealth::Active | BackendHealth::Standby);
        metrics::BackendMetrics::new(&self.console, &backend.key.authority)
            .set(up, health == BackendHealth::Active);
        self.changed.notify_waiters();
        self.offer();
    }

    /// Gives free permits to waiting requests.
    fn offer(&self) {
        self.limiter
            .offer(|index| is_available(&self.backends[index]));
    }

    /// Takes a server out of service, or back into it.
    pub(crate) fn assign(&self, index: usize, admin: AdminState) {
        let backend = &self.backends[index];
        if backend.set_admin_state(admin) {
            tracing::warn!(
                console = %self.console,
                backend = %backend.key.authority,
                duty = admin.as_str(),
                "backend reassigned"
            );
            self.changed.notify_waiters();
            self.offer();
            backend.wake_probe.notify_one();
        }
    }
}

fn is_available(backend: &Backend) -> bool {
    let status = backend.status();
    status.health == BackendHealth::Active
        && status.admin == AdminState::Ready
        && backend.identity_gate_at(&status).is_ok()
}

/// A request that waits for an active backend; counted until dropped.
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
