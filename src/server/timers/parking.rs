//! When a connection is parked: hyper's buffers are taken away from one that rests.

use std::time::Duration;

use super::{Phase, State};

/// Full ticks without a request after which a connection is parked in any case.
const PARK: u32 = 2;
/// How long a connection that was just taken up may be quiet before it is parked: this, to twice
/// this. A burst of thousands then needs buffers for the few that are at work.
pub(in crate::server) const HASTE: Duration = Duration::from_millis(10);
/// Looks at which it may be at work before it is left to the ordinary ticks: short timers cost
/// whoever is at work, for the kernel sets its clock anew each time that the worker goes to sleep.
pub(super) const BUSY: u8 = 4;

impl State {
    /// Whether hyper's buffers may be taken away: nothing has come or gone for two ticks, or for a
    /// moment after it was taken up.
    pub(in crate::server) fn is_parkable(&self) -> bool {
        self.rests() && (self.haste.get() || self.ticks_since(self.since.get()) >= PARK)
    }

    /// Whether hyper waits for a request and holds nothing.
    fn rests(&self) -> bool {
        self.phase.get() == Phase::Idle
            && !self.parked.get()
            && self.read_blocked.get()
            && self.flushed.get()
    }

    pub(super) fn ticks_since(&self, tick: u32) -> u32 {
        self.clock.now.get().wrapping_sub(tick)
    }

    /// The connection is taken up: hyper gets it. Says whether it may be parked in haste, which one
    /// that was and came back soon may not: its requests are only a little apart.
    pub(in crate::server) fn take_up(&self) -> bool {
        self.parked.set(false);
        self.read_blocked.set(false);
        self.quiet.set(false);
        self.haste.set(false);
        let hurried = self.hurried.take();
        hurried.is_none_or(|tick| self.ticks_since(tick) >= PARK)
    }

    /// Looks at a connection that was taken up at `tick`, every [`HASTE`], until this is true: it
    /// is to be parked now, or takes longer.
    pub(in crate::server) fn is_done_in_haste(&self, tick: u32) -> bool {
        if self.parked.get() || self.ticks_since(tick) >= PARK {
            return true;
        }
        if !self.rests() {
            self.busy.set(self.busy.get().saturating_add(1));
            return self.busy.get() >= BUSY;
        }
        let quiet = self.quiet.replace(true);
        if quiet {
            self.hurry();
        }
        quiet
    }

    /// Parks a connection that rests, however short; whether it does.
    pub(in crate::server) fn gives_way(&self) -> bool {
        let rests = self.rests();
        if rests {
            self.hurry();
        }
        rests || self.parked.get()
    }

    fn hurry(&self) {
        self.haste.set(true);
        self.hurried.set(Some(self.clock.now.get()));
        self.wake();
    }
}
