//! Whose a connection, request or login is, and how much of something scarce one client may hold.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
};

/// An IPv4 address, or a network of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            // whoever has one address of a /64 has all of them
            IpAddr::V6(v6) => {
                let [a, b, c, d, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// A site's network of IPv6, a /48: whoever has it has 65,536 sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network([u16; 3]);

impl Source {
    /// The network that it is of. Addresses of IPv4 are too few for that.
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

/// Counts who holds how many of a limited number of things.
///
/// A source may hold as many as are still free. So one that floods takes half at most, a second one
/// half of the rest, and there is room for others; a load balancer that hides all clients behind one
/// address still has half. A network takes three quarters at most, else it would be as many sources.
#[derive(Debug)]
pub(crate) struct Shares {
    most: usize,
    taken: usize,
    sources: HashMap<Source, usize>,
    networks: HashMap<Network, usize>,
}

/// Why there is nothing to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    /// Everything is taken.
    All,
    /// The source or its network has its share.
    Share,
}

impl Shares {
    /// Nothing of `most` is taken.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            taken: 0,
            sources: HashMap::new(),
            networks: HashMap::new(),
        }
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }

    /// Takes one; of a source that is not known, as long as there are any.
    pub(crate) fn take(&mut self, source: Option<Source>) -> Result<(), Spent> {
        let free = self.most.saturating_sub(self.taken);
        if free == 0 {
            return Err(Spent::All);
        }
        if let Some(source) = source {
            let network = source.network();
            let held = |count: Option<&usize>| count.copied().unwrap_or(0);
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

    /// Gives one back that was taken for this source.
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
    fn one_that_floods_takes_half_and_a_network_of_ipv6_three_quarters() {
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
        fn nothing_is_counted_for_nobody(steps in prop::collection::vec((any::<bool>(), 0_u8..6), 0..200)) {
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
