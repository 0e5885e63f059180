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

use super::{group::Place, login::LoginState, looks::Looks};
use crate::{
    balance::Seat, config::BackendTls, gss::Principal, kinds::Kind, refusal::Refusal,
    tls::Connector,
};

/// What the last look at a backend said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Not looked at yet.
    Unknown = 0,
    /// Serves, and is the active one.
    Active = 1,
    /// Alive, not active.
    Standby = 2,
    /// Does not answer.
    Down = 3,
    /// Alive, but the gateway cannot log in.
    LoginFailed = 4,
    /// TLS to it fails, or its certificate is not believed.
    TlsFailed = 5,
}

impl State {
    const fn from(byte: u8) -> Self {
        match byte {
            1 => Self::Active,
            2 => Self::Standby,
            3 => Self::Down,
            4 => Self::LoginFailed,
            5 => Self::TlsFailed,
            _ => Self::Unknown,
        }
    }

    /// The word of log and status page.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Active => "active",
            Self::Standby => "standby",
            Self::Down => "down",
            Self::LoginFailed => "login_failed",
            Self::TlsFailed => "tls_failed",
        }
    }
}

/// Whether a backend obeys the identity it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Obedience {
    /// Not proven yet.
    Unproven = 0,
    /// It read the identity and refused one that no rule allows.
    Obeys = 1,
    /// It answered as if nothing had been said.
    Ignores = 2,
}

/// What an operator wants of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Duty {
    /// It is used.
    #[default]
    Ready = 0,
    /// It gets nothing new; what it has begun, and requests that it alone can answer, go on.
    Drain = 1,
    /// It gets nothing at all.
    Maintenance = 2,
}

impl Duty {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ready, Self::Drain, Self::Maintenance];

    /// What stands in an atomic number.
    pub(crate) fn of(number: &AtomicU8) -> Self {
        match number.load(Ordering::Acquire) {
            1 => Self::Drain,
            2 => Self::Maintenance,
            _ => Self::Ready,
        }
    }

    /// The word of command line, log and status page.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maintenance => "maintenance",
        }
    }
}

/// What makes two configured backends the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BackendKey {
    /// `host:port`.
    pub authority: Arc<str>,
    /// Kind's name: what its answers mean.
    pub kind: &'static str,
    /// Whether users are told by `doAs`, so that a proof is wanted.
    pub proves: bool,
    /// The gateway's principal there; `None` where it does not log in.
    pub principal: Option<Principal>,
    /// The backend's own; `None` where the gateway does not log in.
    pub spn: Option<Principal>,
    /// Whom the gateway believes there; `None`: plain HTTP.
    pub tls: Option<BackendTls>,
}

