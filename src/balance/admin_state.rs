//! The administrative state of a server.

use std::sync::atomic::{AtomicU8, Ordering};

/// What an operator has set with `spnegate backend`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum AdminState {
    /// In use.
    #[default]
    Ready = 0,
    /// Gets no new requests, except those that only this server can serve. Requests in flight continue.
    Drain = 1,
    /// Gets no requests and no health checks.
    Maintenance = 2,
}

impl AdminState {
    pub(crate) const ALL: [Self; 3] = [Self::Ready, Self::Drain, Self::Maintenance];

    /// Reads a state that was stored with `as u8`.
    pub(crate) fn of(number: &AtomicU8) -> Self {
        match number.load(Ordering::Acquire) {
            // Only `as u8` of this enum is ever stored.
            1 => Self::Drain,
            2 => Self::Maintenance,
            _ => Self::Ready,
        }
    }

    /// The value on the command line, in the log and on the status page.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maintenance => "maintenance",
        }
    }
}
