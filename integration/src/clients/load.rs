//! Load: threads that repeat an operation until they are stopped, and count failures by cause.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::machine::wait;

/// Pause of a thread after a failure: clients that are refused immediately must not take the CPU
/// from the server that is starting.
const RETREAT: Duration = Duration::from_millis(50);
/// How long to wait for the expected number of repetitions.
const PATIENCE: Duration = Duration::from_secs(180);
/// Number of failure causes in a line of figures, and characters of each.
const TOLD: (usize, usize) = (5, 120);

/// The outcome of one repetition.
#[derive(Debug)]
pub enum Turn {
    /// It succeeded.
    Done,
    /// It failed: the reason word of a refusal, or another description.
    Failed(String),
    /// The thread has nothing more to do, which is not a failure.
    Over,
}

/// Running threads.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Tally>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    done: AtomicU64,
    failed: AtomicU64,
}

/// The combined outcome of all threads.
#[derive(Debug, Default)]
pub struct Tally {
    /// Repetitions that succeeded.
    pub done: u64,
    /// Causes of the failures.
    pub failures: Vec<String>,
    /// The slowest of those that succeeded.
    pub slowest: Duration,
    /// The slowest of those that failed.
    pub slowest_failure: Duration,
    /// Total duration of the successful repetitions, for the mean.
    pub busy: Duration,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.done += other.done;
        self.failures.extend(other.failures);
        self.slowest = self.slowest.max(other.slowest);
        self.slowest_failure = self.slowest_failure.max(other.slowest_failure);
        self.busy += other.busy;
    }

    /// Failures with other causes than these.
    pub fn besides(&self, allowed: &[&str]) -> Vec<&String> {
        let is_other = |why: &&String| !allowed.contains(&why.as_str());
        self.failures.iter().filter(is_other).collect()
    }

    /// One line of figures.
    pub fn line(&self) -> String {
        let count = u32::try_from(self.done).unwrap_or(u32::MAX).max(1);
        let mut line = format!(
            "{} done, mean {:.1} ms, slowest {:.3} s; {} failed",
            self.done,
            (self.busy / count).as_secs_f64() * 1e3,
            self.slowest.as_secs_f64(),
            self.failures.len(),
        );
        if !self.failures.is_empty() {
            let slowest = self.slowest_failure.as_secs_f64();
            let _ = write!(line, ", slowest {slowest:.3} s");
        }
        let mut causes = BTreeMap::<&str, usize>::new();
        for why in &self.failures {
            *causes.entry(why).or_default() += 1;
        }
        for (why, count) in causes.iter().take(TOLD.0) {
            let why: String = why.chars().take(TOLD.1).collect();
            let _ = write!(line, "; {count} × {why}");
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

    /// Waits until `more` repetitions have succeeded from now on.
    pub fn wait_more(&self, more: u64) -> Result<()> {
        wait_for(&self.shared.done, more, "requests have succeeded")
    }

    /// Waits until `more` repetitions have failed from now on.
    pub fn wait_failed(&self, more: u64) -> Result<()> {
        wait_for(&self.shared.failed, more, "requests have failed")
    }

    /// Runs `event` between `turns` successes and the same number after it; prints the outcome and
    /// returns it.
    pub fn around(self, what: &str, turns: u64, event: impl FnOnce(&Load)) -> Result<Tally> {
        self.wait_more(turns)?;
        let begun = Instant::now();
        event(&self);
        let took = begun.elapsed().as_secs_f64();
        self.wait_more(turns)?;
        let tally = self.stop();
        println!("{what}: {took:.1} s; {}", tally.line());
        Ok(tally)
    }

    /// Waits until every thread has returned [`Turn::Over`].
    pub fn wait_over(self) -> Tally {
        self.join()
    }

    /// Stops the threads after their current repetition and waits for them.
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

fn wait_for(counter: &AtomicU64, more: u64, what: &str) -> Result<()> {
    let count = || counter.load(Ordering::Relaxed);
    let goal = count() + more;
    wait::until(&format!("{more} more {what}"), PATIENCE, || {
        Ok((count() >= goal).then_some(()))
    })
}

fn repeat(shared: &Shared, mut turn: impl FnMut() -> Turn) -> Tally {
    let mut tally = Tally::default();
    while !shared.stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let result = turn();
        let took = begun.elapsed();
        match result {
            Turn::Done => {
                tally.done += 1;
                tally.busy += took;
                tally.slowest = tally.slowest.max(took);
                shared.done.fetch_add(1, Ordering::Relaxed);
            }
            Turn::Failed(why) => {
                tally.failures.push(why);
                tally.slowest_failure = tally.slowest_failure.max(took);
                shared.failed.fetch_add(1, Ordering::Relaxed);
                thread::sleep(RETREAT);
            }
            Turn::Over => break,
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_tells_how_often_it_failed_and_why() {
        let mut results = ["", "backend_down", "oh", "backend_down"].into_iter();
        let load = Load::start([move || match results.next() {
            Some("") => Turn::Done,
            Some(why) => Turn::Failed(why.to_owned()),
            None => Turn::Over,
        }]);
        let tally = load.wait_over();
        assert_eq!(tally.besides(&["backend_down"]), ["oh"]);
        let line = tally.line();
        assert!(line.starts_with("1 done, "), "{line}");
        assert!(line.contains("; 3 failed, "), "{line}");
        assert!(line.ends_with("; 2 × backend_down; 1 × oh"), "{line}");
    }
}
