//! Rules for the addresses of clients: which may connect to a listener, which are proxies, and how
//! many connections each may have.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use ipnet::IpNet;

use crate::net::source::Source;

/// The rules of one listener for the addresses of its peers and clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourcePolicy {
    /// Peers that have to send a PROXY protocol header, which is trusted.
    pub accept_proxy: Arc<[IpNet]>,
    /// Proxies whose `X-Forwarded-For` is trusted, request by request. `allow` and the limit of
    /// connections per address do not apply to them.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Clients that may connect; `None`: all. Connections of others are closed before TLS.
    pub allow: Option<Arc<[IpNet]>>,
}

impl SourcePolicy {
    pub(crate) fn expects_header(&self, peer: IpAddr) -> bool {
        contains(&self.accept_proxy, peer)
    }

    pub(crate) fn admits(&self, client: IpAddr) -> bool {
        self.allow
            .as_ref()
            .is_none_or(|list| contains(list, client))
    }
}

/// Whether one of the networks contains the address.
pub(crate) fn contains(list: &[IpNet], address: IpAddr) -> bool {
    list.iter().any(|network| network.contains(&address))
}

/// Limits the connections of each client address over all workers. An IPv6 /64 is one address: a
/// single host can use all addresses of its own (RFC 4862).
#[derive(Debug)]
pub(crate) struct ConnectionLimiter {
    max: u32,
    // A lock and not atomics: it is taken twice per connection, not per request.
    open: Mutex<HashMap<Source, u32>>,
}

/// One connection of an address; released when it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    source: Source,
}

impl ConnectionLimiter {
    /// `max`: connections of each address.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max: u32::try_from(max).unwrap_or(u32::MAX),
            open: Mutex::default(),
        })
    }

    pub(crate) fn acquire(self: &Arc<Self>, client: IpAddr) -> Option<ConnectionPermit> {
        let source = Source::from(client);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(source).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(ConnectionPermit {
            limiter: Arc::clone(self),
            source,
        })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let open = &self.limiter.open;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.source) {
            *count -= 1;
            // Removed at zero, so that the map is bounded by the open connections.
            if *count == 0 {
                open.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_limited_for_each_ipv4_address_and_each_ipv6_network() {
        let limiter = ConnectionLimiter::new(2);
        let take = |address: &str| limiter.acquire(address.parse().unwrap());
        let (one, two) = (take("192.0.2.1"), take("192.0.2.1"));
        assert!(one.is_some() && two.is_some() && take("192.0.2.1").is_none());
        assert!(take("192.0.2.2").is_some());
        drop(one);
        assert!(take("192.0.2.1").is_some());
        let (first, second) = (take("2001:db8::1"), take("2001:db8::2"));
        assert!(take("2001:db8::3").is_none());
        assert!(take("2001:db8:0:1::3").is_some());
        drop((two, first, second));
        assert!(limiter.open.lock().unwrap().is_empty());
    }

    #[test]
    fn networks_of_both_families_are_matched() {
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
