//! Finds the console of a request, by host name and path.
//!
//! On the request path: after framing and rate limit, before the console's stack. A request whose
//! host or path two parsers could read differently is refused here, because the route decides which
//! access rules apply.

use std::{cell::RefCell, sync::Arc};

use http::{
    Extensions, Method, Response, Uri, Version, header,
    request::Parts,
    uri::{self, Authority},
};
use ipnet::IpNet;

use super::{
    body::Body,
    builtin,
    forward::Forward,
    kdc_proxy::KdcProxy,
    node,
    record::Recorder,
    refuse::{self, DetailedRefusal},
    request::{
        host,
        path::{self, AllowedEscapes, PathError, PathFault, RequestTarget},
    },
    stack::ConsoleStack,
};
use crate::{
    auth::{session::Session, spnego::LoginSlot},
    gss::Pending,
    net::sources,
    refusal::{Refusal, page::instead::name_for},
    rewrite::own_link,
    server::ConnInfo,
};

/// A console with the hosts and paths that it is reached by.
#[derive(Debug)]
pub(crate) struct Route {
    /// Lower-case host names.
    pub hosts: Vec<Arc<str>>,
    /// Path prefix without a final slash; `None`: all paths.
    pub path: Option<Arc<str>>,
    /// The session of every request to a console with `identity = "none"`.
    pub anonymous: Option<Arc<Session>>,
    /// `allow_encoded_slash`: whether `%2F` is allowed in a path.
    pub encoded_slash: bool,
    /// Networks of the clients that may use the console; `None`: all.
    pub allow_from: Option<Arc<[IpNet]>>,
    pub name: Arc<str>,
    /// Borrowed only while it is called, never across an await point.
    pub stack: RefCell<ConsoleStack>,
    /// The innermost service of `stack`, kept for questions about links and for sweeping.
    pub forward: Forward,
    pub recorder: Recorder,
}

/// What one listener serves.
#[derive(Debug)]
pub(crate) struct Site {
    /// All host names of its consoles.
    pub hosts: Vec<Arc<str>>,
    /// The longest path comes first.
    pub routes: Vec<Route>,
    /// Records requests that no console has handled.
    pub recorder: Recorder,
    pub kdc_proxy: Option<KdcProxy>,
}

/// Where a request goes.
pub(super) enum Routed<'a> {
    Console(&'a Route),
    KdcProxy(&'a KdcProxy),
    Health,
    Logout(&'a Arc<str>),
}

// === impl Site ===

impl Site {
    /// The page of a refusal before a console was chosen. It names the console that the request was
    /// most likely for, and for an unknown host the configured name that the client may have meant.
    pub(super) fn refuse(
        &self,
        refusal: &DetailedRefusal,
        context: refuse::RefusalContext,
        parts: &Parts,
    ) -> Response<Body> {
        let host = host::host(parts, &self.hosts).ok();
        let path = parts.uri.path();
        let mut candidates = self.routes.iter().filter(|route| {
            let by_path = route.path.as_ref();
            host.is_none_or(|host| route.hosts.contains(host))
                && by_path.is_none_or(|prefix| path::is_under(path, prefix))
        });
        // Without a known host a console is named only if it is the only candidate.
        let console = match (candidates.next(), candidates.next()) {
            (Some(route), next) if next.is_none() || host.is_some() => &*route.name,
            (Some(_) | None, _) => "",
        };
        let requested = parts.headers.get(header::HOST);
        let requested = requested.and_then(|host| host.to_str().ok());
        let requested = parts.uri.authority().map(Authority::as_str).or(requested);
        let instead = requested.filter(|_| refusal.refusal == Refusal::UnknownHost);
        let instead = instead.and_then(|requested| {
            let names = self.hosts.iter().map(|name| &**name);
            let name = name_for(requested, names)?;
            self.hosts.iter().find(|host| &***host == name)
        });
        refuse::detailed_response(refusal, &context.instead(instead), console)
    }
}

// === impl Route ===

impl Route {
    /// Whether clients at this address may use the console. The listener may be open to more, because
    /// consoles share it.
    fn admits(&self, extensions: &Extensions) -> bool {
        let Some(list) = &self.allow_from else {
            return true;
        };
        let client = extensions.get::<Arc<ConnInfo>>();
        client.is_some_and(|info| sources::contains(list, info.peer.ip()))
    }

    /// Checks the path by the rules of this console.
    fn target<'p>(&self, parts: &'p Parts) -> Result<RequestTarget<'p>, PathError> {
        let mut allowed = AllowedEscapes {
            slash: self.encoded_slash,
            backslash: false,
        };
        match path::target(&parts.method, &parts.uri, allowed) {
            Err(error)
                if error.fault == PathFault::Backslash
                    && self.forward.allows_backslash(parts.uri.path()) =>
            {
                allowed.backslash = true;
                path::target(&parts.method, &parts.uri, allowed)
            }
            target => target,
        }
    }
}

