//! The innermost service of a console: a request that passed login and access rules goes to a backend.
//!
//! 1. A link of the gateway is opened; a node link leaves for [`super::node`].
//! 2. Requests that no user may make through the gateway are refused.
//! 3. The body is checked as far as it can be before a backend gets the head ([`body_check`]).
//! 4. [`outgoing`] strips what only the gateway may say, then sets it.
//! 5. [`Upstream`] makes the attempts.
//! 6. [`super::response`] makes the backend's response fit for the client.

use std::{
    convert::Infallible,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use futures_util::future::LocalBoxFuture;
use http::{HeaderValue, Request, Response, Version, header, request::Parts};
use http_body::Body as _;

use super::{console::Console, link, node, record::ServedBy, refuse, response};
use crate::{
    auth::session::Session,
    gateway::body::Body,
    identity::{IdentityMode, credentials, query},
    kinds::{Audience, RequestInfo},
    refusal::Refusal,
    rewrite,
    server::RequestBody,
    upstream::{dispatch::Upstream, next::BodyState, upload::Upload},
};

mod body_check;
mod outgoing;
mod upgrade;

/// Sends a console's requests to its backends.
#[derive(Clone, Debug)]
pub(crate) struct Forward(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    console: Arc<Console>,
    upstream: Upstream,
}

// === impl Forward ===

impl Forward {
    pub(crate) fn new(console: Arc<Console>, upstream: Upstream) -> Self {
        Self(Rc::new(Inner { console, upstream }))
    }

    pub(super) fn console_name(&self) -> &str {
        &self.0.console.name
    }

    /// Whether a node path names one of this console's nodes.
    pub(super) fn knows_node(&self, path: &str) -> bool {
        let nodes = self.0.console.nodes.as_ref();
        nodes.is_some_and(|policy| rewrite::node::is_allowed(path, policy))
    }

    /// The session that a signed link of this console stands for; see [`link::session`].
    pub(super) fn session_of_link(&self, parts: &Parts) -> Result<Option<Arc<Session>>, Refusal> {
        link::session(&self.0.console, parts)
    }

    /// Whether an escaped backslash is allowed in this path. HDFS allows it in file names, and none of
    /// its servers reads it as a slash.
    pub(super) fn allows_backslash(&self, path: &str) -> bool {
        self.0.console.kind.serves_webhdfs() && link::inner_path(path).starts_with("/webhdfs/")
    }

    /// Closes connections that have been idle for too long.
    pub(super) fn sweep(&self) {
        self.0.upstream.sweep();
    }
}

impl tower_service::Service<Request<RequestBody>> for Forward {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = LocalBoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let inner = Rc::clone(&self.0);
        // Taken apart outside the `async` block: the block would keep the whole request, and with it
        // a copy of the body's state, in its future until the response is there.
        let (mut parts, body) = request.into_parts();
        Box::pin(async move {
            let has_body = !body.is_end_stream();
            Ok(match inner.forward(&mut parts, body).await {
                Ok(response) => response,
                Err(refusal) => {
                    let context = refuse::RefusalContext::of(&parts, has_body);
                    let detail = inner.detail_of(refusal, &parts);
                    let refusal = refuse::DetailedRefusal { refusal, detail };
                    refuse::detailed_response(&refusal, &context, &inner.console.name)
                }
            })
        })
    }
}

// === impl Inner ===

