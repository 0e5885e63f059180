//! The owners of queries and transactions: only the coordinator that began one can continue it.
//!
//! Looked up before the choice of a backend, learned from responses. An owner that this replica of the
//! gateway has not learned is found by trying the servers one after the other.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;

/// Ids of transactions and prefixes of query ids that are remembered.
const CAPACITY: u64 = 65_536;
/// An id that has not been requested for this long has ended.
const IDLE: Duration = Duration::from_secs(24 * 3600);
/// In bytes. Longer values cannot be ids of queries or transactions.
const LONGEST: usize = 64;

/// Cache of backend indexes by the ids that they own.
#[derive(Debug)]
pub(crate) struct OwnerCache(Cache<Arc<str>, usize>);

impl Default for OwnerCache {
    fn default() -> Self {
        Self(
            Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_idle(IDLE)
                .build(),
        )
    }
}

impl OwnerCache {
    /// The index of the owner of `id`.
    pub(crate) fn find(&self, id: &str) -> Option<usize> {
        self.0.get(id)
    }

    pub(crate) fn learn(&self, id: &str, index: usize) {
        if id.len() <= LONGEST && self.0.get(id) != Some(index) {
            self.0.insert(Arc::from(id), index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_owner_counts_and_long_values_are_ignored() {
        let owners = OwnerCache::default();
        assert_eq!(owners.find("abcde"), None);
        owners.learn("abcde", 0);
        owners.learn("abcde", 1);
        assert_eq!(owners.find("abcde"), Some(1));
        let long = "x".repeat(LONGEST + 1);
        owners.learn(&long, 0);
        assert_eq!(owners.find(&long), None);
    }
}
