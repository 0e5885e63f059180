//! Limits the requests per second of each client address.
//!
//! The generic cell rate algorithm (GCRA): for each address the table holds the time at which its
//! requests would have been sent at an even rate. An address may be one second ahead of that, which is the
//! burst. The `governor` crate implements the same algorithm, but its table is not bounded, and the
//! addresses of one IPv6 network would exhaust memory.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::net::source::{Network, Shares, Source, Spent};

/// Entries of the table. An IPv6 network that has used its share of them is counted as one client. If
/// the table is full, further clients are not limited: otherwise an attacker who fills it would lock out
/// all others.
const MOST: usize = 65_536;
/// How far an address may be ahead of the even rate: the burst.
const AHEAD: Duration = Duration::from_secs(1);

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
    even: HashMap<RateKey, Instant>,
    /// Has one share taken for each entry of `even`.
    shares: Shares,
    /// Since the last sweep a client was counted with others, or not at all.
    crowded: bool,
    swept: Instant,
}

/// Requests with the same key are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum RateKey {
    Source(Source),
    /// The sources beyond the network's share.
    Network(Network),
}

impl RateLimiter {
    /// At most `a_second` requests per second of each address.
    pub(crate) fn new(a_second: u32) -> Self {
        Self(Arc::new(Inner {
            step: AHEAD / a_second.max(1),
            table: Mutex::new(Table {
                even: HashMap::new(),
                shares: Shares::new(MOST),
                crowded: false,
                swept: Instant::now(),
            }),
        }))
    }

    /// Whether the address may send a request now; counts it if so.
    pub(crate) fn admit(&self, client: IpAddr, now: Instant) -> bool {
        let Inner { step, table } = &*self.0;
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        table.sweep(now);
        let Some(counted) = table.counted(client.into()) else {
            return true;
        };
        let even = table.even.entry(counted).or_insert(now);
        let next = (*even).max(now) + *step;
        let admitted = next <= now + AHEAD;
        if admitted {
            *even = next;
        }
        admitted
    }
}

impl Table {
    /// Removes addresses that are back at the even rate. Only if the table was full, and at most once a
    /// second, because it visits every entry while the lock is held.
    fn sweep(&mut self, now: Instant) {
        if !self.crowded || now.saturating_duration_since(self.swept) < AHEAD {
            return;
        }
        let Self { even, shares, .. } = self;
        even.retain(|counted, even| {
            let stays = *even > now;
            if !stays {
                shares.give_back(counted.source());
            }
            stays
        });
        self.crowded = false;
        self.swept = now;
    }

    /// The key of a source; `None` if there is no room to count it.
    fn counted(&mut self, source: Source) -> Option<RateKey> {
        if self.even.contains_key(&RateKey::Source(source)) {
            return Some(RateKey::Source(source));
        }
        let spent = match self.shares.take(Some(source)) {
            Ok(()) => return Some(RateKey::Source(source)),
            Err(spent) => spent,
        };
        self.crowded = true;
        match (spent, source.network().map(RateKey::Network)) {
            (_, Some(network)) if self.even.contains_key(&network) => Some(network),
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
    fn one_second_s_requests_may_come_at_once_and_then_one_at_a_time() {
        let (rates, now) = (RateLimiter::new(10), Instant::now());
        let admitted = |now| (0..100).filter(|_| rates.admit(address(1), now)).count();
        assert_eq!(admitted(now), 10);
        assert!(rates.admit(address(2), now), "another address has its own");
        assert_eq!(admitted(now + Duration::from_millis(99)), 0);
        assert_eq!(admitted(now + Duration::from_millis(350)), 3);
        assert_eq!(admitted(now + Duration::from_secs(60)), 10);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_who_is_quiet() {
        let (rates, now) = (RateLimiter::new(1), Instant::now() + AHEAD);
        let held = || rates.0.table.lock().unwrap().even.len();
        let most = u32::try_from(MOST).unwrap();
        assert!((0..most + 10).all(|number| rates.admit(address(number), now)));
        assert_eq!(held(), MOST);
        assert!(!rates.admit(address(1), now));
        assert!(rates.admit(address(most), now), "it is not counted");
        assert!(rates.admit(address(most), now + AHEAD * 2));
        assert_eq!(held(), 1);
    }

    #[test]
    fn a_network_that_fills_the_table_is_counted_together_and_others_alone() {
        let (rates, now) = (RateLimiter::new(1), Instant::now() + AHEAD);
        let site = |n: u32| {
            IpAddr::from(Ipv6Addr::from_bits(
                (0x2001_0db8_0001_u128 << 80) | (u128::from(n) << 64) | 1,
            ))
        };
        let share = u32::try_from(MOST / 4 * 3).unwrap();
        assert!((0..share).all(|n| rates.admit(site(n), now)));
        // one request for all the rest of it
        assert!(rates.admit(site(share), now));
        assert!((share..share + 100).all(|n| !rates.admit(site(n), now)));
        assert!(!rates.admit(site(1), now), "it goes on to be counted");
        for other in [address(1), "2001:db8:2::1".parse().unwrap()] {
            assert!(
                rates.admit(other, now) && !rates.admit(other, now),
                "{other}"
            );
        }
        // and is counted alone again when it has been quiet
        let later = now + AHEAD * 2;
        assert!((share..share + 100).all(|n| rates.admit(site(n), later)));
    }

    proptest! {
        #[test]
        fn no_second_has_more_than_two_seconds_requests(
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
                let within = admitted[at..].iter().take_while(|time| **time < *first + AHEAD);
                prop_assert!(within.count() <= 2 * rate as usize);
            }
        }
    }
}
