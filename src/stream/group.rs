//! The servers of one stream: which of them is next, and what was learnt of it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::Reason;
use crate::{
    balance::{self, AdminState, Algorithm},
    stream::options::{Check, StreamBackend},
    telemetry::metrics::StreamBackendMetrics,
};

mod endpoint;
pub(crate) mod health_check;
pub(crate) mod resolve;

pub(crate) use endpoint::{Endpoint, EndpointHealth, EndpointPermit};

/// The servers of a stream, shared by all threads.
#[derive(Debug)]
pub(crate) struct StreamGroup {
    /// The stream's name.
    pub name: Arc<str>,
    /// How they are looked after.
    pub check: Check,
    /// In file order.
    pub backends: Vec<StreamBackend>,
    algorithm: Algorithm,
    slow_start: Duration,
    /// The addresses of all servers, in file order.
    targets: ArcSwap<Vec<Arc<Endpoint>>>,
    /// Counts the changes of `targets`.
    changes: watch::Sender<u64>,
    metrics: Vec<StreamBackendMetrics>,
    /// What an operator wants of each server.
    duties: Vec<Arc<AtomicU8>>,
}

impl StreamGroup {
    /// A group whose servers by address are there at once; names are unknown until
    /// [`StreamGroup::follow`] tells of them.
    pub(crate) fn new(
        name: Arc<str>,
        backends: Vec<StreamBackend>,
        algorithm: Algorithm,
        check: Check,
        slow_start: Duration,
    ) -> Self {
        let metrics = backends
            .iter()
            .map(|backend| StreamBackendMetrics::new(&name, &backend.address))
            .collect();
        let duties = backends.iter().map(|_| Arc::default()).collect();
        let group = Self {
            name,
            check,
            backends,
            algorithm,
            slow_start,
            targets: ArcSwap::default(),
            changes: watch::Sender::new(0),
            metrics,
            duties,
        };
        for (index, backend) in group.backends.iter().enumerate() {
            if let Ok(ip) = backend.host.parse::<IpAddr>() {
                group.follow(index, &[ip]);
            }
        }
        group
    }

    /// The targets of this moment.
    pub(crate) fn targets(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.targets.load_full()
    }

    /// From now on the server has these addresses. What is known of an address that stays is kept;
    /// connections to one that goes are left alone.
    pub(crate) fn follow(&self, index: usize, addresses: &[IpAddr]) {
        let (Some(backend), Some(duty)) = (self.backends.get(index), self.duties.get(index)) else {
            return;
        };
        let old = self.targets();
        let known = |address: SocketAddr| {
            let same = |t: &&Arc<Endpoint>| t.backend == backend.address && t.address == address;
            old.iter().find(same).cloned()
        };
        let mut new = Vec::with_capacity(old.len() + addresses.len());
        for other in &self.backends {
            if other.address != backend.address {
                let of_other = |t: &&Arc<Endpoint>| t.backend == other.address;
                new.extend(old.iter().filter(of_other).cloned());
                continue;
            }
            let mut sorted = addresses.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            // one address: its clients stay with the name when it moves
            let alone = sorted.len() == 1;
            new.extend(sorted.into_iter().map(|ip| {
                let address = SocketAddr::new(ip, backend.port);
                let key = if alone {
                    backend.address.to_string()
                } else {
                    format!("{}/{ip}", backend.address)
                };
                known(address).unwrap_or_else(|| {
                    Arc::new(Endpoint::new(backend, address, &key, Arc::clone(duty)))
                })
            }));
        }
        self.targets.store(Arc::new(new));
        self.changes.send_modify(|count| *count += 1);
        self.show(index);
    }

    /// Gives a server (`host:port`) a duty: taken out, it gets nothing new, and what it has goes on;
    /// in maintenance it is not connected to for checks either. False where there is none of that
    /// name.
    pub(crate) fn assign(&self, backend: &str, duty: AdminState) -> bool {
        let is = |known: &StreamBackend| known.address.eq_ignore_ascii_case(backend);
        let index = self.backends.iter().position(is);
        let Some(number) = index.and_then(|index| self.duties.get(index)) else {
            return false;
        };
        if number.swap(duty as u8, Ordering::AcqRel) != duty as u8 {
            tracing::warn!(stream = %self.name, backend, duty = duty.as_str(), "server reassigned");
        }
        true
    }

