//! A refusal of the gateway's own, as the answer that the client reads best.

use http::{HeaderValue, Method, Response, Version, header, request::Parts};
use tower_http::request_id::RequestId;

use crate::{
    body::Body,
    refusal::{
        Refusal,
        page::{self, Context, Format},
    },
};

/// What a page needs of a request that has been taken apart.
#[derive(Debug)]
pub struct Asks {
    authority: Option<HeaderValue>,
    format: Format,
    head: bool,
    unread: bool,
    request_id: Option<HeaderValue>,
    tls: bool,
}

impl Asks {
    /// Notes what a page will need; costs no allocation. `body`: the request has one, which a
    /// refusal may leave unread.
    pub fn of(parts: &Parts, body: bool) -> Self {
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
        }
    }
}

/// The page, counted.
pub fn response(refusal: Refusal, asks: &Asks, console: &str) -> Response<Body> {
    refusal.count();
    let text = |value: &'_ Option<HeaderValue>| -> Option<String> {
        value.as_ref()?.to_str().ok().map(str::to_owned)
    };
    let (authority, request_id) = (text(&asks.authority), text(&asks.request_id));
    page::response(
        refusal,
        &Context {
            authority: authority.as_deref().unwrap_or_default(),
            scheme: if asks.tls { "https" } else { "http" },
            console,
            format: asks.format,
            head: asks.head,
            unread: asks.unread,
            request_id: request_id.as_deref(),
            principal: None,
        },
    )
}
