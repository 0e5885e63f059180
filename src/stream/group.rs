//! The servers of one stream: their endpoints, which one is next, and what is known about each.

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
    /// Name of the stream.
    pub name: Arc<str>,
    pub check: Check,
    /// In the order of the configuration.
    pub backends: Vec<StreamBackend>,
    algorithm: Algorithm,
    slow_start: Duration,
    /// The endpoints of all servers, in the order of the configuration.
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    /// Counts the changes of `endpoints`, so that a connection can wait for the first one.
    changes: watch::Sender<u64>,
    metrics: Vec<StreamBackendMetrics>,
    /// The administrative state of each server.
    admin_states: Vec<Arc<AtomicU8>>,
}

impl StreamGroup {
    /// Servers given by IP address have their endpoint immediately, those given by name after the first
    /// [`StreamGroup::set_addresses`].
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
        let admin_states = backends.iter().map(|_| Arc::default()).collect();
        let group = Self {
            name,
            check,
            backends,
            algorithm,
            slow_start,
            endpoints: ArcSwap::default(),
            changes: watch::Sender::new(0),
            metrics,
            admin_states,
        };
        for (index, backend) in group.backends.iter().enumerate() {
            if let Ok(ip) = backend.host.parse::<IpAddr>() {
                group.set_addresses(index, &[ip]);
            }
        }
        group
    }

    pub(crate) fn endpoints(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.endpoints.load_full()
    }

    /// Replaces the addresses of a server. An address that stays keeps its health; connections to one that
    /// is removed continue.
    pub(crate) fn set_addresses(&self, index: usize, addresses: &[IpAddr]) {
        let (Some(backend), Some(admin_state)) =
            (self.backends.get(index), self.admin_states.get(index))
        else {
            return;
        };
        let old = self.endpoints();
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
            // With a single address the key is the name, so that `balance = "source"` keeps the clients of
            // a server that moves to another address.
            let alone = sorted.len() == 1;
            new.extend(sorted.into_iter().map(|ip| {
                let address = SocketAddr::new(ip, backend.port);
                let key = if alone {
                    backend.address.to_string()
                } else {
                    format!("{}/{ip}", backend.address)
                };
                known(address).unwrap_or_else(|| {
                    Arc::new(Endpoint::new(
                        backend,
                        address,
                        &key,
                        Arc::clone(admin_state),
                    ))
                })
            }));
        }
        self.endpoints.store(Arc::new(new));
        self.changes.send_modify(|count| *count += 1);
        self.show(index);
    }

    /// Sets the administrative state of a server (`host:port`). In drain it gets nothing new and its
    /// connections continue; in maintenance it is not health-checked either. Returns whether there is such
    /// a server.
    pub(crate) fn assign(&self, backend: &str, admin_state: AdminState) -> bool {
        let is = |known: &StreamBackend| known.address.eq_ignore_ascii_case(backend);
        let index = self.backends.iter().position(is);
        let Some(number) = index.and_then(|index| self.admin_states.get(index)) else {
            return false;
        };
        if number.swap(admin_state as u8, Ordering::AcqRel) != admin_state as u8 {
            tracing::warn!(stream = %self.name, backend, duty = admin_state.as_str(), "administrative state of a server changed");
        }
        true
    }

    /// Waits until some server has an address, at most `within`. Returns whether one has.
    pub(crate) async fn resolved(&self, within: Duration) -> bool {
        let mut changes = self.changes.subscribe();
        let some = async {
            while self.endpoints.load().is_empty() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let _in_time = tokio::time::timeout(within, some).await;
        !self.endpoints.load().is_empty()
    }

    /// Chooses an endpoint for a client that is not in `tried`: a healthy one, else a suspect, else one
    /// that is down. The last is better than a refusal, because the health check may be behind.
    pub(crate) fn choose(
        &self,
        client: u64,
        tried: &[Arc<Endpoint>],
    ) -> Result<EndpointPermit, Reason> {
        let endpoints = self.endpoints.load();
        let untried =
            |endpoint: &Arc<Endpoint>| tried.iter().all(|other| !Arc::ptr_eq(other, endpoint));
        for least in [
            EndpointHealth::Healthy,
            EndpointHealth::Suspect,
            EndpointHealth::Down,
        ] {
            // Another thread may take the last slot between the choice and `enter`. Then choose again, a
            // bounded number of times.
            for _ in 0..=endpoints.len() {
                let candidates = endpoints.iter().map(|endpoint| {
                    let able = endpoint.health() <= least && untried(endpoint);
                    endpoint.candidate(self.slow_start, able)
                });
                let chosen = balance::choose(self.algorithm, client, candidates);
                let Some(endpoint) = chosen.and_then(|index| endpoints.get(index)) else {
                    break;
                };
                if let Some(permit) = endpoint.enter() {
                    return Ok(permit);
                }
            }
        }
        if endpoints.is_empty() {
            Err(Reason::BackendUnresolved)
        } else if tried.is_empty() && endpoints.iter().any(|endpoint| endpoint.is_full()) {
            Err(Reason::BackendFull)
        } else {
            Err(Reason::BackendDown)
        }
    }

    /// The endpoint accepted a connection or replied.
    pub(crate) fn succeeded(&self, endpoint: &Endpoint) {
        endpoint.clear_suspicion();
        if endpoint.succeeded(&self.check) {
            self.report(endpoint, true);
        }
    }

    /// The endpoint did not accept a connection.
    pub(crate) fn failed(&self, endpoint: &Endpoint, error: String) {
        tracing::debug!(stream = %self.name, backend = %endpoint.backend, address = %endpoint.address, error, "failed");
        if endpoint.failed(&self.check, error) {
            self.report(endpoint, false);
        }
    }

    /// The endpoint did not reply: it is a suspect, and others are preferred, until the health check has
    /// had time to find it up or down.
    pub(crate) fn silent(&self, endpoint: &Endpoint, error: &dyn std::fmt::Display) {
        tracing::debug!(stream = %self.name, backend = %endpoint.backend, address = %endpoint.address, %error, "no reply");
        let checks = self.check.fall.max(self.check.rise);
        endpoint.suspect(self.check.interval * checks, error.to_string());
    }

    /// Logs that an endpoint is up or down, and sets the gauge.
    pub(super) fn report(&self, endpoint: &Endpoint, up: bool) {
        let state = if up { "up" } else { "down" };
        tracing::info!(
            stream = %self.name,
            backend = %endpoint.backend,
            address = %endpoint.address,
            state,
            "server changed"
        );
        for (index, backend) in self.backends.iter().enumerate() {
            if backend.address == endpoint.backend {
                self.show(index);
            }
        }
    }

    /// Sets the gauge of a server: 1 if one of its endpoints is up.
    fn show(&self, index: usize) {
        if let (Some(metrics), Some(backend)) = (self.metrics.get(index), self.backends.get(index))
        {
            let endpoints = self.endpoints.load();
            metrics.set(endpoints.iter().any(|endpoint| {
                endpoint.backend == backend.address && endpoint.health() != EndpointHealth::Down
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
    fn an_address_that_stays_keeps_its_health() {
        let group = group(
            vec![backend("kdc", 88), backend("192.0.2.9", 88)],
            Algorithm::First,
        );
        assert_eq!(group.endpoints().len(), 1, "the name is not resolved yet");
        group.set_addresses(0, &[at(1), at(2), at(1)]);
        let first = group.endpoints()[0].clone();
        assert_eq!(first.address, SocketAddr::new(at(1), 88));
        group.failed(&first, "refused".to_owned());
        group.set_addresses(0, &[at(3), at(1)]);
        let endpoints = group.endpoints();
        assert_eq!(endpoints.len(), 3);
        assert!(Arc::ptr_eq(&endpoints[0], &first));
        assert_eq!(endpoints[0].health(), EndpointHealth::Down);
        assert_eq!(endpoints[1].address.ip(), at(3));
        assert_eq!(endpoints[2].address.ip(), at(9));
    }

    #[test]
    fn healthy_endpoints_come_before_suspects_and_suspects_before_those_that_are_down() {
        let group = group(
            vec![
                backend("192.0.2.1", 88),
                backend("192.0.2.2", 88),
                backend("192.0.2.3", 88),
            ],
            Algorithm::First,
        );
        let endpoints = group.endpoints();
        group.failed(&endpoints[0], "refused".to_owned());
        group.silent(&endpoints[1], &"no reply");
        let mut tried: Vec<Arc<Endpoint>> = Vec::new();
        for expected in [2, 1, 0] {
            let permit = group.choose(0, &tried).unwrap();
            assert!(Arc::ptr_eq(&permit, &endpoints[expected]));
            tried.push(Arc::clone(&permit));
        }
        assert_eq!(group.choose(0, &tried).unwrap_err(), Reason::BackendDown);
    }

    #[test]
    fn full_servers_and_unresolved_names_have_different_reasons() {
        let mut one = backend("192.0.2.1", 88);
        one.max_connections = Some(1);
        let group = group(vec![one], Algorithm::LeastConn);
        let permit = group.choose(0, &[]).unwrap();
        assert_eq!(group.choose(0, &[]).unwrap_err(), Reason::BackendFull);
        drop(permit);
        assert!(group.choose(0, &[]).is_ok());
        let unknown = super::tests::group(vec![backend("kdc", 88)], Algorithm::First);
        assert_eq!(
            unknown.choose(0, &[]).unwrap_err(),
            Reason::BackendUnresolved
        );
    }

    #[test]
    fn a_server_in_drain_or_maintenance_gets_nothing_new_until_it_is_ready() {
        let servers = vec![backend("192.0.2.1", 88), backend("192.0.2.2", 88)];
        let group = group(servers, Algorithm::First);
        let chosen = || group.choose(0, &[]).map(|permit| permit.address.ip());
        assert!(group.assign("192.0.2.1:88", AdminState::Drain));
        assert_eq!(chosen(), Ok(at(2)));
        assert!(group.assign("192.0.2.2:88", AdminState::Maintenance));
        assert_eq!(chosen(), Err(Reason::BackendDown));
        assert!(group.assign("192.0.2.1:88", AdminState::Ready));
        assert_eq!(chosen(), Ok(at(1)));
        assert!(!group.assign("192.0.2.3:88", AdminState::Drain));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_client_waits_until_the_name_is_resolved() {
        let group = Arc::new(group(vec![backend("kdc", 88)], Algorithm::First));
        let waiting = tokio::spawn({
            let group = Arc::clone(&group);
            async move { group.resolved(Duration::from_secs(2)).await }
        });
        tokio::task::yield_now().await;
        group.set_addresses(0, &[at(1)]);
        assert!(waiting.await.unwrap());
        let never = self::group(vec![backend("kdc", 88)], Algorithm::First);
        assert!(!never.resolved(Duration::from_secs(2)).await);
    }

    #[test]
    fn a_server_with_one_address_keeps_its_clients_when_it_moves() {
        let group = group(vec![backend("a", 1), backend("b", 1)], Algorithm::Source);
        group.set_addresses(0, &[at(1)]);
        group.set_addresses(1, &[at(2)]);
        let names = || -> Vec<Arc<str>> {
            (0..64_u64)
                .map(|client| {
                    let client = balance::stable_hash(&client.to_be_bytes());
                    Arc::clone(&group.choose(client, &[]).unwrap().backend)
                })
                .collect()
        };
        let before = names();
        group.set_addresses(0, &[at(7)]);
        assert_eq!(names(), before);
    }
}
