//! Every reason for which the gateway itself answers instead of a backend.
//!
//! One enum, one exhaustive match to status, reason word and sentence; the reason word is the same
//! in the log, in the metric `spnegate_refusals_total{reason}` and on the page.

use http::StatusCode;

use crate::telemetry::metrics::REFUSALS;

pub(crate) mod page;
mod table;

/// A refusal: the gateway's own answer.
///
/// Whose fault it is follows from the status: 4xx the client's, 502/504 the backend's, 503 ours or
/// a passing state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// No credentials came with the request: the ordinary challenge of RFC 4559 section 4.1.
    LoginRequired,
    /// A session cookie was expired or its signature wrong, and no token came with it.
    SessionEnded,
    /// The `Authorization` header is not `Negotiate` with one base64 token.
    BadAuthorization,
    /// More than one `Authorization` header.
    DuplicateAuthorization,
    /// The token is larger than the gateway reads.
    TokenTooLarge,
    /// An NTLM token: the client found no Kerberos ticket. Answered without a new challenge.
    Ntlm,
    /// GSSAPI could not read the token.
    TokenMalformed,
    /// A Kerberos error message (`KRB-ERROR`) in place of a ticket.
    TokenKrbError,
    /// A server's answer (`AP-REP`) in place of a ticket.
    TokenApRep,
    /// The token was seen before (replay cache).
    TokenReplayed,
    /// The ticket's time has passed.
    TicketExpired,
    /// Clocks of client and gateway differ by more than the allowed skew.
    ClockSkew,
    /// The keytab lacks the key version of the ticket: keytab out of date.
    KeytabOutOfDate,
    /// The ticket is encrypted with an old key that the keytab no longer holds.
    TicketOutOfDate,
    /// The keytab holds a key for the ticket's principal, and it does not decrypt the ticket.
    WrongKey,
    /// The keytab holds no key of the ticket's principal.
    NoKeyForService,
    /// The keytab holds keys of the ticket's principal, but none of the ticket's encryption type.
    NoKeyOfEnctype,
    /// GSSAPI refused the token for another reason.
    TokenRejected,
    /// The ticket is for a service or host that this console does not serve.
    WrongService,
    /// A login of several legs lost its first leg (new connection or HTTP/2).
    LoginInterrupted,
    /// The accept queue is full.
    LoginBusy,
    /// The client's address has as many logins waiting as there is room for others.
    LoginFlood,
    /// The login took longer than `timeouts.gss`.
    LoginTimeout,
    /// The replay cache cannot be read or written, so that nobody can log in.
    ReplayCache,
    /// No rule of `auth_to_local` maps the principal to a short name.
    NameUnmapped,
    /// The user is not in `allow`.
    UserDenied,
    /// The operating system did not say in time which groups the user is in.
    GroupsUnavailable,
    /// `Origin` or `Sec-Fetch-Site` say that another site made the browser send this.
    CrossSite,
    /// The client's address is none of `allow_from`.
    SourceDenied,
    /// A connection more than `server.max_connections_per_address`; closed without an answer.
    TooManyConnections,
    /// A request more than `server.requests_per_second_per_address`.
    RateLimited,
    /// A peer of `accept_proxy` did not begin with a PROXY protocol header; closed without an answer.
    ProxyHeader,
    /// The `Host` is none of the listener's.
    UnknownHost,
    /// Two hosts, user information or an authority that differs from `Host`.
    BadHost,
    /// The path has dot segments, a backslash, NUL or an encoded slash.
    BadPath,
    /// The query has an invalid escape, NUL or a hidden identity parameter.
    BadQuery,
    /// A form body that carries an identity parameter.
    BadForm,
    /// A body for a Thrift server that is no Thrift call, or that two readers could read differently.
    BadThrift,
    /// A Thrift call that names another user than the one who is logged in.
    ThriftIdentity,
    /// CONNECT or TRACE.
    BadMethod,
    /// The request's framing or head is refused (hyper's own 400).
    BadRequest,
    /// A request in plain HTTP on an address that speaks TLS.
    PlainHttp,
    /// The head is larger than the gateway reads (hyper's own 431).
    HeadTooLarge,
    /// The head did not arrive within `timeouts.head`.
    HeadTimeout,
    /// A body made no progress for `timeouts.body_idle`.
    BodyTimeout,
    /// No such page below `/.spnegate/`.
    NotFound,
    /// The answer would be a credential of the gateway's own principal.
    CredentialDenied,
    /// The request is one that servers of a cluster make to each other (Presto's `/v1/task`).
    NotPublished,
    /// A node link to a host or port that is not allow-listed.
    NodeDenied,
    /// A node link is not signed, or its signature is not of this link.
    NodeLink,
    /// A node link was made for another user.
    NodeLinkUser,
    /// A node link's time is over, or the session that it belongs to has been ended by a logout.
    NodeLinkExpired,
    /// No backend could be connected to.
    BackendDown,
    /// No backend is active, and none became active within `timeouts.hold`.
    NoActive,
    /// Too many requests wait for an active backend.
    HoldFull,
    /// Every backend has as many requests as it may, and the queue is full.
    QueueFull,
    /// Every backend has as many requests as it may, and none was done within `queue.timeout`.
    QueueTimeout,
    /// The one backend that can answer this request (it runs the query) is gone.
    OwnerGone,
    /// The request must go to another backend, but its body is gone.
    NotReplayable,
    /// The backend closed the connection or broke HTTP.
    BackendBroken,
    /// The backend did not answer within `timeouts.first_byte`.
    BackendTimeout,
    /// The backend began its answer, or to take a body, and did not go on for `timeouts.body_idle`.
    BackendStalled,
    /// TLS to the backend fails: an unknown CA, another name, an expired certificate.
    BackendTls,
    /// The gateway's own login at the backend failed.
    BackendLogin,
    /// The backend's mutual authentication token does not verify.
    BackendMutual,
    /// The gateway's login waits for a KDC that does not answer.
    KdcUnavailable,
    /// The backend ignores the user's identity: the console is closed.
    IdentityIgnored,
    /// The backend has not yet proven that it obeys the user's identity.
    IdentityUnproven,
    /// The server does not let the gateway act for the user: its own refusal, explained.
    ImpersonationDenied,
    /// The gateway is draining.
    Draining,
}

