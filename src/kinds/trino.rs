//! `trino`: a Trino coordinator.

use http::HeaderMap;

use super::{Asked, Head, Health, Kind, Login, UserField, Verdict, coordinator};

/// Trino.
#[derive(Debug)]
pub(super) struct Trino;

impl Kind for Trino {
    fn name(&self) -> &'static str {
        "trino"
    }

    fn services(&self) -> &'static [&'static str] {
        &["HTTP", "trino", "presto"]
    }

    fn login(&self) -> Login {
        Login::EveryRequest
    }

    fn login_failed(&self, head: &Head<'_>) -> bool {
        coordinator::login_failed(head)
    }

    fn user_field(&self) -> UserField {
        UserField::Header("x-trino-user")
    }

    /// The header's user is the session's (`HttpRequestSessionContextFactory`); without it, the
    /// gateway's own: it is always sent.
    fn knows_only_the_told_user(&self) -> bool {
        true
    }

    fn identity_parameters(&self) -> &'static [&'static str] {
        &[]
    }

    /// `X-Trino-Original-User` goes before `X-Trino-User` where impersonation is judged.
    fn identity_headers(&self) -> &'static [&'static str] {
        &["x-trino-user", "x-trino-original-user", "x-presto-user"]
    }

    fn reads_forms(&self) -> bool {
        false
    }

    fn probe(&self) -> &'static str {
        coordinator::INFO
    }

    fn health(&self, head: &Head<'_>, body: &[u8]) -> Health {
        coordinator::health(head, body)
    }

    fn verdict(
        &self,
        asked: &Asked<'_>,
        head: &Head<'_>,
        _body: &[u8],
        _backends: &[std::sync::Arc<str>],
    ) -> Verdict {
        coordinator::verdict(asked, head)
    }

    fn owner<'a>(&self, asked: &Asked<'a>, headers: &'a HeaderMap) -> Option<&'a str> {
        coordinator::owner(asked, headers, "x-trino-transaction-id")
    }

    fn owner_by_id<'a>(&self, id: &'a str) -> Option<&'a str> {
        coordinator::coordinator_of(id)
    }

    fn begins_owned(&self) -> Option<&'static str> {
        Some("x-trino-started-transaction-id")
    }

    fn names_addresses(&self, asked: &Asked<'_>) -> bool {
        coordinator::names_addresses(asked)
    }
}
