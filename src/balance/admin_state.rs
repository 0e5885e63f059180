//! What operators want of a server.

use std::sync::atomic::{AtomicU8, Ordering};

/// What an operator wants of a backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum AdminState {
    /// It is used.
    #[default]
    Ready = 0,
    /// It gets nothing new; what it has begun, and requests that it alone can answer, go on.
    Drain = 1,
    /// It gets nothing at all.
    Maintenance = 2,
}

impl AdminState {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Ready, Self::Drain, Self::Maintenance];

    /// What stands in an atomic number.
    pub(crate) fn of(number: &AtomicU8) -> Self {
        match number.load(Ordering::Acquire) {
            1 => Self::Drain,
            2 => Self::Maintenance,
            _ => Self::Ready,
        }
    }

    /// The word of command line, log and status page.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maintenance => "maintenance",
        }
    }
}
