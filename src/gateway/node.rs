//! Requests to a DataNode by a signed node path (`WebHDFS`' second step).
//!
//! The link carries its own credential, a delegation token that the NameNode gave this user; the
//! gateway adds none, and follows only links that it has signed for this very user. There and only
//! there `delegation` and `namenoderpcaddress` pass.

use std::{pin::pin, rc::Rc, time::Instant};

use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header, request::Parts};
use tokio::time::timeout_at;

use super::{console::Console, link, record::AnsweredBy};
use crate::{
    auth::{
        Scheme,
        session::{Session, unix_now},
    },
    gateway::body::Body,
    identity::headers,
    kinds,
    refusal::Refusal,
    rewrite::{
        location::{self, LinkRewrite},
        node, own_page,
    },
    server::RequestBody,
    upstream::{
        body::UpstreamBody,
        http1::{Head, RequestHead},
        pool::Pool,
        wire::ConnectError,
    },
};

/// Whether a path leads to a node.
pub(crate) fn is_node_path(path: &str) -> bool {
    path.starts_with(node::PREFIX)
}

/// Sends a request to the node that its path names.
pub(crate) async fn forward(
    console: &Console,
    session: &Session,
    parts: &Parts,
    body: RequestBody,
) -> Result<Response<Body>, Refusal> {
    let asked = Instant::now();
    let policy = console.nodes.as_ref().ok_or(Refusal::NodeDenied)?;
    let uri = parts.uri.clone();
    let target = node::open(
        uri.path(),
        uri.query().unwrap_or(""),
        policy,
        &console.link_key,
        unix_now(),
    )?;
    link::check(console, &target.grant, session.user())?;
    let tls = match target.scheme {
        Scheme::Plain => None,
        // a console that says nothing of TLS has nobody to believe
        Scheme::Tls => {
            let trust = console.node_trust.as_ref().ok_or(Refusal::NodeDenied)?;
            Some(trust.to(target.host).ok_or(Refusal::NodeDenied)?)
        }
    };
    let authority = format!("{}:{}", target.host, target.port);
    let path = if target.query.is_empty() {
        target.path.to_owned()
    } else {
        format!("{}?{}", target.path, target.query)
    };
    let mut headers = headers_for_node(parts.headers.clone());
    let host_header = HeaderValue::from_str(&authority).map_err(|_| Refusal::NotFound)?;
    let by_tls = super::is_tls(&parts.extensions);
    own_page::for_node(&mut headers, by_tls, tls.is_some(), &authority);
    headers.insert(header::HOST, host_header);
    let host = target.host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<_> = tokio::net::lookup_host((host, target.port))
        .await
        .map_err(|error| {
            tracing::warn!(node = %authority, "cannot resolve the node's name: {error}");
            Refusal::BackendDown
        })?
        .collect();
    // a DataNode closes after each answer, so nothing is pooled
    let pool: Rc<Pool> = Rc::default();
    let mut lease = pool
        .connect(&addresses, tls.as_ref(), None, console.timeouts.connect)
        .await
        .map_err(|error| {
            tracing::warn!(node = %authority, "cannot reach the node: {error}");
            match error {
                ConnectError::Tcp(_) => Refusal::BackendDown,
                ConnectError::Tls(_) => Refusal::BackendTls,
            }
        })?;
    let upload = console.upload(body, 0);
    let path: Uri = path.parse().map_err(|_| Refusal::BadQuery)?;
    let head = RequestHead::new(&parts.method, &path).lines(&headers);
    let mut sent = pin!(lease.connection.exchange(head, upload.reader()));
    let first_byte = console.timeouts.first_byte;
    let end = upload.due(first_byte);
    let mut end = end.unwrap_or_else(|| tokio::time::Instant::now() + first_byte);
    let Head { mut parts, .. } = loop {
        match timeout_at(end, sent.as_mut()).await {
            Ok(Ok(head)) => break head,
            Ok(Err(_)) if upload.broken().is_some() => return Err(Refusal::BadRequest),
            Ok(Err(_)) => return Err(Refusal::BackendBroken),
            // the time runs from the end of the request: files are large
            Err(_elapsed) => match upload.due(first_byte) {
                Some(later) if later > tokio::time::Instant::now() => end = later,
                Some(_) | None => return Err(upload.late().unwrap_or(Refusal::BackendTimeout)),
            },
        }
    };
    let waited = asked.elapsed();
    // nobody asked for another protocol
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Refusal::BackendBroken);
    }
    // it wants a login that the link does not carry: never the client's business
    if parts.status == StatusCode::UNAUTHORIZED {
        return Err(Refusal::BackendLogin);
    }
    headers_for_client(&mut parts.headers);
    location::apply(
        &mut parts.headers,
        &LinkRewrite {
            backends: &console.backends,
            parameters: console.kind.identity_parameters(),
            ..LinkRewrite::default()
        },
    )?;
    parts.extensions.insert(AnsweredBy {
        backend: authority.into(),
        asked,
        waited,
    });
    let body = Body::Upstream(UpstreamBody::new(None, lease));
    Ok(Response::from_parts(parts, body))
}

/// The client's headers without what names it or the gateway.
fn headers_for_node(mut headers: HeaderMap) -> HeaderMap {
    headers::strip(&mut headers, kinds::identity_headers());
    for name in [header::COOKIE, header::AUTHORIZATION, header::EXPECT] {
        headers.remove(name);
    }
    headers
}

/// A user's file is shown under the console's own origin: as data, never as a page.
fn headers_for_client(headers: &mut HeaderMap) {
    headers::strip_answer(headers);
    headers.remove(header::WWW_AUTHENTICATE);
    headers.remove(header::SET_COOKIE);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox"),
    );
}
