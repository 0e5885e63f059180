//! **The** way of a request, from a connection to the console that answers it.
//!
//! ```text
//! framing · rate · method · host · path refuse what two parsers could read differently, and floods
//!   └ /.spnegate/health, logout         answered here, without login
//!   └ /KdcProxy                         to the KDCs of a realm, without login
//!   └ route: host and path → console
//!       └ SpnegoLayer   session cookie, else token, else 401      auth/
//!       └ AclLayer      origin, users, groups                     auth/
//!       └ Forward       strip → set identity → attempt loop → rewrite → finish
//! ```
//!
//! One clone of [`Gateway`] serves one connection; everything behind it belongs to one worker.

use std::{
    cell::RefCell,
    convert::Infallible,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use http::{
    Extensions, Method, Request, Response, Uri, Version, header,
    request::Parts,
    uri::{self, Authority},
};
use http_body::Body as _;
use ipnet::IpNet;
use tower_service::Service;

use crate::{
    auth::{
        Scheme,
        acl::AclService,
        names::AuthToLocal,
        origin,
        session::{Found, Session, Sessions, clearing_cookie, unix_now},
        spnego::{LoginSlot, SpnegoService},
    },
    gateway::body::Body,
    gss::Pending,
    net::sources,
    refusal::{Refusal, page::instead::name_for},
    rewrite::own_link,
    server::{ConnInfo, RequestBody, framing},
};

pub(crate) mod addresses;
pub(crate) mod answer;
mod answering;
pub(crate) mod body;
pub(crate) mod console;
pub(crate) mod forward;
pub(crate) mod health;
pub(crate) mod host;
pub(crate) mod impersonation;
pub(crate) mod kdc_proxy;
pub(crate) mod link;
pub(crate) mod node;
pub(crate) mod own;
pub(crate) mod pages;
pub(crate) mod path;
pub(crate) mod rates;
pub(crate) mod record;
pub(crate) mod refuse;
pub(crate) mod screen;
pub(crate) mod upgrade;

pub(crate) use answering::Answering;
use answering::State;
use forward::Forward;
use health::Health;
use kdc_proxy::KdcProxy;
use path::{Allowed, PathError, PathFault, Target};
use rates::Rates;
use record::Recorder;

/// The layers of one console on one worker.
pub(crate) type Stack = SpnegoService<AclService<own::OwnPages>>;

/// A console as it is found by host and path.
#[derive(Debug)]
pub(crate) struct Route {
    /// Lower-case host names.
    pub hosts: Vec<Arc<str>>,
    /// Path prefix without a final slash; `None`: all paths.
    pub path: Option<Arc<str>>,
    /// Who everybody is, where nobody logs in.
    pub anonymous: Option<Arc<Session>>,
    /// Whether `%2F` passes.
    pub encoded_slash: bool,
    /// Addresses that clients may have; `None`: all.
    pub allow_from: Option<Arc<[IpNet]>>,
    /// The console's name.
    pub name: Arc<str>,
    /// What answers; borrowed for no longer than a call takes.
    pub stack: RefCell<Stack>,
    /// The last step of it, to be swept.
    pub forward: Forward,
    /// Counts and logs what it answered.
    pub recorder: Recorder,
}

/// What one listener serves.
#[derive(Debug)]
pub(crate) struct Site {
    /// All host names of its consoles.
    pub hosts: Vec<Arc<str>>,
    /// Longest path first.
    pub routes: Vec<Route>,
    /// Counts and logs what no console answered.
    pub recorder: Recorder,
    /// Answers Kerberos clients, where the listener has realms.
    pub kdc_proxy: Option<KdcProxy>,
}

impl Site {
    /// The page of a refusal before any console: with the name of the console that would have
    /// answered, and of the host that would have worked.
    fn refuse(
        &self,
        denied: &refuse::Denied,
        asks: refuse::RefusalContext,
        parts: &Parts,
    ) -> Response<Body> {
        let host = host::host(parts, &self.hosts).ok();
        let path = parts.uri.path();
        let mut may_answer = self.routes.iter().filter(|route| {
            let by_path = route.path.as_ref();
            host.is_none_or(|host| route.hosts.contains(host))
                && by_path.is_none_or(|prefix| path::is_under(path, prefix))
        });
        let console = match (may_answer.next(), may_answer.next()) {
            (Some(route), next) if next.is_none() || host.is_some() => &*route.name,
            (Some(_) | None, _) => "",
        };
        let asked = parts.headers.get(header::HOST);
        let asked = asked.and_then(|host| host.to_str().ok());
        let asked = parts.uri.authority().map(Authority::as_str).or(asked);
        let instead = asked.filter(|_| denied.refusal == Refusal::UnknownHost);
        let instead = instead.and_then(|asked| {
            let names = self.hosts.iter().map(|name| &**name);
            let name = name_for(asked, names)?;
            self.hosts.iter().find(|host| &***host == name)
        });
        refuse::denied(denied, &asks.instead(instead), console)
    }
}

/// The service of one worker.
#[derive(Clone, Debug)]
pub(crate) struct Gateway(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    sites: Vec<Site>,
    health: Health,
    sessions: Sessions,
    names: Arc<AuthToLocal>,
    rates: Option<Rates>,
}

/// Whether the request came by TLS.
pub(crate) fn is_tls(extensions: &Extensions) -> bool {
    extensions
        .get::<Arc<ConnInfo>>()
        .is_some_and(|info| info.tls)
}

/// Who sends the request, and to which address.
pub(crate) fn client(extensions: &Extensions) -> (SocketAddr, SocketAddr) {
    const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    extensions
        .get::<Arc<ConnInfo>>()
        .map_or((NOBODY, NOBODY), |info| (info.peer, info.local))
}

/// Gives the SPNEGO step the client's address, and the connection's place for a login of several legs:
/// streams of one connection may be of several users, so only HTTP/1.1 has one.
fn remember_login(version: Version, extensions: &mut Extensions) {
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

impl Route {
    /// Whether the client's address may use this console; the listener may be open to more.
    fn admits(&self, extensions: &Extensions) -> bool {
        let Some(list) = &self.allow_from else {
            return true;
        };
        let client = extensions.get::<Arc<ConnInfo>>();
        client.is_some_and(|info| sources::contains(list, info.peer.ip()))
    }
}

/// Where a request goes.
enum Routed<'a> {
    Console(&'a Route),
    KdcProxy(&'a KdcProxy),
    Health,
    Logout(&'a Arc<str>),
}

impl Gateway {
    /// The sites in the order of the server's listeners.
    pub(crate) fn new(
        sites: Vec<Site>,
        health: Health,
        sessions: Sessions,
        names: Arc<AuthToLocal>,
        rates: Option<Rates>,
    ) -> Self {
        Self(Rc::new(Inner {
            sites,
            health,
            sessions,
            names,
            rates,
        }))
    }

    /// Drops what the worker's pools have kept for too long.
    pub(crate) fn sweep(&self) {
        for site in &self.0.sites {
            for route in &site.routes {
                route.forward.sweep();
            }
        }
    }
}

impl Service<Request<RequestBody>> for Gateway {
    type Response = Response<record::Recorded>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let inner = &*self.0;
        let listener = request
            .extensions()
            .get::<Arc<ConnInfo>>()
            .map_or(0, |info| info.listener.0);
        let site = &inner.sites[listener];
        let framing = framing::check(&request);
        let (mut parts, body) = request.into_parts();
        let begun = site.recorder.begin(&parts);
        let asks = |parts: &Parts| refuse::RefusalContext::of(parts, !body.is_end_stream());
        let routed = framing
            .and_then(|()| inner.admit(&parts))
            .map_err(refuse::Denied::from)
            .and_then(|()| route(site, &mut parts));
        let response = match routed {
            Ok(Routed::Console(route)) => {
                let recorder = route.recorder.clone();
                match inner.known(route, &parts) {
                    Ok(Some(session)) => {
                        parts.extensions.insert(session);
                    }
                    Ok(None) => {}
                    Err(refusal) => {
                        let response = refuse::response(refusal, &asks(&parts), &route.name);
                        return Answering::own(recorder.end(begun, response));
                    }
                }
                let inner = route
                    .stack
                    .borrow_mut()
                    .call(Request::from_parts(parts, body));
                let begun = Some(begun);
                let state = State::Console {
                    inner,
                    recorder,
                    begun,
                };
                return Answering { state };
            }
            Ok(Routed::KdcProxy(proxy)) => {
                let state = State::Kerberos {
                    inner: Box::pin(proxy.clone().answer(parts, body)),
                    recorder: site.recorder.clone(),
                    begun: Some(begun),
                };
                return Answering { state };
            }
            Ok(Routed::Health) => inner.health.response(),
            Ok(Routed::Logout(host)) => inner
                .log_out(&parts, host)
                .unwrap_or_else(|refusal| site.refuse(&refusal.into(), asks(&parts), &parts)),
            Err(denied) => site.refuse(&denied, asks(&parts), &parts),
        };
        Answering::own(site.recorder.end(begun, response))
    }
}

impl Inner {
    /// Whether the client's address may send one more request now. A balancer's question whether the
    /// gateway is well is not counted.
    fn admit(&self, parts: &Parts) -> Result<(), Refusal> {
        let Some(rates) = &self.rates else {
            return Ok(());
        };
        let client = self::client(&parts.extensions).0.ip();
        if parts.uri.path() == own::HEALTH || rates.admit(client, Instant::now()) {
            Ok(())
        } else {
            Err(Refusal::RateLimited)
        }
    }

    /// Who sends a request, where that needs no login: nobody, where nobody logs in, and whoever
    /// follows a signed link without any other credential.
    fn known(&self, route: &Route, parts: &Parts) -> Result<Option<Arc<Session>>, Refusal> {
        if route.anonymous.is_some() {
            return Ok(route.anonymous.clone());
        }
        if !link::is_link_path(parts.uri.path())
            || parts.headers.contains_key(header::AUTHORIZATION)
        {
            return Ok(None);
        }
        let scheme = scheme(parts);
        let found = self
            .sessions
            .find(&parts.headers, scheme, &self.names, unix_now());
        match found {
            // then the link has to be of this user
            Found::Session(_) => Ok(None),
            Found::Ended | Found::None => route.forward.follower(parts),
        }
    }

    /// Ends every session that the client shows, whichever console it was begun at. Another site's
    /// page must not do it.
    fn log_out(&self, parts: &Parts, host: &Arc<str>) -> Result<Response<Body>, Refusal> {
        let scheme = scheme(parts);
        let hosts = std::slice::from_ref(host);
        origin::check(&Method::POST, &parts.headers, host, hosts, scheme)?;
        let now = unix_now();
        // each one found is ended and not found again
        while let Found::Session(session) =
            self.sessions.find(&parts.headers, scheme, &self.names, now)
        {
            self.sessions.end(&session, now);
        }
        let mut response = own::logged_out();
        let headers = response.headers_mut();
        headers.append(header::SET_COOKIE, clearing_cookie(scheme));
        Ok(response)
    }
}

fn scheme(parts: &Parts) -> Scheme {
    if is_tls(&parts.extensions) {
        Scheme::Tls
    } else {
        Scheme::Plain
    }
}

/// The path of a request, as this console may be asked for.
fn target<'p>(route: &Route, parts: &'p Parts) -> Result<Target<'p>, PathError> {
    let mut allowed = Allowed {
        slash: route.encoded_slash,
        backslash: false,
    };
    match path::target(&parts.method, &parts.uri, allowed) {
        Err(error)
            if error.fault == PathFault::Backslash
                && route.forward.names_backslash(parts.uri.path()) =>
        {
            allowed.backslash = true;
            path::target(&parts.method, &parts.uri, allowed)
        }
        target => target,
    }
}

/// Whether a target is of this protocol: one in absolute form, as every one of HTTP/2, may name any
/// scheme, and the gateway is a proxy for none.
fn is_http(uri: &Uri) -> bool {
    uri.scheme()
        .is_none_or(|scheme| [uri::Scheme::HTTP, uri::Scheme::HTTPS].contains(scheme))
}

/// Refuses what is ambiguous and finds who answers the rest.
fn route<'s>(site: &'s Site, parts: &mut Parts) -> Result<Routed<'s>, refuse::Denied> {
    if matches!(parts.method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::BadMethod.into());
    }
    if !is_http(&parts.uri) {
        return Err(Refusal::BadHost.into());
    }
    if parts.uri.path() == own::HEALTH {
        return Ok(Routed::Health);
    }
    // before the host: MIT's client speaks HTTP/1.0
    if let Some(proxy) = &site.kdc_proxy
        && KdcProxy::is_asked(parts)
    {
        return Ok(Routed::KdcProxy(proxy));
    }
    let host = host::host(parts, &site.hosts)?;
    let mut denied = refuse::Denied::from(Refusal::NotFound);
    for route in site
        .routes
        .iter()
        .filter(|route| route.hosts.contains(host))
    {
        let path = match target(route, parts) {
            Ok(Target::Path { path, .. }) => path,
            Ok(Target::Server) => "/",
            Err(error) => {
                denied = refuse::Denied::path(error, parts.uri.path());
                continue;
            }
        };
        // a signed link to a console is where the path behind it is
        let place = own_link::inner_path(path).unwrap_or(path);
        let own = place.starts_with(own::PREFIX);
        let mine = route
            .path
            .as_ref()
            .is_none_or(|prefix| path::is_under(place, prefix));
        if path == own::LOGOUT {
            return Ok(Routed::Logout(host));
        }
        if !own && !mine {
            continue;
        }
        // a node's link was written by the console that knows the node
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
            remember_login(parts.version, &mut parts.extensions);
        }
        return Ok(Routed::Console(route));
    }
    Err(denied)
}
