//! The interface of a kind. Every method has a default, except the name.

use std::{fmt::Debug, sync::Arc};

use http::{HeaderMap, StatusCode};

use super::{
    Audience, Health, ImpersonationCheck, ImpersonationDenial, ImpersonationProbe, Login, Remedy,
    RequestInfo, ResponseInfo, UserField, Verdict, hadoop,
};

/// A kind of console.
///
/// `body` arguments hold at most [`PREFIX`](super::PREFIX) bytes.
pub(crate) trait Kind: Debug + Send + Sync + 'static {
    /// The value of `kind` in the configuration.
    fn name(&self) -> &'static str;

    // === Login of clients at the gateway ===

    /// Services that a client's ticket may name.
    fn services(&self) -> &'static [&'static str] {
        &["HTTP"]
    }

    /// Lower-case parts of the `User-Agent` of clients that get no session cookie.
    ///
    /// For clients that keep cookies and yet require the mutual authentication token in every response:
    /// the response to a request with a session cookie has none.
    fn cookieless_agents(&self) -> &'static [&'static str] {
        &[]
    }

    // === Login of the gateway at the server ===

    fn login(&self) -> Login {
        Login::Cookie { path: "/" }
    }

    /// Whether the response says that the gateway's *login* failed, not that the user was refused.
    ///
    /// Default: a 401, or Hadoop's 403 whose reason phrase is a GSS or signer exception
    /// (`AuthenticationFilter.doFilter`).
    fn login_failed(&self, head: &ResponseInfo<'_>) -> bool {
        head.status == StatusCode::UNAUTHORIZED || hadoop::token_rejected(head)
    }

    // === Identity ===

    /// Where the user is named.
    fn user_field(&self) -> UserField {
        UserField::Query("doAs")
    }

    /// Whether the protocol itself makes the server act as the user in [`Kind::user_field`] and nobody
    /// else. No impersonation probe is needed then.
    ///
    /// Only if everything else by which a request could name a user is removed or refused.
    fn user_field_is_authoritative(&self) -> bool {
        false
    }

    /// Lower-case names of query parameters by which a client could name a user; all are removed.
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

    /// Lower-case names of headers by which a client could name a user to this kind, beyond the common
    /// ones. They are removed on consoles of every kind: see [`identity_headers`](super::identity_headers).
    ///
    /// Default: those of Hadoop's `DelegationTokenAuthenticator` and `RMWebServices`.
    fn identity_headers(&self) -> &'static [&'static str] {
        &[
            "x-hadoop-delegation-token",
            "hadoop-yarn-auth-delegation-token",
        ]
    }

    /// Who sends such a request to a server of this kind.
    fn audience(&self, request: &RequestInfo<'_>) -> Audience {
        let _ = request;
        Audience::Clients
    }

    /// Whether the server reads identity parameters from form bodies too.
    fn reads_forms(&self) -> bool {
        true
    }

    /// Whether bodies are calls of `HiveServer2`'s Thrift protocol, which can name a user. Each is
    /// checked while it is forwarded ([`crate::identity::thrift`]); any other body is refused.
    fn speaks_thrift(&self) -> bool {
        false
    }

    /// Why such a server without Kerberos cannot be sent the user (`identity = "simple"`).
    fn simple_identity_obstacle(&self) -> Option<&'static str> {
        None
    }

    // === Impersonation (`identity = "doas"`) ===

    /// The request that shows whether the server honours the user. `None`: nothing can show it, and
    /// `identity = "doas"` is a configuration error.
    fn impersonation_probe(&self) -> Option<ImpersonationProbe> {
        None
    }

    /// Reads the response to a probe as `user`:
    /// [`IMPERSONATION_PROBE_USER`](super::IMPERSONATION_PROBE_USER) first, and the empty string after
    /// [`ImpersonationCheck::RetryEmpty`].
    ///
    /// Never called for a response that is [`Kind::login_failed`].
    fn check_impersonation(
        &self,
        head: &ResponseInfo<'_>,
        body: &[u8],
        user: &str,
    ) -> ImpersonationCheck {
        let _ = (head, body, user);
        ImpersonationCheck::Inconclusive
    }

    /// Whether the response refuses to let the gateway act for the user (`ProxyUsers.authorize`).
    /// `body` is empty unless [`Kind::needs_body`].
    fn impersonation_denial(
        &self,
        request: &RequestInfo<'_>,
        head: &ResponseInfo<'_>,
        body: &[u8],
    ) -> Option<ImpersonationDenial> {
        let _ = (request, head, body);
        None
    }

    /// What makes this server allow it. `gateway` and `user` are short names.
    fn remedy(&self, denial: &ImpersonationDenial, gateway: &str, user: &str) -> Remedy {
        hadoop::remedy(
            "core-site.xml of the server",
            "restart it",
            (denial, gateway, user),
        )
    }

    // === Health and verdicts ===

    /// Whether one server is active and the others refer to it; `balance` is then `active` by default.
    fn has_active(&self) -> bool {
        false
    }

    /// Path and query of the health probe.
    fn probe(&self) -> &'static str {
        "/"
    }

    /// Path and query of a second probe, for servers that respond to the first with
    /// [`Health::NoSuchProbe`] (Hadoop 2.7 has no `/isActive`).
    fn probe_fallback(&self) -> Option<&'static str> {
        None
    }

    /// Reads the response to either probe.
    ///
    /// Never called for a response that is [`Kind::login_failed`].
    fn health(&self, head: &ResponseInfo<'_>, body: &[u8]) -> Health {
        let _ = body;
        if head.status.is_server_error() {
            Health::Down
        } else {
            Health::Active
        }
    }

    /// Whether [`Kind::verdict`] or [`Kind::impersonation_denial`] need the start of this body. Reading it
    /// delays the response, so the head alone decides wherever it can.
    fn needs_body(&self, head: &ResponseInfo<'_>) -> bool {
        let _ = head;
        false
    }

    /// What a response means. `body` is empty unless [`Kind::needs_body`]. `backends` are the
    /// lower-case `host:port` of all backends of the console, the one that responded included: a
    /// `ResourceManager` that is about to become active redirects to itself.
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

    // === Requests that belong to one server ===

    /// The key of the server that a request belongs to, as [`Kind::owner_by_id`] or
    /// [`Kind::owner_header`] returned it earlier: a query runs in one coordinator.
    fn owner<'a>(&self, request: &RequestInfo<'a>, headers: &'a HeaderMap) -> Option<&'a str> {
        let _ = (request, headers);
        None
    }

    /// The key of the server that created the query with this id.
    fn owner_by_id<'a>(&self, id: &'a str) -> Option<&'a str> {
        let _ = id;
        None
    }

    /// A response header whose value is such a key: the server that sends it owns what the value
    /// names (a transaction).
    fn owner_header(&self) -> Option<&'static str> {
        None
    }

    /// Whether the JSON of the response begins with the `"id"` of a query that the server has created
    /// ([`Kind::owner_by_id`]).
    fn names_owner(&self, request: &RequestInfo<'_>) -> bool {
        let _ = request;
        false
    }

    // === Addresses in responses ===

    /// Whether the JSON of the response has addresses that programs follow (`nextUri`, `trackingUrl`).
    /// They have to lead to the gateway.
    fn body_names_addresses(&self, request: &RequestInfo<'_>) -> bool {
        let _ = request;
        false
    }

    /// Whether the address in this field of such a response is the server's own, whatever host it
    /// names: some servers write the name by which their cluster knows them.
    fn is_own_address(&self, field: &str, path: &str) -> bool {
        let _ = (field, path);
        false
    }

    /// Whether an address with this path is a credential by itself, which clients follow without
    /// logging in. It is given out as a signed link.
    fn is_bearer_path(&self, path: &str) -> bool {
        let _ = path;
        false
    }

    /// Whether the pages name servers of the cluster, this one included, by full addresses.
    fn pages_name_servers(&self) -> bool {
        false
    }

    // === Nodes ===

    /// Whether the server has `WebHDFS` below `/webhdfs/`, whose second steps are signed links and whose
    /// file names may contain a backslash.
    fn serves_webhdfs(&self) -> bool {
        false
    }

    /// Whether responses of this kind may lead to nodes by links that are credentials
    /// ([`Kind::redirects_to_nodes`]).
    fn has_node_links(&self) -> bool {
        self.serves_webhdfs()
    }

    /// Whether a `Location` (or the JSON of `noredirect=true`) in the response to this request may lead to
    /// a node, with a bearer secret in it, and has to be signed.
    ///
    /// Such links are written absolute: the Java client of `WebHDFS` and `HttpFS` accepts nothing else.
    fn redirects_to_nodes(&self, request: &RequestInfo<'_>) -> bool {
        let _ = request;
        false
    }

    /// Whether clients can do little without the nodes (`WebHDFS`): a console without `nodes` gets a
    /// warning.
    fn depends_on_nodes(&self) -> bool {
        false
    }

    /// Whether the server discards the body of such a request, so that a client that waits for
    /// `100 Continue` need not send it.
    fn discards_body(&self, request: &RequestInfo<'_>) -> bool {
        let _ = request;
        false
    }

    // === Pages and cookies ===

    /// Whether pages of other programs are published below the server's own (the `ResourceManager`'s
    /// `/proxy/`). Their scripts run with the rights of the user wherever the origin reaches.
    fn hosts_foreign_pages(&self) -> bool {
        false
    }

    /// Cookies that the server's scripts read by name; they are not renamed.
    fn script_cookies(&self) -> &'static [&'static str] {
        &[]
    }
}
