//! `[[stream]]`: the options of a relayed TCP or UDP service, with their defaults.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use ipnet::IpNet;

use crate::{balance::Algorithm, net::proxy_protocol::Version};

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// Name in logs and metrics.
    pub name: Arc<str>,
    pub kind: StreamKind,
    pub listen: Vec<SocketAddr>,
    /// `protocols` has `tcp`.
    pub tcp: bool,
    /// `protocols` has `udp`.
    pub udp: bool,
    /// The servers; never empty.
    pub backends: Vec<StreamBackend>,
    /// Default: `first`.
    pub balance: Algorithm,
    /// Networks that may connect; `None`: all.
    pub allow: Option<Arc<[IpNet]>>,
    /// Networks of load balancers that send a PROXY header; `None`: no peer does.
    pub accept_proxy: Option<Arc<[IpNet]>>,
    /// A TCP connection is closed after this time without bytes in either direction; 10 min.
    pub idle: Duration,
    /// A UDP flow ends after this time without datagrams; 30 s.
    pub udp_idle: Duration,
    /// Datagrams that a server may send for each datagram of the client; `None`: no limit.
    pub udp_responses: Option<u32>,
    /// Concurrent TCP connections, and separately concurrent UDP flows; 4,096.
    pub max_connections: usize,
    /// The same per source address; `None`: no limit.
    pub max_connections_per_source: Option<usize>,
    pub check: Check,
    /// The time in which the share of a server that came up again grows to the full one; 0 s.
    pub slow_start: Duration,
    /// Interval of DNS look-ups; 10 s.
    pub resolve: Duration,
}

/// `stream.kind`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    /// Bytes, not interpreted.
    Relay,
    /// Kerberos messages (RFC 4120 section 7.2): if one KDC does not reply, the request is sent to the next.
    Kdc,
}

impl StreamKind {
    /// The value in the configuration.
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
    /// Host name or IP address, without brackets.
    pub host: Arc<str>,
    pub port: u16,
    /// 1 to 256; 0: no new connections.
    pub weight: u32,
    /// Concurrent connections, for each address of the host name.
    pub max_connections: Option<usize>,
    /// Version of the PROXY header that is sent to the server.
    pub send_proxy: Option<Version>,
}

/// `stream.check`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// Time between two TCP connects; 2 s.
    pub interval: Duration,
    /// Consecutive successes after which a server is up; 2.
    pub rise: u32,
    /// Consecutive failures after which a server is down; 3.
    pub fall: u32,
    /// Timeout of a connect; 1 s.
    pub timeout: Duration,
}
