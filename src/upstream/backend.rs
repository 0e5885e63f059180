//! One server of a console, shared by all workers: its health, the gateway's login there, and the
//! requests in flight. It survives reloads of the configuration.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::{ArcSwap, Guard};
use http::HeaderValue;
use tokio::sync::Notify;

use super::{group::BackendPermit, login::LoginState, probe_epoch::ProbeEpoch};
use crate::{
    balance::{AdminState, BalanceState},
    gss::Principal,
    kinds::Kind,
    net::proxy_protocol::Version,
    refusal::Refusal,
    tls::{Connector, TrustSource},
};

mod health;

pub(crate) use health::{BackendHealth, BackendStatus, ImpersonationStatus};

/// `console.backend_tls` and `tls` of a backend, for one backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BackendTls {
    /// The certificates that are trusted, and the gateway's own.
    pub trust: TrustSource,
    /// The name in the backend's certificate, if it is not the host of its URL. It is sent in `Host`
    /// too.
    pub server_name: Option<Arc<str>>,
}

/// Two configured backends with the same key share one [`Backend`], also across reloads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BackendKey {
    /// `host:port`.
    pub authority: Arc<str>,
    /// The kind's name: it decides how responses are read.
    pub kind: &'static str,
    /// Whether the backend must be shown to honor `doAs` before users' requests are sent to it.
    pub checks_impersonation: bool,
    /// The gateway's principal there; `None` if it does not log in.
    pub principal: Option<Principal>,
    /// The backend's service principal; `None` if the gateway does not log in.
    pub spn: Option<Principal>,
    /// `None`: plain HTTP.
    pub tls: Option<BackendTls>,
    /// Whether connections begin with a PROXY protocol header.
    pub send_proxy: Option<Version>,
}

/// One server of a console.
#[derive(Debug)]
pub(crate) struct Backend {
    pub key: BackendKey,
    /// Lower case.
    pub host: Arc<str>,
    pub port: u16,
    /// The `Host` header of every request to it.
    pub host_header: HeaderValue,
    /// Scheme and `Host`, for `Origin` and `Referer`.
    pub origin: HeaderValue,
    /// `None`: plain HTTP.
    pub tls: Option<Connector>,
    pub kind: &'static dyn Kind,
    pub login: LoginState,
    /// Makes the probe run now instead of at its next interval.
    pub wake_probe: Notify,
    /// Counts probes, so that a request can wait for the next one.
    pub probe_epoch: ProbeEpoch,
    pub balance: BalanceState,
    status: ArcSwap<BackendStatus>,
    /// Requests sent to it and not finished: counted for each request, so not part of `status`.
    in_flight: AtomicUsize,
    /// Counts connections, to rotate the addresses.
    turn: AtomicUsize,
    addresses: ArcSwap<Vec<SocketAddr>>,
}

impl Backend {
    /// A backend that has not been probed.
    pub(crate) fn new(key: BackendKey, host: Arc<str>, port: u16, kind: &'static dyn Kind) -> Self {
        let host_header = if port == 80 {
            HeaderValue::from_str(&host)
        } else {
            HeaderValue::from_str(&key.authority)
        }
        .unwrap_or_else(|_| HeaderValue::from_static(""));
        let balance = BalanceState::new(&key.authority);
        Self {
            key,
            host,
            port,
            origin: origin("http", &host_header),
            host_header,
            tls: None,
            kind,
            login: LoginState::default(),
            wake_probe: Notify::new(),
            probe_epoch: ProbeEpoch::default(),
            balance,
            status: ArcSwap::from_pointee(BackendStatus::new(now_ms())),
            in_flight: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
            addresses: ArcSwap::default(),
        }
    }

    /// Uses TLS. `name` is the name in its certificate, if that is not its host: it goes into `Host`
    /// too, because a server may refuse a `Host` that differs from the SNI (RFC 6066 section 3).
    pub(crate) fn with_tls(mut self, connector: Connector, name: Option<&str>) -> Self {
        let host = name.unwrap_or(&self.host);
        let header = if self.port == 443 {
            HeaderValue::from_str(host)
        } else {
            HeaderValue::try_from(format!("{host}:{}", self.port))
        };
        self.host_header = header.unwrap_or(self.host_header);
        self.origin = origin("https", &self.host_header);
        self.tls = Some(connector);
        self
    }

    /// Its status at this moment. Read it once for each decision, so that the parts belong together.
    pub(crate) fn status(&self) -> Guard<Arc<BackendStatus>> {
        self.status.load()
    }

    /// Replaces the status by a changed copy and returns the one before. Probes of several consoles,
    /// requests and operators do so concurrently; `change` then runs again on the newer status.
    fn update(&self, change: impl Fn(&mut BackendStatus)) -> Arc<BackendStatus> {
        self.status.rcu(|status| {
            let mut status = BackendStatus::clone(status);
            change(&mut status);
            status
        })
    }

    /// What the last probe found out.
    pub(crate) fn health(&self) -> BackendHealth {
        self.status().health
    }

