//! `presto`: a `PrestoDB` coordinator.

use super::coordinator::Coordinator;

/// `X-Presto-Prefix-Url` would make the coordinator write addresses to anywhere.
pub(super) static PRESTO: Coordinator = Coordinator {
    name: "presto",
    services: &["HTTP", "presto"],
    user: "x-presto-user",
    identity: &["x-presto-user", "x-presto-prefix-url"],
    transaction: "x-presto-transaction-id",
    started: "x-presto-started-transaction-id",
};
