//! Rewrites the addresses in JSON responses.
//!
//! On the request path: for responses whose addresses programs follow
//! ([`crate::kinds::Kind::body_names_addresses`]).
//!
//! 1. An address of one of the console's own servers becomes one of the gateway.
//! 2. An address of a server that another console publishes becomes one of that console.
//! 3. An address in a field that always names the server itself becomes one of the gateway, whichever
//!    host it names.
//! 4. Others stay, nodes included: without a credential in it a link to a node would be refused.
//!
//! Some addresses of the first and third rule are secrets, and clients follow them without a login
//! (Trino's drivers fetch spooled results so). They become [signed links](own_link), which name the
//! server that wrote them, because no other can read them.

use std::sync::Arc;

use http::{
    Uri,
    request::Parts,
    uri::{self, PathAndQuery},
};

use super::RequestClient;
use crate::{
    balance::stable_hash,
    gateway::console::Console,
    refusal::Refusal,
    rewrite::{
        addresses::AddressMapper,
        consoles::ClientOrigin,
        link::Signer,
        location::{self, LinkRewrite},
        node::NodeLogin,
        own_link,
        url::Link,
    },
    upstream::{
        backend::{Backend, BackendHealth},
        dispatch::Outgoing,
        group::BackendGroup,
    },
};

/// The parameter of a link that names the server which wrote it. The signature of a link covers it.
const SERVER: &str = ".spnegate-server=";

// Everything is owned, because the body outlives the request.
struct AddressRewrite {
    console: Arc<Console>,
    /// The origin of the gateway by which the client reached it.
    origin: String,
    host: Box<str>,
    tls: bool,
    user: Box<str>,
    session: [u8; 16],
    expires: u64,
    /// The server that sent the response.
    server: u64,
}

pub(crate) fn mapper(
    console: &Arc<Console>,
    client: &RequestClient<'_>,
    out: &Outgoing,
    backend: &Backend,
) -> AddressMapper {
    let authority = super::authority(&out.headers);
    let rewrite = AddressRewrite {
        console: Arc::clone(console),
        origin: client.origin(&out.headers, &console.hosts),
        host: super::host_name(authority, &console.hosts).into(),
        tls: client.tls,
        user: client.session.user().into(),
        session: *client.session.id(),
        expires: client.session.expires(),
        server: tag(&backend.key.authority),
    };
    Box::new(move |field, address| rewrite.apply(field, address))
}

/// Takes the name of a server out of a request's query. Returns the index of that server in the group, or
/// `None` if it is down.
pub(crate) fn take_server(
    parts: &mut Parts,
    group: &BackendGroup,
) -> Result<Option<usize>, Refusal> {
    let query = parts.uri.query().unwrap_or("");
    let Some(named) = query
        .split('&')
        .find_map(|piece| piece.strip_prefix(SERVER))
    else {
        return Ok(None);
    };
    let named = u64::from_str_radix(named, 16).ok();
    let mut servers = group.authorities.iter();
    let index = servers.position(|authority| Some(tag(authority)) == named);
    let rest: Vec<&str> = query
        .split('&')
        .filter(|piece| !piece.starts_with(SERVER))
        .collect();
    let target = if rest.is_empty() {
        parts.uri.path().to_owned()
    } else {
        format!("{}?{}", parts.uri.path(), rest.join("&"))
    };
    let mut inner = uri::Parts::default();
    inner.path_and_query = Some(PathAndQuery::try_from(target).map_err(|_| Refusal::BadQuery)?);
    parts.uri = Uri::from_parts(inner).map_err(|_| Refusal::BadPath)?;
    // If it is down any other is tried: servers that share a storage can serve each other's results.
    Ok(index.filter(|&index| group.backends[index].health() != BackendHealth::Down))
}

/// The name of a server in a link.
fn tag(authority: &str) -> u64 {
    // A hash that is the same on all replicas. It need not be secret: it only chooses among the console's
    // servers.
    stable_hash(authority.as_bytes())
}

// === impl AddressRewrite ===

impl AddressRewrite {
    fn apply(&self, field: &str, address: &str) -> Option<String> {
        let Self {
            console, origin, ..
        } = self;
        let here = ClientOrigin {
            origin,
            host: &self.host,
            tls: self.tls,
            listen: &console.listen,
        };
        let links = LinkRewrite {
            backends: &console.backends,
            parameters: console.kind.identity_parameters(),
            consoles: Some((&console.consoles, here)),
            origin: Some(origin),
            ..LinkRewrite::default()
        };
        // No `nodes` and no `signer`: a link to a node without a token in it would be refused.
        let rewritten = location::rewrite(address, &links).ok().flatten();
        let link = Link::split(address)?;
        let path = link.rest.split(['?', '#']).next().unwrap_or_default();
        let is_own = link.is_one_of(&console.backends)
            || (rewritten.is_none() && console.kind.is_own_address(field, path));
        if is_own && console.kind.is_bearer_path(path) {
            return Some(format!("{origin}{}", self.bearer(link.rest)));
        }
        rewritten.or_else(|| is_own.then(|| format!("{origin}{}", link.rest)))
    }

    /// The link for a reference that is itself a secret.
    fn bearer(&self, rest: &str) -> String {
        let mark = if rest.contains('?') { '&' } else { '?' };
        let rest = format!("{rest}{mark}{SERVER}{:016x}", self.server);
        match self.console.node_login {
            NodeLogin::Session => rest,
            NodeLogin::Link => {
                let signer = Signer {
                    key: &self.console.link_key,
                    user: &self.user,
                    session: &self.session,
                    expires: self.expires,
                };
                own_link::link(&rest, &self.console.name, &signer)
            }
        }
    }
}
