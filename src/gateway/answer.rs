//! A backend's answer on its way to the client: nothing of the gateway's own login is left in it,
//! and what leads to the backend leads to the gateway.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderValue, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use percent_encoding::percent_decode_str;

use super::{Host, console::Console};
use crate::{
    auth::session::{Session, unix_now},
    body::Body,
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
    host: Option<Host>,
    authority: Option<HeaderValue>,
    tls: bool,
}

impl Client {
    /// Notes what is needed.
    pub fn of(parts: &Parts, session: &Arc<Session>) -> Self {
        Self {
            session: Arc::clone(session),
            host: parts.extensions.get().cloned(),
            authority: parts.headers.get(header::HOST).cloned(),
            tls: super::is_tls(&parts.extensions),
        }
    }

    /// `http://proxy.example.com:50070`: the configured host name that the client used, and the
    /// port at which it says it reached us (a container's port map may differ from our own).
    fn origin(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let host = self.host.as_ref().map_or("", |host| &host.0);
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
    let link_in_body = hands_out && is_link_json(&asked, &parts);
    let mut body = Body::Upstream(UpstreamBody::new(prefix, incoming, lease));
    if link_in_body || location::leads_elsewhere(&parts.headers) {
        let origin = client.origin();
        let links = Links {
            backends: &console.backends,
            parameters: console.kind.identity_parameters(),
            nodes: console.nodes.as_ref(),
            signer: hands_out.then(|| Signer {
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
        if link_in_body {
            let whole = Limited::new(body, PREFIX)
                .collect()
                .await
                .map_err(|_| Refusal::BackendBroken)?
                .to_bytes();
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

/// Whether this is the JSON that a `noredirect=true` asked for.
fn is_link_json(asked: &Asked<'_>, parts: &http::response::Parts) -> bool {
    let mut query = Cow::Borrowed(asked.query);
    if query.contains('%') {
        query = percent_decode_str(asked.query).decode_utf8_lossy();
    }
    let wanted = query.to_ascii_lowercase().contains("noredirect");
    let json = |value: &HeaderValue| value.as_bytes().starts_with(b"application/json");
    wanted
        && parts.status == StatusCode::OK
        && !parts.headers.contains_key(header::CONTENT_ENCODING)
        && parts.headers.get(header::CONTENT_TYPE).is_some_and(json)
}
