//! What a console is: one small file per kind, data and pure functions over heads plus at most
//! [`PREFIX`] bytes of body; no I/O.
//!
//! A new kind is one new file here and its line in [`ALL`]. Every question has a default answer.

use std::{
    fmt::Debug,
    sync::{Arc, LazyLock},
};

use http::{HeaderMap, Method, StatusCode};

mod coordinator;
mod denial;
mod generic;
mod hadoop;
mod hiveserver2;
mod httpfs;
mod impala;
mod jobhistory;
mod namenode;
mod oozie;
mod presto;
mod resourcemanager;
mod thrift;
mod trino;

/// The most bytes of a backend's body that a kind is shown.
pub(crate) const PREFIX: usize = 8 * 1024;

/// The head of a backend's answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseInfo<'a> {
    /// Status code.
    pub status: StatusCode,
    /// The reason phrase as sent; Hadoop puts the Java exception there.
    pub reason: &'a [u8],
    /// Headers.
    pub headers: &'a HeaderMap,
}

/// What a kind needs to know of the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestInfo<'a> {
    /// Method.
    pub method: &'a Method,
    /// Path as forwarded.
    pub path: &'a str,
    /// Query as the client sent it, without `?`.
    pub query: &'a str,
}

/// What a kind reads from a backend's answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// An answer for the client.
    Final,
    /// The gateway's own login failed; log in again.
    LoginFailed,
    /// Not this one: nothing was done, ask the active one (`StandbyException`, 307 to a sibling).
    Standby,
    /// What the request is about is not here, and may be at another: nothing was done.
    NotOwner,
}

/// Who makes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    /// Clients, and the server's own pages.
    Clients,
    /// Clients, but the request names a user by itself (a login form): it passes only where nobody
    /// logs in at the gateway.
    LoginForm,
    /// The other servers of the cluster, and its administrators: it is not published.
    Internal,
}

/// What a probe's answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// Serves, and is the active one (or the kind knows no such difference).
    Active,
    /// Alive, not active.
    Standby,
    /// Does not serve.
    Down,
    /// Answers, but has no such page: ask [`Kind::probe_fallback`]. As good as `Down` where the
    /// kind has none, or where the fallback says it too.
    NoSuchProbe,
}

/// How the gateway logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Login {
    /// One request to this path earns an authentication cookie, which is then kept.
    Cookie {
        /// A cheap protected page, with its query if it has one. Its status does not matter (a
        /// standby may say 405): the cookie does.
        path: &'static str,
    },
    /// A fresh token with every request (Presto, Trino).
    EveryRequest,
}

/// How a kind is told the user (`identity = "doas"`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UserField {
    /// A query parameter in exactly this spelling.
    Query(&'static str),
    /// A request header, lower case (`x-presto-user`).
    Header(&'static str),
}

/// Where the gateway proves that `doAs` is obeyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImpersonationProbe {
    /// Path that is answered under an identity.
    pub path: &'static str,
    /// Its query, without the identity parameter; may be empty.
    pub query: &'static str,
}

impl ImpersonationProbe {
    /// A page without a query.
    pub(crate) const fn page(path: &'static str) -> Self {
        Self { path, query: "" }
    }
}

/// What the answer to a proof request says of the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImpersonationCheck {
    /// It read the identity.
    Honoured,
    /// It answered as if there were none.
    Ignored,
    /// Healthy, but this answer looks the same either way (a rule allowed even the user of the
    /// proof): ask once more with the empty name and pass that answer to [`Kind::check_impersonation`].
    RetryEmpty,
    /// This answer says nothing (standby, error): ask again later.
    Inconclusive,
}

