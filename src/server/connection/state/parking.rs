//! Parking: an idle connection gives hyper's buffers back and keeps only its socket and state.
//!
//! *Ordinary* parking comes after two quiet ticks. *Fast* parking comes 10–20 ms after a connection
//! was resumed (see `worker/fast_parking.rs`), so that a burst of thousands of connections needs
//! buffers only for the few that are active at the same time.

use std::{cell::Cell, time::Duration};

use super::{ConnectionState, Phase};

/// Full ticks without a request after which a connection is parked in any case.
const PARK: u32 = 2;
/// How often recently resumed connections are checked. One that is quiet at two checks is parked.
pub(in crate::server) const FAST_PARKING_INTERVAL: Duration = Duration::from_millis(10);
/// Checks at which a connection may be active before it is left to ordinary parking. Short timers
/// slow down active connections: the kernel programs its clock each time that the worker goes to
/// sleep with a near deadline.
pub(super) const MAX_ACTIVE_CHECKS: u8 = 4;

#[derive(Debug, Default)]
pub(super) struct Parking {
    parked: Cell<bool>,
    /// hyper's last read is waiting for the client.
    read_blocked: Cell<bool>,
    /// Nothing has arrived since the last check.
    quiet: Cell<bool>,
    active_checks: Cell<u8>,
    /// To be parked when the task runs next, without waiting for [`PARK`] ticks.
    immediately: Cell<bool>,
    /// Tick of the last fast parking.
    last_fast: Cell<Option<u32>>,
}

impl Parking {
    pub(super) fn set_read_blocked(&self, blocked: bool) {
        self.read_blocked.set(blocked);
    }

    pub(super) fn is_read_blocked(&self) -> bool {
        self.read_blocked.get()
    }

    pub(super) fn bytes_read(&self) {
        self.quiet.set(false);
        self.immediately.set(false);
    }
}

impl ConnectionState {
    pub(in crate::server) fn is_parkable(&self) -> bool {
        self.is_at_rest() && (self.parking.immediately.get() || self.ticks_in_phase() >= PARK)
    }

    /// Whether hyper waits for a request and holds no data.
    fn is_at_rest(&self) -> bool {
        self.phase() == Phase::Idle
            && !self.parking.parked.get()
            && self.parking.read_blocked.get()
            && self.output.is_flushed()
    }

    pub(in crate::server) fn parked(&self) {
        self.parking.parked.set(true);
    }

    /// The connection gets hyper's part back. Returns whether fast parking may be tried. It may not
    /// where the connection was resumed soon after the last: its requests come in short intervals,
    /// and building hyper's part for each would cost more than its buffers.
    pub(in crate::server) fn resumed(&self) -> bool {
        self.parking.parked.set(false);
        self.parking.read_blocked.set(false);
        self.parking.bytes_read();
        let last = self.parking.last_fast.take();
        last.is_none_or(|tick| self.clock.ticks_since(tick) >= PARK)
    }

    /// One check of fast parking, `resumed` being the tick at which the connection was resumed.
    /// Returns whether it was the last: the connection is being parked, or is left to ordinary
    /// parking.
    pub(in crate::server) fn check_fast_parking(&self, resumed: u32) -> bool {
        let parking = &self.parking;
        if parking.parked.get() || self.clock.ticks_since(resumed) >= PARK {
            return true;
        }
        if !self.is_at_rest() {
            let active = parking.active_checks.get().saturating_add(1);
            parking.active_checks.set(active);
            return active >= MAX_ACTIVE_CHECKS;
        }
        let quiet = parking.quiet.replace(true);
        if quiet {
            self.park_immediately();
        }
        quiet
    }

    /// Parks a connection that is at rest, however short, in favour of others. Returns whether it
    /// is parked or being parked.
    pub(in crate::server) fn yield_buffers(&self) -> bool {
        let at_rest = self.is_at_rest();
        if at_rest {
            self.park_immediately();
        }
        at_rest || self.parking.parked.get()
    }

    fn park_immediately(&self) {
        self.parking.immediately.set(true);
        self.parking.last_fast.set(Some(self.clock.now()));
        self.wake();
    }
}
