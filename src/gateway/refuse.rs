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

/// The parts of a request that the page of a refusal needs, when the request itself is gone.
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
    /// `body`: the request has one, which a refusal may leave unread.
    pub(crate) fn of(parts: &Parts, body: bool) -> Self {
        // Costs no allocation: header values are shared. It is made before it is known whether the
        // request will be refused.
        Self {
            authority: parts.headers.get(header::HOST).cloned(),
            format: Format::of(&parts.headers),
            head: parts.method == Method::HEAD,
            // The connection has to be closed then, because the next request would be looked for in the
            // rest of the body. HTTP/2 resets the stream instead, and allows no `Connection`.
            unread: body && parts.version <= Version::HTTP_11,
            request_id: parts
                .extensions
                .get::<RequestId>()
                .map(|id| id.header_value().clone()),
            tls: super::is_tls(&parts.extensions),
            instead: None,
        }
    }

    /// Adds the host name that would have worked.
    pub(crate) fn instead(self, name: Option<&Arc<str>>) -> Self {
        Self {
            instead: name.cloned(),
            ..self
        }
    }
}

/// Why a request is refused, and which part of it.
#[derive(Debug)]
pub(crate) struct DetailedRefusal {
    /// The reason.
    pub refusal: Refusal,
    /// The part that is refused. May contain bytes of the client, escaped.
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
    pub(crate) fn path(error: PathError, path: &str) -> Self {
        Self {
            refusal: error.into(),
            detail: Some(error.describe(path)),
        }
    }
}

/// The page of a refusal. Counts it in the metric.
pub(crate) fn response(
    refusal: Refusal,
    context: &RefusalContext,
    console: &str,
) -> Response<Body> {
    detailed_response(&refusal.into(), context, console)
}

/// As [`response`], with the part that was refused.
pub(crate) fn detailed_response(
    denied: &DetailedRefusal,
    context: &RefusalContext,
    console: &str,
) -> Response<Body> {
    let DetailedRefusal { refusal, detail } = denied;
    let (refusal, detail) = (*refusal, detail.as_deref());
    refusal.count();
    // At debug level, because any client can cause it without a login; the access log has the reason.
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
