//! `impala`: an `impalad` that speaks `HiveServer2`'s protocol over HTTP (port 28000).
//!
//! Written from Impala's source; not tested against a real server.

use super::thrift::Thrift;

/// `HttpPathFn` reads `doAs` of every request and checks it against `authorized_proxy_user_config`.
/// `ImpalaServer::OpenSession` reads the key `impala.doas.user` after that, and it wins (later versions
/// refuse the call): so the body is checked for it. A connection without a login is the user in
/// `username`, which is where `identity = "simple"` names the user.
pub(super) static IMPALA: Thrift = Thrift {
    name: "impala",
    services: &["HTTP", "impala"],
    simple_identity_obstacle: None,
};