    /// Records what a probe or a request found out; true if it has changed.
    pub(crate) fn set_health(&self, health: BackendHealth) -> bool {
        let now = now_ms();
        let before = self.update(|status| status.record(health, now));
        before.health.is_other_than(health)
    }

    /// Requests that have been sent to it and are not finished.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What an operator wants.
    pub(crate) fn admin_state(&self) -> AdminState {
        self.status().admin
    }

    /// Records what an operator wants; true if it has changed.
    pub(crate) fn set_admin_state(&self, admin: AdminState) -> bool {
        self.update(|status| status.admin = admin).admin != admin
    }

    /// Records a probe that got no response; returns how many there are in a row.
    pub(crate) fn record_failure(&self) -> u32 {
        let before = self.update(BackendStatus::record_failure);
        before.failures.saturating_add(1)
    }

    /// Records a probe that got a response; returns how many there are in a row.
    pub(crate) fn record_success(&self) -> u32 {
        let before = self.update(BackendStatus::record_success);
        before.successes.saturating_add(1)
    }

    /// Whether it acts as the user that the gateway names.
    pub(crate) fn impersonation(&self) -> ImpersonationStatus {
        self.status().impersonation
    }

    /// Records the result of an impersonation check.
    pub(crate) fn set_impersonation(&self, impersonation: ImpersonationStatus) {
        self.update(|status| status.impersonation = impersonation);
    }

    /// Whether it may receive users' requests as far as impersonation goes.
    pub(crate) fn identity_gate(&self) -> Result<(), Refusal> {
        self.identity_gate_at(&self.status())
    }

    /// The same for a status that has been read already.
    pub(crate) fn identity_gate_at(&self, status: &BackendStatus) -> Result<(), Refusal> {
        match (self.key.checks_impersonation, status.impersonation) {
            (false, _) | (true, ImpersonationStatus::Honored) => Ok(()),
            (true, ImpersonationStatus::Unverified) => Err(Refusal::IdentityUnproven),
            (true, ImpersonationStatus::Ignored) => Err(Refusal::IdentityIgnored),
        }
    }

    /// Its addresses as last resolved; empty before the first time.
    pub(crate) fn addresses(&self) -> Arc<Vec<SocketAddr>> {
        self.addresses.load_full()
    }

    /// Its addresses in the order in which the next connection tries them. The addresses of the
    /// family that the resolver prefers are rotated; those of the other family stay last.
    pub(crate) fn addresses_in_turn(&self) -> Vec<SocketAddr> {
        // Not on the usual path: only a new connection comes here.
        let mut addresses = self.addresses().to_vec();
        if let [first, _, ..] = addresses[..] {
            let preferred = addresses
                .iter()
                .take_while(|other| other.is_ipv4() == first.is_ipv4())
                .count();
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            addresses[..preferred].rotate_left(turn % preferred);
        }
        addresses
    }

    /// Resolves its name. If the resolver fails, the last known addresses stay in use.
    pub(crate) async fn resolve(&self) -> std::io::Result<Arc<Vec<SocketAddr>>> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        match tokio::net::lookup_host((host, self.port)).await {
            Ok(found) => {
                let found: Vec<_> = found.collect();
                // Many name servers rotate the list in each response. A mere rotation must not look
                // like a change: the pools close all connections on a change.
                if !same_set(&self.addresses.load(), &found) {
                    self.addresses.store(Arc::new(found));
                }
                Ok(self.addresses())
            }
            Err(error) => {
                let known = self.addresses();
                if known.is_empty() {
                    Err(error)
                } else {
                    Ok(known)
                }
            }
        }
    }

    /// Records what went wrong, or `None` if nothing did; true if it has changed.
    pub(crate) fn set_last_error(&self, error: Option<&str>) -> bool {
        // most probes succeed after a success: no copy then
        if self.status().last_error.as_deref() == error {
            return false;
        }
        let before = self.update(|status| status.last_error = error.map(str::to_owned));
        before.last_error.as_deref() != error
    }
}

/// Counts a request in flight until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    backend: Arc<Backend>,
    _permit: Option<BackendPermit>,
}

impl InFlight {
    /// `permit` is held as long.
    pub(crate) fn at(backend: &Arc<Backend>, permit: Option<BackendPermit>) -> Self {
        backend.in_flight.fetch_add(1, Ordering::Relaxed);
        Self {
            backend: Arc::clone(backend),
            _permit: permit,
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.backend.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn origin(scheme: &str, host: &HeaderValue) -> HeaderValue {
    let host = host.to_str().unwrap_or_default();
    let origin = HeaderValue::try_from(format!("{scheme}://{host}"));
    origin.unwrap_or_else(|_| HeaderValue::from_static("null"))
}

/// Whether two lists hold the same addresses, in any order.
fn same_set(one: &[SocketAddr], other: &[SocketAddr]) -> bool {
    let within = |some: &[SocketAddr], all: &[SocketAddr]| some.iter().all(|a| all.contains(a));
    within(one, other) && within(other, one)
}

/// Unix time in milliseconds.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_millis()
        .try_into()
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
