//! `hiveserver2`: `HiveServer2` in HTTP transport mode (`/cliservice`, port 10001).

use super::{Head, Health, Kind, Login, thrift};

/// `HiveServer2`.
#[derive(Debug)]
pub(super) struct HiveServer2;

impl Kind for HiveServer2 {
    fn name(&self) -> &'static str {
        "hiveserver2"
    }

    fn services(&self) -> &'static [&'static str] {
        &["HTTP", "hive"]
    }

    fn login(&self) -> Login {
        thrift::LOGIN
    }

    fn login_failed(&self, head: &Head<'_>) -> bool {
        thrift::login_failed(head)
    }

    /// `ThriftHttpServlet` reads `doAs` of every request, and its word goes before that of the
    /// session's settings (`hive.server2.proxy.user`); a refusal is a Thrift error in a 200.
    fn knows_only_the_told_user(&self) -> bool {
        true
    }

    fn identity_parameters(&self) -> &'static [&'static str] {
        &["doas", "user.name", "delegation"]
    }

    fn reads_forms(&self) -> bool {
        false
    }

    fn probe(&self) -> &'static str {
        thrift::PATH
    }

    fn health(&self, head: &Head<'_>, _body: &[u8]) -> Health {
        thrift::health(head)
    }
}
