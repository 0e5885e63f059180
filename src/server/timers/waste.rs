//! How much of a body that nobody wants any more is read, and for how long.

use super::Limits;

/// What is thrown away of one body, at most.
const MOST: u64 = 1 << 30;
/// Fewer bytes than this are no progress: a client must not hold a connection by sending a byte now
/// and then.
const STEP: u64 = 16 * 1024;

/// The count of one body.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Waste {
    /// What may still come.
    room: u64,
    /// What has come since the last progress.
    came: u64,
    /// Tick of the beginning.
    begun: u32,
    /// Tick of the last progress.
    progress: u32,
}

impl Waste {
    pub(in crate::server) const fn begin(now: u32) -> Self {
        Self {
            room: MOST,
            came: 0,
            begun: now,
            progress: now,
        }
    }

    /// Counts bytes that were thrown away; whether more may come.
    pub(in crate::server) fn take(&mut self, bytes: usize, now: u32) -> bool {
        let bytes = bytes as u64;
        self.came += bytes;
        if self.came >= STEP {
            self.came = 0;
            self.progress = now;
        }
        let room = self.room.checked_sub(bytes);
        self.room = room.unwrap_or_default();
        room.is_some()
    }

    /// Whether its time is over, or it makes no progress.
    pub(in crate::server) const fn is_over(&self, now: u32, limits: &Limits) -> bool {
        now.wrapping_sub(self.begun) >= limits.waste
            || now.wrapping_sub(self.progress) >= limits.waste_idle
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::server::ServerTimeouts;

    fn limits() -> Limits {
        let long = Duration::from_secs(60);
        Limits::new(ServerTimeouts {
            head: long,
            idle: long,
            body_idle: long,
            tunnel: long,
            min_upload_rate: 0,
        })
    }

    #[test]
    fn bytes_are_bounded() {
        let mut waste = Waste::begin(0);
        let piece = 1 << 20;
        assert!((0..MOST >> 20).all(|_| waste.take(piece, 0)));
        assert!(!waste.take(1, 0));
    }

    #[test]
    fn time_is_bounded_however_much_comes() {
        let limits = limits();
        let mut waste = Waste::begin(7);
        for now in 7..7 + limits.waste {
            assert!(!waste.is_over(now, &limits), "{now}");
            assert!(waste.take(1 << 16, now));
        }
        assert!(waste.is_over(7 + limits.waste, &limits));
    }

    #[test]
    fn drops_are_no_progress() {
        let limits = limits();
        let mut waste = Waste::begin(0);
        for now in 0..limits.waste_idle {
            assert!(!waste.is_over(now, &limits), "{now}");
            assert!(waste.take(100, now));
        }
        assert!(waste.is_over(limits.waste_idle, &limits));
    }
}
