//! Limits on reading a body only to discard it.
//!
//! A client that sends its whole body before it reads (Java's `HttpURLConnection`, Python's
//! `requests`) gets its response only if the body is read: closing with unread bytes in the socket
//! resets the connection (RFC 9112 section 9.6), and the reset can destroy the response.

use crate::server::clock::TickLimits;

/// The most bytes that are discarded of one body.
const MAX_BYTES: u64 = 1 << 30;
/// Fewer bytes than this are not progress: a client must not hold a connection by sending a byte
/// now and then.
const STEP: u64 = 16 * 1024;

#[derive(Clone, Copy, Debug)]
pub(super) struct DiscardBudget {
    bytes_left: u64,
    /// Bytes since the last progress.
    pending: u64,
    began: u32,
    /// Tick of the last progress.
    progress: u32,
}

impl DiscardBudget {
    pub(super) const fn new(now: u32) -> Self {
        Self {
            bytes_left: MAX_BYTES,
            pending: 0,
            began: now,
            progress: now,
        }
    }

    /// Counts discarded bytes. Returns whether more may be read.
    pub(super) fn spend(&mut self, bytes: usize, now: u32) -> bool {
        let bytes = bytes as u64;
        self.pending += bytes;
        if self.pending >= STEP {
            self.pending = 0;
            self.progress = now;
        }
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.unwrap_or_default();
        left.is_some()
    }

    /// Whether the time is over, or there was no progress for too long.
    pub(super) const fn is_exhausted(&self, now: u32, limits: &TickLimits) -> bool {
        now.wrapping_sub(self.began) >= limits.discard
            || now.wrapping_sub(self.progress) >= limits.discard_idle
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::server::{ServerTimeouts, clock::TickLimits};

    fn limits() -> TickLimits {
        let long = Duration::from_secs(60);
        TickLimits::new(ServerTimeouts {
            head: long,
            idle: long,
            body_idle: long,
            tunnel: long,
            min_upload_rate: 0,
        })
    }

    #[test]
    fn bytes_are_bounded() {
        let mut budget = DiscardBudget::new(0);
        let piece = 1 << 20;
        assert!((0..MAX_BYTES >> 20).all(|_| budget.spend(piece, 0)));
        assert!(!budget.spend(1, 0));
    }

    #[test]
    fn time_is_bounded_however_much_arrives() {
        let limits = limits();
        let mut budget = DiscardBudget::new(7);
        for now in 7..7 + limits.discard {
            assert!(!budget.is_exhausted(now, &limits), "{now}");
            assert!(budget.spend(1 << 16, now));
        }
        assert!(budget.is_exhausted(7 + limits.discard, &limits));
    }

    #[test]
    fn a_few_bytes_at_a_time_are_not_progress() {
        let limits = limits();
        let mut budget = DiscardBudget::new(0);
        for now in 0..limits.discard_idle {
            assert!(!budget.is_exhausted(now, &limits), "{now}");
            assert!(budget.spend(100, now));
        }
        assert!(budget.is_exhausted(limits.discard_idle, &limits));
    }
}