/// A kind of console.
pub(crate) trait Kind: Debug + Send + Sync + 'static {
    /// The word of the configuration file.
    fn name(&self) -> &'static str;

    /// Services that a client's ticket may name.
    fn services(&self) -> &'static [&'static str] {
        &["HTTP"]
    }

    /// Words, lower case, in the `User-Agent` of clients that keep cookies and yet want the mutual
    /// token in every answer: they are given no session cookie, which would be answered without one.
    fn cookieless_agents(&self) -> &'static [&'static str] {
        &[]
    }

    /// How the gateway logs in.
    fn login(&self) -> Login {
        Login::Cookie { path: "/" }
    }

    /// Whether this answer says that the gateway's *login* failed (not that the user was refused).
    ///
    /// Default: a 401, or Hadoop's 403 whose reason phrase is a GSS or signer exception
    /// (`AuthenticationFilter`).
    fn login_failed(&self, head: &ResponseInfo<'_>) -> bool {
        head.status == StatusCode::UNAUTHORIZED || hadoop_token_rejected(head)
    }

    /// How the user is told.
    fn user_field(&self) -> UserField {
        UserField::Query("doAs")
    }

    /// Whether the user that the gateway tells is the only one that the server can act as: nothing
    /// has to be proven then. Only where the protocol itself says so, and whatever else in it could
    /// name a user is taken away or refused.
    fn user_field_is_authoritative(&self) -> bool {
        false
    }

    /// Lower-case names of query parameters by which a client could say who it is; all are cut.
    ///
    /// `ugi` and `nnaddr` are read by the pages of Hadoop 1 and 2 (`JspHelper`).
    fn identity_parameters(&self) -> &'static [&'static str] {
        &[
            "doas",
            "user.name",
            "delegation",
            "namenoderpcaddress",
            "ugi",
            "nnaddr",
        ]
    }

    /// Lower-case names of headers by which a client could say who it is to this kind, beyond the
    /// common list. They are stripped on consoles of every kind: see [`identity_headers`].
    ///
    /// Default: `DelegationTokenAuthenticator` and `RMWebServices` of Hadoop.
    fn identity_headers(&self) -> &'static [&'static str] {
        &[
            "x-hadoop-delegation-token",
            "hadoop-yarn-auth-delegation-token",
        ]
    }

    /// Who makes such a request to a server of this kind.
    fn audience(&self, request: &RequestInfo<'_>) -> Audience {
        let _ = request;
        Audience::Clients
    }

    /// Whether the backend reads identity parameters from form bodies too.
    fn reads_forms(&self) -> bool {
        true
    }

    /// Whether bodies are calls of `HiveServer2`'s Thrift protocol, which can say who the user is:
    /// each is read on its way ([`crate::identity::thrift`]), and nothing else passes.
    fn speaks_thrift(&self) -> bool {
        false
    }

    /// Why such a server without Kerberos cannot be told the user (`identity = "simple"`).
    fn simple_identity_obstacle(&self) -> Option<&'static str> {
        None
    }

    /// Where to prove that the identity is obeyed; `None`: cannot be proven, `doas` is refused.
    fn impersonation_probe(&self) -> Option<ImpersonationProbe> {
        None
    }

    /// Reads the answer to a proof request that was made as `user`: [`IMPERSONATION_PROBE_USER`] first, and the
    /// empty string after [`ImpersonationCheck::RetryEmpty`]. `body` holds up to [`PREFIX`] bytes.
    ///
    /// Never called for an answer that is [`Kind::login_failed`].
    fn check_impersonation(
        &self,
        head: &ResponseInfo<'_>,
        body: &[u8],
        user: &str,
    ) -> ImpersonationCheck {
        let _ = (head, body, user);
        ImpersonationCheck::Inconclusive
    }

    /// Whether of several servers one is active and the others refer to it; `balance` is then
    /// `active` unless written otherwise.
    fn has_active(&self) -> bool {
        false
    }

    /// Path and query of the health probe.
    fn probe(&self) -> &'static str {
        "/"
    }

    /// Path and query of a second probe, for servers that answer the first with
    /// [`Health::NoSuchProbe`] (Hadoop 2.7 has no `/isActive`).
    fn probe_fallback(&self) -> Option<&'static str> {
        None
    }

    /// Reads the answer of either probe; `body` holds up to [`PREFIX`] bytes.
    ///
    /// Never called for an answer that is [`Kind::login_failed`].
    fn health(&self, head: &ResponseInfo<'_>, body: &[u8]) -> Health {
        let _ = body;
        if head.status.is_server_error() {
            Health::Down
        } else {
            Health::Active
        }
    }

    /// Whether [`Kind::verdict`] or [`Kind::impersonation_denial`] need the start of the body to judge this answer.
    fn needs_body(&self, head: &ResponseInfo<'_>) -> bool {
        let _ = head;
        false
    }

    /// Judges an answer; `body` is empty unless [`Kind::needs_body`] said so. `backends` are the
    /// `host:port` of all the console's backends in lower case, the one that answered included (a
    /// `ResourceManager` about to take over redirects to itself).
    fn verdict(
        &self,
        request: &RequestInfo<'_>,
        head: &ResponseInfo<'_>,
        body: &[u8],
        backends: &[Arc<str>],
    ) -> Verdict {
        let _ = (request, body, backends);
        if self.login_failed(head) {
            Verdict::LoginFailed
        } else {
            Verdict::Final
        }
    }

    /// Whether the answer refuses to let the gateway act for the user (`ProxyUsers.authorize`), under
    /// `identity = "doas"`. `body` is its start where [`Kind::needs_body`] said so.
    fn impersonation_denial(
        &self,
        request: &RequestInfo<'_>,
        head: &ResponseInfo<'_>,
        body: &[u8],
    ) -> Option<ImpersonationDenial> {
        let _ = (request, head, body);
        None
    }

    /// What makes this server allow it: `gateway` and `user` are short names.
    fn remedy(&self, denial: &ImpersonationDenial, gateway: &str, user: &str) -> Remedy {
        hadoop::remedy(
            "core-site.xml of the server",
            "restart it",
            (denial, gateway, user),
        )
    }

    /// The one server that can answer a request, by a word that [`Kind::owner_by_id`] or
    /// [`Kind::owner_header`] gave before: a query runs in one coordinator.
    fn owner<'a>(&self, request: &RequestInfo<'a>, headers: &'a HeaderMap) -> Option<&'a str> {
        let _ = (request, headers);
        None
    }

    /// The word for the server that began what has this id.
    fn owner_by_id<'a>(&self, id: &'a str) -> Option<&'a str> {
        let _ = id;
        None
    }

    /// A header of answers whose value is such a word: what it names has begun at that server.
    fn owner_header(&self) -> Option<&'static str> {
        None
    }

    /// Whether the JSON of the answer names addresses that programs follow (`nextUri`,
    /// `trackingUrl`), which have to lead to the gateway.
    fn body_names_addresses(&self, request: &RequestInfo<'_>) -> bool {
        let _ = request;
        false
    }

    /// Whether the address in this field of such an answer is the server's own, whichever server it
    /// names: some write the one by which their cluster knows them.
    fn is_own_address(&self, field: &str, path: &str) -> bool {
        let _ = (field, path);
        false
    }

    /// Whether an address with this path is a secret of its own, which clients follow without logging
    /// in. It is handed out as a signed link.
    fn is_bearer_path(&self, path: &str) -> bool {
        let _ = path;
        false
    }

    /// Whether the JSON of the answer begins with the `"id"` of what the server that gave it has
    /// begun ([`Kind::owner_by_id`]).
    fn names_owner(&self, request: &RequestInfo<'_>) -> bool {
        let _ = request;
        false
    }

    /// Whether its pages name servers of the cluster, its own too, by full addresses.
    fn pages_name_servers(&self) -> bool {
        false
    }

    /// Whether it serves `WebHDFS` below `/webhdfs/`, whose second steps are signed links and whose
    /// file names may hold a backslash.
    fn serves_webhdfs(&self) -> bool {
        false
    }

    /// Whether answers of this kind may lead to nodes by links that are credentials
    /// ([`Kind::redirects_to_nodes`]).
    fn has_node_links(&self) -> bool {
        self.serves_webhdfs()
    }

    /// Whether a `Location` (or the JSON of a `noredirect=true`) of the answer to this request may
    /// lead to a node with a bearer secret in it and is to be signed. Such links are written
    /// absolute: the Java client of `WebHDFS` and `HttpFS` reads nothing else.
    fn redirects_to_nodes(&self, request: &RequestInfo<'_>) -> bool {
        let _ = request;
        false
    }

    /// Whether clients can do little without the nodes that its answers lead to (`WebHDFS`).
    fn depends_on_nodes(&self) -> bool {
        false
    }

    /// Whether the backend reads the body of such a request only to throw it away, so that a client
    /// which waits for `100 Continue` need not send it.
    fn discards_body(&self, request: &RequestInfo<'_>) -> bool {
        let _ = request;
        false
    }

    /// Whether pages of other people's programs are published below its own (the `ResourceManager`'s
    /// `/proxy/`): their scripts run with the rights of whoever looks, wherever the origin reaches.
    fn hosts_foreign_pages(&self) -> bool {
        false
    }

    /// Cookies of the backend that its scripts read by name and that keep theirs.
    fn script_cookies(&self) -> &'static [&'static str] {
        &[]
    }
}

