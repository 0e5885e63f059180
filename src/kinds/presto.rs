//! `presto`: a `PrestoDB` coordinator.

use http::HeaderMap;

use super::{Asked, Head, Health, Kind, Login, UserField, Verdict, coordinator};

/// `PrestoDB`.
#[derive(Debug)]
pub(super) struct Presto;

impl Kind for Presto {
    fn name(&self) -> &'static str {
        "presto"
    }

    fn services(&self) -> &'static [&'static str] {
        &["HTTP", "presto"]
    }

    /// Its `401`s to a replay are final, and it gives no cookie.
    fn login(&self) -> Login {
        Login::EveryRequest
    }

    fn login_failed(&self, head: &Head<'_>) -> bool {
        coordinator::login_failed(head)
    }

    fn user_field(&self) -> UserField {
        UserField::Header("x-presto-user")
    }

    /// There is no user but the header's: without it the coordinator answers 400.
    fn knows_only_the_told_user(&self) -> bool {
        true
    }

    fn identity_parameters(&self) -> &'static [&'static str] {
        &[]
    }

    /// `X-Presto-Prefix-Url` would make the coordinator write links to anywhere.
    fn identity_headers(&self) -> &'static [&'static str] {
        &["x-presto-user", "x-presto-prefix-url"]
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
        coordinator::owner(asked, headers, "x-presto-transaction-id")
    }

    fn owner_by_id<'a>(&self, id: &'a str) -> Option<&'a str> {
        coordinator::coordinator_of(id)
    }

    fn begins_owned(&self) -> Option<&'static str> {
        Some("x-presto-started-transaction-id")
    }

    fn names_addresses(&self, asked: &Asked<'_>) -> bool {
        coordinator::names_addresses(asked)
    }
}
