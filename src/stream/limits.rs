//! How many connections or flows a stream has at once, in all and of one address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::Reason;

/// The limits of one stream and protocol, shared by all threads.
#[derive(Debug)]
pub struct Limits {
    most: usize,
    most_of_source: Option<usize>,
    count: AtomicUsize,
    /// Only where there is a limit per source.
    sources: Mutex<HashMap<IpAddr, usize>>,
}

/// A place within the limits; given back when dropped.
#[derive(Debug)]
pub struct Admitted {
    limits: Arc<Limits>,
    source: IpAddr,
}

// === impl Limits ===

impl Limits {
    /// Limits that nobody uses yet.
    pub fn new(most: usize, most_of_source: Option<usize>) -> Self {
        Self {
            most,
            most_of_source,
            count: AtomicUsize::new(0),
            sources: Mutex::default(),
        }
    }

    /// Takes a place for a client.
    pub fn admit(self: &Arc<Self>, source: IpAddr) -> Result<Admitted, Reason> {
        if self.count.fetch_add(1, Ordering::AcqRel) >= self.most {
            self.count.fetch_sub(1, Ordering::AcqRel);
            return Err(Reason::ConnectionLimit);
        }
        if let Some(most) = self.most_of_source {
            let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
            let count = sources.entry(source).or_default();
            if *count >= most {
                self.count.fetch_sub(1, Ordering::AcqRel);
                return Err(Reason::SourceLimit);
            }
            *count += 1;
        }
        Ok(Admitted {
            limits: Arc::clone(self),
            source,
        })
    }

    /// Places taken.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let limits = &self.limits;
        limits.count.fetch_sub(1, Ordering::AcqRel);
        if limits.most_of_source.is_none() {
            return;
        }
        let mut sources = limits
            .sources
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sources.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                sources.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_all_and_by_source_and_given_back() {
        let limits = Arc::new(Limits::new(3, Some(2)));
        let (alice, bob) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let first = limits.admit(alice).unwrap();
        let second = limits.admit(alice).unwrap();
        assert_eq!(limits.admit(alice).unwrap_err(), Reason::SourceLimit);
        let third = limits.admit(bob).unwrap();
        assert_eq!(limits.admit(bob).unwrap_err(), Reason::ConnectionLimit);
        drop((first, second, third));
        assert_eq!(limits.count(), 0);
        assert!(
            limits.sources.lock().unwrap().is_empty(),
            "no address is kept"
        );
    }
}