    /// Waits until some server has an address, for at most `within`.
    pub(crate) async fn resolved(&self, within: Duration) -> bool {
        let mut changes = self.changes.subscribe();
        let some = async {
            while self.targets.load().is_empty() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let _in_time = tokio::time::timeout(within, some).await;
        !self.targets.load().is_empty()
    }

    /// The next server for a client, none of those that were tried already: a good one, else one
    /// under suspicion, else even one that is said to be down.
    pub(crate) fn choose(
        &self,
        client: u64,
        tried: &[Arc<Endpoint>],
    ) -> Result<EndpointPermit, Reason> {
        let targets = self.targets.load();
        let untried =
            |target: &Arc<Endpoint>| tried.iter().all(|other| !Arc::ptr_eq(other, target));
        for least in [
            EndpointHealth::Healthy,
            EndpointHealth::Suspect,
            EndpointHealth::Down,
        ] {
            // a race for a last place is run again, without end only if places come and go
            for _ in 0..=targets.len() {
                let candidates = targets.iter().map(|target| {
                    let able = target.standing() <= least && untried(target);
                    target.candidate(self.slow_start, able)
                });
                let chosen = balance::choose(self.algorithm, client, candidates);
                let Some(target) = chosen.and_then(|index| targets.get(index)) else {
                    break;
                };
                if let Some(place) = target.enter() {
                    return Ok(place);
                }
            }
        }
        if targets.is_empty() {
            Err(Reason::BackendUnresolved)
        } else if tried.is_empty() && targets.iter().any(|target| target.is_full()) {
            Err(Reason::BackendFull)
        } else {
            Err(Reason::BackendDown)
        }
    }

    /// The target did what was asked of it.
    pub(crate) fn succeeded(&self, target: &Endpoint) {
        target.trust();
        if target.succeeded(&self.check) {
            self.tell(target, true);
        }
    }

    /// The target could not be connected to, or refused.
    pub(crate) fn failed(&self, target: &Endpoint, error: String) {
        tracing::debug!(stream = %self.name, backend = %target.backend, address = %target.address, error, "failed");
        if target.failed(&self.check, error) {
            self.tell(target, false);
        }
    }

    /// The target did not answer: others are asked first until it has had the time to be found well
    /// or down.
    pub(crate) fn silent(&self, target: &Endpoint, error: &dyn std::fmt::Display) {
        tracing::debug!(stream = %self.name, backend = %target.backend, address = %target.address, %error, "no answer");
        let checks = self.check.fall.max(self.check.rise);
        target.suspect(self.check.interval * checks, error.to_string());
    }

    /// Tells that a target's standing has changed.
    pub(super) fn tell(&self, target: &Endpoint, up: bool) {
        let state = if up { "up" } else { "down" };
        tracing::info!(
            stream = %self.name,
            backend = %target.backend,
            address = %target.address,
            state,
            "server changed"
        );
        for (index, backend) in self.backends.iter().enumerate() {
            if backend.address == target.backend {
                self.show(index);
            }
        }
    }

    /// Sets the gauge of a server: 1 where an address of it is up.
    fn show(&self, index: usize) {
        if let (Some(metrics), Some(backend)) = (self.metrics.get(index), self.backends.get(index))
        {
            let targets = self.targets.load();
            metrics.set(targets.iter().any(|target| {
                target.backend == backend.address && target.standing() != EndpointHealth::Down
            }));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::stream) const CHECK: Check = Check {
        interval: Duration::from_secs(1),
        rise: 1,
        fall: 1,
        timeout: Duration::from_secs(1),
    };

    pub(in crate::stream) fn backend(host: &str, port: u16) -> StreamBackend {
        StreamBackend {
            address: format!("{host}:{port}").into(),
            host: host.into(),
            port,
            weight: 1,
            max_connections: None,
            send_proxy: None,
        }
    }

    fn group(backends: Vec<StreamBackend>, algorithm: Algorithm) -> StreamGroup {
        StreamGroup::new("s".into(), backends, algorithm, CHECK, Duration::ZERO)
    }

    fn at(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_name_is_followed_and_what_is_known_of_an_address_stays() {
        let group = group(
            vec![backend("kdc", 88), backend("192.0.2.9", 88)],
            Algorithm::First,
        );
        assert_eq!(group.targets().len(), 1, "the name is not known yet");
        group.follow(0, &[at(1), at(2), at(1)]);
        let first = group.targets()[0].clone();
        assert_eq!(first.address, SocketAddr::new(at(1), 88));
        group.failed(&first, "refused".to_owned());
        group.follow(0, &[at(3), at(1)]);
        let targets = group.targets();
        assert_eq!(targets.len(), 3);
        assert!(Arc::ptr_eq(&targets[0], &first));
        assert_eq!(targets[0].standing(), EndpointHealth::Down);
        assert_eq!(targets[1].address.ip(), at(3));
        assert_eq!(targets[2].address.ip(), at(9));
    }

    #[test]
    fn good_ones_come_before_suspects_and_these_before_those_that_are_down() {
        let group = group(
            vec![
                backend("192.0.2.1", 88),
                backend("192.0.2.2", 88),
                backend("192.0.2.3", 88),
            ],
            Algorithm::First,
        );
        let targets = group.targets();
        group.failed(&targets[0], "refused".to_owned());
        group.silent(&targets[1], &"no answer");
        let mut tried: Vec<Arc<Endpoint>> = Vec::new();
        for expected in [2, 1, 0] {
            let place = group.choose(0, &tried).unwrap();
            assert!(Arc::ptr_eq(&place, &targets[expected]));
            tried.push(Arc::clone(&place));
        }
        assert_eq!(group.choose(0, &tried).unwrap_err(), Reason::BackendDown);
    }

    #[test]
    fn full_servers_and_unknown_names_are_told_apart() {
        let mut one = backend("192.0.2.1", 88);
        one.max_connections = Some(1);
        let group = group(vec![one], Algorithm::LeastConn);
        let place = group.choose(0, &[]).unwrap();
        assert_eq!(group.choose(0, &[]).unwrap_err(), Reason::BackendFull);
        drop(place);
        assert!(group.choose(0, &[]).is_ok());
        let unknown = super::tests::group(vec![backend("kdc", 88)], Algorithm::First);
        assert_eq!(
            unknown.choose(0, &[]).unwrap_err(),
            Reason::BackendUnresolved
        );
    }

    #[test]
    fn a_server_that_is_taken_out_gets_nothing_new_until_it_is_back() {
        let servers = vec![backend("192.0.2.1", 88), backend("192.0.2.2", 88)];
        let group = group(servers, Algorithm::First);
        let chosen = || group.choose(0, &[]).map(|place| place.address.ip());
        assert!(group.assign("192.0.2.1:88", AdminState::Drain));
        assert_eq!(chosen(), Ok(at(2)));
        assert!(group.assign("192.0.2.2:88", AdminState::Maintenance));
        assert_eq!(chosen(), Err(Reason::BackendDown));
        assert!(group.assign("192.0.2.1:88", AdminState::Ready));
        assert_eq!(chosen(), Ok(at(1)));
        assert!(!group.assign("192.0.2.3:88", AdminState::Drain));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_client_waits_for_the_name() {
        let group = Arc::new(group(vec![backend("kdc", 88)], Algorithm::First));
        let waiting = tokio::spawn({
            let group = Arc::clone(&group);
            async move { group.resolved(Duration::from_secs(2)).await }
        });
        tokio::task::yield_now().await;
        group.follow(0, &[at(1)]);
        assert!(waiting.await.unwrap());
        let never = self::group(vec![backend("kdc", 88)], Algorithm::First);
        assert!(!never.resolved(Duration::from_secs(2)).await);
    }

    #[test]
    fn a_name_with_one_address_keeps_its_clients_when_it_moves() {
        let group = group(vec![backend("a", 1), backend("b", 1)], Algorithm::Source);
        group.follow(0, &[at(1)]);
        group.follow(1, &[at(2)]);
        let names = || -> Vec<Arc<str>> {
            (0..64_u64)
                .map(|client| {
                    let client = balance::stable_hash(&client.to_be_bytes());
                    Arc::clone(&group.choose(client, &[]).unwrap().backend)
                })
                .collect()
        };
        let before = names();
        group.follow(0, &[at(7)]);
        assert_eq!(names(), before);
    }
}
