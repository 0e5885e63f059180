//! One address of one server: its health, its load, its share.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    balance::{self, AdminState, BalanceState, Candidate},
    net::proxy_protocol::Version,
    stream::options::{Check, StreamBackend},
};

/// An address that connections go to.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// `host:port` of the configuration.
    pub backend: Arc<str>,
    /// Where it is now.
    pub address: SocketAddr,
    /// The PROXY header that it is sent.
    pub send_proxy: Option<Version>,
    weight: u32,
    most: usize,
    /// What an operator wants of the server; all its addresses share it.
    duty: Arc<AtomicU8>,
    balance: BalanceState,
    load: AtomicUsize,
    health: HealthState,
}

/// How much is to be expected of a target, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EndpointHealth {
    /// Up.
    Healthy,
    /// Up, but it left something without an answer a moment ago.
    Suspect,
    /// Down; tried only where there is no other.
    Down,
}

#[derive(Debug)]
struct HealthState {
    born: Instant,
    up: AtomicBool,
    /// Successes in a row, or failures as a negative number.
    streak: AtomicI32,
    /// Milliseconds after `born` of the last change of `up`.
    since: AtomicU64,
    /// Milliseconds after `born`.
    suspect_until: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// A connection's place at a target; given back when dropped.
#[derive(Debug)]
pub(crate) struct EndpointPermit(Arc<Endpoint>);

// === impl Endpoint ===

impl Endpoint {
    /// A target that is up until it proves otherwise. `key` is what replicas know it by.
    pub(crate) fn new(
        backend: &StreamBackend,
        address: SocketAddr,
        key: &str,
        duty: Arc<AtomicU8>,
    ) -> Self {
        Self {
            backend: Arc::clone(&backend.address),
            address,
            send_proxy: backend.send_proxy,
            weight: backend.weight,
            most: backend.max_connections.unwrap_or(usize::MAX),
            duty,
            balance: BalanceState::new(key),
            load: AtomicUsize::new(0),
            health: HealthState {
                born: Instant::now(),
                up: AtomicBool::new(true),
                streak: AtomicI32::new(0),
                since: AtomicU64::new(0),
                suspect_until: AtomicU64::new(0),
                last_error: Mutex::default(),
            },
        }
    }

    /// As the algorithms see it; `able` says what else is required.
    pub(crate) fn candidate(&self, slow_start: Duration, able: bool) -> Candidate<'_> {
        let weight = if slow_start.is_zero() || self.health.since.load(Ordering::Relaxed) == 0 {
            // up since it is known
            balance::effective_weight(self.weight, Duration::ZERO, Duration::ZERO)
        } else {
            balance::effective_weight(self.weight, self.since(), slow_start)
        };
        Candidate {
            state: &self.balance,
            weight,
            load: self.load(),
            up: able && self.admin_state() == AdminState::Ready && !self.is_full(),
        }
    }

    /// What an operator wants of it.
    pub(crate) fn admin_state(&self) -> AdminState {
        AdminState::of(&self.duty)
    }

    /// Connections and flows there.
    pub(crate) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Whether `max_connections` are there.
    pub(crate) fn is_full(&self) -> bool {
        self.load() >= self.most
    }

