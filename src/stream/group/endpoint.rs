//! One address of one server: its health, its load and its weight.

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

#[derive(Debug)]
pub(crate) struct Endpoint {
    /// `host:port` of the configuration.
    pub backend: Arc<str>,
    pub address: SocketAddr,
    /// Version of the PROXY header that is sent.
    pub send_proxy: Option<Version>,
    weight: u32,
    max_connections: usize,
    /// The administrative state of the server; its endpoints share it.
    admin_state: Arc<AtomicU8>,
    balance: BalanceState,
    load: AtomicUsize,
    health: HealthState,
}

/// The health of an endpoint, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum EndpointHealth {
    /// Up.
    Healthy,
    /// Up, but a request was left without a reply recently.
    Suspect,
    /// Down; tried only if there is no other.
    Down,
}

#[derive(Debug)]
struct HealthState {
    born: Instant,
    up: AtomicBool,
    /// Consecutive successes, or failures as a negative number.
    streak: AtomicI32,
    /// When `up` changed last, in milliseconds after `born`; 0: never.
    since: AtomicU64,
    /// Milliseconds after `born`.
    suspect_until: AtomicU64,
    last_error: Mutex<Option<String>>,
}

/// A connection slot at an endpoint, released on drop.
#[derive(Debug)]
pub(crate) struct EndpointPermit(Arc<Endpoint>);

// === impl Endpoint ===

impl Endpoint {
    /// An endpoint that is up until checks fail. `key` identifies it for `balance = "source"`; replicas
    /// of the gateway compute the same one.
    pub(crate) fn new(
        backend: &StreamBackend,
        address: SocketAddr,
        key: &str,
        admin_state: Arc<AtomicU8>,
    ) -> Self {
        Self {
            backend: Arc::clone(&backend.address),
            address,
            send_proxy: backend.send_proxy,
            weight: backend.weight,
            max_connections: backend.max_connections.unwrap_or(usize::MAX),
            admin_state,
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

    /// The endpoint as the balancing algorithms see it. `able`: the caller's own conditions hold.
    pub(crate) fn candidate(&self, slow_start: Duration, able: bool) -> Candidate<'_> {
        let weight = if slow_start.is_zero() || self.health.since.load(Ordering::Relaxed) == 0 {
            // It has not come up since the start of the gateway, so there is no slow start.
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

    pub(crate) fn admin_state(&self) -> AdminState {
        AdminState::of(&self.admin_state)
    }

    /// Current connections and flows.
    pub(crate) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    /// Whether it has `max_connections`.
    pub(crate) fn is_full(&self) -> bool {
        self.load() >= self.max_connections
    }

    /// Takes a slot, if one is free.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<EndpointPermit> {
        // Increment first and undo: a check before the increment would let two threads take the last slot.
        if self.load.fetch_add(1, Ordering::AcqRel) < self.max_connections {
            return Some(EndpointPermit(Arc::clone(self)));
        }
        self.load.fetch_sub(1, Ordering::AcqRel);
        None
    }

    pub(crate) fn health(&self) -> EndpointHealth {
        let health = &self.health;
        if !health.up.load(Ordering::Relaxed) {
            EndpointHealth::Down
        } else if health.suspect_until.load(Ordering::Relaxed) > health.now() {
            EndpointHealth::Suspect
        } else {
            EndpointHealth::Healthy
        }
    }

    /// How long it has been up, or down.
    pub(crate) fn since(&self) -> Duration {
        let since = Duration::from_millis(self.health.since.load(Ordering::Relaxed));
        self.health.born.elapsed().saturating_sub(since)
    }

    pub(crate) fn last_error(&self) -> Option<String> {
        let error = self.health.last_error.lock();
        error.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records a success. Returns whether the endpoint came up.
    pub(crate) fn succeeded(&self, check: &Check) -> bool {
        let health = &self.health;
        // Called for every connection, on all threads: the ordinary case is two loads and no write, so
        // that the cache line stays shared.
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

    /// Records a failure. Returns whether the endpoint went down.
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

    /// Makes it a suspect for a while: it left a request without a reply.
    pub(crate) fn suspect(&self, within: Duration, error: String) {
        // The streak is not changed: one lost datagram says little, and the health check decides whether it
        // is down.
        self.health.note(error);
        let within = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        let until = self.health.now().saturating_add(within);
        self.health.suspect_until.store(until, Ordering::Relaxed);
    }

    /// It replied: it is no longer a suspect.
    pub(crate) fn clear_suspicion(&self) {
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
        // 0 means that it never changed.
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

    fn endpoint(max: Option<usize>) -> Arc<Endpoint> {
        let backend = StreamBackend {
            address: "a:1".into(),
            host: "a".into(),
            port: 1,
            weight: 1,
            max_connections: max,
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
    fn an_endpoint_goes_down_after_fall_failures_and_up_after_rise_successes() {
        let endpoint = endpoint(None);
        let fail = || endpoint.failed(&CHECK, "refused".to_owned());
        assert!(!fail() && !fail());
        // a success in between restarts the count
        assert!(!endpoint.succeeded(&CHECK));
        assert!(!fail() && !fail());
        assert_eq!(endpoint.health(), EndpointHealth::Healthy);
        assert!(fail());
        assert_eq!(endpoint.health(), EndpointHealth::Down);
        assert!(!fail(), "reported once");
        assert!(!endpoint.succeeded(&CHECK));
        assert!(endpoint.succeeded(&CHECK));
        assert_eq!(endpoint.health(), EndpointHealth::Healthy);
        assert_eq!(endpoint.last_error().as_deref(), Some("refused"));
    }

    #[test]
    fn a_suspect_that_replies_is_healthy_again() {
        let endpoint = endpoint(None);
        endpoint.suspect(Duration::from_secs(60), "no reply".to_owned());
        assert_eq!(endpoint.health(), EndpointHealth::Suspect);
        endpoint.clear_suspicion();
        assert_eq!(endpoint.health(), EndpointHealth::Healthy);
    }

    #[test]
    fn a_full_endpoint_accepts_nothing_until_a_slot_is_released() {
        let endpoint = endpoint(Some(1));
        let permit = endpoint.enter().unwrap();
        assert!(endpoint.enter().is_none() && endpoint.is_full());
        drop(permit);
        assert_eq!(endpoint.load(), 0);
        assert!(endpoint.enter().is_some());
    }
}
