//! Load: threads that repeat something until they are told to stop, and count what failed.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::wait;

/// What one repetition came to.
#[derive(Debug)]
pub enum Turn {
    /// It succeeded.
    Done,
    /// It failed; why.
    Failed(String),
    /// This thread has nothing more to do, which is no failure.
    Over,
}

/// Threads at work.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Tally>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    done: AtomicU64,
}

/// What all threads came to.
#[derive(Debug, Default)]
pub struct Tally {
    /// Repetitions that succeeded.
    pub done: u64,
    /// Why the others did not.
    pub failures: Vec<String>,
    /// The slowest repetition.
    pub slowest: Duration,
    /// All of them together, for the mean.
    pub busy: Duration,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.done += other.done;
        self.failures.extend(other.failures);
        self.slowest = self.slowest.max(other.slowest);
        self.busy += other.busy;
    }

    /// One line of figures.
    pub fn line(&self) -> String {
        let count = u32::try_from(self.done).unwrap_or(u32::MAX).max(1);
        let mut line = format!(
            "{} done, {} failed, mean {:.1} ms, slowest {:.3} s",
            self.done,
            self.failures.len(),
            (self.busy / count).as_secs_f64() * 1e3,
            self.slowest.as_secs_f64()
        );
        if let Some(first) = self.failures.first() {
            let _ = write!(line, "; the first: {first}");
        }
        line
    }
}

impl Load {
    /// Starts a thread for each of `turns`, which is called again and again.
    pub fn start<F>(turns: impl IntoIterator<Item = F>) -> Load
    where
        F: FnMut() -> Turn + Send + 'static,
    {
        let shared = Arc::new(Shared::default());
        let threads = turns
            .into_iter()
            .map(|turn| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || repeat(&shared, turn))
            })
            .collect();
        Load { shared, threads }
    }

    /// Repetitions that succeeded so far.
    pub fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Waits until `more` repetitions have succeeded from now on.
    pub fn wait_more(&self, more: u64) -> Result<()> {
        let goal = self.done() + more;
        let what = format!("{more} more requests have succeeded");
        wait::until(&what, Duration::from_secs(180), || {
            Ok((self.done() >= goal).then_some(()))
        })
    }

    /// Waits until every thread has said [`Turn::Over`].
    pub fn wait_over(self) -> Tally {
        self.join()
    }

    /// Tells the threads to stop after their present repetition, and waits for them.
    pub fn stop(self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.join()
    }

    fn join(self) -> Tally {
        let mut tally = Tally::default();
        for thread in self.threads {
            match thread.join() {
                Ok(part) => tally.add(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        tally
    }
}

fn repeat(shared: &Shared, mut turn: impl FnMut() -> Turn) -> Tally {
    let mut tally = Tally::default();
    while !shared.stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        match turn() {
            Turn::Done => {
                tally.done += 1;
                shared.done.fetch_add(1, Ordering::Relaxed);
            }
            Turn::Failed(why) => tally.failures.push(why),
            Turn::Over => break,
        }
        let took = begun.elapsed();
        tally.busy += took;
        tally.slowest = tally.slowest.max(took);
    }
    tally
}