    /// Takes a place, if there is one.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<EndpointPermit> {
        if self.load.fetch_add(1, Ordering::AcqRel) < self.most {
            return Some(EndpointPermit(Arc::clone(self)));
        }
        self.load.fetch_sub(1, Ordering::AcqRel);
        None
    }

    /// What is to be expected of it.
    pub(crate) fn standing(&self) -> EndpointHealth {
        let health = &self.health;
        if !health.up.load(Ordering::Relaxed) {
            EndpointHealth::Down
        } else if health.suspect_until.load(Ordering::Relaxed) > health.now() {
            EndpointHealth::Suspect
        } else {
            EndpointHealth::Healthy
        }
    }

    /// How long it has been up or down.
    pub(crate) fn since(&self) -> Duration {
        let since = Duration::from_millis(self.health.since.load(Ordering::Relaxed));
        self.health.born.elapsed().saturating_sub(since)
    }

    /// The last failure.
    pub(crate) fn last_error(&self) -> Option<String> {
        let error = self.health.last_error.lock();
        error.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It did what was asked of it. Whether that changed its standing.
    pub(crate) fn succeeded(&self, check: &Check) -> bool {
        let health = &self.health;
        // the ordinary case costs two loads
        if health.streak.load(Ordering::Relaxed) < 1 || !health.up.load(Ordering::Relaxed) {
            let streak = |streak: i32| Some(streak.max(0).saturating_add(1));
            let before = health
                .streak
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, streak);
            let streak = before.unwrap_or(0).max(0).unsigned_abs().saturating_add(1);
            if streak >= check.rise && !health.up.swap(true, Ordering::AcqRel) {
                health.changed();
                return true;
            }
        }
        false
    }

    /// It did not. Whether that changed its standing.
    pub(crate) fn failed(&self, check: &Check, error: String) -> bool {
        let health = &self.health;
        health.note(error);
        let streak = |streak: i32| Some(streak.min(0).saturating_sub(1));
        let before = health
            .streak
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, streak);
        let streak = before.unwrap_or(0).min(0).unsigned_abs().saturating_add(1);
        if streak >= check.fall && health.up.swap(false, Ordering::AcqRel) {
            health.changed();
            return true;
        }
        false
    }

    /// It left something unanswered: others are asked first for a while.
    pub(crate) fn suspect(&self, within: Duration, error: String) {
        self.health.note(error);
        let within = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let until = self.health.now().saturating_add(within);
        self.health.suspect_until.store(until, Ordering::Relaxed);
    }

    /// It answered: nothing is held against it.
    pub(crate) fn trust(&self) {
        if self.health.suspect_until.load(Ordering::Relaxed) != 0 {
            self.health.suspect_until.store(0, Ordering::Relaxed);
        }
    }
}

// === impl HealthState ===

impl HealthState {
    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn note(&self, error: String) {
        let mut last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *last = Some(error);
    }

    fn changed(&self) {
        // nought means: never changed
        self.since.store(self.now().max(1), Ordering::Relaxed);
    }
}

// === impl EndpointPermit ===

impl std::ops::Deref for EndpointPermit {
    type Target = Arc<Endpoint>;

    fn deref(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Drop for EndpointPermit {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: Check = Check {
        interval: Duration::from_secs(1),
        rise: 2,
        fall: 3,
        timeout: Duration::from_secs(1),
    };

    fn target(most: Option<usize>) -> Arc<Endpoint> {
        let backend = StreamBackend {
            address: "a:1".into(),
            host: "a".into(),
            port: 1,
            weight: 1,
            max_connections: most,
            send_proxy: None,
        };
        Arc::new(Endpoint::new(
            &backend,
            ([127, 0, 0, 1], 1).into(),
            "a:1",
            Arc::default(),
        ))
    }

    #[test]
    fn a_target_falls_after_some_failures_and_rises_after_some_successes() {
        let target = target(None);
        let fail = || target.failed(&CHECK, "refused".to_owned());
        assert!(!fail() && !fail());
        // one success between them begins the count anew
        assert!(!target.succeeded(&CHECK));
        assert!(!fail() && !fail());
        assert_eq!(target.standing(), EndpointHealth::Healthy);
        assert!(fail());
        assert_eq!(target.standing(), EndpointHealth::Down);
        assert!(!fail(), "told once");
        assert!(!target.succeeded(&CHECK));
        assert!(target.succeeded(&CHECK));
        assert_eq!(target.standing(), EndpointHealth::Healthy);
        assert_eq!(target.last_error().as_deref(), Some("refused"));
    }

    #[test]
    fn a_suspect_is_trusted_again_when_it_answers() {
        let target = target(None);
        target.suspect(Duration::from_secs(60), "no answer".to_owned());
        assert_eq!(target.standing(), EndpointHealth::Suspect);
        target.trust();
        assert_eq!(target.standing(), EndpointHealth::Healthy);
    }

    #[test]
    fn a_full_target_takes_nobody_until_one_leaves() {
        let target = target(Some(1));
        let place = target.enter().unwrap();
        assert!(target.enter().is_none() && target.is_full());
        drop(place);
        assert_eq!(target.load(), 0);
        assert!(target.enter().is_some());
    }
}
