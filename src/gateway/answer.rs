//! A backend's answer on its way to the client: nothing of the gateway's own login is left in it,
//! and what leads to the backend leads to the gateway.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{console::Console, host};
use crate::{
    auth::session::{Session, unix_now},
    body::Body,
    config::IdentityMode,
    identity::headers,
    kinds::{Asked, Head, PREFIX},
    refusal::Refusal,
    rewrite::{
        json,
        location::{self, LinkError, Links},
        node::{LIFETIME, Signer},
        set_cookie,
    },
    upstream::{
        attempt::{Answer, Outgoing},
        body::UpstreamBody,
    },
};

/// What an answer's rewriting needs of the client: noted before the request is taken apart, and
/// put together only for the answers that need it.
#[derive(Debug)]
pub struct Client {
    session: Arc<Session>,
    authority: Option<HeaderValue>,
    tls: bool,
}

impl Client {
    /// Notes what is needed.
    pub fn of(parts: &Parts, session: &Arc<Session>) -> Self {
        Self {
            session: Arc::clone(session),
            authority: parts.headers.get(header::HOST).cloned(),
            tls: super::is_tls(&parts.extensions),
        }
    }

    /// `http://proxy.example.com:50070`: the configured host name that the client used, and the
    /// port at which it says it reached us (a container's port map may differ from our own).
    fn origin(&self, hosts: &[Arc<str>]) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let authority = self
            .authority
            .as_ref()
            .and_then(|value| value.to_str().ok());
        let name = authority
            .and_then(|authority| host::named(authority, hosts).ok())
            .or(hosts.first())
            .map_or("", |name| name);
        let bare_v6 = name.contains(':') && !name.starts_with('[');
        let host = if bare_v6 {
            format!("[{name}]")
        } else {
            name.to_owned()
        };
        let port = self.authority.as_ref().and_then(|authority| {
            authority
                .to_str()
                .ok()?
                .rsplit_once(':')?
                .1
                .parse::<u16>()
                .ok()
        });
        match port {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }
    }
}

/// Makes a backend's answer fit for the client.
pub async fn for_client(
    answer: Answer,
    out: &Outgoing,
    client: &Client,
    console: &Console,
) -> Result<Response<Body>, Refusal> {
    let Answer {
        response,
        prefix,
        mut incoming,
        lease,
        backend,
    } = answer;
    let (mut parts, ()) = response.into_parts();
    let status = console.kind.client_status(&Head {
        status: parts.status,
        reason: &[],
        headers: &parts.headers,
    });
    headers::strip_answer(&mut parts.headers);
    set_cookie::apply(
        &mut parts.headers,
        &console.name,
        console.kind.script_cookies(),
        client.tls,
    );
    // the reason phrase may hold a Java exception
    parts.extensions.clear();
    let asked = Asked {
        method: &out.method,
        path: out.target.path(),
        query: &out.query,
    };
    let hands_out = console.kind.hands_out_nodes(&asked);
    let (start, link_in_body) = if hands_out && is_plain_json(&parts) {
        let start = timeout(
            console.timeouts.body_idle,
            read_start(prefix, &mut incoming),
        )
        .await
        .map_err(|_elapsed| Refusal::BackendTimeout)??;
        let is_link = json::may_be_location(&start);
        (Some(start), is_link)
    } else {
        (prefix, false)
    };
    let mut body = Body::Upstream(UpstreamBody::new(start.clone(), incoming, lease));
    if link_in_body || location::leads_elsewhere(&parts.headers) {
        let origin = client.origin(&console.hosts);
        let links = Links {
            backends: &console.backends,
            parameters: console.kind.identity_parameters(),
            nodes: console.nodes.as_ref(),
            // the token of a link is the user's; under `service` it would be the gateway's own
            signer: (hands_out && console.identity != IdentityMode::Service).then(|| Signer {
                key: &console.node_key,
                user: client.session.user(),
                expires: unix_now() + LIFETIME,
            }),
            origin: hands_out.then_some(origin.as_str()),
        };
        let withheld = |error: &LinkError| {
            tracing::warn!(
                console = %console.name,
                backend = %backend.key.authority,
                "redirect withheld: {error}; list the node in nodes = {{ hosts, ports }}"
            );
        };
        location::apply(&mut parts.headers, &links).inspect_err(withheld)?;
        if let (true, Some(whole)) = (link_in_body, start) {
            let rewritten = json::rewrite_location(&whole, &links)
                .inspect_err(withheld)?
                .unwrap_or(whole);
            let length = HeaderValue::from(rewritten.len());
            parts.headers.insert(header::CONTENT_LENGTH, length);
            body = Body::from(rewritten);
        }
    }
    parts.status = status.unwrap_or(parts.status);
    Ok(Response::from_parts(parts, body))
}

/// Whether the body can be read as JSON as it comes.
fn is_plain_json(parts: &http::response::Parts) -> bool {
    let json = |value: &HeaderValue| value.as_bytes().starts_with(b"application/json");
    parts.status == StatusCode::OK
        && !parts.headers.contains_key(header::CONTENT_ENCODING)
        && parts.headers.get(header::CONTENT_TYPE).is_some_and(json)
}

/// Reads for as long as the body may be a link: all of a link, a few bytes of anything else.
async fn read_start(known: Option<Bytes>, incoming: &mut Incoming) -> Result<Bytes, Refusal> {
    let mut start = BytesMut::from(known.unwrap_or_default());
    while json::may_be_location(&start) {
        let Some(frame) = incoming.frame().await else {
            break;
        };
        let frame = frame.map_err(|_| Refusal::BackendBroken)?;
        if let Some(data) = frame.data_ref() {
            start.extend_from_slice(data);
        }
        // whatever begins like a link and is none: it must not go out unread
        if start.len() > PREFIX {
            return Err(Refusal::BackendBroken);
        }
    }
    Ok(start.freeze())
}
