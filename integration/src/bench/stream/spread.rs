//! How evenly the algorithms spread, and whom a lost server moves.

use std::net::Ipv4Addr;

use spnegate::testing::{Algorithm, BalanceState, Candidate, choose, stable_hash};

use crate::bench::{
    figures::Figures,
    who::{Metric, Task, Who},
};

const CLIENTS: u32 = 100_000;
const SERVERS: u32 = 10;

/// Ten servers of weights 1 to 10.
struct Servers {
    states: Vec<BalanceState>,
    loads: Vec<usize>,
    gone: Option<usize>,
}

/// Notes the figures; they are the same in every round and on every machine.
pub fn run(figures: &mut Figures) {
    for (task, algorithm) in [
        (Task::RoundRobin, Algorithm::RoundRobin),
        (Task::LeastConn, Algorithm::LeastConn),
        (Task::Source, Algorithm::Source),
    ] {
        let mut servers = Servers::new();
        let before: Vec<_> = (0..CLIENTS)
            .filter_map(|client| servers.take(algorithm, client))
            .collect();
        let deviation = servers.deviation();
        figures.add(task, Who::Gateway, Metric::Deviation, deviation);
        if algorithm != Algorithm::Source {
            continue;
        }
        servers.gone = Some(4);
        let after = (0..CLIENTS).filter_map(|client| servers.take(algorithm, client));
        let (mut moved, mut must) = (0_u32, 0_u32);
        for (was, is) in before.into_iter().zip(after) {
            moved += u32::from(was != is);
            must += u32::from(was == 4);
        }
        let ratio = f64::from(moved) / f64::from(must);
        figures.add(task, Who::Gateway, Metric::Moved, ratio);
    }
}

impl Servers {
    fn new() -> Servers {
        let name = |number| format!("server-{number}.example.com:9090");
        let states: Vec<_> = (0..SERVERS).map(|n| BalanceState::new(&name(n))).collect();
        Servers {
            loads: vec![0; states.len()],
            states,
            gone: None,
        }
    }

    fn take(&mut self, algorithm: Algorithm, client: u32) -> Option<usize> {
        // neighbouring addresses, as a network's clients have them
        let address = Ipv4Addr::from(0x0a00_0000 + client).octets();
        let candidates = (1..).zip(self.states.iter().zip(&self.loads));
        let candidates = candidates.map(|(weight, (state, load))| Candidate {
            state,
            weight,
            load: *load,
            up: self
                .gone
                .is_none_or(|gone| usize::try_from(weight) != Ok(gone + 1)),
        });
        let chosen = choose(algorithm, stable_hash(&address), candidates)?;
        self.loads[chosen] += 1;
        Some(chosen)
    }

    fn deviation(&self) -> f64 {
        let total: u32 = (1..=SERVERS).sum();
        let of = |(weight, load): (u32, &usize)| {
            let due = f64::from(CLIENTS) * f64::from(weight) / f64::from(total);
            let load = u32::try_from(*load).unwrap_or(u32::MAX);
            (f64::from(load) / due - 1.0).abs() * 100.0
        };
        (1..).zip(&self.loads).map(of).fold(0.0, f64::max)
    }
}
