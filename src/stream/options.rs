//! `[[stream]]`: what a relayed TCP or UDP service is.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ipnet::IpNet;

use crate::{balance::Algorithm, net::proxy_protocol::Version};

/// `[[stream]]`: one relayed service.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// Its name, in logs and metrics.
    pub name: Arc<str>,
    /// Whether the gateway understands what passes.
    pub kind: StreamKind,
    /// Addresses clients connect to.
    pub listen: Vec<SocketAddr>,
    /// `protocols` has `tcp`.
    pub tcp: bool,
    /// `protocols` has `udp`.
    pub udp: bool,
    /// The servers; never empty.
    pub backends: Vec<StreamBackend>,
    /// How one of them is chosen; `first`.
    pub balance: Algorithm,
    /// Networks that may use it; `None`: all.
    pub allow: Option<Arc<[IpNet]>>,
    /// Peers (balancers) whose connections begin with a PROXY header; `None`: nobody's do.
    pub accept_proxy: Option<Arc<[IpNet]>>,
    /// A connection on which nothing passes either way for so long ends; 10 min.
    pub idle: Duration,
    /// A UDP flow that nothing passes in for so long is forgotten; 30 s.
    pub udp_idle: Duration,
    /// Datagrams that a server may send for each one of the client; `None`: as many as it likes.
    pub udp_responses: Option<u32>,
    /// Connections, and apart from them UDP flows, at the same time; 4,096.
    pub max_connections: usize,
    /// The same of one source address; `None`: no limit of its own.
    pub max_connections_per_source: Option<usize>,
    /// How servers are looked after.
    pub check: Check,
    /// A server that came up again gets its full share only after so long; 0 s.
    pub slow_start: Duration,
    /// How often names of servers are looked up again; 10 s.
    pub resolve: Duration,
}

/// `stream.kind`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// Bytes.
    Relay,
    /// Kerberos messages (RFC 4120 section 7.2): a request that one KDC does not answer goes to the
    /// next.
    Kdc,
}

impl StreamKind {
    /// The word of the configuration file.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::Kdc => "kdc",
        }
    }
}

/// One server of a stream.
#[derive(Clone, Debug)]
pub(crate) struct StreamBackend {
    /// `host:port`, lower case; an IPv6 address in brackets.
    pub address: Arc<str>,
    /// Host name or address, without brackets.
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// Share of the load; 1 to 256, 0: nothing new.
    pub weight: u32,
    /// Connections at the same time, for each address of the name.
    pub max_connections: Option<usize>,
    /// The PROXY header that it is sent.
    pub send_proxy: Option<Version>,
}

/// `stream.check`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// Between two TCP connects; 2 s.
    pub interval: Duration,
    /// Successes after which a server is up; 2.
    pub rise: u32,
    /// Failures after which it is down; 3.
    pub fall: u32,
    /// How long a connect may take; 1 s.
    pub timeout: Duration,
}
