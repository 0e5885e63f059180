//! What is known of a backend, and what is wanted of it, each in a byte.

/// What the last look at a backend said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BackendHealth {
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

impl BackendHealth {
    pub(super) const fn from(byte: u8) -> Self {
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
    pub(crate) const fn as_str(self) -> &'static str {
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
pub(crate) enum ImpersonationStatus {
    /// Not proven yet.
    Unverified = 0,
    /// It read the identity and refused one that no rule allows.
    Honored = 1,
    /// It answered as if nothing had been said.
    Ignored = 2,
}