impl Inner {
    /// If the request is refused, `parts` still hold what the refusal's page needs.
    async fn forward(
        &self,
        parts: &mut Parts,
        body: RequestBody,
    ) -> Result<Response<Body>, Refusal> {
        let authenticated = self.console.logged.then(Instant::now);
        let session = parts
            .extensions
            .get::<Arc<Session>>()
            .cloned()
            .ok_or(Refusal::LoginRequired)?;
        let session = &session;
        if node::is_node_path(parts.uri.path()) {
            // Boxed like everything rare here, so that the future of an ordinary request stays small.
            return Box::pin(node::forward(&self.console, session, parts, body)).await;
        }
        if link::is_link_path(parts.uri.path()) {
            link::open_own(&self.console, session.user(), parts)?;
        }
        self.check_purpose(&RequestInfo::of(parts))?;
        let kind = self.console.kind;
        let has_body = !body.is_end_stream();
        let skips_body = has_body && self.skips_body(parts);
        // An HTTP/1.1 client may send the body although nobody reads it, so the connection cannot be
        // used again. On HTTP/2 the stream ends alone, and `Connection` is not allowed.
        let closes = skips_body && parts.version <= Version::HTTP_11;
        let check = if has_body && !skips_body {
            body_check::of(&self.console, parts, session)?
        } else {
            None
        };
        let mut upload = if skips_body {
            Upload::none()
        } else {
            self.console.upload(body, self.console.retry_buffer)
        };
        if let Some(check) = check {
            upload = Box::pin(body_check::read(&self.console, upload, check)).await?;
        }
        // Not for Thrift: the calls in a tunnel could name any user, and nothing would read them.
        let upgrade = if parts.headers.contains_key(header::UPGRADE) && !kind.speaks_thrift() {
            upgrade::requested(parts, !matches!(upload.state(), BodyState::None))
        } else {
            None
        };
        let group = self.upstream.group();
        let mut out = outgoing::outgoing(&self.console, group, parts, session.user())?;
        if let Some(protocol) = upgrade {
            upgrade::set(&mut out.headers, protocol);
        }
        let mut result = self.upstream.run(&out, &upload).await;
        let waited = authenticated.map(|at| (at, at.elapsed()));
        let mut link = None;
        if let Ok(received) = &mut result {
            match response::may_be_link(received, &out, &self.console) {
                Ok(false) => {}
                Ok(true) => match Box::pin(response::read_start(received, &self.console)).await {
                    Ok(is_link) => link = is_link,
                    Err(refusal) => result = Err(refusal),
                },
                Err(refusal) => result = Err(refusal),
            }
        }
        let client = response::RequestClient {
            session,
            tls: super::is_tls(&parts.extensions),
            group,
        };
        let result = result.and_then(|received| {
            if upgrade::is_accepted(&received) {
                return upgrade::response(received, &out, session, &self.console, client.tls);
            }
            let by = waited.map(|(started, waited)| ServedBy {
                backend: Arc::clone(&received.backend.key.authority),
                started,
                waited,
            });
            let mut response = response::for_client(received, link, &out, &client, &self.console)?;
            if let Some(by) = by {
                response.extensions_mut().insert(by);
            }
            if closes {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            Ok(response)
        });
        if result.is_err() {
            parts.headers = out.headers;
        }
        result
    }

    /// The part of a query that is refused.
    fn detail_of(&self, refusal: Refusal, parts: &Parts) -> Option<String> {
        // Found a second time: an error that carried it would make every `Result` of the request path
        // larger.
        if refusal != Refusal::BadQuery {
            return None;
        }
        let names = self.console.kind.identity_parameters();
        let fault = query::scrub(parts.uri.query()?, names).err()?;
        Some(format!("{fault} in the query"))
    }

    /// Refuses requests that no user may make with the gateway's login.
    fn check_purpose(&self, request: &RequestInfo<'_>) -> Result<(), Refusal> {
        if self.console.identity == IdentityMode::Service
            && credentials::asks_for_one(request.path, request.query)
        {
            return Err(Refusal::CredentialDenied);
        }
        match self.console.kind.audience(request) {
            Audience::Clients => Ok(()),
            Audience::LoginForm if self.console.identity == IdentityMode::None => Ok(()),
            Audience::LoginForm | Audience::Internal => Err(Refusal::NotPublished),
        }
    }

    /// Whether the client waits for `100 Continue` (RFC 9110 section 10.1.1) with a body that the
    /// backend would discard. `WebHDFS` redirects a CREATE to a `DataNode` without reading the body;
    /// a client that waits need not send a file twice.
    fn skips_body(&self, parts: &Parts) -> bool {
        let waits = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        parts.headers.get(header::EXPECT).is_some_and(waits)
            && self.console.kind.discards_body(&RequestInfo::of(parts))
    }
}
