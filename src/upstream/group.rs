//! The servers of one console: which of them is asked now, and waiting while there is none.

use std::{
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

use super::backend::{Backend, State};
use crate::{config::Balance, refusal::Refusal, telemetry::metrics};

/// Requests that may wait for an active backend, per console.
const MAX_HELD: usize = 4096;

/// The servers of a console.
#[derive(Debug)]
pub struct Group {
    /// The console's name.
    pub console: Arc<str>,
    /// In file order.
    pub backends: Vec<Arc<Backend>>,
    /// The `host:port` of each.
    pub authorities: Vec<Arc<str>>,
    /// How one is chosen.
    pub balance: Balance,
    /// Woken at every change of a backend's state.
    pub changed: Notify,
    held: AtomicUsize,
}

/// Whom to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// This one.
    Backend(usize),
    /// Nobody now; one may become active soon.
    Wait,
    /// Nobody, for a reason that waiting does not cure.
    Refuse(Refusal),
}

impl Group {
    /// A group of servers.
    pub fn new(console: Arc<str>, backends: Vec<Arc<Backend>>, balance: Balance) -> Self {
        let authorities = backends
            .iter()
            .map(|b| Arc::clone(&b.key.authority))
            .collect();
        Self {
            console,
            backends,
            authorities,
            balance,
            changed: Notify::new(),
            held: AtomicUsize::new(0),
        }
    }

    /// Who is to be asked now.
    pub fn pick(&self) -> Pick {
        let mut best: Option<(usize, u64)> = None;
        for (index, backend) in self.backends.iter().enumerate() {
            if backend.state() != State::Active || backend.identity_gate().is_err() {
                continue;
            }
            match self.balance {
                Balance::First => return Pick::Backend(index),
                // of two that claim to be active, the one that became so later
                Balance::Active => {
                    let since = backend.active_since();
                    if best.is_none_or(|(_, other)| since > other) {
                        best = Some((index, since));
                    }
                }
            }
        }
        best.map_or_else(|| self.nobody(), |(index, _)| Pick::Backend(index))
    }

    fn nobody(&self) -> Pick {
        let ignored = |b: &Arc<Backend>| b.identity_gate() == Err(Refusal::IdentityIgnored);
        if self.backends.iter().any(ignored) {
            return Pick::Refuse(Refusal::IdentityIgnored);
        }
        let unknown = self.backends.iter().any(|b| b.state() == State::Unknown);
        if let Some(refusal) = self.backends.iter().find_map(|b| b.login_refusal())
            && !unknown
        {
            return Pick::Refuse(refusal);
        }
        match self.balance {
            Balance::Active => Pick::Wait,
            Balance::First if unknown => Pick::Wait,
            Balance::First if self.backends.iter().all(|b| b.state() == State::Down) => {
                Pick::Refuse(Refusal::BackendDown)
            }
            Balance::First => Pick::Wait,
        }
    }

    /// Whom to ask, waiting until `deadline` for somebody.
    pub async fn pick_or_wait(&self, deadline: Instant) -> Result<usize, Refusal> {
        let mut held = None;
        loop {
            // armed before looking, so that no change is missed
            let changed = self.changed.notified();
            match self.pick() {
                Pick::Backend(index) => return Ok(index),
                Pick::Refuse(refusal) => return Err(refusal),
                Pick::Wait => {
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

    fn verdict_of_waiting(&self) -> Refusal {
        if self
            .backends
            .iter()
            .any(|b| b.state() == State::Active && b.identity_gate().is_err())
        {
            return Refusal::IdentityUnproven;
        }
        if self.backends.iter().all(|b| b.state() == State::Down) {
            return Refusal::BackendDown;
        }
        match self.balance {
            Balance::Active => Refusal::NoActive,
            Balance::First => Refusal::BackendDown,
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
    pub fn learn(&self, index: usize, state: State) {
        let backend = &self.backends[index];
        if backend.set_state(state) {
            tracing::info!(
                console = %self.console,
                backend = %backend.key.authority,
                state = state.word(),
                "backend changed"
            );
            let up = matches!(state, State::Active | State::Standby);
            metrics::BackendMetrics::new(&self.console, &backend.key.authority)
                .set(up, state == State::Active);
            if state != State::Active {
                for other in &self.backends {
                    other.kick.notify_one();
                }
            }
            self.changed.notify_waiters();
        }
    }
}

/// A place among the waiting requests.
#[derive(Debug)]
struct Held<'a>(&'a Group);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::AcqRel);
        metrics::held_requests().decrement(1.0);
    }
}

/// When a request stops waiting.
pub fn hold_until(hold: Duration) -> Instant {
    Instant::now() + hold
}

#[cfg(test)]
mod tests {
    use super::{super::backend::BackendKey, *};
    use crate::gss::Principal;

    fn group(balance: Balance) -> Group {
        let backends = ["nn1", "nn2"]
            .iter()
            .map(|name| {
                let spn: Principal = format!("HTTP/{name}@R").parse().unwrap();
                let key = BackendKey {
                    authority: format!("{name}:50070").into(),
                    kind: "generic",
                    proves: false,
                    principal: None,
                    spn: Some(spn),
                    tls: None,
                };
                Arc::new(Backend::new(
                    key,
                    (*name).into(),
                    50070,
                    crate::kinds::ALL[0],
                ))
            })
            .collect();
        Group::new("namenode".into(), backends, balance)
    }

    #[test]
    fn of_two_that_claim_to_be_active_the_later_is_asked() {
        let group = group(Balance::Active);
        assert_eq!(group.pick(), Pick::Wait);
        group.learn(0, State::Active);
        assert_eq!(group.pick(), Pick::Backend(0));
        let first = group.backends[0].active_since();
        while super::super::backend::now_ms() == first {}
        // nn1 freezes, nn2 takes over, nn1 is thawed and still believes
        group.learn(0, State::Down);
        group.learn(1, State::Active);
        group.learn(0, State::Active);
        assert_eq!(group.pick(), Pick::Backend(1));
    }

    #[test]
    fn first_takes_the_next_when_the_first_is_down() {
        let group = group(Balance::First);
        group.learn(0, State::Down);
        group.learn(1, State::Active);
        assert_eq!(group.pick(), Pick::Backend(1));
        group.learn(1, State::Down);
        assert_eq!(group.pick(), Pick::Refuse(Refusal::BackendDown));
    }

    #[tokio::test]
    async fn a_held_request_goes_on_when_one_becomes_active() {
        let group = Arc::new(group(Balance::Active));
        let waiting = tokio::spawn({
            let group = Arc::clone(&group);
            async move {
                group
                    .pick_or_wait(hold_until(Duration::from_secs(60)))
                    .await
            }
        });
        while group.held.load(Ordering::Acquire) == 0 {
            tokio::task::yield_now().await;
        }
        group.learn(1, State::Active);
        assert_eq!(waiting.await.unwrap(), Ok(1));
        assert_eq!(group.held.load(Ordering::Acquire), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_at_the_deadline() {
        let group = group(Balance::Active);
        group.learn(0, State::Standby);
        let end = group
            .pick_or_wait(hold_until(Duration::from_secs(15)))
            .await;
        assert_eq!(end, Err(Refusal::NoActive));
    }
}
