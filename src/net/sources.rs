//! Where clients come from: who may connect to a listener, who speaks for others, and how many
//! connections an address may have.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use ipnet::IpNet;

use crate::net::source::Source;

/// What a listener makes of its clients' addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// Peers that begin with a PROXY protocol header, and are believed.
    pub accept_proxy: Arc<[IpNet]>,
    /// Peers that name the client in `X-Forwarded-For`, request by request, and are believed. They may
    /// connect, as often as they like.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Who may connect; `None`: everybody. Others are closed before TLS.
    pub allow: Option<Arc<[IpNet]>>,
}

impl Sources {
    /// Whether a peer has to say who its client is.
    pub(crate) fn expects_header(&self, peer: IpAddr) -> bool {
        contains(&self.accept_proxy, peer)
    }

    /// Whether a client may connect.
    pub(crate) fn admits(&self, client: IpAddr) -> bool {
        self.allow
            .as_ref()
            .is_none_or(|list| contains(list, client))
    }
}

/// Whether one of the networks holds the address.
pub(crate) fn contains(list: &[IpNet], address: IpAddr) -> bool {
    list.iter().any(|network| network.contains(&address))
}

/// The connections of each address, of all workers.
#[derive(Debug)]
pub(crate) struct Places {
    most: u32,
    taken: Mutex<HashMap<Source, u32>>,
}

/// A connection's place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    source: Source,
}

impl Places {
    /// At most so many for each address.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most: u32::try_from(most).unwrap_or(u32::MAX),
            taken: Mutex::default(),
        })
    }

    /// A place, if there is one left.
    pub(crate) fn take(self: &Arc<Self>, client: IpAddr) -> Option<Place> {
        let source = Source::from(client);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(source).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place {
            places: Arc::clone(self),
            source,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let taken = &self.places.taken;
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_an_ipv6_host_is_a_network() {
        let places = Places::new(2);
        let take = |address: &str| places.take(address.parse().unwrap());
        let (one, two) = (take("192.0.2.1"), take("192.0.2.1"));
        assert!(one.is_some() && two.is_some() && take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some());
        drop(one);
        assert!(take("192.0.2.1").is_some());
        let (first, second) = (take("2001:db8::1"), take("2001:db8::2"));
        assert!(take("2001:db8::3").is_none());
        assert!(take("2001:db8:0:1::3").is_some());
        drop((two, first, second));
        assert!(places.taken.lock().unwrap().is_empty());
    }

    #[test]
    fn networks_are_of_either_family() {
        let list = [
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8::/32".parse().unwrap(),
        ];
        assert!(contains(&list, "10.1.2.3".parse().unwrap()));
        assert!(contains(&list, "2001:db8::1".parse().unwrap()));
        assert!(!contains(&list, "11.0.0.1".parse().unwrap()));
        assert!(!contains(&[], "10.0.0.1".parse().unwrap()));
    }
}
