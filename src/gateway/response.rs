//! Prepares a backend's response for the client.
//!
//! Everything that belongs to the gateway's own login is removed, and addresses of the backend become
//! addresses of the gateway.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use tokio::time::timeout;

use super::{console::Console, request::host};
use crate::{
    auth::session::Session,
    gateway::body::Body,
    identity::{IdentityMode, headers},
    kinds::PREFIX,
    refusal::Refusal,
    rewrite::{
        addresses::Addresses,
        consoles::ClientOrigin,
        json,
        link::Signer,
        location::{self, LinkError, LinkRewrite},
        node::NodeLogin,
    },
    upstream::{
        attempt,
        body::UpstreamBody,
        dispatch::{BackendResponse, Outgoing},
        group::BackendGroup,
        pool::Lease,
        rewritten::{Learner, LearningAddresses, RewrittenBody},
    },
};

pub(super) mod addresses;
mod impersonation;
mod pages;

/// The facts about the client that the rewriting of a response needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestClient<'a> {
    pub session: &'a Session,
    pub tls: bool,
    /// The servers of the console.
    pub group: &'a Arc<BackendGroup>,
}

impl RequestClient<'_> {
    /// `http://proxy.example.com:50070`: the configured host name that the client used, and the
    /// port at which it says it reached us (a container's port map may differ from our own).
    pub(super) fn origin(&self, headers: &HeaderMap, hosts: &[Arc<str>]) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        let authority = authority(headers);
        let name = host_name(authority, hosts);
        let bare_v6 = name.contains(':') && !name.starts_with('[');
        let host = if bare_v6 {
            format!("[{name}]")
        } else {
            name.to_owned()
        };
        let port =
            authority.and_then(|authority| authority.rsplit_once(':')?.1.parse::<u16>().ok());
        match port {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }
    }
}

/// The host and port that the client has in its request.
pub(super) fn authority(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
}

/// The configured host name that a client used.
pub(super) fn host_name<'h>(authority: Option<&str>, hosts: &'h [Arc<str>]) -> &'h str {
    authority
        .and_then(|authority| host::named(authority, hosts).ok())
        .or(hosts.first())
        .map_or("", |name| name)
}

/// Whether the body of the response may be a link to a node, which has to be rewritten too.
///
/// # Errors
///
/// [`Refusal::BackendBroken`] if it may be one and is compressed, although the gateway accepts no coding
/// there: it cannot be read, and may contain a token.
pub(crate) fn may_be_link(
    received: &BackendResponse,
    out: &Outgoing,
    console: &Console,
) -> Result<bool, Refusal> {
    let headers = &received.parts.headers;
    if !received.parts.status.is_success()
        || !is_json(headers)
        || !console.hands_out_links(&out.request_info())
    {
        return Ok(false);
    }
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Refusal::BackendBroken);
    }
    Ok(true)
}

