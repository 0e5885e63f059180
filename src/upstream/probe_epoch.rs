//! Waiting for the probe's next word on a backend.
//!
//! In a request's way: between a try that a server broke off and its repetition. A dying server
//! still counts as active, and a look that was under way when it broke off says nothing about it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// The looks at one backend, counted.
#[derive(Debug, Default)]
pub(crate) struct ProbeEpoch {
    begun: AtomicU64,
    concluded: AtomicU64,
    changed: Notify,
}

impl ProbeEpoch {
    /// A look begins; returns its number.
    pub(crate) fn begin(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// A look has found out the backend's state, and that is booked.
    pub(crate) fn conclude(&self, number: u64) {
        self.concluded.fetch_max(number, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// Waits until a look has concluded that begins after this call.
    pub(crate) fn next(&self) -> impl Future<Output = ()> {
        let wanted = self.begun.load(Ordering::Acquire) + 1;
        async move {
            loop {
                // armed before looking, so that no change is missed
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
    fn a_look_that_was_under_way_does_not_count() {
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
