//! What the way of a request needs to know of a console: prepared once, shared by the workers.

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
    /// Its name.
    pub name: Arc<str>,
    /// What it is.
    pub kind: &'static dyn Kind,
    /// Lower-case host names that clients call it by; never empty.
    pub hosts: Vec<Arc<str>>,
    /// Whether the access log wants to know who answered, and when.
    pub logged: bool,
    /// How users are told.
    pub identity: IdentityMode,
    /// Who may name another user.
    pub become_rules: BecomeRules,
    /// Which headers tell its backends where a request comes from.
    pub forwarded: Forwarded,
    /// `host:port` of its backends, lower case.
    pub backends: Vec<Arc<str>>,
    /// Bodies up to this size can be sent again.
    pub retry_buffer: usize,
    /// Nodes that its links may lead to.
    pub nodes: Option<NodePolicy>,
    /// Whether a signed link is a credential.
    pub node_login: NodeLogin,
    /// Whom to believe of nodes that are reached by TLS; `None`: they are not.
    pub node_trust: Option<Trust>,
    /// Signs links; the same on all replicas that share the secret.
    pub link_key: Arc<LinkKey>,
    /// Where it listens.
    pub listen: Vec<SocketAddr>,
    /// All consoles, to which its answers may lead.
    pub consoles: Arc<Consoles>,
    /// Where its answers have led out of the gateway.
    pub leaving: ReportedTargets,
    /// Where logouts are known.
    pub sessions: Sessions,
    /// Waiting times.
    pub timeouts: Timeouts,
    /// Cookies that pass although the gateway logs in with each request.
    pub pass_cookies: Arc<[Arc<str>]>,
    /// Whether it was told already that a cookie was withheld.
    pub withheld: AtomicBool,
}

/// Authorities to which answers have led out of the gateway, each reported once by a worker.
#[derive(Debug, Default)]
pub(crate) struct ReportedTargets(Mutex<HashSet<Box<str>>>);

impl ReportedTargets {
    /// The most that are remembered; backends choose them.
    const MOST: usize = 64;

    /// Whether it is the first time.
    pub(crate) fn is_new(&self, authority: &str) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.len() < Self::MOST && known.insert(authority.into())
    }
}

impl Console {
    /// Reports a redirect of a backend that leads out of the gateway, to another port of a server
    /// that it knows.
    pub(crate) fn report_leaving(&self, backend: &str, authority: &str) {
        if self.leaving.is_new(authority) {
            tracing::warn!(
                console = %self.name,
                backend,
                target = authority,
                "a redirect leads out of the gateway, to another port of a server that it knows: \
                 make that address a backend of a console"
            );
        }
    }

    /// Rewrites the cookies of an answer for a client. Of an answer to a token of the gateway's only
    /// listed ones pass: any other may be the session that the token began, and whoever holds that is
    /// the gateway to the server.
    pub(crate) fn give_cookies(&self, headers: &mut HeaderMap, by_token: bool, tls: bool) {
        let jar = CookieRewrite {
            console: &self.name,
            script: self.kind.script_cookies(),
            tls,
            only: by_token.then_some(&*self.pass_cookies),
        };
        let listed = |name: &Arc<str>| name.eq_ignore_ascii_case("jsessionid");
        if by_token && !self.pass_cookies.iter().any(listed) {
            set_cookie::cut_session_ids(headers);
        }
        if set_cookie::apply(headers, &jar) && !self.withheld.swap(true, Ordering::Relaxed) {
            tracing::info!(
                console = %self.name,
                "cookies that a server sets in answer to the gateway's ticket are withheld, since \
                 each may be its session; list those that are not in pass_cookies"
            );
        }
    }

    /// Whether the answer to such a request may be the JSON of a link with a token in it. Under
    /// `service` the token would be the gateway's own, whatever kind the console is of.
    pub(crate) fn hands_out_links(&self, asked: &RequestInfo<'_>) -> bool {
        self.kind.redirects_to_nodes(asked)
            || (self.identity == IdentityMode::Service && credentials::asks_for_link(asked.query))
    }

    /// A request's body on its way to a backend, of which up to `limit` bytes can be sent again.
    pub(crate) fn upload(&self, body: RequestBody, limit: usize) -> Upload {
        let body_idle = self.timeouts.body_idle;
        let step = upload_step(self.timeouts.min_upload_rate, body_idle);
        Upload::new(body, limit).limited(body_idle, step)
    }
}
