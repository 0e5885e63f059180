//! What Presto's and Trino's coordinators have in common.
//!
//! `POST /v1/statement` starts a query. Its response has the query's id and the address of the next
//! response, and so on. A query runs in one coordinator: any other responds with 404 or 410.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode};

use super::{Audience, Health, Kind, Login, RequestInfo, ResponseInfo, UserField, Verdict, hadoop};

pub(super) mod paths;

use paths::PathRule;

/// What differs between them.
#[derive(Debug)]
pub(super) struct Coordinator {
    pub(super) name: &'static str,
    pub(super) services: &'static [&'static str],
    /// The header with the user, lower case.
    pub(super) user: &'static str,
    /// Headers by which a client could name a user.
    pub(super) identity: &'static [&'static str],
    /// What clients and pages request, beyond [`paths::COMMON`].
    pub(super) published: &'static [PathRule],
    /// Forms by which a user logs in to the server's own pages.
    pub(super) forms: &'static [PathRule],
    /// The header with the transaction that a request belongs to.
    pub(super) transaction: &'static str,
    /// The response header with a transaction that has started.
    pub(super) started: &'static str,
}

impl Kind for Coordinator {
    fn name(&self) -> &'static str {
        self.name
    }

    fn services(&self) -> &'static [&'static str] {
        self.services
    }

    /// The Python clients' `KerberosAuthentication` requires a mutual token in every response by default.
    /// Java's clients send a token with every request too, and accept the cookie.
    fn cookieless_agents(&self) -> &'static [&'static str] {
        &["python"]
    }

    /// A coordinator sends no cookie and rejects a token that it receives twice.
    fn login(&self) -> Login {
        Login::EveryRequest
    }

    /// A 401 is about the gateway's token. What the user is not allowed to do is a 403 (Trino) or an
    /// error in the JSON (Presto).
    fn login_failed(&self, head: &ResponseInfo<'_>) -> bool {
        head.status == StatusCode::UNAUTHORIZED
    }

    fn user_field(&self) -> UserField {
        UserField::Header(self.user)
    }

    /// The session's user is the one in the header: Presto responds with 400 without it, and the gateway
    /// always sends it to Trino (`HttpRequestSessionContextFactory`).
    fn user_field_is_authoritative(&self) -> bool {
        true
    }

    fn identity_headers(&self) -> &'static [&'static str] {
        self.identity
    }

    fn audience(&self, request: &RequestInfo<'_>) -> Audience {
        let listed = |entries| paths::lists(entries, request.method, request.path);
        if listed(paths::COMMON) || listed(self.published) {
            Audience::Clients
        } else if listed(self.forms) {
            Audience::LoginForm
        } else {
            // Anything that is not listed: the internal interface is on the same port, and accepts the
            // gateway's login (see `paths`).
            Audience::Internal
        }
    }

    fn reads_forms(&self) -> bool {
        false
    }

    fn probe(&self) -> &'static str {
        "/v1/info"
    }

    /// `{"nodeVersion":{…},"coordinator":true,"starting":false,…}`
    fn health(&self, head: &ResponseInfo<'_>, body: &[u8]) -> Health {
        let said = |text: &[u8]| hadoop::contains(body, text);
        if head.status == StatusCode::OK
            && said(br#""coordinator":true"#)
            && said(br#""starting":false"#)
        {
            Health::Active
        } else {
            Health::Down
        }
    }

    fn verdict(
        &self,
        request: &RequestInfo<'_>,
        head: &ResponseInfo<'_>,
        _: &[u8],
        _: &[Arc<str>],
    ) -> Verdict {
        let unknown = matches!(head.status, StatusCode::NOT_FOUND | StatusCode::GONE);
        let elsewhere = unknown || (head.status.is_success() && acknowledges_anything(request));
        if self.login_failed(head) {
            Verdict::LoginFailed
        // A POST starts a query, and is never sent to a second coordinator.
        } else if elsewhere && request.method != Method::POST && query_in(request).is_some() {
            Verdict::NotOwner
        } else {
            Verdict::Final
        }
    }

    fn owner<'a>(&self, request: &RequestInfo<'a>, headers: &'a HeaderMap) -> Option<&'a str> {
        owner(request, headers, self.transaction)
    }

    /// A coordinator draws the last five characters of its query ids at random when it starts
    /// (`QueryIdGenerator`).
    fn owner_by_id<'a>(&self, id: &'a str) -> Option<&'a str> {
        coordinator_of(id)
    }

    fn owner_header(&self) -> Option<&'static str> {
        Some(self.started)
    }

    /// Results of queries, and the descriptions of queries by `QueryResource` and the pages (`self`).
    fn body_names_addresses(&self, request: &RequestInfo<'_>) -> bool {
        let starts = ["/v1/statement", "/v1/query", "/ui/api/query"];
        starts.iter().any(|start| request.path.starts_with(start))
    }

    /// `partialCancelUri` and `self` contain the name by which the workers know the coordinator. Addresses
    /// for its workers (`/v1/task/…`) are not published, and the storage of spooled results is another
    /// server.
    fn is_own_address(&self, field: &str, path: &str) -> bool {
        match field {
            "nextUri" | "infoUri" | "partialCancelUri" | "ackUri" | "self" => {
                paths::lists_path(paths::COMMON, path) || paths::lists_path(self.published, path)
            }
            "uri" => self.is_bearer_path(path),
            _ => false,
        }
    }

    /// The identifiers of spooled segments are encrypted by the coordinator (`CoordinatorSegmentResource`
    /// requires no login), and Trino's drivers fetch them with an HTTP client that does not log in.
    fn is_bearer_path(&self, path: &str) -> bool {
        path.starts_with("/v1/spooled/") && paths::lists_path(self.published, path)
    }

    fn has_node_links(&self) -> bool {
        self.is_bearer_path("/v1/spooled/download/x")
    }

    /// A coordinator may redirect the request for a segment to one of its workers
    /// (`protocol.spooling.retrieval-mode = WORKER_PROXY`).
    fn redirects_to_nodes(&self, request: &RequestInfo<'_>) -> bool {
        self.is_bearer_path(request.path)
    }

    /// Only here: other responses about a query may come from a coordinator that fetched them from the
    /// owner (`resource-manager-enabled`).
    fn names_owner(&self, request: &RequestInfo<'_>) -> bool {
        request.path.starts_with("/v1/statement")
    }
}

