//! Waiting for the next probe of a backend.
//!
//! A server that closes a connection in the middle of an exchange may be dying while it still counts
//! as active. Before the request is repeated, the outcome of a probe is awaited that began *after* the
//! failure: one that was running already may have seen the server alive.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Counts the probes of one backend.
#[derive(Debug, Default)]
pub(crate) struct ProbeEpoch {
    begun: AtomicU64,
    concluded: AtomicU64,
    changed: Notify,
}

impl ProbeEpoch {
    /// Counts a probe that begins; returns its number.
    pub(crate) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Call when the probe of this number has determined the backend's health and recorded it.
    pub(crate) fn conclude(&self, number: u64) {
        self.concluded.fetch_max(number, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Waits until a probe that begins after this call has concluded.
    pub(crate) fn next(&self) -> impl Future<Output = ()> {
        let wanted = self.begun.load(Ordering::Acquire) + 1;
        async move {
            loop {
                // registered before the check, so that no change is missed
                let changed = self.changed.notified();
                if self.concluded.load(Ordering::Acquire) >= wanted {
                    return;
                }
                changed.await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    #[test]
    fn a_probe_that_had_begun_before_does_not_count() {
        let probe_epoch = ProbeEpoch::default();
        let early = probe_epoch.begin();
        let mut next = pin!(probe_epoch.next());
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(next.as_mut().poll(&mut context), Poll::Pending);
        probe_epoch.conclude(early);
        assert_eq!(next.as_mut().poll(&mut context), Poll::Pending);
        let inconclusive = probe_epoch.begin();
        assert_eq!(next.as_mut().poll(&mut context), Poll::Pending);
        let late = probe_epoch.begin();
        assert!(late > inconclusive);
        probe_epoch.conclude(late);
        assert_eq!(next.as_mut().poll(&mut context), Poll::Ready(()));
    }
}
