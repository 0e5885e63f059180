//! `max_connections` of a backend: how many requests it may have at once, and the queue of those
//! that wait for a place.
//!
//! In a request's way: between the choice of a backend and the connection to it. The queue is first
//! in, first out, over all workers; a place that becomes free is handed to the one who has waited
//! longest, not to whoever comes by. A console without limits pays one look at a `None`.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use super::{BackendGroup, Pick};
use crate::{refusal::Refusal, telemetry::metrics};

/// What the configuration says.
#[derive(Clone, Debug)]
pub(crate) struct ConcurrencyLimits {
    /// `max_connections` of each backend.
    pub each: Vec<Option<usize>>,
    /// `queue.length`: requests that may wait.
    pub queue: usize,
    /// `queue.timeout`: how long.
    pub patience: Duration,
}

/// The places of one console's backends.
#[derive(Debug)]
pub(super) struct ConcurrencyLimiter {
    limits: ConcurrencyLimits,
    used: Vec<AtomicUsize>,
    waiting: AtomicUsize,
    queue: Mutex<VecDeque<Waiter>>,
    group: Weak<BackendGroup>,
}

/// A backend, and the place there where it has a limit.
pub(crate) type Assignment = (usize, Option<BackendPermit>);

#[derive(Debug)]
struct Waiter {
    /// The one backend that it can use, if it is only one.
    owner: Option<usize>,
    grant: oneshot::Sender<Assignment>,
}

/// A request's place at a backend with a limit; given back when dropped.
#[derive(Debug)]
pub(crate) struct BackendPermit {
    group: Weak<BackendGroup>,
    index: usize,
}

/// Somebody else was faster.
#[derive(Debug)]
pub(super) struct Taken;

impl ConcurrencyLimits {
    /// No limits.
    #[cfg(test)]
    pub(crate) fn none(backends: usize) -> Self {
        Self {
            each: vec![None; backends],
            queue: 0,
            patience: Duration::ZERO,
        }
    }
}

impl ConcurrencyLimiter {
    pub(super) fn new(limits: ConcurrencyLimits, group: Weak<BackendGroup>) -> Self {
        Self {
            used: limits.each.iter().map(|_| AtomicUsize::new(0)).collect(),
            limits,
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
            group,
        }
    }

    /// Whether somebody who comes by now may be let in there.
    pub(super) fn has_room(&self, index: usize) -> bool {
        self.limits.each[index].is_none_or(|limit| {
            self.waiting.load(Ordering::Acquire) == 0
                && self.used[index].load(Ordering::Acquire) < limit
        })
    }

    /// A place; `None` where there is no limit.
    pub(super) fn take(&self, index: usize) -> Result<Option<BackendPermit>, Taken> {
        let Some(limit) = self.limits.each[index] else {
            return Ok(None);
        };
        if self.waiting.load(Ordering::Acquire) > 0 {
            return Err(Taken);
        }
        self.occupy(index, limit).map(Some)
    }

    fn occupy(&self, index: usize, limit: usize) -> Result<BackendPermit, Taken> {
        let one_more = |used| (used < limit).then_some(used + 1);
        self.used[index]
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .map_err(|_| Taken)?;
        Ok(BackendPermit {
            group: self.group.clone(),
            index,
        })
    }

    /// Waits for a place, in order; `look` sees whether there is one after all, `able` who may be
    /// given something.
    pub(super) async fn queue(
        &self,
        owner: Option<usize>,
        look: impl Fn() -> Pick,
        able: impl Fn(usize) -> bool,
    ) -> Result<Assignment, Refusal> {
        let (sender, granted) = oneshot::channel();
        {
            let mut queue = self.lock();
            if queue.is_empty() {
                match look() {
                    Pick::Backend(index, place) => return Ok((index, place)),
                    Pick::Refuse(refusal) => return Err(refusal),
                    Pick::AtCapacity(_) | Pick::NoneActive => {}
                }
            }
            if queue.len() >= self.limits.queue {
                return Err(Refusal::QueueFull);
            }
            let grant = sender;
            queue.push_back(Waiter { owner, grant });
            self.note(&queue);
        }
        let _queued = Queued::new(self);
        // those in front may wait for one backend, and there is room at another
        self.offer(able);
        match timeout(self.limits.patience, granted).await {
            Ok(Ok(grant)) => Ok(grant),
            // the group is gone, and with it the gateway
            Ok(Err(_)) => Err(Refusal::Draining),
            Err(_elapsed) => Err(Refusal::QueueTimeout),
        }
    }

    /// Requests that wait.
    pub(super) fn queued(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Hands out what is free to those who wait, the first first.
    pub(super) fn offer(&self, able: impl Fn(usize) -> bool) {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut queue = self.lock();
        for index in 0..self.used.len() {
            let for_all = able(index);
            let suits = |waiter: &Waiter| waiter.owner.map_or(for_all, |owner| owner == index);
            while let Some(at) = queue.iter().position(suits) {
                let place = match self.limits.each[index] {
                    None => None,
                    Some(limit) => match self.occupy(index, limit) {
                        Ok(place) => Some(place),
                        Err(Taken) => break,
                    },
                };
                let Some(waiter) = queue.remove(at) else {
                    break;
                };
                if let Err((_, Some(place))) = waiter.grant.send((index, place)) {
                    // it has given up; its place is for the next of this very queue
                    place.give_back_to(self);
                }
            }
        }
        self.note(&queue);
    }

    fn note(&self, queue: &VecDeque<Waiter>) {
        self.waiting.store(queue.len(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiter>> {
        // whole at every moment
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl BackendPermit ===

impl BackendPermit {
    /// Gives it back without offering it to anybody.
    fn give_back_to(mut self, limiter: &ConcurrencyLimiter) {
        self.group = Weak::new();
        limiter.used[self.index].fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for BackendPermit {
    fn drop(&mut self) {
        if let Some(group) = self.group.upgrade() {
            group.limiter.used[self.index].fetch_sub(1, Ordering::AcqRel);
            group.offer();
        }
    }
}

/// A request in the queue; leaves it when dropped, whether it got a place or not.
struct Queued<'p>(&'p ConcurrencyLimiter);

impl<'p> Queued<'p> {
    fn new(limiter: &'p ConcurrencyLimiter) -> Self {
        metrics::queued_requests().increment(1.0);
        Self(limiter)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        metrics::queued_requests().decrement(1.0);
        let mut queue = self.0.lock();
        queue.retain(|waiter| !waiter.grant.is_closed());
        self.0.note(&queue);
    }
}
