//! Turns a refusal into the response: a page, JSON or text, as the client accepts.

use std::sync::Arc;

use http::{HeaderValue, Method, Response, Version, header, request::Parts};
use tower_http::request_id::RequestId;

use super::request::{host::HostError, path::PathError};
use crate::{
    gateway::body::Body,
    refusal::{
        Refusal,
        page::{self, Format, PageContext},
    },
};

/// What a page needs of a request that has been taken apart.
#[derive(Debug)]
pub(crate) struct RefusalContext {
    authority: Option<HeaderValue>,
    format: Format,
    head: bool,
    unread: bool,
    request_id: Option<HeaderValue>,
    tls: bool,
    instead: Option<Arc<str>>,
}

impl RefusalContext {
    /// Notes what a page will need; costs no allocation. `body`: the request has one, which a
    /// refusal may leave unread.
    pub(crate) fn of(parts: &Parts, body: bool) -> Self {
        Self {
            authority: parts.headers.get(header::HOST).cloned(),
            format: Format::of(&parts.headers),
            head: parts.method == Method::HEAD,
            // HTTP/2 ends a stream, and knows no `Connection`
            unread: body && parts.version <= Version::HTTP_11,
            request_id: parts
                .extensions
                .get::<RequestId>()
                .map(|id| id.header_value().clone()),
            tls: super::is_tls(&parts.extensions),
            instead: None,
        }
    }

    /// Names the host that would have worked.
    pub(crate) fn instead(self, name: Option<&Arc<str>>) -> Self {
        Self {
            instead: name.cloned(),
            ..self
        }
    }
}

/// Why a request is refused, and what in it.
#[derive(Debug)]
pub(crate) struct DetailedRefusal {
    /// The reason.
    pub refusal: Refusal,
    /// What exactly, with bytes of the client.
    pub detail: Option<String>,
}

impl From<Refusal> for DetailedRefusal {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            detail: None,
        }
    }
}

impl From<HostError> for DetailedRefusal {
    fn from(error: HostError) -> Self {
        Self {
            refusal: error.into(),
            detail: Some(error.to_string()),
        }
    }
}

impl DetailedRefusal {
    /// Of a path that does not pass.
    pub(crate) fn path(error: PathError, path: &str) -> Self {
        Self {
            refusal: error.into(),
            detail: Some(error.describe(path)),
        }
    }
}

/// The page, counted.
pub(crate) fn response(
    refusal: Refusal,
    context: &RefusalContext,
    console: &str,
) -> Response<Body> {
    detailed_response(&refusal.into(), context, console)
}

/// The page with what exactly was refused, counted.
pub(crate) fn detailed_response(
    denied: &DetailedRefusal,
    context: &RefusalContext,
    console: &str,
) -> Response<Body> {
    let DetailedRefusal { refusal, detail } = denied;
    let (refusal, detail) = (*refusal, detail.as_deref());
    refusal.count();
    tracing::debug!(
        target: "spnegate::gateway",
        console,
        reason = refusal.reason(),
        detail,
        setting = refusal.setting(),
        "request refused"
    );
    let text = |value: &'_ Option<HeaderValue>| -> Option<String> {
        value.as_ref()?.to_str().ok().map(str::to_owned)
    };
    let (authority, request_id) = (text(&context.authority), text(&context.request_id));
    page::response(
        refusal,
        &PageContext {
            authority: authority.as_deref().unwrap_or_default(),
            scheme: if context.tls { "https" } else { "http" },
            console,
            format: context.format,
            head: context.head,
            unread: context.unread,
            request_id: request_id.as_deref(),
            principal: None,
            instead: context.instead.as_deref(),
            detail,
        },
    )
}
