//! One server of a console as all workers see it: whether it lives, whether it is the active one,
//! and the gateway's login there. It survives reloads.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use arc_swap::{ArcSwap, ArcSwapOption};
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

mod state;

pub(crate) use state::{BackendHealth, ImpersonationStatus};

/// `console.backend_tls` and `tls` of a backend, for one backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BackendTls {
    /// Whom the gateway believes, and who it says it is.
    pub trust: TrustSource,
    /// The name that the backend's certificate has, if not the host of its URL; it goes into `Host`
    /// too.
    pub server_name: Option<Arc<str>>,
}

/// What makes two configured backends the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BackendKey {
    /// `host:port`.
    pub authority: Arc<str>,
    /// Kind's name: what its answers mean.
    pub kind: &'static str,
    /// Whether users are told by `doAs`, so that a proof is wanted.
    pub checks_impersonation: bool,
    /// The gateway's principal there; `None` where it does not log in.
    pub principal: Option<Principal>,
    /// The backend's own; `None` where the gateway does not log in.
    pub spn: Option<Principal>,
    /// Whom the gateway believes there; `None`: plain HTTP.
    pub tls: Option<BackendTls>,
    /// Whether connections begin with a PROXY protocol header.
    pub send_proxy: Option<Version>,
}

/// One server.
#[derive(Debug)]
pub(crate) struct Backend {
    /// Its identity over reloads.
    pub key: BackendKey,
    /// Its host name, lower case.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
    /// `Host` of every request to it.
    pub host_header: HeaderValue,
    /// `http://` or `https://` and the same.
    pub origin: HeaderValue,
    /// TLS to it.
    pub tls: Option<Connector>,
    /// What it is.
    pub kind: &'static dyn Kind,
    /// The gateway's login there.
    pub login: LoginState,
    /// Ask the probe to look at once.
    pub wake_probe: Notify,
    /// Counts probes, so that a request can wait for the next one.
    pub probe_epoch: ProbeEpoch,
    /// What the balancing algorithms remember of it.
    pub balance: BalanceState,
    duty: AtomicU8,
    turn: AtomicUsize,
    hits: AtomicU32,
    state: AtomicU8,
    obeys: AtomicU8,
    was_active: AtomicU8,
    active_since: AtomicU64,
    changed_at: AtomicU64,
    misses: AtomicU32,
    in_flight: AtomicUsize,
    addresses: ArcSwap<Vec<SocketAddr>>,
    last_error: ArcSwapOption<String>,
    login_refusal: ArcSwapOption<Refusal>,
}

