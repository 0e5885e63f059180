//! `presto`: a `PrestoDB` coordinator.

use super::coordinator::{
    Coordinator,
    paths::{DELETE, Entry, GET},
};

/// `X-Presto-Internal-Bearer` is how servers of a cluster log in to each other.
pub(super) static PRESTO: Coordinator = Coordinator {
    name: "presto",
    services: &["HTTP", "presto"],
    user: "x-presto-user",
    identity: &["x-presto-user", "x-presto-internal-bearer"],
    published: &[
        // `partialCancelUri`
        Entry(DELETE, "/v1/stage/*"),
        // the pages of 0.287 and 0.296
        Entry(GET, "/tableau/**"),
        Entry(GET, "/v1/cluster"),
        Entry(GET, "/v1/resourceGroupState/**"),
        Entry(GET, "/v1/taskInfo/*"),
        Entry(GET, "/v1/worker/*/status"),
        Entry(GET, "/v1/worker/*/thread"),
    ],
    forms: &[],
    transaction: "x-presto-transaction-id",
    started: "x-presto-started-transaction-id",
};
