//! The innermost step: a known, allowed user's request goes to a backend.
//!
//! strip → set identity → attempt loop → rewrite the answer. Everything a client could say in our
//! place is gone before anything of ours is set.

use std::{
    convert::Infallible,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, Version, header,
    request::Parts,
    uri::{self, PathAndQuery},
};
use http_body::Body as _;

use super::{
    addresses, answer, console::Console, link, node, record::AnsweredBy, refuse, screen, upgrade,
};
use crate::{
    auth::session::Session,
    gateway::body::Body,
    identity::{
        IdentityMode, cookies, credentials,
        forwarded::{self, Forwarded},
        headers, query,
    },
    kinds::{self, Audience, RequestInfo, UserField},
    refusal::Refusal,
    rewrite::{
        self,
        own_page::{self, OwnPage},
    },
    server::{ConnInfo, RequestBody},
    upstream::{
        dispatch::{Outgoing, Upstream},
        next::BodyState,
        upload::Upload,
    },
};

/// Sends a console's requests to its backends.
#[derive(Clone, Debug)]
pub(crate) struct Forward(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    console: Arc<Console>,
    upstream: Upstream,
}

impl Forward {
    /// A console's last step on one worker.
    pub(crate) fn new(console: Arc<Console>, upstream: Upstream) -> Self {
        Self(Rc::new(Inner { console, upstream }))
    }

    /// The console's name.
    pub(crate) fn console_name(&self) -> &str {
        &self.0.console.name
    }

    /// Whether a node path leads to one of this console's nodes.
    pub(crate) fn knows_node(&self, path: &str) -> bool {
        let nodes = self.0.console.nodes.as_ref();
        nodes.is_some_and(|policy| rewrite::node::is_allowed(path, policy))
    }

    /// Who follows a signed link of this console and brings no other credential; see
    /// [`link::follower`].
    pub(crate) fn follower(&self, parts: &Parts) -> Result<Option<Arc<Session>>, Refusal> {
        link::follower(&self.0.console, parts)
    }

    /// Whether a backslash in this path, which has to be escaped, is one of a file's name: `HDFS`
    /// allows it, and none of its servers reads a slash there.
    pub(crate) fn names_backslash(&self, path: &str) -> bool {
        self.0.console.kind.serves_webhdfs() && link::inner_path(path).starts_with("/webhdfs/")
    }

    /// Drops what has been idle for too long; called by the worker now and then.
    pub(crate) fn sweep(&self) {
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
        // taken apart out here: what an `async` block is given, it keeps to its end
        let (mut parts, body) = request.into_parts();
        Box::pin(async move {
            let has_body = !body.is_end_stream();
            Ok(match inner.forward(&mut parts, body).await {
                Ok(response) => response,
                Err(refusal) => {
                    let asks = refuse::RefusalContext::of(&parts, has_body);
                    let detail = inner.fault_of(refusal, &parts);
                    let denied = refuse::Denied { refusal, detail };
                    refuse::denied(&denied, &asks, &inner.console.name)
                }
            })
        })
    }
}

