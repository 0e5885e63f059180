//! The settings of a console that the request path needs, prepared once for each worker.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use http::HeaderMap;

use crate::{
    auth::session::Sessions,
    identity::{IdentityMode, become_rules::BecomeRules, credentials, forwarded::Forwarded},
    kinds::{Kind, RequestInfo},
    rewrite::{
        consoles::Consoles,
        link::LinkKey,
        node::{NodeLogin, NodePolicy},
        set_cookie::{self, CookieRewrite},
    },
    server::{RequestBody, upload_step},
    tls::Trust,
    upstream::{Timeouts, upload::Upload},
};

/// A published service.
#[derive(Debug)]
pub(crate) struct Console {
    pub name: Arc<str>,
    pub kind: &'static dyn Kind,
    /// Lower-case host names that clients call it by; never empty.
    pub hosts: Vec<Arc<str>>,
    /// Whether the access log needs the backend and the times of a request.
    pub logged: bool,
    /// How users are named to the backends.
    pub identity: IdentityMode,
    /// Which users may name another user.
    pub become_rules: BecomeRules,
    /// Which headers send the client's address to the backends.
    pub forwarded: Forwarded,
    /// `host:port` of its backends, lower case.
    pub backends: Vec<Arc<str>>,
    /// Bodies up to this size can be sent again.
    pub retry_buffer: usize,
    /// Nodes that its links may point to.
    pub nodes: Option<NodePolicy>,
    /// Whether a signed link is a credential.
    pub node_login: NodeLogin,
    /// Trusted certificates of nodes that are reached by TLS; `None`: TLS nodes are refused.
    pub node_trust: Option<Trust>,
    /// Signs links; the same on all replicas that share the secret.
    pub link_key: Arc<LinkKey>,
    /// Addresses of its listeners.
    pub listen: Vec<SocketAddr>,
    /// All consoles, because links in its responses may point to any of them.
    pub consoles: Arc<Consoles>,
    /// Redirect targets outside the gateway that were reported already.
    pub leaving: ReportedTargets,
    /// Has the sessions that a logout has ended.
    pub sessions: Sessions,
    pub timeouts: Timeouts,
    /// Cookies that pass although the gateway logs in with each request.
    pub pass_cookies: Arc<[Arc<str>]>,
    /// Whether a withheld cookie has been logged already.
    pub withheld: AtomicBool,
}

/// Redirect targets outside the gateway, each logged once by a worker.
#[derive(Debug, Default)]
pub(crate) struct ReportedTargets(Mutex<HashSet<Box<str>>>);

impl ReportedTargets {
    /// Bounded, because backends choose the targets.
    const MOST: usize = 64;

    pub(crate) fn is_new(&self, authority: &str) -> bool {
        // When it is full nothing is new any more: better no line than one for every redirect.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.len() < Self::MOST && known.insert(authority.into())
    }
}

impl Console {
    /// Logs a redirect of a backend that points past the gateway, to another port of a server that the
    /// gateway knows: most likely a console that is missing in the configuration.
    pub(crate) fn report_leaving(&self, backend: &str, authority: &str) {
        if self.leaving.is_new(authority) {
            tracing::warn!(
                console = %self.name,
                backend,
                target = authority,
                "a redirect points past the gateway, to another port of a server that it knows; \
                 configure that address as a backend of a console"
            );
        }
    }

    /// Rewrites the cookies of a response for the client. If the gateway sent a Kerberos token with the
    /// request, only cookies listed in `pass_cookies` are passed on: any other may be a session that the
    /// token started, and its holder would be the gateway to the server.
    pub(crate) fn give_cookies(&self, headers: &mut HeaderMap, by_token: bool, tls: bool) {
        let jar = CookieRewrite {
            console: &self.name,
            script: self.kind.script_cookies(),
            tls,
            only: by_token.then_some(&*self.pass_cookies),
        };
        // A servlet container writes its session into redirects as well (`;jsessionid=…`). It is the same
        // credential as the cookie, so it is passed on only with the cookie.
        let listed = |name: &Arc<str>| name.eq_ignore_ascii_case("jsessionid");
        if by_token && !self.pass_cookies.iter().any(listed) {
            set_cookie::cut_session_ids(headers);
        }
        if set_cookie::apply(headers, &jar) && !self.withheld.swap(true, Ordering::Relaxed) {
            tracing::info!(
                console = %self.name,
                "cookies that a server sets in response to the gateway's ticket are withheld, because \
                 each may be the gateway's session; list in pass_cookies those that are not"
            );
        }
    }

    /// Whether the response to such a request may be JSON with a link that holds a token. With
    /// `identity = "service"` the token would be the gateway's own, so every kind is checked.
    pub(crate) fn hands_out_links(&self, request: &RequestInfo<'_>) -> bool {
        self.kind.redirects_to_nodes(request)
            || (self.identity == IdentityMode::Service && credentials::asks_for_link(request.query))
    }

    /// The body of a request for a backend; up to `limit` bytes can be sent again in another attempt.
    pub(crate) fn upload(&self, body: RequestBody, limit: usize) -> Upload {
        let body_idle = self.timeouts.body_idle;
        let step = upload_step(self.timeouts.min_upload_rate, body_idle);
        Upload::new(body, limit).limited(body_idle, step)
    }
}