/// One server.
#[derive(Debug)]
pub struct Backend {
    /// Its identity over reloads.
    pub key: BackendKey,
    /// Its host name, lower case.
    pub host: Arc<str>,
    /// Its port.
    pub port: u16,
    /// `Host` of every request to it.
    pub host_header: HeaderValue,
    /// TLS to it.
    pub tls: Option<Connector>,
    /// What it is.
    pub kind: &'static dyn Kind,
    /// The gateway's login there.
    pub login: LoginState,
    /// Ask the probe to look at once.
    pub kick: Notify,
    /// The probe's looks.
    pub looks: Looks,
    /// What the balancing algorithms remember of it.
    pub seat: Seat,
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
    pub fn new(key: BackendKey, host: Arc<str>, port: u16, kind: &'static dyn Kind) -> Self {
        let host_header = if port == 80 {
            HeaderValue::from_str(&host)
        } else {
            HeaderValue::from_str(&key.authority)
        }
        .unwrap_or_else(|_| HeaderValue::from_static(""));
        let seat = Seat::new(&key.authority);
        Self {
            key,
            host,
            port,
            host_header,
            tls: None,
            kind,
            login: LoginState::default(),
            kick: Notify::new(),
            looks: Looks::default(),
            seat,
            duty: AtomicU8::new(Duty::Ready as u8),
            turn: AtomicUsize::new(0),
            hits: AtomicU32::new(0),
            state: AtomicU8::new(State::Unknown as u8),
            obeys: AtomicU8::new(Obedience::Unproven as u8),
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
    pub fn with_tls(mut self, connector: Connector, name: Option<&str>) -> Self {
        let host = name.unwrap_or(&self.host);
        let header = if self.port == 443 {
            HeaderValue::from_str(host)
        } else {
            HeaderValue::try_from(format!("{host}:{}", self.port))
        };
        self.host_header = header.unwrap_or(self.host_header);
        self.tls = Some(connector);
        self
    }

    /// What the last look said.
    pub fn state(&self) -> State {
        State::from(self.state.load(Ordering::Acquire))
    }

    /// Books what a look (or a request) said; true when it is news.
    ///
    /// A server that was active, fell silent and says "active" again has only been thawed: it keeps
    /// the time at which it *became* active, so that the one which took over meanwhile counts as
    /// the later one.
    pub fn set_state(&self, state: State) -> bool {
        if state == State::Active {
            if self.was_active.swap(1, Ordering::AcqRel) == 0 {
                self.active_since.store(now_ms(), Ordering::Release);
            }
            self.login_refusal.store(None);
        }
        if state == State::Standby {
            self.was_active.store(0, Ordering::Release);
            self.login_refusal.store(None);
        }
        if matches!(state, State::Down | State::Unknown) {
            self.login_refusal.store(None);
        }
        let before = self.state.swap(state as u8, Ordering::AcqRel);
        if before != state as u8 {
            self.changed_at.store(now_ms(), Ordering::Release);
        }
        before != state as u8
    }

    /// Unix milliseconds at which it became active.
    pub fn active_since(&self) -> u64 {
        self.active_since.load(Ordering::Acquire)
    }

    /// Unix milliseconds of the last change of its state.
    pub fn changed_at(&self) -> u64 {
        self.changed_at.load(Ordering::Acquire)
    }

    /// Requests under way there.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What an operator wants of it.
    pub fn duty(&self) -> Duty {
        Duty::of(&self.duty)
    }

    /// Books what an operator wants; true when it is news.
    pub fn set_duty(&self, duty: Duty) -> bool {
        self.duty.swap(duty as u8, Ordering::AcqRel) != duty as u8
    }

    /// Books a look that got no answer; how many in a row.
    pub fn miss(&self) -> u32 {
        self.hits.store(0, Ordering::Release);
        self.misses.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Books an answer; how many in a row.
    pub fn hit(&self) -> u32 {
        self.misses.store(0, Ordering::Release);
        self.hits.fetch_add(1, Ordering::AcqRel).saturating_add(1)
    }

    /// Whether it obeys.
    pub fn obedience(&self) -> Obedience {
        match self.obeys.load(Ordering::Acquire) {
            1 => Obedience::Obeys,
            2 => Obedience::Ignores,
            _ => Obedience::Unproven,
        }
    }

    /// Books the result of a proof.
    pub fn set_obedience(&self, obedience: Obedience) {
        self.obeys.store(obedience as u8, Ordering::Release);
    }

    /// Whether users may be sent there as far as identity goes.
    pub fn identity_gate(&self) -> Result<(), Refusal> {
        match (self.key.proves, self.obedience()) {
            (false, _) | (true, Obedience::Obeys) => Ok(()),
            (true, Obedience::Unproven) => Err(Refusal::IdentityUnproven),
            (true, Obedience::Ignores) => Err(Refusal::IdentityIgnored),
        }
    }

    /// Its addresses as last resolved; empty before.
    pub fn addresses(&self) -> Arc<Vec<SocketAddr>> {
        self.addresses.load_full()
    }

    /// Its addresses in the order in which the next connection tries them: those of the family that
    /// the resolver prefers take turns, the others stay behind.
    pub fn addresses_in_turn(&self) -> Vec<SocketAddr> {
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
    pub async fn resolve(&self) -> std::io::Result<Arc<Vec<SocketAddr>>> {
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
    pub fn last_error(&self) -> Option<Arc<String>> {
        self.last_error.load_full()
    }

    /// Notes what went wrong; `None` when all is well again. True when it is news.
    pub fn set_last_error(&self, error: Option<String>) -> bool {
        let news = error.as_ref() != self.last_error.load().as_deref();
        if news {
            self.last_error.store(error.map(Arc::new));
        }
        news
    }

    /// Why the gateway cannot log in, while its state is [`State::LoginFailed`].
    pub fn login_refusal(&self) -> Option<Refusal> {
        self.login_refusal.load().as_deref().copied()
    }

    /// Notes a failed login.
    pub fn set_login_refusal(&self, refusal: Refusal) {
        self.login_refusal.store(Some(Arc::new(refusal)));
    }
}

/// A request under way, until it is dropped.
#[derive(Debug)]
pub struct InFlight {
    backend: Arc<Backend>,
    _place: Option<Place>,
}

impl InFlight {
    /// Counts one more, which gives its place back at its end.
    pub fn at(backend: &Arc<Backend>, place: Option<Place>) -> Self {
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

/// Whether two lists hold the same addresses, in whatever order.
fn same_set(one: &[SocketAddr], other: &[SocketAddr]) -> bool {
    let within = |some: &[SocketAddr], all: &[SocketAddr]| some.iter().all(|a| all.contains(a));
    within(one, other) && within(other, one)
}

/// Unix time in milliseconds.
pub fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_millis()
        .try_into()
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend() -> Backend {
        let spn: Principal = "HTTP/nn1.example.com@EXAMPLE.COM".parse().unwrap();
        Backend::new(
            BackendKey {
                authority: "nn1.example.com:50070".into(),
                kind: "generic",
                proves: true,
                principal: None,
                spn: Some(spn),
                tls: None,
            },
            "nn1.example.com".into(),
            50070,
            crate::kinds::ALL[0],
        )
    }

    #[test]
    fn a_thawed_server_keeps_the_time_at_which_it_became_active() {
        let nn = backend();
        nn.set_state(State::Active);
        let since = nn.active_since();
        nn.set_state(State::Down);
        while now_ms() == since {}
        nn.set_state(State::Active);
        assert_eq!(nn.active_since(), since);
        nn.set_state(State::Standby);
        nn.set_state(State::Active);
        assert!(nn.active_since() > since);
    }

    #[test]
    fn the_addresses_of_a_name_take_turns_and_their_order_is_no_news() {
        let nn = backend();
        let of = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        assert!(nn.addresses_in_turn().is_empty());
        nn.addresses
            .store(Arc::new(of(&["10.0.0.1:1", "10.0.0.2:1", "[::1]:1"])));
        let firsts: Vec<_> = (0..4)
            .map(|_| nn.addresses_in_turn()[0].to_string())
            .collect();
        assert_eq!(
            firsts,
            ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.1:1", "10.0.0.2:1"]
        );
        assert_eq!(nn.addresses_in_turn()[2].to_string(), "[::1]:1");
        let (one, turned) = (
            of(&["10.0.0.1:1", "10.0.0.2:1"]),
            of(&["10.0.0.2:1", "10.0.0.1:1"]),
        );
        assert!(same_set(&one, &turned) && !same_set(&one, &turned[..1]) && !same_set(&[], &one));
    }

    #[test]
    fn no_user_is_sent_where_the_identity_is_unproven_or_ignored() {
        let nn = backend();
        assert_eq!(nn.identity_gate(), Err(Refusal::IdentityUnproven));
        nn.set_obedience(Obedience::Ignores);
        assert_eq!(nn.identity_gate(), Err(Refusal::IdentityIgnored));
        nn.set_obedience(Obedience::Obeys);
        assert_eq!(nn.identity_gate(), Ok(()));
    }
}
