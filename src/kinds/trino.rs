//! `trino`: a Trino coordinator.

use super::coordinator::Coordinator;

/// `X-Trino-Original-User` goes before `X-Trino-User` where impersonation is judged, and older
/// clients still say `X-Presto-User`.
pub(super) static TRINO: Coordinator = Coordinator {
    name: "trino",
    services: &["HTTP", "trino", "presto"],
    user: "x-trino-user",
    identity: &["x-trino-user", "x-trino-original-user", "x-presto-user"],
    transaction: "x-trino-transaction-id",
    started: "x-trino-started-transaction-id",
};
