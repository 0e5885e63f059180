//! Which of several servers gets the next request, connection or flow.
//!
//! Pure functions over candidates, used by consoles and by streams. The only state is one
//! [`BalanceState`] per server, which all workers share; nothing here locks, allocates or reads a
//! clock.
//!
//! | [`Algorithm`] | where it comes from |
//! |---|---|
//! | `First` | file order, as `HAProxy`'s `first` without its fill level |
//! | `RoundRobin` | smooth weighted round robin of nginx (`ngx_http_upstream_round_robin.c`): the turns of a heavy server are spread over the round instead of following each other |
//! | `LeastConn` | least load in proportion to the weight; among equals smooth round robin (`ngx_http_upstream_least_conn_module.c`) |
//! | `Source` | weighted rendezvous hashing (Thaler and Ravishankar 1998; the logarithmic weights of Schindelhauer and Schomaker 2005): when a server goes, only its own clients move |
//!
//! ```
//! use spnegate::testing::{Algorithm, Candidate, BalanceState, choose};
//!
//! let states = [BalanceState::new("nn1:50070"), BalanceState::new("nn2:50070")];
//! let all_up = states.iter().map(|state| Candidate { state, weight: 1, load: 0, up: true });
//! assert_eq!(choose(Algorithm::First, 0, all_up.clone()), Some(0));
//! let one = choose(Algorithm::RoundRobin, 0, all_up.clone());
//! let other = choose(Algorithm::RoundRobin, 0, all_up);
//! assert_ne!(one, other);
//! ```

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

mod admin_state;
mod hash;

pub(crate) use admin_state::AdminState;
pub use hash::stable_hash;

/// How to choose one of several servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// The first that is up, in file order.
    First,
    /// In turn, by weight.
    RoundRobin,
    /// The one with the least load for its weight.
    LeastConn,
    /// By the client's address: the same client gets the same server as long as that is up.
    Source,
}

impl Algorithm {
    /// The value in the configuration.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::RoundRobin => "roundrobin",
            Self::LeastConn => "leastconn",
            Self::Source => "source",
        }
    }
}

/// What the algorithms remember of one server. It is stored with the server, so that it survives a
/// change of the list.
#[derive(Debug)]
pub struct BalanceState {
    key: u64,
    turn: AtomicI64,
}

/// One server at the moment of the choice.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'s> {
    /// What the algorithms remember of it.
    pub state: &'s BalanceState,
    /// Its share, in any unit common to all candidates; 0: gets nothing new. See `effective_weight`.
    pub weight: u32,
    /// Its requests or connections; only `LeastConn` reads it.
    pub load: usize,
    /// Whether it may be chosen: healthy, not full, not tried already.
    pub up: bool,
}

/// Chooses one of `candidates`: its index, or `None` if none is up.
///
/// `client` is the [`stable_hash`] of the client's address; only `Source` reads it. The iterator runs
/// once, for `LeastConn` twice.
pub fn choose<'s>(
    algorithm: Algorithm,
    client: u64,
    candidates: impl Iterator<Item = Candidate<'s>> + Clone,
) -> Option<usize> {
    let mut able = candidates
        .enumerate()
        .filter(|(_, candidate)| candidate.up && candidate.weight > 0);
    match algorithm {
        Algorithm::First => able.next().map(|(index, _)| index),
        Algorithm::RoundRobin => in_turn(able),
        Algorithm::LeastConn => {
            let least = able.clone().map(|(_, c)| Load::of(&c)).min()?;
            let tied = able.clone().filter(|(_, c)| Load::of(c) == least);
            // Other workers change the loads concurrently: the second pass may find no equals.
            in_turn(tied).or_else(|| in_turn(able))
        }
        // No ring and no table of clients: the scores of all servers are computed, which is cheap for a
        // handful, and nothing has to be rebuilt when one goes.
        Algorithm::Source => able
            .map(|(index, c)| (index, hash::score(client, c.state.key, c.weight)))
            .max_by(|(_, one), (_, other)| one.total_cmp(other))
            .map(|(index, _)| index),
    }
}

/// Smooth weighted round robin: each server's turn grows by its weight; the greatest is chosen and
/// reduced by the total weight, so that the sum of all turns stays zero. With concurrent workers the sum
/// stays zero too, because each step is an atomic addition; only the order within a round may differ.
fn in_turn<'s>(candidates: impl Iterator<Item = (usize, Candidate<'s>)>) -> Option<usize> {
    let mut total = 0;
    let mut best: Option<(i64, usize, &BalanceState)> = None;
    for (index, candidate) in candidates {
        let weight = i64::from(candidate.weight);
        total += weight;
        // Relaxed: the turns are a heuristic, and no other memory depends on them.
        let turn = candidate.state.turn.fetch_add(weight, Ordering::Relaxed) + weight;
        if best.is_none_or(|(greatest, _, _)| turn > greatest) {
            best = Some((turn, index, candidate.state));
        }
    }
    let (_, index, state) = best?;
    state.turn.fetch_sub(total, Ordering::Relaxed);
    Some(index)
}

/// Load divided by weight, compared without rounding.
#[derive(Clone, Copy, Debug)]
struct Load {
    load: u64,
    weight: u64,
}

// === impl Load ===

impl Load {
    fn of(candidate: &Candidate<'_>) -> Self {
        Self {
            // One server never has 2^32 connections. With 32 bits each the products in `cmp` fit 64 bits.
            load: u64::from(u32::try_from(candidate.load).unwrap_or(u32::MAX)),
            weight: u64::from(candidate.weight),
        }
    }
}

impl Ord for Load {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.load * other.weight).cmp(&(other.load * self.weight))
    }
}

impl PartialOrd for Load {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Load {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Load {}

// === impl BalanceState ===

impl BalanceState {
    /// `key` identifies the server in all replicas and after restarts (such as its `host:port`), so that
    /// they all send a client to the same server.
    pub fn new(key: &str) -> Self {
        Self {
            key: stable_hash(key.as_bytes()),
            turn: AtomicI64::new(0),
        }
    }
}

/// [`effective_weight`] divides one unit of a configured weight into this many parts.
pub(crate) const WEIGHT_PARTS: u32 = 64;

/// The weight of a server that has been up for `up_for`, in [`WEIGHT_PARTS`]: it grows linearly
/// from almost zero to the whole within `ramp` (slow start), so that a server with cold caches is not
/// overloaded. A `ramp` of zero means the whole weight immediately.
pub(crate) fn effective_weight(weight: u32, up_for: Duration, ramp: Duration) -> u32 {
    let whole = weight.saturating_mul(WEIGHT_PARTS);
    if up_for >= ramp {
        return whole;
    }
    let part = u128::from(whole) * up_for.as_nanos() / ramp.as_nanos();
    // Never zero for a server that is configured to get requests: it would get none, and if it is the only
    // one, the console would be down.
    u32::try_from(part)
        .unwrap_or(whole)
        .max(u32::from(weight > 0))
}

#[cfg(test)]
mod tests;