/// Prepares a backend's response for the client; `link` is what [`read_start`] found.
pub(crate) fn for_client(
    received: BackendResponse,
    link: Option<Bytes>,
    out: &Outgoing,
    client: &RequestClient<'_>,
    console: &Arc<Console>,
) -> Result<Response<Body>, Refusal> {
    if let Some(denial) = impersonation::denial(&received, out, console) {
        let user = (client.session.user(), client.tls);
        let page = impersonation::response(&denial, &received, out, user, console);
        return Ok(page);
    }
    let BackendResponse {
        mut parts,
        prefix,
        lease,
        backend,
        index,
        by_token,
    } = received;
    let request = out.request_info();
    headers::strip_response(&mut parts.headers);
    console.give_cookies(&mut parts.headers, by_token, client.tls);
    let mut body = Body::Upstream(UpstreamBody::new(prefix, lease));
    if link.is_some() || location::has_links(&parts.headers) {
        let hands_out = console.kind.redirects_to_nodes(&request);
        let origin = client.origin(&out.headers, &console.hosts);
        // A link is valid for as long as the session in which it is sent, because writers keep theirs for
        // hours (fsspec). The DataNode refuses it earlier if its token ends earlier.
        let signer = Signer {
            key: &console.link_key,
            user: client.session.user(),
            session: client.session.id(),
            expires: client.session.expires(),
        };
        let here = ClientOrigin {
            origin: &origin,
            host: host_name(authority(&out.headers), &console.hosts),
            tls: client.tls,
            listen: &console.listen,
        };
        let is_credential = match console.node_login {
            NodeLogin::Link => true,
            NodeLogin::Session => false,
        };
        let links = LinkRewrite {
            backends: &console.backends,
            parameters: console.kind.identity_parameters(),
            nodes: console.nodes.as_ref(),
            // The token in a link is the user's. With `service` it would be the gateway's own, so such a
            // link is never signed.
            signer: (hands_out && console.identity != IdentityMode::Service).then_some(signer),
            own: (hands_out && is_credential).then_some((&*console.name, signer)),
            consoles: Some((&console.consoles, here)),
            origin: hands_out.then_some(origin.as_str()),
        };
        let location = parts.headers.get(header::LOCATION).cloned();
        let withheld = |error: LinkError| {
            let service = console.identity == IdentityMode::Service;
            if service && error == LinkError::Secret {
                return Refusal::CredentialDenied;
            }
            tracing::warn!(
                console = %console.name,
                backend = %backend.key.authority,
                "redirect withheld: {error}; list the node in nodes = {{ hosts, ports }}"
            );
            error.into()
        };
        location::apply(&mut parts.headers, &links).map_err(withheld)?;
        if let Some(before) = location
            && let Some(authority) = location::unpublished_target(&before, &parts.headers, &links)
        {
            console.report_leaving(&backend.key.authority, authority);
        }
        if let Some(whole) = link {
            let rewritten = json::rewrite_location(&whole, &links)
                .map_err(withheld)?
                .unwrap_or(whole);
            let length = HeaderValue::from(rewritten.len());
            parts.headers.insert(header::CONTENT_LENGTH, length);
            body = Body::from(rewritten);
        }
    }
    if console.kind.body_names_addresses(&request) && is_json(&parts.headers) {
        // The gateway accepts no coding here, and a body that it cannot read may contain addresses.
        if parts.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(Refusal::BackendBroken);
        }
        parts.headers.remove(header::CONTENT_LENGTH);
        body = match body {
            Body::Upstream(inner) if out.method != Method::HEAD => {
                let mapper = addresses::mapper(console, client, out, &backend);
                let learner = console.kind.names_owner(&request).then(|| Learner {
                    group: Arc::clone(client.group),
                    kind: console.kind,
                    index,
                });
                let rewriter = LearningAddresses {
                    addresses: Addresses::new(mapper),
                    learner,
                };
                Body::Addressed(Box::new(RewrittenBody::new(inner, rewriter)))
            }
            other => other,
        };
    }
    body = pages::rewritten(body, &mut parts, out, client, console);
    // The application itself refuses the user, and its challenge has been stripped. A 401 without a
    // challenge breaks RFC 9110 section 15.5.2, and one with the gateway's challenge would make browsers
    // log in again and again.
    if parts.status == StatusCode::UNAUTHORIZED {
        parts.status = StatusCode::FORBIDDEN;
    }
    Ok(Response::from_parts(parts, body))
}

fn is_json(headers: &HeaderMap) -> bool {
    const JSON: &[u8] = b"application/json";
    let json = |value: &HeaderValue| {
        let start = value.as_bytes().get(..JSON.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(JSON))
    };
    headers.get(header::CONTENT_TYPE).is_some_and(json)
}

/// Reads as long as the body may be a link. A link is read completely and returned; of any other body a
/// few bytes are read, which stay with the response.
pub(crate) async fn read_start(
    received: &mut BackendResponse,
    console: &Console,
) -> Result<Option<Bytes>, Refusal> {
    let reading = read(received.prefix.take(), &mut received.lease);
    let start = timeout(console.timeouts.body_idle, reading)
        .await
        .map_err(|_elapsed| Refusal::BackendStalled)??;
    received.prefix = Some(start.clone());
    Ok(json::may_be_location(&start).then_some(start))
}

async fn read(known: Option<Bytes>, lease: &mut Lease) -> Result<Bytes, Refusal> {
    let before = known.as_ref().map_or(0, Bytes::len);
    let wanted = |start: &[u8]| {
        json::may_be_location(start) && (start.len() <= PREFIX || start.len() == before)
    };
    let start = attempt::read_start(&mut lease.connection, known, wanted)
        .await
        .map_err(|_| Refusal::BackendBroken)?;
    // It begins like a link but is longer than any link: it must not be forwarded unread.
    if start.len() > PREFIX && start.len() > before {
        return Err(Refusal::BackendBroken);
    }
    Ok(start)
}
