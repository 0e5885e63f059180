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
//! Of the first and third those that are secrets of their own are followed by clients without a login
//! (Trino's drivers fetch spooled results so): they become [signed links](own_link), which name the
//! server that wrote them, since no other can read them.

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

/// The parameter that names the server which wrote a link.
const SERVER: &str = ".spnegate-server=";

/// Owned, because the body outlives the request.
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

pub(crate) fn lead(
    console: &Arc<Console>,
    client: &RequestClient<'_>,
    out: &Outgoing,
    backend: &Backend,
) -> AddressMapper {
    let authority = super::authority(&out.headers);
    let leads = AddressRewrite {
        console: Arc::clone(console),
        origin: client.origin(&out.headers, &console.hosts),
        host: super::host_name(authority, &console.hosts).into(),
        tls: client.tls,
        user: client.session.user().into(),
        session: *client.session.id(),
        expires: client.session.expires(),
        server: tag(&backend.key.authority),
    };
    Box::new(move |field, address| leads.lead(field, address))
}

/// Takes the name of a server out of a request's query: that server's place in the group, while it is
/// not down. Servers that share a storage can do each other's work.
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
    Ok(index.filter(|&index| group.backends[index].health() != BackendHealth::Down))
}

/// What a server is called in a link. Not a secret: it chooses among the console's servers.
fn tag(authority: &str) -> u64 {
    stable_hash(authority.as_bytes())
}

// === impl AddressRewrite ===

impl AddressRewrite {
    fn lead(&self, field: &str, address: &str) -> Option<String> {
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
        let led = location::rewrite(address, &links).ok().flatten();
        let link = Link::split(address)?;
        let path = link.rest.split(['?', '#']).next().unwrap_or_default();
        let is_own = link.is_one_of(&console.backends)
            || (led.is_none() && console.kind.is_own_address(field, path));
        if is_own && console.kind.is_bearer_path(path) {
            return Some(format!("{origin}{}", self.bearer(link.rest)));
        }
        led.or_else(|| is_own.then(|| format!("{origin}{}", link.rest)))
    }

    /// The link for a reference that is a secret of its own.
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
