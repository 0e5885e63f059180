//! Requests to a DataNode by a signed node path (the second step of `WebHDFS`).
//!
//! The link carries its own credential, a delegation token that the NameNode has issued for this
//! user. The gateway adds none, and follows only links that it has signed for this user. `delegation`
//! and `namenoderpcaddress` are forwarded nowhere else.

use std::{pin::pin, rc::Rc, time::Instant};

use http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header, request::Parts};

use super::{console::Console, link, record::ServedBy};
use crate::{
    auth::{
        Scheme,
        session::{Session, unix_now},
    },
    gateway::body::Body,
    identity::headers,
    kinds::{self, Verdict},
    refusal::Refusal,
    rewrite::{
        location::{self, LinkRewrite},
        node, own_page,
    },
    server::RequestBody,
    upstream::{
        attempt::{Attempt, HeadTimeout, Received, await_head},
        body::UpstreamBody,
        login::LoginHeader,
        pool::Pool,
        wire::ConnectError,
    },
};

pub(crate) fn is_node_path(path: &str) -> bool {
    path.starts_with(node::PREFIX)
}

/// Sends a request to the node named by its path.
pub(crate) async fn forward(
    console: &Console,
    session: &Session,
    parts: &Parts,
    body: RequestBody,
) -> Result<Response<Body>, Refusal> {
    let started = Instant::now();
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
        // Without `backend_tls` there is no certificate to trust.
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
    headers.remove(header::HOST);
    let host = target.host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<_> = tokio::net::lookup_host((host, target.port))
        .await
        .map_err(|error| {
            tracing::warn!(node = %authority, "cannot resolve the node's name: {error}");
            Refusal::BackendDown
        })?
        .collect();
    // A pool for this request only: DataNodes close the connection after each response (`WebHdfsHandler`).
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
    let exchange = Attempt::new(&mut lease.connection, &parts.method, &path, &host_header)
        .authenticate(LoginHeader::None, None)
        .headers(|head| head.lines(&headers))
        .send(upload.reader());
    let first_byte = console.timeouts.first_byte;
    // The time runs from the end of the request, because the upload of a large file takes long.
    let due = || upload.due(first_byte);
    let latest = tokio::time::Instant::now() + first_byte;
    let received = match await_head(pin!(exchange), due, latest).await {
        Ok(Ok(head)) => Received::from(head),
        Ok(Err(_)) if upload.broken().is_some() => return Err(Refusal::BadRequest),
        Ok(Err(_)) => return Err(Refusal::BackendBroken),
        Err(HeadTimeout) => return Err(upload.late().unwrap_or(Refusal::BackendTimeout)),
    };
    let waited = started.elapsed();
    // A node that asks for a login cannot be satisfied: the link carries none, and the client's own
    // credentials are for the gateway.
    let verdict = received.classify(false, |info, _| match info.status {
        StatusCode::UNAUTHORIZED => Verdict::LoginFailed,
        _ => Verdict::Final,
    })?;
    if verdict == Verdict::LoginFailed {
        return Err(Refusal::BackendLogin);
    }
    let mut parts = received.parts;
    headers_for_client(&mut parts.headers);
    location::apply(
        &mut parts.headers,
        &LinkRewrite {
            backends: &console.backends,
            parameters: console.kind.identity_parameters(),
            ..LinkRewrite::default()
        },
    )?;
    parts.extensions.insert(ServedBy {
        backend: authority.into(),
        started,
        waited,
    });
    let body = Body::Upstream(UpstreamBody::new(None, lease));
    Ok(Response::from_parts(parts, body))
}

/// The client's headers without those that carry its identity or the gateway's.
fn headers_for_node(mut headers: HeaderMap) -> HeaderMap {
    headers::strip(&mut headers, kinds::identity_headers());
    for name in [header::COOKIE, header::AUTHORIZATION, header::EXPECT] {
        headers.remove(name);
    }
    headers
}

fn headers_for_client(headers: &mut HeaderMap) {
    // The content is a user's file, and it has the console's own origin here. `sandbox` and `nosniff` keep
    // browsers from running it as a page of the console.
    headers::strip_response(headers);
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
