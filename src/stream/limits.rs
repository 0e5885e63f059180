//! How many connections or flows a stream has at once, in all and of one address.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::Reason;
use crate::net::sources::{Place, Places};

/// The limits of one stream and protocol, shared by all threads.
#[derive(Debug)]
pub(crate) struct StreamLimits {
    most: usize,
    count: AtomicUsize,
    /// Only where there is a limit per source; an IPv6 host has a whole `/64`.
    sources: Option<Arc<Places>>,
}

/// A place within the limits; given back when dropped.
#[derive(Debug)]
pub(crate) struct StreamPermit {
    limits: Arc<StreamLimits>,
    of_source: Option<Place>,
}

// === impl StreamLimits ===

impl StreamLimits {
    /// Limits with nothing in use.
    pub(crate) fn new(most: usize, most_of_source: Option<usize>) -> Self {
        Self {
            most,
            count: AtomicUsize::new(0),
            sources: most_of_source.map(Places::new),
        }
    }

    /// Takes a place for a client.
    pub(crate) fn admit(self: &Arc<Self>, source: IpAddr) -> Result<StreamPermit, Reason> {
        if self.count.fetch_add(1, Ordering::AcqRel) >= self.most {
            self.count.fetch_sub(1, Ordering::AcqRel);
            return Err(Reason::ConnectionLimit);
        }
        // from here on dropping it gives the place back
        let mut admitted = StreamPermit {
            limits: Arc::clone(self),
            of_source: None,
        };
        if let Some(sources) = &self.sources {
            let place = sources.take(source).ok_or(Reason::SourceLimit)?;
            admitted.of_source = Some(place);
        }
        Ok(admitted)
    }

    /// Places taken.
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
    fn places_are_counted_in_all_and_by_source_and_given_back() {
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
