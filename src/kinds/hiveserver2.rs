//! `hiveserver2`: `HiveServer2` in HTTP transport mode (port 10001).

use super::thrift::Thrift;

/// `ThriftHttpServlet` reads `doAs` of every request. Only without it, as with `identity = "service"`, do the
/// session's settings decide (`hive.server2.proxy.user`, `ThriftCLIService.getProxyUser`). `username`
/// of `TOpenSessionReq` is ignored over HTTP.
pub(super) static HIVESERVER2: Thrift = Thrift {
    name: "hiveserver2",
    services: &["HTTP", "hive"],
    simple_identity_obstacle: Some(
        "without Kerberos it reads the user from HTTP Basic only, which the gateway does not send",
    ),
};
