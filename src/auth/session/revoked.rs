//! Sessions that were ended by a logout, before their cookies expire.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Ids of logged-out sessions, each kept until its cookies have expired anyway.
#[derive(Default)]
pub(super) struct Revoked {
    ids: RwLock<HashMap<[u8; 16], u32>>,
    /// The size of the map. Every request looks a session up here, and usually none is revoked; this
    /// saves the lock.
    len: AtomicUsize,
}

impl Revoked {
    pub(super) fn contains(&self, id: &[u8; 16]) -> bool {
        self.len.load(Ordering::Acquire) > 0
            && self
                .ids
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .contains_key(id)
    }

    /// Keeps an id until `expires`. Ids that have expired by `now` are dropped when the map would grow.
    pub(super) fn insert(&self, id: [u8; 16], expires: u32, now: u32) {
        let mut ids = self.ids.write().unwrap_or_else(PoisonError::into_inner);
        // Only then, so that the cost of the scan is constant for each insertion on average.
        if ids.len() == ids.capacity() {
            ids.retain(|_, expires| *expires > now);
        }
        ids.insert(id, expires);
        self.len.store(ids.len(), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expired_ids_make_room_and_others_stay() {
        let revoked = Revoked::default();
        revoked.insert([0; 16], 1_000_000, 0);
        for n in 0..10_000_u32 {
            let mut id = [1; 16];
            id[..4].copy_from_slice(&n.to_be_bytes());
            revoked.insert(id, n + 10, n);
        }
        assert!(revoked.contains(&[0; 16]));
        assert!(revoked.len.load(Ordering::Acquire) < 1_000);
    }
}
