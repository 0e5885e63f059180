//! Rewrites the links in HTML pages.
//!
//! On the request path: for pages of kinds whose servers name each other by full addresses
//! ([`crate::kinds::Kind::pages_name_servers`]). A link to one of the console's own servers becomes
//! one within the console, a link to a server of another console becomes one to that console, others stay.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header, response::Parts};

use super::RequestClient;
use crate::{
    gateway::{body::Body, console::Console},
    rewrite::{
        consoles::ClientOrigin,
        location::{self, LinkRewrite},
        pages::{LinkMapper, Pages},
    },
    upstream::{dispatch::Outgoing, rewritten::RewrittenBody},
};

/// Wraps the body of a page whose links have to be rewritten.
pub(crate) fn rewritten(
    body: Body,
    parts: &mut Parts,
    out: &Outgoing,
    client: &RequestClient<'_>,
    console: &Arc<Console>,
) -> Body {
    match body {
        Body::Upstream(page) if is_page(console, out, parts.status, &parts.headers) => {
            // The rewritten page has another length, which is known only at its end.
            parts.headers.remove(header::CONTENT_LENGTH);
            let mapper = mapper(console, client, out);
            Body::Page(Box::new(RewrittenBody::new(page, Pages::new(mapper))))
        }
        other => other,
    }
}

/// Whether the response is a page whose links have to be rewritten.
fn is_page(console: &Console, out: &Outgoing, status: StatusCode, headers: &HeaderMap) -> bool {
    // A compressed page is passed through: a link that is not rewritten leaks nothing, it only fails.
    // Hadoop's servers do not compress pages.
    const HTML: &[u8] = b"text/html";
    let html = |value: &HeaderValue| {
        let start = value.as_bytes().get(..HTML.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(HTML))
    };
    console.kind.pages_name_servers()
        && status == StatusCode::OK
        && out.method != Method::HEAD
        && !headers.contains_key(header::CONTENT_ENCODING)
        && headers.get(header::CONTENT_TYPE).is_some_and(html)
}

fn mapper(console: &Arc<Console>, client: &RequestClient<'_>, out: &Outgoing) -> LinkMapper {
    let console = Arc::clone(console);
    let origin = client.origin(&out.headers, &console.hosts);
    let authority = super::authority(&out.headers);
    let host: Box<str> = super::host_name(authority, &console.hosts).into();
    let tls = client.tls;
    Box::new(move |address| {
        let here = ClientOrigin {
            origin: &origin,
            host: &host,
            tls,
            listen: &console.listen,
        };
        let links = LinkRewrite {
            backends: &console.backends,
            parameters: console.kind.identity_parameters(),
            consoles: Some((&console.consoles, here)),
            ..LinkRewrite::default()
        };
        location::rewrite(address, &links).ok().flatten()
    })
}
