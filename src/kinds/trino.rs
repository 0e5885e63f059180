//! `trino`: a Trino coordinator.

use super::coordinator::{
    Coordinator,
    paths::{GET, POST, PUT, PathRule},
};

/// `X-Trino-Original-User` has precedence over `X-Trino-User` when impersonation is checked, and older
/// clients still send `X-Presto-User`.
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
        // The segments of spooled results.
        PathRule(GET, "/v1/spooled/download/*"),
        PathRule(GET, "/v1/spooled/ack/*"),
        // The pages of version 476.
        PathRule(PUT, "/ui/api/query/*/killed"),
        PathRule(PUT, "/ui/api/query/*/preempted"),
    ],
    forms: &[
        PathRule(POST, "/ui/login"),
        PathRule(POST, "/ui/preview/auth/login"),
    ],
    transaction: "x-trino-transaction-id",
    started: "x-trino-started-transaction-id",
};
