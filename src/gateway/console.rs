//! What the way of a request needs to know of a console: prepared once, shared by the workers.

use std::sync::Arc;

use http::Version;

use crate::{
    auth::session::Sessions,
    config::{Becomes, Forwarded, IdentityMode, Timeouts},
    kinds::Kind,
    rewrite::{
        node::{NodeKey, NodePolicy},
        set_cookie::Jar,
    },
    server::RequestBody,
    tls::Trust,
    upstream::upload::Upload,
};

/// A published service.
#[derive(Debug)]
pub struct Console {
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
    pub becomes: Becomes,
    /// Which headers tell its backends where a request comes from.
    pub forwarded: Forwarded,
    /// `host:port` of its backends, lower case.
    pub backends: Vec<Arc<str>>,
    /// Bodies up to this size can be sent again.
    pub retry_buffer: usize,
    /// Nodes that its links may lead to.
    pub nodes: Option<NodePolicy>,
    /// Whom to believe of nodes that are reached by TLS; `None`: they are not.
    pub node_trust: Option<Trust>,
    /// Signs node links; the same on all replicas that share the secret.
    pub node_key: Arc<NodeKey>,
    /// Where logouts are known.
    pub sessions: Sessions,
    /// Waiting times.
    pub timeouts: Timeouts,
}

impl Console {
    /// How its servers' cookies go out to a client.
    pub fn jar(&self, tls: bool) -> Jar<'_> {
        Jar {
            console: &self.name,
            script: self.kind.script_cookies(),
            tls,
            only: None,
        }
    }

    /// A request's body on its way to a backend, of which up to `limit` bytes can be sent again.
    pub fn upload(&self, body: RequestBody, limit: usize, version: Version) -> Upload {
        let upload = Upload::new(body, limit);
        if version == Version::HTTP_2 {
            upload.patient(self.timeouts.body_idle)
        } else {
            upload
        }
    }
}
