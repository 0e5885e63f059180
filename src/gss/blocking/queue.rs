//! A bounded queue of jobs for threads, with a limit for each client address.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use crate::net::source::{Shares, Source, Spent};

/// Why a job was not queued; it is handed back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PushError<T> {
    Full(T),
    /// The job's source has as many jobs waiting as there is room left for others.
    Flood(T),
    Closed(T),
}

/// First in, first out.
///
/// Not a channel: a channel cannot count its waiting jobs by source, so one address that sends
/// tokens as fast as it can would fill it and lock out all others.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

#[derive(Debug)]
struct State<T> {
    jobs: VecDeque<(T, Option<Source>)>,
    /// One share is taken for each waiting job.
    shares: Shares,
    /// Threads that sleep in [`Queue::pop`]. `notify_one` is a system call even when no thread
    /// sleeps, and under load none does.
    idle: usize,
    closed: bool,
}

// === impl Queue ===

impl<T> Queue<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                shares: Shares::new(capacity),
                idle: 0,
                closed: false,
            }),
            filled: Condvar::new(),
        }
    }

    /// For jobs whose number is limited elsewhere.
    pub(crate) fn unbounded() -> Self {
        Self::new(usize::MAX)
    }

    /// Adds a job at the end; never blocks. Without a `source` only the capacity limits it.
    pub(crate) fn push(&self, job: T, source: Option<Source>) -> Result<(), PushError<T>> {
        let mut state = self.lock();
        if state.closed {
            return Err(PushError::Closed(job));
        }
        match state.shares.take(source) {
            Ok(()) => {}
            Err(Spent::All) => return Err(PushError::Full(job)),
            Err(Spent::Share) => return Err(PushError::Flood(job)),
        }
        state.jobs.push_back((job, source));
        let wake = state.idle > 0;
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Waits for the next job; `None` once the queue is closed.
    pub(crate) fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some((job, source)) = state.jobs.pop_front() {
                state.shares.give_back(source);
                return Some(job);
            }
            state.idle += 1;
            let woken = self.filled.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }

    /// Drops the waiting jobs and makes every [`pop`](Self::pop) return `None`.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.jobs);
        // Dropping a job wakes its caller, which may take other locks.
        drop(state);
        drop(waiting);
        self.filled.notify_all();
    }

    pub(crate) fn len(&self) -> usize {
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
    fn a_source_that_floods_leaves_room_for_others() {
        let queue = Queue::new(1024);
        assert_eq!(fill(&queue, source("192.0.2.1")), 512);
        assert_eq!(
            queue.push((), source("192.0.2.1")),
            Err(PushError::Flood(()))
        );
        assert_eq!(queue.push((), source("192.0.2.2")), Ok(()));
        assert_eq!(fill(&queue, source("192.0.2.3")), 256);
        assert_eq!(queue.push((), source("192.0.2.2")), Ok(()));
        // jobs of this source that were started no longer count
        for _ in 0..3 {
            assert_eq!(queue.pop(), Some(()));
        }
        assert_eq!(queue.push((), source("192.0.2.3")), Ok(()));
    }

    #[test]
    fn a_full_queue_takes_no_job_of_any_source() {
        let queue = Queue::new(4);
        assert_eq!(fill(&queue, None), 4);
        assert_eq!(
            queue.push((), source("192.0.2.1")),
            Err(PushError::Full(()))
        );
    }

    #[test]
    fn a_queue_of_one_takes_one_job_of_a_known_source() {
        let queue = Queue::new(1);
        assert_eq!(fill(&queue, source("192.0.2.1")), 1);
    }

    #[test]
    fn closing_the_queue_ends_the_threads_that_wait() {
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
        assert_eq!(queue.push((), None), Err(PushError::Closed(())));
    }

    proptest! {
        #[test]
        fn one_share_is_taken_per_waiting_job(steps in prop::collection::vec((any::<bool>(), 0u8..4), 0..200)) {
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
                prop_assert_eq!(state.shares.taken(), state.jobs.len());
            }
        }
    }
}
