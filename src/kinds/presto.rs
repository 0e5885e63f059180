//! `presto`: a `PrestoDB` coordinator.

use super::coordinator::{
    Coordinator,
    paths::{DELETE, GET, PathRule},
};

/// With `X-Presto-Internal-Bearer` the servers of a cluster log in to each other.
pub(super) static PRESTO: Coordinator = Coordinator {
    name: "presto",
    services: &["HTTP", "presto"],
    user: "x-presto-user",
    identity: &["x-presto-user", "x-presto-internal-bearer"],
    published: &[
        // Clients cancel a stage by `partialCancelUri`.
        PathRule(DELETE, "/v1/stage/*"),
        // The pages of versions 0.287 and 0.296.
        PathRule(GET, "/tableau/**"),
        PathRule(GET, "/v1/cluster"),
        PathRule(GET, "/v1/resourceGroupState/**"),
        PathRule(GET, "/v1/taskInfo/*"),
        PathRule(GET, "/v1/worker/*/status"),
        PathRule(GET, "/v1/worker/*/thread"),
    ],
    forms: &[],
    transaction: "x-presto-transaction-id",
    started: "x-presto-started-transaction-id",
};
