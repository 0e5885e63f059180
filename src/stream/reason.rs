//! Why a relayed connection or flow ended otherwise than by itself: the words of log and metrics.

/// The end of a connection, flow or exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The source address is in none of the networks of `allow`.
    SourceDenied,
    /// `max_connections` are there.
    ConnectionLimit,
    /// `max_connections_per_source` are there.
    SourceLimit,
    /// A peer of `accept_proxy` began with something else than a PROXY header, or not in time.
    ProxyHeader,
    /// No server could be connected to, or none answered.
    BackendDown,
    /// Every server has its `max_connections`.
    BackendFull,
    /// A name of a server has not been found yet.
    BackendUnresolved,
    /// Nothing passed for `idle`.
    IdleTimeout,
    /// The client broke the connection off.
    ClientReset,
    /// The server broke the connection off.
    BackendReset,
    /// The gateway was shut down before the connection ended.
    Drained,
    /// A message to a KDC that is longer than any may be.
    MessageTooLong,
    /// A message to a KDC that is none.
    MessageMalformed,
    /// The gateway has no file descriptor or port left.
    OutOfResources,
    /// A KDC proxy was asked for a realm that is not in its list.
    RealmDenied,
    /// A KDC proxy was asked in a way that is not MS-KKDCP.
    RequestMalformed,
    /// The message for a KDC proxy did not arrive within `timeouts.head`.
    RequestTimeout,
}

impl Reason {
    /// Every reason, for tables and tests.
    pub const ALL: &'static [Self] = &[
        Self::SourceDenied,
        Self::ConnectionLimit,
        Self::SourceLimit,
        Self::ProxyHeader,
        Self::BackendDown,
        Self::BackendFull,
        Self::BackendUnresolved,
        Self::IdleTimeout,
        Self::ClientReset,
        Self::BackendReset,
        Self::Drained,
        Self::MessageTooLong,
        Self::MessageMalformed,
        Self::OutOfResources,
        Self::RealmDenied,
        Self::RequestMalformed,
        Self::RequestTimeout,
    ];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SourceDenied => "source_denied",
            Self::ConnectionLimit => "connection_limit",
            Self::SourceLimit => "source_limit",
            Self::ProxyHeader => "proxy_header",
            Self::BackendDown => "backend_down",
            Self::BackendFull => "backend_full",
            Self::BackendUnresolved => "backend_unresolved",
            Self::IdleTimeout => "idle_timeout",
            Self::ClientReset => "client_reset",
            Self::BackendReset => "backend_reset",
            Self::Drained => "drained",
            Self::MessageTooLong => "message_too_long",
            Self::MessageMalformed => "message_malformed",
            Self::OutOfResources => "out_of_resources",
            Self::RealmDenied => "realm_denied",
            Self::RequestMalformed => "request_malformed",
            Self::RequestTimeout => "request_timeout",
        }
    }
}