impl Refusal {
    /// Every refusal, for tables and tests.
    pub const ALL: &'static [Self] = &[
        Self::LoginRequired,
        Self::SessionEnded,
        Self::BadAuthorization,
        Self::DuplicateAuthorization,
        Self::TokenTooLarge,
        Self::Ntlm,
        Self::TokenMalformed,
        Self::TokenKrbError,
        Self::TokenApRep,
        Self::TokenReplayed,
        Self::TicketExpired,
        Self::ClockSkew,
        Self::KeytabOutOfDate,
        Self::TicketOutOfDate,
        Self::WrongKey,
        Self::NoKeyForService,
        Self::NoKeyOfEnctype,
        Self::TokenRejected,
        Self::WrongService,
        Self::LoginInterrupted,
        Self::LoginBusy,
        Self::LoginFlood,
        Self::LoginTimeout,
        Self::ReplayCache,
        Self::NameUnmapped,
        Self::UserDenied,
        Self::GroupsUnavailable,
        Self::CrossSite,
        Self::SourceDenied,
        Self::TooManyConnections,
        Self::RateLimited,
        Self::ProxyHeader,
        Self::UnknownHost,
        Self::BadHost,
        Self::BadPath,
        Self::BadQuery,
        Self::BadForm,
        Self::BadThrift,
        Self::ThriftIdentity,
        Self::BadMethod,
        Self::BadRequest,
        Self::PlainHttp,
        Self::HeadTooLarge,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::NotFound,
        Self::CredentialDenied,
        Self::NotPublished,
        Self::NodeDenied,
        Self::NodeLink,
        Self::NodeLinkUser,
        Self::NodeLinkExpired,
        Self::BackendDown,
        Self::NoActive,
        Self::HoldFull,
        Self::QueueFull,
        Self::QueueTimeout,
        Self::OwnerGone,
        Self::NotReplayable,
        Self::BackendBroken,
        Self::BackendTimeout,
        Self::BackendStalled,
        Self::BackendTls,
        Self::BackendLogin,
        Self::BackendMutual,
        Self::KdcUnavailable,
        Self::IdentityIgnored,
        Self::IdentityUnproven,
        Self::ImpersonationDenied,
        Self::Draining,
    ];

    /// The status that the client gets.
    pub const fn status(self) -> StatusCode {
        self.parts().0
    }

    /// The reason word of log, metric and page.
    pub const fn reason(self) -> &'static str {
        self.parts().1
    }

    /// One sentence for people.
    pub const fn sentence(self) -> &'static str {
        self.parts().2
    }

    /// The key of the configuration whose limit was reached, for operators who want another.
    pub fn setting(self) -> Option<&'static str> {
        let mut limits = table::SETTINGS.iter();
        limits
            .find(|(refusal, _)| *refusal == self)
            .map(|(_, key)| *key)
    }

    /// Counts it in `spnegate_refusals_total`; called once, where the answer is made or the
    /// connection is given up.
    pub fn count(self) {
        metrics::counter!(REFUSALS, "reason" => self.reason()).increment(1);
    }

    /// Whether the answer carries a new `WWW-Authenticate: Negotiate`.
    ///
    /// A browser that sent NTLM would only send it again: RFC 4559 clients loop on a bare challenge.
    pub fn challenges(self) -> bool {
        self.status() == StatusCode::UNAUTHORIZED && self != Self::Ntlm
    }

    /// Seconds for `Retry-After` where trying again later makes sense.
    pub fn retry_after(self) -> Option<u32> {
        let passing = match self.status() {
            StatusCode::SERVICE_UNAVAILABLE => self != Self::NotReplayable,
            status => status == StatusCode::TOO_MANY_REQUESTS,
        };
        passing.then_some(2)
    }
}