/// Whether the server responds with 204 even if it does not run the query (`QueryResource.cancelQuery`,
/// `StageResource.cancelStage`). Cancelling is idempotent, so every coordinator is asked.
fn acknowledges_anything(request: &RequestInfo<'_>) -> bool {
    let by_id = ["/v1/query/", "/v1/stage/"];
    request.method == Method::DELETE && by_id.iter().any(|start| request.path.starts_with(start))
}

/// The coordinator that a request belongs to: that of its query, else that of its transaction.
fn owner<'a>(
    request: &RequestInfo<'a>,
    headers: &'a HeaderMap,
    transaction: &str,
) -> Option<&'a str> {
    query_in(request).and_then(coordinator_of).or_else(|| {
        let id = headers.get(transaction)?.to_str().ok()?;
        is_transaction(id).then_some(id)
    })
}

/// Presto and Trino use UUIDs (`TransactionId.create`), which differ from every coordinator's key. A
/// client that invents one can choose a server, and nothing else.
fn is_transaction(id: &str) -> bool {
    id.len() == 36 && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}

fn coordinator_of(query: &str) -> Option<&str> {
    is_query(query).then(|| &query[query.len() - 5..])
}

/// `20261126_101500_00042_abcde`
fn is_query(id: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let mut pieces = id.split('_');
    let (Some(day), Some(time), Some(number), Some(coordinator), None) = (
        pieces.next(),
        pieces.next(),
        pieces.next(),
        pieces.next(),
        pieces.next(),
    ) else {
        return false;
    };
    let letters = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    day.len() == 8
        && digits(day)
        && time.len() == 6
        && digits(time)
        && digits(number)
        && coordinator.len() == 5
        && coordinator.bytes().all(letters)
}

/// The query that a request is about: a segment of its path (also `/v1/stage/<query>.<n>`), or the
/// query string of the UI's page.
fn query_in<'a>(request: &RequestInfo<'a>) -> Option<&'a str> {
    let segment = |text: &'a str| {
        let id = text.split('.').next().unwrap_or(text);
        is_query(id).then_some(id)
    };
    let in_path = || request.path.split('/').find_map(segment);
    let in_ui = || {
        let ui = request.path.starts_with("/ui/");
        ui.then(|| request.query.split('&').find_map(segment))?
    };
    in_path().or_else(in_ui)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const GET: Method = Method::GET;

    fn request<'a>(method: &'a Method, path: &'a str, query: &'a str) -> RequestInfo<'a> {
        RequestInfo {
            method,
            path,
            query,
        }
    }

    fn owner_of(path: &str, query: &str) -> Option<String> {
        let headers = HeaderMap::new();
        owner(
            &request(&GET, path, query),
            &headers,
            "x-presto-transaction-id",
        )
        .map(str::to_owned)
    }

    #[test]
    fn the_coordinator_is_read_from_a_query_id_in_any_position() {
        for (path, query) in [
            (
                "/v1/statement/queued/20261126_101500_00042_abcde/1",
                "slug=x",
            ),
            (
                "/v1/statement/executing/20261126_101500_00042_abcde/y1234/0",
                "",
            ),
            ("/v1/query/20261126_101500_00042_abcde", ""),
            ("/v1/stage/20261126_101500_00042_abcde.0", ""),
            ("/ui/query.html", "20261126_101500_00042_abcde"),
            ("/v1/query/20261126_101500_123456789_abcde", ""),
        ] {
            assert_eq!(owner_of(path, query).as_deref(), Some("abcde"), "{path}");
        }
        for (path, query) in [
            ("/v1/statement", ""),
            ("/v1/info", "20261126_101500_00042_abcde"),
            ("/v1/query/20261126_101500_00042_ABCDE", ""),
            ("/v1/query/2026112_101500_00042_abcde", ""),
            ("/v1/query/20261126_101500_00042_abcdef", ""),
        ] {
            assert_eq!(owner_of(path, query), None, "{path}");
        }
    }

    #[test]
    fn a_transaction_belongs_to_a_coordinator_and_none_does_not() {
        let with = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-presto-transaction-id", HeaderValue::from_static(value));
            let request = request(&Method::POST, "/v1/statement", "");
            owner(&request, &headers, "x-presto-transaction-id").map(str::to_owned)
        };
        let id = "0f8fad5b-d9cb-469f-a165-70867728950e";
        assert_eq!(with(id).as_deref(), Some(id));
        for none in ["NONE", "", "abcde", "0f8fad5b"] {
            assert_eq!(with(none), None);
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_without_panic(path in ".*", id in "[0-9]{8}_[0-9]{6}_[0-9]{1,5}_[a-z0-9é]{0,6}") {
            let _ = owner_of(&path, &path);
            let _ = owner_of(&format!("/ui/{id}"), &id);
        }
    }
}
