//! Makes the request that a backend receives: everything that only the gateway may send is stripped from
//! the client's request, then set by the gateway.
//!
//! The order is the most important one in the gateway. Its principal may impersonate any user of the
//! cluster, so a `doAs`, a `X-Trino-User` or a `Forwarded` of the client that survives, or that is
//! put in after the stripping, is a login as anybody. [`outgoing`] shows the order on one screen,
//! and the types keep it: only [`Received::strip`] makes a [`Stripped`], and the steps that set
//! something are methods of [`Stripped`].

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri, header,
    request::Parts,
    uri::{self, PathAndQuery},
};

use crate::{
    gateway::{client, console::Console, is_tls, response::addresses},
    identity::{
        IdentityMode, cookies,
        forwarded::{self, Forwarded},
        headers, query,
    },
    kinds::{self, RequestInfo, UserField},
    refusal::Refusal,
    rewrite::own_page::{self, OwnPage},
    server::ConnInfo,
    upstream::{dispatch::Outgoing, group::BackendGroup},
};

/// Turns the client's request into the one that every attempt sends.
///
/// The headers are taken out of `parts` in the last step, so that a refusal before it still finds them.
pub(super) fn outgoing(
    console: &Console,
    group: &BackendGroup,
    parts: &mut Parts,
    user: &str,
) -> Result<Outgoing, Refusal> {
    // First the parts of the client's request that are stripped afterwards and needed later: the user that
    // `become` allows it to name, and the server that a link of the gateway names.
    let claim = UserClaim::read(console, &parts.headers, user)?;
    let server = read_server(console, group, parts)?;
    let received = Received {
        console,
        parts,
        claim,
        server,
    };
    received
        // Everything that only the gateway may send: parameters, headers, the headers that the client's
        // `Connection` names, cookies of others. `Connection` is applied here, before anything is set, so
        // that a client cannot name a header of the gateway in it (CVE-2024-45410).
        .strip()?
        // Only now the gateway's own: the addresses, then the user.
        .set_addresses()
        .set_user_header()
        // A compressed response could not be rewritten.
        .accept_only_readable()
        // Last the target, whose query names the user first: servlets take the first parameter of a name.
        .into_outgoing(user)
}

/// How the user is named to a backend.
enum UserClaim {
    /// In this query parameter.
    Query(&'static str),
    /// In this header. The user may be another than the one who is logged in, where `become` allows it.
    Header(HeaderName, HeaderValue),
    Nothing,
}

/// The request as the client sent it, and what was read of it.
struct Received<'p> {
    console: &'p Console,
    parts: &'p mut Parts,
    claim: UserClaim,
    server: Option<usize>,
}

/// The request without anything that only the gateway may say.
struct Stripped<'p> {
    console: &'p Console,
    parts: &'p mut Parts,
    claim: UserClaim,
    server: Option<usize>,
    owner: Option<Box<str>>,
    cookies: Option<HeaderValue>,
    /// Without identity parameters.
    query: String,
    /// Whether a parameter was cut out of the query.
    is_cut: bool,
    /// Whether the gateway reads the body of the response.
    is_rewritten: bool,
    own_page: OwnPage,
}

// === impl UserClaim ===

impl UserClaim {
    fn read(console: &Console, headers: &HeaderMap, user: &str) -> Result<Self, Refusal> {
        Ok(match (console.identity, console.kind.user_field()) {
            (IdentityMode::DoAs | IdentityMode::Simple, UserField::Header(name)) => {
                let name = HeaderName::from_static(name);
                let named = headers.get_all(&name).iter();
                let value = match console.become_rules.named(user, named) {
                    Some(named) => named.clone(),
                    None => HeaderValue::from_str(user).map_err(|_| Refusal::NameUnmapped)?,
                };
                Self::Header(name, value)
            }
            (IdentityMode::DoAs, UserField::Query(name)) => Self::Query(name),
            // The body check writes the user into the call (`username` of `OpenSession`).
            (IdentityMode::Simple, _) if console.kind.speaks_thrift() => Self::Nothing,
            // Hadoop's `PseudoAuthenticationHandler` reads `user.name`.
            (IdentityMode::Simple, UserField::Query(_)) => Self::Query("user.name"),
            (IdentityMode::None | IdentityMode::Service, _) => Self::Nothing,
        })
    }
}

/// The server that a link of the gateway names, taken out of the query.
fn read_server(
    console: &Console,
    group: &BackendGroup,
    parts: &mut Parts,
) -> Result<Option<usize>, Refusal> {
    if console.kind.is_bearer_path(parts.uri.path()) {
        addresses::take_server(parts, group)
    } else {
        Ok(None)
    }
}