/// The kinds of this version.
pub(crate) static ALL: &[&dyn Kind] = &[
    &generic::Generic,
    &hiveserver2::HIVESERVER2,
    &httpfs::HttpFs,
    &impala::IMPALA,
    &jobhistory::JobHistory,
    &namenode::NameNode,
    &oozie::Oozie,
    &presto::PRESTO,
    &resourcemanager::ResourceManager,
    &trino::TRINO,
];

/// The headers by which a client could say who it is to a server of any kind. They reach no console:
/// which server stands behind a `generic` one, or behind one of the wrong kind, is not known.
pub(crate) fn identity_headers() -> &'static [&'static str] {
    static HEADERS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let all = ALL.iter().flat_map(|kind| kind.identity_headers());
        let mut headers: Vec<_> = all.copied().collect();
        headers.sort_unstable();
        headers.dedup();
        headers
    });
    &HEADERS
}

/// The kind of that name in the configuration file.
#[cfg(test)]
pub(crate) fn named(name: &str) -> Option<&'static dyn Kind> {
    ALL.iter().copied().find(|kind| kind.name() == name)
}

/// The user of a proof request: a name that no sensible rule allows and nobody has.
///
/// Long enough and odd enough not to stand in a page by chance.
pub const IMPERSONATION_PROBE_USER: &str = "spnegate-proof-of-doas-nobody";

pub(crate) use denial::{ImpersonationDenial, MissingRule, Remedy};
pub(crate) use hadoop::token_rejected as hadoop_token_rejected;

#[cfg(test)]
mod tests;
