//! The source of a connection, request or login, and fair shares of a limited resource among sources.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
};

/// An IPv4 address, or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            // A host can use any address of its /64 (RFC 4862), and a new one each time.
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// An IPv6 /48, the network of a site: it contains 65,536 sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network([u16; 3]);

impl Source {
    /// `None` for IPv4: its addresses are too scarce for one site to have many.
    pub(crate) fn network(self) -> Option<Network> {
        match self.0 {
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                Some(Network([a, b, c]))
            }
            IpAddr::V4(_) => None,
        }
    }
}

/// Shares a limited number of units among sources.
///
/// A source may hold as many units as are still free. So a source that floods gets at most half, a
/// second one half of the rest, and others still get some; a load balancer that hides all clients
/// behind one address gets half. A network gets at most three quarters: otherwise it could use as
/// many sources as it has.
#[derive(Debug)]
pub(crate) struct Shares {
    most: usize,
    taken: usize,
    sources: HashMap<Source, usize>,
    networks: HashMap<Network, usize>,
}

/// Why no unit is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    /// All units are in use.
    All,
    /// The source or its network holds its share.
    Share,
}

impl Shares {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            taken: 0,
            sources: HashMap::new(),
            networks: HashMap::new(),
        }
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Takes one unit. Without a source only the total is limited.
    pub(crate) fn take(&mut self, source: Option<Source>) -> Result<(), Spent> {
        let free = self.most.saturating_sub(self.taken);
        if free == 0 {
            return Err(Spent::All);
        }
        if let Some(source) = source {
            let network = source.network();
            let held = |count: Option<&usize>| count.copied().unwrap_or(0);
            // `held >= free` is reached at one half of all units, `held >= 3 * free` at three quarters. Both
            // bounds shrink by themselves while others hold units.
            if held(self.sources.get(&source)) >= free
                || network.is_some_and(|network| {
                    held(self.networks.get(&network)) >= free.saturating_mul(3)
                })
            {
                return Err(Spent::Share);
            }
            *self.sources.entry(source).or_default() += 1;
            if let Some(network) = network {
                *self.networks.entry(network).or_default() += 1;
            }
        }
        self.taken += 1;
        Ok(())
    }

    /// Returns a unit that was taken for this source.
    pub(crate) fn give_back(&mut self, source: Option<Source>) {
        self.taken = self.taken.saturating_sub(1);
        if let Some(source) = source {
            leave(&mut self.sources, source);
            if let Some(network) = source.network() {
                leave(&mut self.networks, network);
            }
        }
    }
}

// Removed at zero, so that the maps are bounded by the units in use.
fn leave<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    if let Entry::Occupied(mut entry) = counts.entry(key) {
        *entry.get_mut() -= 1;
        if *entry.get() == 0 {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(text: &str) -> Source {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_a_mapped_address_as_ipv4() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:2"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("::ffff:192.0.2.1"), source("192.0.2.2"));
    }
    fn fill(shares: &mut Shares, sources: impl IntoIterator<Item = Source>) -> usize {
        sources
            .into_iter()
            .take_while(|source| shares.take(Some(*source)).is_ok())
            .count()
    }

    #[test]
    fn a_flooding_source_gets_half_and_an_ipv6_network_three_quarters() {
        let mut shares = Shares::new(1024);
        let one = std::iter::repeat(source("192.0.2.1"));
        assert_eq!(fill(&mut shares, one.clone()), 512);
        assert_eq!(shares.take(Some(source("192.0.2.1"))), Err(Spent::Share));
        assert_eq!(
            fill(&mut shares, std::iter::repeat(source("192.0.2.2"))),
            256
        );
        shares.give_back(Some(source("192.0.2.2")));
        assert_eq!(shares.take(None), Ok(()));

        let mut shares = Shares::new(1024);
        let site = (0..=u16::MAX).map(|n| source(&format!("2001:db8:1:{n:x}::1")));
        assert_eq!(fill(&mut shares, site), 768);
        assert_eq!(fill(&mut shares, one), 128);
        assert_eq!(fill(&mut shares, [source("2001:db8:2::1")]), 1);
    }

    proptest! {
        #[test]
        fn nothing_stays_counted_after_all_units_are_returned(steps in prop::collection::vec((any::<bool>(), 0_u8..6), 0..200)) {
            let mut shares = Shares::new(8);
            let mut held = Vec::new();
            for (take, number) in steps {
                let of = match number {
                    0 => None,
                    1..3 => Some(IpAddr::from([192, 0, 2, number]).into()),
                    _ => Some(source(&format!("2001:db8:{}:{number}::1", number % 2))),
                };
                if !take {
                    if let Some(of) = held.pop() {
                        shares.give_back(of);
                    }
                } else if shares.take(of).is_ok() {
                    held.push(of);
                }
                prop_assert_eq!(shares.taken(), held.len());
                prop_assert!(held.len() <= 8);
                let named = held.iter().flatten();
                prop_assert_eq!(shares.sources.values().sum::<usize>(), named.clone().count());
                let networks = named.filter(|source| source.network().is_some()).count();
                prop_assert_eq!(shares.networks.values().sum::<usize>(), networks);
            }
            for of in held {
                shares.give_back(of);
            }
            prop_assert!(shares.sources.is_empty() && shares.networks.is_empty());
        }
    }
}
