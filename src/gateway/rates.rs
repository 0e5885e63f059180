//! How many requests an address may send in a second.
//!
//! The generic cell rate algorithm: for each address the time at which what it has sent would have been
//! sent at the even rate. It may run ahead of that by one second's requests, which is the burst. The
//! `governor` crate does the same with a table that has no bound.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::source::Source;

/// Addresses that are counted; those beyond are not limited, so that nobody is shut out for others.
const MOST: usize = 65_536;
/// How far an address may run ahead.
const AHEAD: Duration = Duration::from_secs(1);

/// The requests of each address, of all workers.
#[derive(Clone, Debug)]
pub struct Rates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// From one request to the next at the even rate.
    step: Duration,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    even: HashMap<Source, Instant>,
    swept: Instant,
}

impl Rates {
    /// At most so many a second.
    pub fn new(a_second: u32) -> Self {
        Self(Arc::new(Inner {
            step: AHEAD / a_second.max(1),
            table: Mutex::new(Table {
                even: HashMap::new(),
                swept: Instant::now(),
            }),
        }))
    }

    /// Counts a request of an address, if it may send one.
    pub fn admit(&self, client: IpAddr, now: Instant) -> bool {
        let Inner { step, table } = &*self.0;
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.even.len() >= MOST && now.saturating_duration_since(table.swept) >= AHEAD {
            table.even.retain(|_, even| *even > now);
            table.swept = now;
        }
        let full = table.even.len() >= MOST;
        match table.even.entry(client.into()) {
            Entry::Occupied(mut entry) => {
                let next = (*entry.get()).max(now) + *step;
                let admitted = next <= now + AHEAD;
                if admitted {
                    entry.insert(next);
                }
                admitted
            }
            Entry::Vacant(entry) => {
                if !full {
                    entry.insert(now + *step);
                }
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn one_second_s_requests_may_come_at_once_and_then_one_at_a_time() {
        let (rates, now) = (Rates::new(10), Instant::now());
        let admitted = |now| (0..100).filter(|_| rates.admit(address(1), now)).count();
        assert_eq!(admitted(now), 10);
        assert!(rates.admit(address(2), now), "another address has its own");
        assert_eq!(admitted(now + Duration::from_millis(99)), 0);
        assert_eq!(admitted(now + Duration::from_millis(350)), 3);
        assert_eq!(admitted(now + Duration::from_secs(60)), 10);
    }

    #[test]
    fn the_table_is_bounded_and_forgets_who_is_quiet() {
        let (rates, now) = (Rates::new(1), Instant::now() + AHEAD);
        let held = || rates.0.table.lock().unwrap().even.len();
        let most = u32::try_from(MOST).unwrap();
        assert!((0..most + 10).all(|number| rates.admit(address(number), now)));
        assert_eq!(held(), MOST);
        assert!(!rates.admit(address(1), now));
        assert!(rates.admit(address(most), now), "it is not counted");
        assert!(rates.admit(address(most), now + AHEAD * 2));
        assert_eq!(held(), 1);
    }

    proptest! {
        #[test]
        fn no_second_has_more_than_two_seconds_requests(
            rate in 1_u32..50,
            gaps in prop::collection::vec(0_u64..200, 1..300),
        ) {
            let (rates, mut now) = (Rates::new(rate), Instant::now());
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