/// Refuses an ambiguous request, and finds what serves any other.
pub(super) fn route<'s>(site: &'s Site, parts: &mut Parts) -> Result<Routed<'s>, DetailedRefusal> {
    // CONNECT would make the gateway a forward proxy; TRACE reflects cookies (cross-site tracing).
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::BadMethod.into());
    }
    if !is_http(&parts.uri) {
        return Err(Refusal::BadHost.into());
    }
    if parts.uri.path() == builtin::HEALTH {
        return Ok(Routed::Health);
    }
    // Before the host is checked: MIT's client sends HTTP/1.0 without `Host`.
    if let Some(proxy) = &site.kdc_proxy
        && KdcProxy::is_kdc_proxy_path(parts)
    {
        return Ok(Routed::KdcProxy(proxy));
    }
    let host = host::host(parts, &site.hosts)?;
    let mut refusal = DetailedRefusal::from(Refusal::NotFound);
    for route in site
        .routes
        .iter()
        .filter(|route| route.hosts.contains(host))
    {
        // Consoles of one host may differ in what their paths may contain. A path is refused only if
        // no console accepts it.
        let path = match route.target(parts) {
            Ok(RequestTarget::Path { path, .. }) => path,
            Ok(RequestTarget::Server) => "/",
            Err(error) => {
                refusal = DetailedRefusal::path(error, parts.uri.path());
                continue;
            }
        };
        // A signed link to a console belongs to the console of the path inside it.
        let place = own_link::inner_path(path).unwrap_or(path);
        let is_builtin = place.starts_with(builtin::PREFIX);
        let is_below_prefix = route
            .path
            .as_ref()
            .is_none_or(|prefix| path::is_under(place, prefix));
        if path == builtin::LOGOUT {
            return Ok(Routed::Logout(host));
        }
        if !is_builtin && !is_below_prefix {
            continue;
        }
        // A node link carries no path prefix. It belongs to the console that lists the node, which is
        // the one that signed it; if none lists it, the first console refuses it.
        if node::is_node_path(path) && !route.forward.knows_node(path) {
            let mut others = site
                .routes
                .iter()
                .filter(|other| other.hosts.contains(host));
            if others.any(|other| other.forward.knows_node(path)) {
                continue;
            }
        }
        if !route.admits(&parts.extensions) {
            return Err(Refusal::SourceDenied.into());
        }
        if parts.headers.contains_key(header::AUTHORIZATION) {
            attach_login_slot(parts.version, &mut parts.extensions);
        }
        return Ok(Routed::Console(route));
    }
    Err(refusal)
}

/// Whether the scheme of a request target is HTTP. A target in absolute form, as every target of
/// HTTP/2 is, may name any scheme, and the gateway is not a proxy for others.
fn is_http(uri: &Uri) -> bool {
    uri.scheme()
        .is_none_or(|scheme| [uri::Scheme::HTTP, uri::Scheme::HTTPS].contains(scheme))
}

/// Gives the SPNEGO layer the client's address, and on HTTP/1.1 the connection's slot for a login that
/// takes several round trips. The streams of an HTTP/2 connection may belong to several users, so a
/// half-finished login must not be kept for the connection there.
fn attach_login_slot(version: Version, extensions: &mut Extensions) {
    let slot = extensions.get::<Arc<ConnInfo>>().and_then(|info| {
        let client = info.peer.ip();
        let slot = info.login.get_or_init(|| {
            Arc::new(if version <= Version::HTTP_11 {
                LoginSlot::<Pending>::of(client)
            } else {
                LoginSlot::of_stream(client)
            })
        });
        slot.downcast_ref::<LoginSlot<Pending>>().cloned()
    });
    if let Some(slot) = slot {
        extensions.insert(slot);
    }
}
