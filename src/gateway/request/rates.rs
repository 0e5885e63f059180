//! Limits the requests per second of each client address.
//!
//! The generic cell rate algorithm (GCRA): for each address the table holds the *theoretical arrival
//! time*, at which its next request would come at an even rate. An address may be one second ahead of
//! that, which is the burst. One time per address is the whole state: no counters, no timer.
//!
//! The `governor` crate implements the same algorithm, but its table is not bounded, and the addresses
//! of one IPv6 network would exhaust memory.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::net::source::{Network, Shares, Source, Spent};

/// The most entries of the table. An IPv6 network that has used its share of them is counted as one
/// client. If the table is full, further clients are not limited: otherwise an attacker who fills it
/// would lock out all others.
const MAX_ENTRIES: usize = 65_536;
/// How far an address may be ahead of the even rate.
const BURST: Duration = Duration::from_secs(1);

/// The rates of all addresses, shared by the workers.
#[derive(Clone, Debug)]
pub(crate) struct RateLimiter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Time between two requests at the even rate.
    step: Duration,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    /// The theoretical arrival time of the next request.
    arrivals: HashMap<RateKey, Instant>,
    /// Has one share taken for each entry of `arrivals`.
    shares: Shares,
    /// Whether a client was counted with others, or not at all, since the last sweep.
    overflowed: bool,
    last_sweep: Instant,
}

/// Requests with the same key are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum RateKey {
    Source(Source),
    /// All sources of the network that have no entry of their own.
    Network(Network),
}

impl RateLimiter {
    /// At most `a_second` requests per second of each address.
    pub(crate) fn new(a_second: u32) -> Self {
        Self(Arc::new(Inner {
            step: BURST / a_second.max(1),
            table: Mutex::new(Table {
                arrivals: HashMap::new(),
                shares: Shares::new(MAX_ENTRIES),
                overflowed: false,
                last_sweep: Instant::now(),
            }),
        }))
    }

    /// Whether the address may send a request now; counts it if so.
    pub(crate) fn admit(&self, client: IpAddr, now: Instant) -> bool {
        let Inner { step, table } = &*self.0;
        // One lock for all workers: it is held for a few hash look-ups, and only if the limit is
        // configured.
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        table.sweep(now);
        let Some(key) = table.key_of(client.into()) else {
            return true;
        };
        let arrival = table.arrivals.entry(key).or_insert(now);
        // Never from a time in the past: an address must not save up requests while it is quiet.
        let next = (*arrival).max(now) + *step;
        let admitted = next <= now + BURST;
        // A refused request is not counted, so that a client that goes on asking is served at the even
        // rate.
        if admitted {
            *arrival = next;
        }
        admitted
    }
}

impl Table {
    /// Removes addresses that are back at the even rate. Only if the table was full, and at most once a
    /// second, because it visits every entry while the lock is held.
    fn sweep(&mut self, now: Instant) {
        if !self.overflowed || now.saturating_duration_since(self.last_sweep) < BURST {
            return;
        }
        let Self {
            arrivals, shares, ..
        } = self;
        arrivals.retain(|key, arrival| {
            let stays = *arrival > now;
            if !stays {
                shares.give_back(key.source());
            }
            stays
        });
        self.overflowed = false;
        self.last_sweep = now;
    }

    /// The key of a source; `None` if there is no room to count it.
    fn key_of(&mut self, source: Source) -> Option<RateKey> {
        if self.arrivals.contains_key(&RateKey::Source(source)) {
            return Some(RateKey::Source(source));
        }
        let spent = match self.shares.take(Some(source)) {
            Ok(()) => return Some(RateKey::Source(source)),
            Err(spent) => spent,
        };
        self.overflowed = true;
        match (spent, source.network().map(RateKey::Network)) {
            // The network's common entry exists already, so it is used even if the table is full.
            (_, Some(network)) if self.arrivals.contains_key(&network) => Some(network),
            // Taken for no source: the network has used its share, and this entry must be possible all
            // the same.
            (Spent::Share, Some(network)) => self.shares.take(None).ok().map(|()| network),
            (Spent::Share, None) | (Spent::All, _) => None,
        }
    }
}

impl RateKey {
    fn source(self) -> Option<Source> {
        match self {
            Self::Source(source) => Some(source),
            Self::Network(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn the_requests_of_one_second_may_come_together_and_then_one_at_a_time() {
        let (rates, now) = (RateLimiter::new(10), Instant::now());
        let admitted = |now| (0..100).filter(|_| rates.admit(address(1), now)).count();
        assert_eq!(admitted(now), 10);
        assert!(rates.admit(address(2), now), "another address has its own");
        assert_eq!(admitted(now + Duration::from_millis(99)), 0);
        assert_eq!(admitted(now + Duration::from_millis(350)), 3);
        assert_eq!(admitted(now + Duration::from_secs(60)), 10);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_quiet_clients() {
        let (rates, now) = (RateLimiter::new(1), Instant::now() + BURST);
        let held = || rates.0.table.lock().unwrap().arrivals.len();
        let most = u32::try_from(MAX_ENTRIES).unwrap();
        assert!((0..most + 10).all(|number| rates.admit(address(number), now)));
        assert_eq!(held(), MAX_ENTRIES);
        assert!(!rates.admit(address(1), now));
        assert!(rates.admit(address(most), now), "it is not counted");
        assert!(rates.admit(address(most), now + BURST * 2));
        assert_eq!(held(), 1);
    }

    #[test]
    fn a_network_that_fills_the_table_is_counted_as_one_client_and_others_alone() {
        let (rates, now) = (RateLimiter::new(1), Instant::now() + BURST);
        let site = |n: u32| {
            IpAddr::from(Ipv6Addr::from_bits(
                (0x2001_0db8_0001_u128 << 80) | (u128::from(n) << 64) | 1,
            ))
        };
        let share = u32::try_from(MAX_ENTRIES / 4 * 3).unwrap();
        assert!((0..share).all(|n| rates.admit(site(n), now)));
        // One request is left for the rest of the network.
        assert!(rates.admit(site(share), now));
        assert!((share..share + 100).all(|n| !rates.admit(site(n), now)));
        assert!(!rates.admit(site(1), now), "it goes on to be counted");
        for other in [address(1), "2001:db8:2::1".parse().unwrap()] {
            assert!(
                rates.admit(other, now) && !rates.admit(other, now),
                "{other}"
            );
        }
        // After a quiet time each address is counted alone again.
        let later = now + BURST * 2;
        assert!((share..share + 100).all(|n| rates.admit(site(n), later)));
    }

    proptest! {
        #[test]
        fn no_second_has_more_than_the_requests_of_two_seconds(
            rate in 1_u32..50,
            gaps in prop::collection::vec(0_u64..200, 1..300),
        ) {
            let (rates, mut now) = (RateLimiter::new(rate), Instant::now());
            let mut admitted = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                if rates.admit(address(1), now) {
                    admitted.push(now);
                }
            }
            for (at, first) in admitted.iter().enumerate() {
                let within = admitted[at..].iter().take_while(|time| **time < *first + BURST);
                prop_assert!(within.count() <= 2 * rate as usize);
            }
        }
    }
}
