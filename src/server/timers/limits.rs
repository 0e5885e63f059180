//! The limits of a connection's phases, counted in ticks.

use std::time::Duration;

use crate::server::ServerTimeouts;

/// The longest tick.
const TICK: Duration = Duration::from_millis(250);
/// How long an HTTP/2 connection that was told to go may take.
const LINGER: Duration = Duration::from_secs(2);
/// How long a body that nobody wants is read, so that its client gets to read the answer: 512 MiB
/// at 7 Mbit/s.
const WASTE: Duration = Duration::from_secs(600);
/// How long such a body may make no progress.
const WASTE_IDLE: Duration = Duration::from_secs(10);
/// How long idle connections are still served when a drain begins.
const GRACE: Duration = Duration::from_secs(1);

/// The limits in ticks.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Limits {
    /// The length of a tick.
    pub(in crate::server) tick: Duration,
    pub(in crate::server) head: u32,
    /// A connection that has not sent a request yet.
    pub(in crate::server) first: u32,
    pub(in crate::server) idle: u32,
    pub(in crate::server) body_idle: u32,
    pub(in crate::server) linger: u32,
    pub(in crate::server) tunnel: u32,
    /// A body that nobody wants, in all, and without progress.
    pub(in crate::server) waste: u32,
    pub(in crate::server) waste_idle: u32,
    pub(in crate::server) grace: u32,
}

impl Limits {
    pub(in crate::server) fn new(timeouts: ServerTimeouts) -> Self {
        let shortest = timeouts.head.min(timeouts.idle).min(timeouts.body_idle);
        let tick = (shortest / 8).clamp(Duration::from_millis(5), TICK);
        let ticks = |limit: Duration| {
            // one more: the first tick may be nearly over when something begins
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
            waste: ticks(WASTE),
            waste_idle: ticks(WASTE_IDLE.min(timeouts.body_idle)),
            grace: ticks(GRACE),
        }
    }
}
