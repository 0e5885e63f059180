//! How a backend is chosen: `balance`, `weight`, `slow_start`.

use std::{net::IpAddr, time::Duration};

use super::{BackendGroup, ConcurrencyLimits, PickCriteria};
use crate::{
    balance::{Algorithm, Candidate, choose, effective_weight, stable_hash},
    upstream::backend::{Backend, now_ms},
};

/// `console.balance`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Balance {
    /// The server that says that it is active (HA pairs).
    Active,
    /// Any healthy server, chosen by this algorithm.
    By(Algorithm),
}

impl Balance {
    /// The value in the configuration.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::By(algorithm) => algorithm.as_str(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct BalancePolicy {
    /// `balance`
    pub balance: Balance,
    /// `weight` of each backend.
    pub weights: Vec<u32>,
    /// How long the share of a server grows after it has come up.
    pub slow_start: Duration,
    pub limits: ConcurrencyLimits,
}

impl BalancePolicy {
    /// `balance` with the defaults of all other keys.
    #[cfg(test)]
    pub(crate) fn plain(balance: Balance, backends: usize) -> Self {
        Self {
            balance,
            weights: vec![1; backends],
            slow_start: Duration::ZERO,
            limits: ConcurrencyLimits::none(backends),
        }
    }
}

impl BackendGroup {
    pub(super) fn choose(
        &self,
        wanted: &PickCriteria,
        able: impl Fn(usize, &Backend) -> bool + Copy,
    ) -> Option<usize> {
        let backends = self.backends.iter().enumerate();
        let algorithm = match self.policy.balance {
            // If two servers claim to be active, the one that became active later is right: the other
            // was suspended during the failover and has not noticed it.
            Balance::Active => {
                return backends
                    .filter(|(index, backend)| able(*index, backend))
                    .max_by_key(|(index, b)| (b.status().active_since, std::cmp::Reverse(*index)))
                    .map(|(index, _)| index);
            }
            // Without the weights: `first` ignores them, also while a server starts slowly.
            Balance::By(Algorithm::First) => {
                return backends
                    .filter(|(index, backend)| able(*index, backend))
                    .map(|(index, _)| index)
                    .next();
            }
            Balance::By(algorithm) => algorithm,
        };
        let client = match algorithm {
            Algorithm::Source => hash_of(wanted.client),
            Algorithm::First | Algorithm::RoundRobin | Algorithm::LeastConn => 0,
        };
        let now = now_ms();
        let candidates = backends.map(|(index, backend)| Candidate {
            state: &backend.balance,
            weight: self.weight(index, backend, now),
            load: backend.in_flight(),
            up: able(index, backend),
        });
        choose(algorithm, client, candidates)
    }

    fn weight(&self, index: usize, backend: &Backend, now: u64) -> u32 {
        let up_for = Duration::from_millis(now.saturating_sub(backend.status().changed_at));
        effective_weight(self.policy.weights[index], up_for, self.policy.slow_start)
    }
}

/// An IPv4 client has the same hash on a dual-stack listener (`::ffff:192.0.2.1`).
fn hash_of(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(address) => stable_hash(&address.octets()),
        IpAddr::V6(address) => stable_hash(&address.octets()),
    }
}
