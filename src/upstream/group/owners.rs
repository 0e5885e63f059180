//! Which server began what: queries and transactions that one server alone can go on with.
//!
//! In a request's way: before the choice of a backend. Learnt from answers; what this replica of the
//! gateway has not seen begin is found by asking the servers one after the other.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;

/// Transactions and coordinators' words remembered at once.
const CAPACITY: u64 = 65_536;
/// What nobody has asked about for so long is over.
const MEMORY: Duration = Duration::from_secs(24 * 3600);
/// Longer words are no ids of anybody.
const LONGEST: usize = 64;

/// The servers by what they began.
#[derive(Debug)]
pub(crate) struct OwnerCache(Cache<Arc<str>, usize>);

impl Default for OwnerCache {
    fn default() -> Self {
        Self(
            Cache::builder()
                .max_capacity(CAPACITY)
                .time_to_idle(MEMORY)
                .build(),
        )
    }
}

impl OwnerCache {
    /// The index of the server that this word stands for.
    pub(crate) fn find(&self, word: &str) -> Option<usize> {
        self.0.get(word)
    }

    /// Remembers it.
    pub(crate) fn learn(&self, word: &str, index: usize) {
        if word.len() <= LONGEST && self.0.get(word) != Some(index) {
            self.0.insert(Arc::from(word), index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_one_counts_and_no_novels_are_kept() {
        let owners = OwnerCache::default();
        assert_eq!(owners.find("abcde"), None);
        owners.learn("abcde", 0);
        owners.learn("abcde", 1);
        assert_eq!(owners.find("abcde"), Some(1));
        let novel = "x".repeat(LONGEST + 1);
        owners.learn(&novel, 0);
        assert_eq!(owners.find(&novel), None);
    }
}
