//! Why a relayed connection, flow or KDC exchange ended, unless client or server ended it normally.

use strum::{IntoStaticStr, VariantArray};

/// The reason in the access log and in `spnegate_stream_ends_total{reason}`.
///
/// The word is the variant's name in `snake_case`. The words are a promise to operators, so a variant is
/// never renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Reason {
    /// The source address is not in `allow`.
    SourceDenied,
    /// The stream has `max_connections`.
    ConnectionLimit,
    /// The source address has `max_connections_per_source`.
    SourceLimit,
    /// A peer in `accept_proxy` did not send a PROXY header, or not in time.
    ProxyHeader,
    /// No server accepted the connection or replied.
    BackendDown,
    /// Every server has its `max_connections`.
    BackendFull,
    /// The host name of no server has been resolved yet.
    BackendUnresolved,
    /// No bytes in either direction for `idle`.
    IdleTimeout,
    /// The client reset the connection.
    ClientReset,
    /// The server reset the connection.
    BackendReset,
    /// The gateway was shut down before the connection ended.
    Drained,
    /// A message to a KDC that is longer than the limit.
    MessageTooLong,
    /// A message to a KDC that is not a Kerberos request.
    MessageMalformed,
    /// The gateway has no file descriptor or port left.
    OutOfResources,
    /// A request to the KDC proxy for a realm that it does not serve.
    RealmDenied,
    /// A request to the KDC proxy that is not MS-KKDCP.
    RequestMalformed,
    /// The body of a request to the KDC proxy did not arrive within `timeouts.head`.
    RequestTimeout,
}

impl Reason {
    /// Every reason.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The word in logs and metrics.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
