//! `impala`: an `impalad` that speaks `HiveServer2`'s protocol over HTTP (port 28000).
//!
//! No Impala server runs where this was written: what it does is read in its source.

use super::thrift::Thrift;

/// `HttpPathFn` reads `doAs` of every request and asks `authorized_proxy_user_config`. In
/// `ImpalaServer::OpenSession` the key `impala.doas.user` comes after that and goes before it (later
/// versions refuse the call), and a connection without a login is whoever `username` says: that is
/// how the user is told under `simple`.
pub(super) static IMPALA: Thrift = Thrift {
    name: "impala",
    services: &["HTTP", "impala"],
    simple_identity_obstacle: None,
};