impl Inner {
    /// Of a request that is refused, `parts` still say what the refusal's page needs.
    async fn forward(
        &self,
        parts: &mut Parts,
        body: RequestBody,
    ) -> Result<Response<Body>, Refusal> {
        let asked = self.console.logged.then(Instant::now);
        let session = parts
            .extensions
            .get::<Arc<Session>>()
            .cloned()
            .ok_or(Refusal::LoginRequired)?;
        let session = &session;
        if node::is_node_path(parts.uri.path()) {
            // boxed, as all that is rare here: the common way's future stays small
            return Box::pin(node::forward(&self.console, session, parts, body)).await;
        }
        if link::is_link_path(parts.uri.path()) {
            link::open_own(&self.console, session.user(), parts)?;
        }
        self.check_purpose(&asked_of(parts))?;
        let kind = self.console.kind;
        let has_body = !body.is_end_stream();
        let spared = has_body && self.spares_body(parts);
        // HTTP/2 ends a stream, and knows no `Connection`
        let closes = spared && parts.version <= Version::HTTP_11;
        let screen = if has_body && !spared {
            screen::of(&self.console, parts, session)?
        } else {
            None
        };
        let mut upload = if spared {
            Upload::none()
        } else {
            self.console.upload(body, self.console.retry_buffer)
        };
        if let Some(screen) = screen {
            upload = Box::pin(screen::read(&self.console, upload, screen)).await?;
        }
        // a tunnel's bytes are not read
        let upgrade = if parts.headers.contains_key(header::UPGRADE) && !kind.speaks_thrift() {
            upgrade::wanted(parts, !matches!(upload.state(), BodyState::None))
        } else {
            None
        };
        let mut out = self.outgoing(parts, session.user())?;
        if let Some(protocol) = upgrade {
            upgrade::ask(&mut out.headers, protocol);
        }
        let mut result = self.upstream.run(&out, &upload).await;
        let waited = asked.map(|asked| (asked, asked.elapsed()));
        let mut link = None;
        if let Ok(answer) = &mut result {
            match answer::may_be_link(answer, &out, &self.console) {
                Ok(false) => {}
                Ok(true) => match Box::pin(answer::read_start(answer, &self.console)).await {
                    Ok(is_link) => link = is_link,
                    Err(refusal) => result = Err(refusal),
                },
                Err(refusal) => result = Err(refusal),
            }
        }
        let client = answer::Client {
            session,
            tls: super::is_tls(&parts.extensions),
            group: self.upstream.group(),
        };
        let result = result.and_then(|answer| {
            if upgrade::is_consent(&answer) {
                return upgrade::answer(answer, &out, session, &self.console, client.tls);
            }
            let by = waited.map(|(asked, waited)| AnsweredBy {
                backend: Arc::clone(&answer.backend.key.authority),
                asked,
                waited,
            });
            let mut response = answer::for_client(answer, link, &out, &client, &self.console)?;
            if let Some(by) = by {
                response.extensions_mut().insert(by);
            }
            if closes {
                // the client may still be about to send it
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

    /// What exactly is refused in a query.
    fn fault_of(&self, refusal: Refusal, parts: &Parts) -> Option<String> {
        if refusal != Refusal::BadQuery {
            return None;
        }
        let names = self.console.kind.identity_parameters();
        let fault = query::scrub(parts.uri.query()?, names).err()?;
        Some(format!("{fault} in the query"))
    }

    /// Refuses what nobody is to get by the gateway's login, whoever asks.
    fn check_purpose(&self, asked: &RequestInfo<'_>) -> Result<(), Refusal> {
        if self.console.identity == IdentityMode::Service
            && credentials::asks_for_one(asked.path, asked.query)
        {
            return Err(Refusal::CredentialDenied);
        }
        match self.console.kind.audience(asked) {
            Audience::Clients => Ok(()),
            Audience::LoginForm if self.console.identity == IdentityMode::None => Ok(()),
            Audience::LoginForm | Audience::Internal => Err(Refusal::NotPublished),
        }
    }

    /// Whether the client waits for `100 Continue` (RFC 9110 section 10.1.1) with a body that the
    /// backend would only throw away: it is spared sending it.
    fn spares_body(&self, parts: &Parts) -> bool {
        let waits = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        parts.headers.get(header::EXPECT).is_some_and(waits)
            && self.console.kind.discards_body(&asked_of(parts))
    }

    /// What every try sends: the client's request without what only the gateway may say, and with
    /// it.
    fn outgoing(&self, parts: &mut Parts, user: &str) -> Result<Outgoing, Refusal> {
        let kind = self.console.kind;
        let open = self.console.identity == IdentityMode::None;
        let told = self.told(&parts.headers, user)?;
        let server = if kind.is_bearer_path(parts.uri.path()) {
            addresses::take_server(parts, self.upstream.group())?
        } else {
            None
        };
        let asked = parts.uri.query().unwrap_or("");
        let scrubbed = query::scrub(
            asked,
            if open {
                &[]
            } else {
                kind.identity_parameters()
            },
        )?;
        let own = match &told {
            UserClaim::Query(name) => Some((*name, user)),
            UserClaim::Header(..) | UserClaim::Nothing => None,
        };
        let unchanged = own.is_none() && scrubbed.len() == asked.len();
        let target = if unchanged {
            origin_form(&parts.uri)?
        } else {
            let mut target = String::with_capacity(parts.uri.path().len() + asked.len() + 48);
            // `OPTIONS *` has no query to say anything in (RFC 9112 section 3.2.4)
            target.push_str(match parts.uri.path() {
                "*" => "/",
                path => path,
            });
            if own.is_some() || !scrubbed.is_empty() {
                target.push('?');
                query::append(&mut target, own, &scrubbed);
            }
            PathAndQuery::from_maybe_shared(Bytes::from(target))
                .map_err(|_| Refusal::BadQuery)?
                .into()
        };
        let owner = kind.owner(&asked_of(parts), &parts.headers).map(Box::from);
        let names_addresses = kind.body_names_addresses(&asked_of(parts));
        let hands_out_links = self.console.hands_out_links(&asked_of(parts));
        let asked = scrubbed.into_owned();
        let named = if open {
            // the client's own word passes where nobody logs in
            &[]
        } else {
            kinds::identity_headers()
        };
        headers::strip(&mut parts.headers, named);
        let cookies = cookies::request(
            &parts.headers,
            &self.console.name,
            kind.script_cookies(),
            None,
        );
        let mut headers = std::mem::take(&mut parts.headers);
        let own_page = if self.console.forwarded == Forwarded::Off {
            let own = OwnPage::of(&headers, super::is_tls(&parts.extensions));
            own_page::without_node_links(&mut headers, own)
        } else {
            // the backend is told the name that clients use, and compares with that
            OwnPage::default()
        };
        if self.console.forwarded != Forwarded::Off
            && let Some(info) = parts.extensions.get::<Arc<ConnInfo>>()
        {
            let host = headers.get(header::HOST).cloned();
            let from = forwarded::From {
                client: info.peer.ip(),
                tls: info.tls,
                authority: host.as_ref(),
            };
            forwarded::set(&mut headers, self.console.forwarded, &from);
        }
        // what is to be rewritten must be read
        if names_addresses || hands_out_links {
            headers.remove(header::ACCEPT_ENCODING);
        }
        if let UserClaim::Header(name, value) = told {
            headers.insert(name, value);
        }
        Ok(Outgoing {
            method: parts.method.clone(),
            target,
            headers,
            cookies,
            query: asked,
            own_page,
            client: super::client(&parts.extensions),
            owner,
            server,
        })
    }

    /// How the backend is told the user; of a client's own word, taken before it is stripped.
    fn told(&self, headers: &HeaderMap, user: &str) -> Result<UserClaim, Refusal> {
        let field = self.console.kind.user_field();
        Ok(match (self.console.identity, field) {
            (IdentityMode::DoAs | IdentityMode::Simple, UserField::Header(name)) => {
                let name = HeaderName::from_static(name);
                let named = headers.get_all(&name).iter();
                let value = match self.console.becomes.named(user, named) {
                    Some(named) => named.clone(),
                    None => HeaderValue::from_str(user).map_err(|_| Refusal::NameUnmapped)?,
                };
                UserClaim::Header(name, value)
            }
            (IdentityMode::DoAs, UserField::Query(name)) => UserClaim::Query(name),
            // by `username` of a call, which the screen of its body writes
            (IdentityMode::Simple, _) if self.console.kind.speaks_thrift() => UserClaim::Nothing,
            (IdentityMode::Simple, UserField::Query(_)) => UserClaim::Query("user.name"),
            (IdentityMode::None | IdentityMode::Service, _) => UserClaim::Nothing,
        })
    }
}

/// How a backend is told the user.
enum UserClaim {
    /// By this parameter.
    Query(&'static str),
    /// By this header; the user may be one that the client is allowed to name.
    Header(HeaderName, HeaderValue),
    Nothing,
}

fn asked_of(parts: &Parts) -> RequestInfo<'_> {
    RequestInfo {
        method: &parts.method,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or(""),
    }
}

/// Path and query alone, also of a request that came in absolute form.
fn origin_form(uri: &Uri) -> Result<Uri, Refusal> {
    if uri.scheme().is_none() && uri.authority().is_none() {
        return Ok(uri.clone());
    }
    let mut parts = uri::Parts::default();
    parts.path_and_query = uri.path_and_query().cloned();
    Uri::from_parts(parts).map_err(|_| Refusal::BadPath)
}
