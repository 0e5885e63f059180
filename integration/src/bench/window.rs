//! A time interval, and the CPU time that each party used in it.

use std::{
    process,
    time::{Duration, Instant},
};

use anyhow::Result;

use super::usage;

/// An open stretch of time.
#[derive(Debug)]
pub struct Window {
    proxy: Option<u32>,
    begun: Instant,
    before: State,
}

/// CPU time used until now.
#[derive(Clone, Copy, Debug)]
struct State {
    proxy: Duration,
    /// This process and all its children, and therefore the proxy too.
    ours: Duration,
    machine: Duration,
}

/// What was used in a stretch of time.
#[derive(Clone, Copy, Debug)]
pub struct Used {
    /// CPU time of the proxy.
    pub proxy: Duration,
    /// CPU time of all that the benchmark runs beside the proxy: client, backend, cluster.
    pub rest: Duration,
    /// CPU time of processes that are not part of the benchmark.
    pub strangers: Duration,
    /// How long it lasted.
    pub time: Duration,
}

impl Window {
    /// Starts the interval; `proxy` is the process that was started as the proxy, if there is one.
    pub fn open(proxy: Option<u32>) -> Result<Window> {
        Ok(Window {
            proxy,
            before: State::now(proxy)?,
            begun: Instant::now(),
        })
    }

    /// Ends the interval.
    pub fn close(self) -> Result<Used> {
        let time = self.begun.elapsed();
        let now = State::now(self.proxy)?;
        let proxy = now.proxy.saturating_sub(self.before.proxy);
        let ours = now.ours.saturating_sub(self.before.ours);
        let machine = now.machine.saturating_sub(self.before.machine);
        Ok(Used {
            proxy,
            rest: ours.saturating_sub(proxy),
            strangers: machine.saturating_sub(ours),
            time,
        })
    }
}

impl State {
    fn now(proxy: Option<u32>) -> Result<State> {
        Ok(State {
            proxy: proxy.map(usage::cpu).transpose()?.unwrap_or_default(),
            ours: usage::cpu(process::id())?,
            machine: usage::machine()?,
        })
    }
}

impl Used {
    /// The CPU seconds of the machine's `cores` that were left to the proxy.
    pub fn left(&self, cores: u32) -> f64 {
        let all = f64::from(cores) * self.time.as_secs_f64();
        all - self.rest.as_secs_f64() - self.strangers.as_secs_f64()
    }

    /// The share of the machine that other processes used.
    pub fn strangers_share(&self, cores: u32) -> f64 {
        self.strangers.as_secs_f64() / (f64::from(cores) * self.time.as_secs_f64())
    }
}
