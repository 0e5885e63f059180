//! A backend's answer on its way to the client: nothing of the gateway's own login is left in it,
//! and what leads to the backend leads to the gateway.

use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::console::Console;
use crate::{
    body::Body,
    identity::headers,
    kinds::{Asked, Head, PREFIX},
    refusal::Refusal,
    rewrite::{
        json,
        location::{self, Links},
        node::{LIFETIME, Signer},
        set_cookie,
    },
    upstream::{
        attempt::{Answer, Outgoing},
        body::UpstreamBody,
    },
};

/// What an answer's rewriting needs of the client.
#[derive(Debug)]
pub struct Client {
    /// `http://proxy.example.com:50070`: the configured host name that the client used, and the
    /// port at which it says it reached us (a container's port map may differ from our own).
    origin: String,
    user: Arc<str>,
    tls: bool,
}

impl Client {
    /// Notes what is needed before the request is taken apart; only kinds that hand out nodes
    /// need it.
    pub fn of(parts: &Parts, console: &Console, user: &str) -> Self {
        let tls = super::is_tls(&parts.extensions);
        let asked = Asked {
            method: &parts.method,
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or(""),
        };
        if !console.kind.hands_out_nodes(&asked) {
            return Self {
                origin: String::new(),
                user: Arc::from(""),
                tls,
            };
        }
        let scheme = if tls { "https" } else { "http" };
        let host = parts
            .extensions
            .get::<super::Host>()
            .map_or("", |host| &host.0);
        let port = parts
            .uri
            .authority()
            .map(|a| a.as_str().to_owned())
            .or_else(|| Some(parts.headers.get(header::HOST)?.to_str().ok()?.to_owned()))
            .and_then(|authority| authority.rsplit_once(':')?.1.parse::<u16>().ok());
        let origin = match port {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        };
        Self {
            origin,
            user: user.into(),
            tls,
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
        incoming,
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
    // of the gateway's own login nothing reaches a client
    parts.headers.remove(header::WWW_AUTHENTICATE);
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
    let links = Links {
        backends: &console.backends,
        parameters: console.kind.identity_parameters(),
        nodes: console.nodes.as_ref(),
        signer: hands_out.then(|| Signer {
            key: &console.node_key,
            user: &client.user,
            expires: crate::auth::session::unix_now() + LIFETIME,
        }),
        origin: hands_out.then_some(client.origin.as_str()),
    };
    location::apply(&mut parts.headers, &links).inspect_err(|error| {
        tracing::warn!(
            console = %console.name,
            backend = %backend.key.authority,
            "redirect withheld: {error}; list the node in nodes = {{ hosts, ports }}"
        );
    })?;
    let mut body = Body::Upstream(UpstreamBody::new(prefix, incoming, lease));
    if hands_out && is_small_json(&parts) {
        let whole = timeout(console.timeouts.body_idle, body.collect())
            .await
            .map_err(|_elapsed| Refusal::BackendTimeout)?
            .map_err(|_| Refusal::BackendBroken)?
            .to_bytes();
        let rewritten = json::rewrite_location(&whole, &links)?.unwrap_or(whole);
        parts
            .headers
            .insert(header::CONTENT_LENGTH, HeaderValue::from(rewritten.len()));
        body = Body::from(rewritten);
    }
    parts.status = status.unwrap_or(parts.status);
    Ok(Response::from_parts(parts, body))
}

/// Whether this may be the JSON of a `noredirect=true`: small, of known length, not encoded.
fn is_small_json(parts: &http::response::Parts) -> bool {
    let length = parts
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    parts.status == StatusCode::OK
        && length.is_some_and(|length| length <= PREFIX)
        && !parts.headers.contains_key(header::CONTENT_ENCODING)
        && parts
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}
