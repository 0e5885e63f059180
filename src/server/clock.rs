//! A worker's time, counted in ticks, and the limits of a connection's phases in the same unit.
//!
//! One sweep over the worker's connections at every tick stands in for a timer per request: an
//! event of a connection costs one store of the current tick. hyper's timer for heads and one
//! Tokio timer per request instead cost 7 % more instructions for each request (30.4 → 32.6
//! thousand for a GET of 4 KiB).

use std::{cell::Cell, time::Duration};

use super::ServerTimeouts;

/// The longest tick. A limit is kept to one tick.
const TICK: Duration = Duration::from_millis(250);
/// How long an HTTP/2 connection may stay open after its GOAWAY and its last stream.
const LINGER: Duration = Duration::from_secs(2);
/// How long an unwanted body is read, so that its client reads the response: 512 MiB at 7 Mbit/s.
const DISCARD: Duration = Duration::from_secs(600);
/// How long an unwanted body may make no progress.
const DISCARD_IDLE: Duration = Duration::from_secs(10);
/// How long idle connections are still served after a drain has begun: a client that took a
/// connection out of its pool just before the drain can still send its request.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Ticks since the worker started; wraps after 34 years at the longest tick.
    now: Cell<u32>,
    /// The tick at which the drain began.
    drain_began: Cell<Option<u32>>,
    /// Bytes of a body that count as progress; 0 means the same as 1.
    upload_step: u64,
}

impl Clock {
    pub(super) fn new(upload_step: u64) -> Self {
        Self {
            upload_step,
            ..Self::default()
        }
    }

    pub(super) fn tick(&self) {
        self.now.set(self.now.get().wrapping_add(1));
    }

    pub(super) fn now(&self) -> u32 {
        self.now.get()
    }

    pub(super) fn ticks_since(&self, tick: u32) -> u32 {
        self.now.get().wrapping_sub(tick)
    }

    pub(super) fn start_drain(&self) {
        self.drain_began.set(Some(self.now.get()));
    }

    pub(super) fn is_draining(&self) -> bool {
        self.drain_began.get().is_some()
    }

    /// Ticks since the drain began.
    pub(super) fn draining_for(&self) -> Option<u32> {
        self.drain_began.get().map(|began| self.ticks_since(began))
    }

    pub(super) const fn upload_step(&self) -> u64 {
        self.upload_step
    }

    #[cfg(test)]
    pub(super) fn advance(&self, ticks: u32) {
        self.now.set(self.now.get() + ticks);
    }
}

/// Limits in ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct TickLimits {
    /// The length of a tick.
    pub(super) tick: Duration,
    pub(super) head: u32,
    /// A connection that has not sent a request yet.
    pub(super) first: u32,
    pub(super) idle: u32,
    pub(super) body_idle: u32,
    pub(super) linger: u32,
    pub(super) tunnel: u32,
    /// An unwanted body, in all.
    pub(super) discard: u32,
    /// An unwanted body without progress.
    pub(super) discard_idle: u32,
    pub(super) grace: u32,
}

impl TickLimits {
    pub(super) fn new(timeouts: ServerTimeouts) -> Self {
        // An eighth of the shortest limit keeps short limits (tests use some) exact enough.
        let shortest = timeouts.head.min(timeouts.idle).min(timeouts.body_idle);
        let tick = (shortest / 8).clamp(Duration::from_millis(5), TICK);
        let ticks = |limit: Duration| {
            // One more, because the first tick may be nearly over when a phase begins.
            u32::try_from(limit.as_millis().div_ceil(tick.as_millis()) + 1).unwrap_or(u32::MAX)
        };
        Self {
            tick,
            head: ticks(timeouts.head),
            first: ticks(timeouts.head.min(timeouts.idle)),
            idle: ticks(timeouts.idle),
            body_idle: ticks(timeouts.body_idle),
            linger: ticks(LINGER),
            tunnel: ticks(timeouts.tunnel),
            discard: ticks(DISCARD),
            discard_idle: ticks(DISCARD_IDLE.min(timeouts.body_idle)),
            grace: ticks(GRACE),
        }
    }
}
