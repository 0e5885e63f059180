//! The status of a backend: what probes and requests have found out, and what an operator wants.

use crate::{balance::AdminState, refusal::Refusal};

/// What the last probe (or a failed request) found out about a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BackendHealth {
    /// Not probed yet.
    Unknown,
    /// Serves requests, and is the active server of its HA pair (or its kind has no HA pairs).
    Active,
    /// Alive, but not the active server.
    Standby,
    /// Does not respond.
    Down,
    /// Alive, but the gateway cannot log in, for this reason.
    LoginFailed(Refusal),
    /// TLS to it fails, or its certificate is not trusted.
    TlsFailed,
}

impl BackendHealth {
    /// The value of the log field `state`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Active => "active",
            Self::Standby => "standby",
            Self::Down => "down",
            Self::LoginFailed(_) => "login_failed",
            Self::TlsFailed => "tls_failed",
        }
    }

    /// Whether this is another state. A login that fails for another reason is not: the time of the
    /// change and the log tell when logins began to fail.
    pub(super) fn is_other_than(self, other: Self) -> bool {
        std::mem::discriminant(&self) != std::mem::discriminant(&other)
    }

    /// Why the gateway cannot use a backend that is alive.
    pub(crate) const fn login_refusal(self) -> Option<Refusal> {
        match self {
            Self::LoginFailed(refusal) => Some(refusal),
            Self::TlsFailed => Some(Refusal::BackendTls),
            Self::Unknown | Self::Active | Self::Standby | Self::Down => None,
        }
    }
}

/// Whether a backend acts as the user that the gateway names (`identity = "doas"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImpersonationStatus {
    /// Not checked since the backend came up.
    Unverified,
    /// It refused a user that no proxy-user rule can allow, so it reads the user's name.
    Honored,
    /// It responded as if no user had been named.
    Ignored,
}

/// Everything that decides whether a backend may receive requests, at one moment.
///
/// It is replaced as a whole: with one atomic for each field, a request could see `Active` of a new
/// probe together with the `Honored` of a server that has been restarted since without the filter.
#[derive(Clone, Debug)]
pub(crate) struct BackendStatus {
    pub health: BackendHealth,
    pub impersonation: ImpersonationStatus,
    /// What an operator wants.
    pub admin: AdminState,
    /// Unix milliseconds at which it became active; 0 if it never was.
    pub active_since: u64,
    /// Unix milliseconds of the last change of `health`.
    pub changed_at: u64,
    /// What went wrong last, for the status page.
    pub last_error: Option<String>,
    /// It has not been a standby since `active_since`.
    was_active: bool,
    /// Probes in a row without a response.
    pub(super) failures: u32,
    /// Probes in a row with a response.
    pub(super) successes: u32,
}

impl BackendStatus {
    pub(super) fn new(now: u64) -> Self {
        Self {
            health: BackendHealth::Unknown,
            impersonation: ImpersonationStatus::Unverified,
            admin: AdminState::Ready,
            active_since: 0,
            changed_at: now,
            last_error: None,
            was_active: false,
            failures: 0,
            successes: 0,
        }
    }

    pub(super) fn record(&mut self, health: BackendHealth, now: u64) {
        match health {
            // A server that was active, stopped responding and says "active" again was only
            // suspended (SIGSTOP, a long garbage collection). It keeps its time, so that the
            // server which took over in between counts as the later one.
            BackendHealth::Active if !self.was_active => {
                self.was_active = true;
                self.active_since = now;
            }
            BackendHealth::Standby => self.was_active = false,
            BackendHealth::Active
            | BackendHealth::Unknown
            | BackendHealth::Down
            | BackendHealth::LoginFailed(_)
            | BackendHealth::TlsFailed => {}
        }
        if self.health.is_other_than(health) {
            self.changed_at = now;
        }
        self.health = health;
    }

    pub(super) fn record_failure(&mut self) {
        self.successes = 0;
        self.failures = self.failures.saturating_add(1);
    }

    pub(super) fn record_success(&mut self) {
        self.failures = 0;
        self.successes = self.successes.saturating_add(1);
    }
}
