//! Limits the concurrent connections or flows of a stream, in total and per source address.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::Reason;
use crate::net::sources::{ConnectionLimiter, ConnectionPermit};

/// The limits of one stream and protocol, shared by all threads.
#[derive(Debug)]
pub(crate) struct StreamLimits {
    max: usize,
    count: AtomicUsize,
    /// `None` without a limit per source. An IPv6 host owns a whole `/64`, which counts as one source.
    sources: Option<Arc<ConnectionLimiter>>,
}

/// A slot within the limits, released on drop.
#[derive(Debug)]
pub(crate) struct StreamPermit {
    limits: Arc<StreamLimits>,
    source_permit: Option<ConnectionPermit>,
}

// === impl StreamLimits ===

impl StreamLimits {
    pub(crate) fn new(max: usize, max_per_source: Option<usize>) -> Self {
        Self {
            max,
            count: AtomicUsize::new(0),
            sources: max_per_source.map(ConnectionLimiter::new),
        }
    }

    /// Takes a slot for a client.
    pub(crate) fn admit(self: &Arc<Self>, source: IpAddr) -> Result<StreamPermit, Reason> {
        // Increment first and undo: a check before the increment would let two threads take the last slot.
        if self.count.fetch_add(1, Ordering::AcqRel) >= self.max {
            self.count.fetch_sub(1, Ordering::AcqRel);
            return Err(Reason::ConnectionLimit);
        }
        // From here on, dropping the permit releases the slot, also when the source is at its limit.
        let mut admitted = StreamPermit {
            limits: Arc::clone(self),
            source_permit: None,
        };
        if let Some(sources) = &self.sources {
            let permit = sources.acquire(source).ok_or(Reason::SourceLimit)?;
            admitted.source_permit = Some(permit);
        }
        Ok(admitted)
    }

    /// Slots in use.
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.limits.count.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_counted_in_total_and_per_source_and_released() {
        let limits = Arc::new(StreamLimits::new(3, Some(2)));
        let (alice, bob) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let first = limits.admit(alice).unwrap();
        let second = limits.admit(alice).unwrap();
        assert_eq!(limits.admit(alice).unwrap_err(), Reason::SourceLimit);
        let third = limits.admit(bob).unwrap();
        assert_eq!(limits.admit(bob).unwrap_err(), Reason::ConnectionLimit);
        drop((first, second, third));
        assert_eq!(limits.count(), 0);
    }
}
