//! `hiveserver2`: `HiveServer2` in HTTP transport mode (port 10001).

use super::thrift::Thrift;

/// `ThriftHttpServlet` reads `doAs` of every request, and its word goes before that of the session's
/// settings (`hive.server2.proxy.user`).
pub(super) static HIVESERVER2: Thrift = Thrift {
    name: "hiveserver2",
    services: &["HTTP", "hive"],
};
