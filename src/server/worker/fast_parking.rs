//! Connections that were just resumed, checked every 10 ms until they can be parked.
//!
//! After a burst of 5,000 connections with one request each, a connection holds 0.7 kB; without
//! this it holds 17 kB. Parking after two ticks does not save that: by then the allocator has
//! obtained buffers for every connection of the burst, and keeps the pages.

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use tokio::sync::Notify;

use crate::server::connection::ConnectionState;

/// Recently resumed connections that are checked; one more makes the oldest yield its buffers.
const MAX_RESUMED: usize = 32;

#[derive(Default)]
pub(super) struct FastParking {
    /// With the tick at which each was resumed.
    resumed: RefCell<VecDeque<(Rc<ConnectionState>, u32)>>,
    added: Notify,
}

impl FastParking {
    pub(super) fn is_empty(&self) -> bool {
        self.resumed.borrow().is_empty()
    }

    /// Completes when there is something to check again; only to be awaited while empty.
    pub(super) async fn added(&self) {
        self.added.notified().await;
    }

    pub(super) fn add(&self, state: &Rc<ConnectionState>, now: u32) {
        let mut resumed = self.resumed.borrow_mut();
        if resumed.is_empty() {
            self.added.notify_one();
        }
        resumed.push_back((Rc::clone(state), now));
        if resumed.len() > MAX_RESUMED
            && let Some(oldest) = resumed.pop_front()
            && !oldest.0.yield_buffers()
        {
            resumed.push_back(oldest);
        }
    }

    pub(super) fn check(&self) {
        // A connection that has ended is referenced only from here.
        self.resumed.borrow_mut().retain(|(state, resumed)| {
            Rc::strong_count(state) > 1 && !state.check_fast_parking(*resumed)
        });
    }
}
