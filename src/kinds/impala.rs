//! `impala`: an `impalad` that speaks `HiveServer2`'s protocol over HTTP (`/cliservice`, port 28000).
//!
//! No Impala server runs where this was written: what it does is read in its source.

use super::{Head, Health, Kind, Login, thrift};

/// Impala.
#[derive(Debug)]
pub(super) struct Impala;

impl Kind for Impala {
    fn name(&self) -> &'static str {
        "impala"
    }

    fn services(&self) -> &'static [&'static str] {
        &["HTTP", "impala"]
    }

    fn login(&self) -> Login {
        thrift::LOGIN
    }

    fn login_failed(&self, head: &Head<'_>) -> bool {
        thrift::login_failed(head)
    }

    /// `HttpPathFn` reads `doAs` of every request and asks `authorized_proxy_user_config`.
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
