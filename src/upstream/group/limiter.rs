//! `max_connections` of a backend: permits for concurrent requests, and the queue for them.
//!
//! On the request path between the choice of a backend and the connection to it. The queue is first
//! in, first out, over all workers: a permit that becomes free is given to the request that has waited
//! longest, never to one that has just arrived. Without a limit the cost is one comparison.

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

/// `max_connections` and `queue` of a console.
#[derive(Clone, Debug)]
pub(crate) struct ConcurrencyLimits {
    /// `max_connections` of each backend.
    pub each: Vec<Option<usize>>,
    /// `queue.length`: requests that may wait.
    pub queue_length: usize,
    /// `queue.timeout`
    pub queue_timeout: Duration,
}

/// The permits of one console's backends.
#[derive(Debug)]
pub(super) struct ConcurrencyLimiter {
    limits: ConcurrencyLimits,
    used: Vec<AtomicUsize>,
    waiting: AtomicUsize,
    queue: Mutex<VecDeque<Waiter>>,
    group: Weak<BackendGroup>,
}

/// The index of a backend, and a permit if it has a limit.
pub(crate) type Assignment = (usize, Option<BackendPermit>);

#[derive(Debug)]
struct Waiter {
    /// The only backend that can serve the request, if there is only one.
    owner: Option<usize>,
    grant: oneshot::Sender<Assignment>,
}

/// A request's permit at a backend with a limit; returned when dropped.
#[derive(Debug)]
pub(crate) struct BackendPermit {
    group: Weak<BackendGroup>,
    index: usize,
}

/// There is no free permit.
#[derive(Debug)]
pub(super) struct Exhausted;

impl ConcurrencyLimits {
    /// No limits.
    #[cfg(test)]
    pub(crate) fn none(backends: usize) -> Self {
        Self {
            each: vec![None; backends],
            queue_length: 0,
            queue_timeout: Duration::ZERO,
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

    /// Whether a request that arrives now would get a permit.
    pub(super) fn has_room(&self, index: usize) -> bool {
        self.limits.each[index].is_none_or(|limit| {
            self.waiting.load(Ordering::Acquire) == 0
                && self.used[index].load(Ordering::Acquire) < limit
        })
    }

    /// Takes a permit; `None` if there is no limit.
    pub(super) fn take(&self, index: usize) -> Result<Option<BackendPermit>, Exhausted> {
        let Some(limit) = self.limits.each[index] else {
            return Ok(None);
        };
        if self.waiting.load(Ordering::Acquire) > 0 {
            return Err(Exhausted);
        }
        self.occupy(index, limit).map(Some)
    }

    fn occupy(&self, index: usize, limit: usize) -> Result<BackendPermit, Exhausted> {
        let one_more = |used| (used < limit).then_some(used + 1);
        self.used[index]
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .map_err(|_| Exhausted)?;
        Ok(BackendPermit {
            group: self.group.clone(),
            index,
        })
    }

    /// Waits for a permit, in order. `look` checks once more whether there is one, `able` whether a
    /// backend may be given requests.
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
                    Pick::Backend(index, permit) => return Ok((index, permit)),
                    Pick::Refuse(refusal) => return Err(refusal),
                    Pick::AtCapacity(_) | Pick::NoneActive => {}
                }
            }
            if queue.len() >= self.limits.queue_length {
                return Err(Refusal::QueueFull);
            }
            let grant = sender;
            queue.push_back(Waiter { owner, grant });
            self.note(&queue);
        }
        let _queued = Queued::new(self);
        // those ahead in the queue may wait for one backend while another has free permits
        self.offer(able);
        match timeout(self.limits.queue_timeout, granted).await {
            Ok(Ok(grant)) => Ok(grant),
            // the group has been dropped: the gateway is shutting down
            Ok(Err(_)) => Err(Refusal::Draining),
            Err(_elapsed) => Err(Refusal::QueueTimeout),
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// Gives free permits to waiting requests, in order.
    pub(super) fn offer(&self, able: impl Fn(usize) -> bool) {
        if self.waiting.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut queue = self.lock();
        for index in 0..self.used.len() {
            let for_all = able(index);
            let suits = |waiter: &Waiter| waiter.owner.map_or(for_all, |owner| owner == index);
            while let Some(at) = queue.iter().position(suits) {
                let permit = match self.limits.each[index] {
                    None => None,
                    Some(limit) => match self.occupy(index, limit) {
                        Ok(permit) => Some(permit),
                        Err(Exhausted) => break,
                    },
                };
                let Some(waiter) = queue.remove(at) else {
                    break;
                };
                if let Err((_, Some(permit))) = waiter.grant.send((index, permit)) {
                    // The request has given up. Dropping the permit would offer it again and lock the
                    // queue, which is locked here.
                    permit.return_to(self);
                }
            }
        }
        self.note(&queue);
    }

    fn note(&self, queue: &VecDeque<Waiter>) {
        self.waiting.store(queue.len(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Waiter>> {
        // no code that can panic leaves the queue half changed
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl BackendPermit ===

impl BackendPermit {
    /// Returns it without offering it to waiting requests.
    fn return_to(mut self, limiter: &ConcurrencyLimiter) {
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

/// A request in the queue; leaves the queue when dropped.
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