impl Backend {
    /// A backend that has not been looked at.
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
            duty: AtomicU8::new(AdminState::Ready as u8),
            turn: AtomicUsize::new(0),
            hits: AtomicU32::new(0),
            state: AtomicU8::new(BackendHealth::Unknown as u8),
            obeys: AtomicU8::new(ImpersonationStatus::Unverified as u8),
            was_active: AtomicU8::new(0),
            active_since: AtomicU64::new(0),
            changed_at: AtomicU64::new(now_ms()),
            misses: AtomicU32::new(0),
            in_flight: AtomicUsize::new(0),
            addresses: ArcSwap::default(),
            last_error: ArcSwapOption::empty(),
            login_refusal: ArcSwapOption::empty(),
        }
    }

    /// Reached by TLS. `name` is the one that its certificate has, where that is not its host: so
    /// it calls itself, and it may refuse a `Host` that differs from what TLS named.
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

    /// What the last look said.
    pub(crate) fn state(&self) -> BackendHealth {
        BackendHealth::from(self.state.load(Ordering::Acquire))
    }

    /// Books what a look (or a request) said; true when it is news.
    ///
    /// A server that was active, fell silent and says "active" again has only been thawed: it keeps
    /// the time at which it *became* active, so that the one which took over meanwhile counts as
    /// the later one.
    pub(crate) fn set_state(&self, state: BackendHealth) -> bool {
        if state == BackendHealth::Active {
            if self.was_active.swap(1, Ordering::AcqRel) == 0 {
                self.active_since.store(now_ms(), Ordering::Release);
            }
            self.login_refusal.store(None);
        }
        if state == BackendHealth::Standby {
            self.was_active.store(0, Ordering::Release);
            self.login_refusal.store(None);
        }
        if matches!(state, BackendHealth::Down | BackendHealth::Unknown) {
            self.login_refusal.store(None);
        }
        let before = self.state.swap(state as u8, Ordering::AcqRel);
        if before != state as u8 {
            self.changed_at.store(now_ms(), Ordering::Release);
        }
        before != state as u8
    }

    /// Unix milliseconds at which it became active.
    pub(crate) fn active_since(&self) -> u64 {
        self.active_since.load(Ordering::Acquire)
    }

    /// Unix milliseconds of the last change of its state.
    pub(crate) fn changed_at(&self) -> u64 {
        self.changed_at.load(Ordering::Acquire)
    }

    /// Requests under way there.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What an operator wants of it.
    pub(crate) fn admin_state(&self) -> AdminState {
        AdminState::of(&self.duty)
    }

    /// Books what an operator wants; true when it is news.
    pub(crate) fn set_admin_state(&self, duty: AdminState) -> bool {
        self.duty.swap(duty as u8, Ordering::AcqRel) != duty as u8
    }

    /// Books a look that got no answer; how many in a row.
    pub(crate) fn miss(&self) -> u32 {
        self.hits.store(0, Ordering::Release);
        self.misses.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Books an answer; how many in a row.
    pub(crate) fn hit(&self) -> u32 {
        self.misses.store(0, Ordering::Release);
        self.hits.fetch_add(1, Ordering::AcqRel).saturating_add(1)
    }

    /// Whether it obeys.
    pub(crate) fn impersonation(&self) -> ImpersonationStatus {
        match self.obeys.load(Ordering::Acquire) {
            1 => ImpersonationStatus::Honored,
            2 => ImpersonationStatus::Ignored,
            _ => ImpersonationStatus::Unverified,
        }
    }

    /// Books the result of a proof.
    pub(crate) fn set_impersonation(&self, impersonation: ImpersonationStatus) {
        self.obeys.store(impersonation as u8, Ordering::Release);
    }

    /// Whether users may be sent there as far as identity goes.
    pub(crate) fn identity_gate(&self) -> Result<(), Refusal> {
        match (self.key.checks_impersonation, self.impersonation()) {
            (false, _) | (true, ImpersonationStatus::Honored) => Ok(()),
            (true, ImpersonationStatus::Unverified) => Err(Refusal::IdentityUnproven),
            (true, ImpersonationStatus::Ignored) => Err(Refusal::IdentityIgnored),
        }
    }

    /// Its addresses as last resolved; empty before.
    pub(crate) fn addresses(&self) -> Arc<Vec<SocketAddr>> {
        self.addresses.load_full()
    }

    /// Its addresses in the order in which the next connection tries them: those of the family that
    /// the resolver prefers take turns, the others stay behind.
    pub(crate) fn addresses_in_turn(&self) -> Vec<SocketAddr> {
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

    /// Resolves its name, and remembers the answer; a failing resolver leaves the last answer.
    pub(crate) async fn resolve(&self) -> std::io::Result<Arc<Vec<SocketAddr>>> {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        match tokio::net::lookup_host((host, self.port)).await {
            Ok(found) => {
                let found: Vec<_> = found.collect();
                // many servers of names turn the list round at each answer
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

    /// What went wrong last, for the status page.
    pub(crate) fn last_error(&self) -> Option<Arc<String>> {
        self.last_error.load_full()
    }

    /// Notes what went wrong; `None` when all is well again. True when it is news.
    pub(crate) fn set_last_error(&self, error: Option<String>) -> bool {
        let news = error.as_ref() != self.last_error.load().as_deref();
        if news {
            self.last_error.store(error.map(Arc::new));
        }
        news
    }

    /// Why the gateway cannot log in, while its state is [`BackendHealth::LoginFailed`].
    pub(crate) fn login_refusal(&self) -> Option<Refusal> {
        self.login_refusal.load().as_deref().copied()
    }

    /// Notes a failed login.
    pub(crate) fn set_login_refusal(&self, refusal: Refusal) {
        self.login_refusal.store(Some(Arc::new(refusal)));
    }
}

/// A request under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    backend: Arc<Backend>,
    _place: Option<BackendPermit>,
}

impl InFlight {
    /// Counts one more, which gives its place back at its end.
    pub(crate) fn at(backend: &Arc<Backend>, place: Option<BackendPermit>) -> Self {
        backend.in_flight.fetch_add(1, Ordering::Relaxed);
        Self {
            backend: Arc::clone(backend),
            _place: place,
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

/// Whether two lists hold the same addresses, in whatever order.
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
