//! `trino`: a Trino coordinator.

use super::coordinator::{
    Coordinator,
    paths::{Entry, GET, POST, PUT},
};

/// `X-Trino-Original-User` goes before `X-Trino-User` where impersonation is judged, and older
/// clients still say `X-Presto-User`.
pub(super) static TRINO: Coordinator = Coordinator {
    name: "trino",
    services: &["HTTP", "trino", "presto"],
    user: "x-trino-user",
    identity: &[
        "x-trino-user",
        "x-trino-original-*",
        "x-trino-internal-bearer",
        "x-presto-user",
        "x-presto-original-*",
    ],
    published: &[
        // spooled results
        Entry(GET, "/v1/spooled/download/*"),
        Entry(GET, "/v1/spooled/ack/*"),
        // the pages of 476
        Entry(PUT, "/ui/api/query/*/killed"),
        Entry(PUT, "/ui/api/query/*/preempted"),
    ],
    forms: &[
        Entry(POST, "/ui/login"),
        Entry(POST, "/ui/preview/auth/login"),
    ],
    transaction: "x-trino-transaction-id",
    started: "x-trino-started-transaction-id",
};
