//! Logins that wait for an accept thread: bounded in all, and for each client address.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::net::source::{Shares, Source, Spent};

/// Why a job was not taken; it is handed back.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused<T> {
    /// The queue is full.
    Full(T),
    /// Its address has more waiting than is left for others.
    Flood(T),
    /// Nobody works any more.
    Closed(T),
}

/// The queue.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

#[derive(Debug)]
struct State<T> {
    jobs: VecDeque<(T, Option<Source>)>,
    /// Places of the queue: as many are taken as there are jobs.
    places: Shares,
    /// Threads that sleep in [`Queue::pop`]: waking nobody would be a system call too.
    idle: usize,
    closed: bool,
}

// === impl Queue ===

impl<T> Queue<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                places: Shares::new(capacity),
                idle: 0,
                closed: false,
            }),
            filled: Condvar::new(),
        }
    }

    /// Adds a job at the end; never blocks.
    pub(super) fn push(&self, job: T, source: Option<Source>) -> Result<(), Refused<T>> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed(job));
        }
        match state.places.take(source) {
            Ok(()) => {}
            Err(Spent::All) => return Err(Refused::Full(job)),
            Err(Spent::Share) => return Err(Refused::Flood(job)),
        }
        state.jobs.push_back((job, source));
        let sleeps = state.idle > 0;
        drop(state);
        if sleeps {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// The next job, waiting for one; `None` once the queue is closed.
    pub(super) fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some((job, source)) = state.jobs.pop_front() {
                state.places.give_back(source);
                return Some(job);
            }
            state.idle += 1;
            let woken = self.filled.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// Drops what waits and sends every thread home.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.jobs);
        drop(state);
        drop(waiting);
        self.filled.notify_all();
    }

    /// How many jobs wait.
    pub(super) fn len(&self) -> usize {
        self.lock().jobs.len()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, sync::Arc, thread};

    use proptest::prelude::*;

    use super::*;

    fn source(text: &str) -> Option<Source> {
        text.parse::<IpAddr>().ok().map(Source::from)
    }

    fn fill(queue: &Queue<()>, source: Option<Source>) -> usize {
        std::iter::repeat_with(|| queue.push((), source))
            .take_while(Result::is_ok)
            .count()
    }

    #[test]
    fn an_address_that_floods_leaves_room_for_others() {
        let queue = Queue::new(1024);
        assert_eq!(fill(&queue, source("192.0.2.1")), 512);
        assert_eq!(queue.push((), source("192.0.2.1")), Err(Refused::Flood(())));
        assert_eq!(queue.push((), source("192.0.2.2")), Ok(()));
        assert_eq!(fill(&queue, source("192.0.2.3")), 256);
        assert_eq!(queue.push((), source("192.0.2.2")), Ok(()));
        // its own logins, once begun, make room for it again
        for _ in 0..3 {
            assert_eq!(queue.pop(), Some(()));
        }
        assert_eq!(queue.push((), source("192.0.2.3")), Ok(()));
    }

    #[test]
    fn a_full_queue_is_full_for_everybody() {
        let queue = Queue::new(4);
        assert_eq!(fill(&queue, None), 4);
        assert_eq!(queue.push((), source("192.0.2.1")), Err(Refused::Full(())));
    }

    #[test]
    fn the_smallest_queue_takes_one() {
        let queue = Queue::new(1);
        assert_eq!(fill(&queue, source("192.0.2.1")), 1);
    }

    #[test]
    fn a_closed_queue_sends_home_who_waits() {
        let queue = Arc::new(Queue::<()>::new(1));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let queue = Arc::clone(&queue);
                thread::spawn(move || queue.pop())
            })
            .collect();
        queue.close();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), None);
        }
        assert_eq!(queue.push((), None), Err(Refused::Closed(())));
    }

    proptest! {
        #[test]
        fn as_many_places_are_taken_as_jobs_wait(steps in prop::collection::vec((any::<bool>(), 0u8..4), 0..200)) {
            let queue = Queue::new(8);
            for (push, address) in steps {
                if push {
                    let address = (address > 0).then(|| IpAddr::from([192, 0, 2, address]).into());
                    let _ = queue.push((), address);
                } else if queue.len() > 0 {
                    queue.pop();
                }
                let state = queue.lock();
                prop_assert!(state.jobs.len() <= 8);
                prop_assert_eq!(state.places.taken(), state.jobs.len());
            }
        }
    }
}