// === impl Received ===

impl<'p> Received<'p> {
    fn strip(self) -> Result<Stripped<'p>, Refusal> {
        let Self {
            console,
            parts,
            claim,
            server,
        } = self;
        let kind = console.kind;
        // With `identity = "none"` clients log in to the backend themselves, so what they say about
        // themselves passes.
        let (parameters, names) = match console.identity {
            IdentityMode::None => (&[][..], &[][..]),
            IdentityMode::Service | IdentityMode::DoAs | IdentityMode::Simple => {
                (kind.identity_parameters(), kinds::identity_headers())
            }
        };
        let sent = parts.uri.query().unwrap_or("");
        let query = query::scrub(sent, parameters)?;
        let is_cut = query.len() != sent.len();
        let info = RequestInfo::of(parts);
        let owner = kind.owner(&info, &parts.headers).map(Box::from);
        let is_rewritten = kind.body_names_addresses(&info) || console.hands_out_links(&info);
        let query = query.into_owned();
        headers::strip(&mut parts.headers, names);
        let script = kind.script_cookies();
        Ok(Stripped {
            cookies: cookies::request(&parts.headers, &console.name, script, None),
            own_page: OwnPage::default(),
            console,
            parts,
            claim,
            server,
            owner,
            query,
            is_cut,
            is_rewritten,
        })
    }
}

// === impl Stripped ===

impl Stripped<'_> {
    /// Sets the headers with the client's address (`forwarded`), or rewrites `Origin` and `Referer`.
    fn set_addresses(mut self) -> Self {
        let Self { console, parts, .. } = &mut self;
        if console.forwarded == Forwarded::Off {
            let own = OwnPage::of(&parts.headers, is_tls(&parts.extensions));
            self.own_page = own_page::without_node_links(&mut parts.headers, own);
            return self;
        }
        // The backend is sent the name that clients use, and compares `Origin` with that, so neither
        // `Origin` nor `Referer` is rewritten.
        if let Some(info) = parts.extensions.get::<Arc<ConnInfo>>() {
            let host = parts.headers.get(header::HOST).cloned();
            let from = forwarded::RequestOrigin {
                client: info.peer.ip(),
                tls: info.tls,
                authority: host.as_ref(),
            };
            forwarded::set(&mut parts.headers, console.forwarded, &from);
        }
        self
    }

    fn set_user_header(mut self) -> Self {
        match std::mem::replace(&mut self.claim, UserClaim::Nothing) {
            UserClaim::Header(name, value) => {
                self.parts.headers.insert(name, value);
            }
            // Kept for the target, which is written last.
            claim @ (UserClaim::Query(_) | UserClaim::Nothing) => self.claim = claim,
        }
        self
    }

    fn accept_only_readable(self) -> Self {
        if self.is_rewritten {
            self.parts.headers.remove(header::ACCEPT_ENCODING);
        }
        self
    }

    fn into_outgoing(self, user: &str) -> Result<Outgoing, Refusal> {
        let target = self.target(user)?;
        let parts = self.parts;
        Ok(Outgoing {
            method: parts.method.clone(),
            target,
            client: client(&parts.extensions),
            headers: std::mem::take(&mut parts.headers),
            cookies: self.cookies,
            query: self.query,
            own_page: self.own_page,
            owner: self.owner,
            server: self.server,
        })
    }

    /// The target, with the user in the query where the console's servers read it there.
    fn target(&self, user: &str) -> Result<Uri, Refusal> {
        let own = match &self.claim {
            UserClaim::Query(name) => Some((*name, user)),
            UserClaim::Header(..) | UserClaim::Nothing => None,
        };
        if own.is_none() && !self.is_cut {
            // The client's bytes, without a copy.
            return origin_form(&self.parts.uri);
        }
        let path = match self.parts.uri.path() {
            // `OPTIONS *` has no query that could name a user (RFC 9112 section 3.2.4).
            "*" => "/",
            path => path,
        };
        // 48 bytes hold `?doAs=` and a name, so that one allocation is enough.
        let mut target = String::with_capacity(path.len() + self.query.len() + 48);
        target.push_str(path);
        if own.is_some() || !self.query.is_empty() {
            target.push('?');
            query::append(&mut target, own, &self.query);
        }
        let target =
            PathAndQuery::from_maybe_shared(Bytes::from(target)).map_err(|_| Refusal::BadQuery)?;
        Ok(target.into())
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

#[cfg(test)]
mod tests;
