//! `hiveserver2`: `HiveServer2` in HTTP transport mode (port 10001).

use super::thrift::Thrift;

/// `ThriftHttpServlet` reads `doAs` of every request. Only where there is none, and so under
/// `service`, the session's settings decide (`hive.server2.proxy.user`,
/// `ThriftCLIService.getProxyUser`). `username` of `TOpenSessionReq` counts for nothing by HTTP.
pub(super) static HIVESERVER2: Thrift = Thrift {
    name: "hiveserver2",
    services: &["HTTP", "hive"],
    simple_identity_obstacle: Some(
        "without Kerberos it takes the user from HTTP Basic alone, which the gateway does not send",
    ),
};
