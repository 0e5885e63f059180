//! Every reason for which the gateway itself responds instead of a backend.
//!
//! One enum. `table` has its status, sentence and advice for people in one exhaustive match; the
//! reason word is the same in the log, in the metric `spnegate_refusals_total{reason}`, in the header
//! `x-spnegate-reason` and on the page. Errors of other modules are converted into a [`Refusal`] where
//! they meet HTTP; `page` turns it into a response.

use http::StatusCode;
use strum::{IntoStaticStr, VariantArray};

use crate::telemetry::metrics::REFUSALS;

pub(crate) mod page;
mod table;

/// A response of the gateway itself instead of a backend's.
///
/// The status says whose fault it is: 4xx the client's, 502 and 504 the backend's, 503 the gateway's
/// or a temporary state.
///
/// The reason word is the variant's name in `snake_case`. Reason words are a promise to operators, who
/// match them in logs and alerts, so a variant is never renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
#[non_exhaustive]
pub enum Refusal {
    /// No credentials in the request: the ordinary challenge of RFC 4559 section 4.1.
    LoginRequired,
    /// The session cookie has expired or its signature is wrong, and there is no token.
    SessionEnded,
    /// The `Authorization` header is not `Negotiate` with one base64 token.
    BadAuthorization,
    /// More than one `Authorization` header.
    DuplicateAuthorization,
    /// The token is larger than the gateway accepts.
    TokenTooLarge,
    /// An NTLM token: the client found no Kerberos ticket. The response has no new challenge.
    Ntlm,
    /// GSSAPI could not read the token.
    TokenMalformed,
    /// A Kerberos error message (`KRB-ERROR`) in place of a ticket.
    TokenKrbError,
    /// A server's reply (`AP-REP`) in place of a ticket.
    TokenApRep,
    /// The replay cache has the token already.
    TokenReplayed,
    /// The ticket has expired.
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
    /// A login of several steps lost its first step (new connection or HTTP/2).
    LoginInterrupted,
    /// The accept queue is full.
    LoginBusy,
    /// The client's address has used up its share of the accept queue.
    LoginFlood,
    /// The login took longer than `timeouts.gss`.
    LoginTimeout,
    /// The replay cache cannot be read or written, so no login is accepted.
    ReplayCache,
    /// No `auth_to_local` rule maps the principal to a short name.
    NameUnmapped,
    /// The user is not in `allow`.
    UserDenied,
    /// The operating system did not return the groups of the user in time.
    GroupsUnavailable,
    /// `Origin` or `Sec-Fetch-Site` show that another site made the browser send the request.
    CrossSite,
    /// The client's address is not in `allow_from`.
    SourceDenied,
    /// More connections than `server.max_connections_per_address`; closed without a response.
    TooManyConnections,
    /// More requests than `server.requests_per_second_per_address`.
    RateLimited,
    /// A peer in `accept_proxy` did not send a PROXY protocol header; closed without a response.
    ProxyHeader,
    /// The `Host` is not one of the listener's.
    UnknownHost,
    /// Two hosts, user information or an authority that differs from `Host`.
    BadHost,
    /// The path has dot segments, a backslash, NUL or an encoded slash.
    BadPath,
    /// The query has an invalid escape, NUL or a hidden identity parameter.
    BadQuery,
    /// A form body that carries an identity parameter.
    BadForm,
    /// The body for a Thrift server is not a Thrift call, or two readers could read it differently.
    BadThrift,
    /// A Thrift call that names another user than the one logged in.
    ThriftIdentity,
    /// CONNECT or TRACE.
    BadMethod,
    /// The framing or head of the request is invalid (hyper's own 400).
    BadRequest,
    /// A request in plain HTTP to an address that speaks TLS.
    PlainHttp,
    /// The head is larger than the gateway accepts (hyper's own 431).
    HeadTooLarge,
    /// The head did not arrive within `timeouts.head`.
    HeadTimeout,
    /// A body made no progress for `timeouts.body_idle`.
    BodyTimeout,
    /// There is no such page below `/.spnegate/`.
    NotFound,
    /// The response would be a credential of the gateway's own principal.
    CredentialDenied,
    /// An interface between the servers of a cluster (Presto's `/v1/task`).
    NotPublished,
    /// A node link to a host or port that is not allow-listed.
    NodeDenied,
    /// A node link is not signed, or the signature does not match.
    NodeLink,
    /// A node link was made for another user.
    NodeLinkUser,
    /// A node link has expired, or a logout has ended the session it belongs to.
    NodeLinkExpired,
    /// No backend accepts a connection.
    BackendDown,
    /// No backend is active, and none became active within `timeouts.hold`.
    NoActive,
    /// Too many requests are waiting for an active backend.
    HoldFull,
    /// Every backend is at its limit of requests, and the queue is full.
    QueueFull,
    /// Every backend stayed at its limit of requests for `queue.timeout`.
    QueueTimeout,
    /// The only backend that can answer the request (it runs the query) is gone.
    OwnerGone,
    /// The request must go to another backend, but its body has been sent and was not buffered.
    NotReplayable,
    /// The backend closed the connection or violated HTTP.
    BackendBroken,
    /// The backend did not respond within `timeouts.first_byte`.
    BackendTimeout,
    /// The backend stopped sending its response, or reading a request body, for `timeouts.body_idle`.
    BackendStalled,
    /// TLS to the backend failed: an unknown CA, another name, an expired certificate.
    BackendTls,
    /// The gateway's own login at the backend failed.
    BackendLogin,
    /// The backend's mutual authentication token does not verify.
    BackendMutual,
    /// The gateway's login is waiting for a KDC that does not reply.
    KdcUnavailable,
    /// The backend ignores the identity it is sent; the console is closed.
    IdentityIgnored,
    /// The backend has not yet been seen to honour the identity it is sent.
    IdentityUnproven,
    /// The server does not allow the gateway to act for the user: its own refusal, explained.
    ImpersonationDenied,
    /// The gateway is draining.
    Draining,
}

impl Refusal {
    /// Every refusal.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Status of the response.
    pub const fn status(self) -> StatusCode {
        self.row().status
    }

    /// The word in logs, metrics and pages: `login_required`.
    pub fn reason(self) -> &'static str {
        self.into()
    }

    /// What happened, in one sentence for people.
    pub const fn sentence(self) -> &'static str {
        self.row().sentence
    }

    /// On whose side it is, and what to do now.
    pub const fn advice(self) -> &'static str {
        self.row().advice
    }

    /// The configuration key of the limit that was reached, for operators who want another.
    pub const fn setting(self) -> Option<&'static str> {
        self.row().setting
    }

    /// Counts it in `spnegate_refusals_total`. Called once per refusal: where the response is made, or
    /// where the connection is closed without one.
    pub fn count(self) {
        metrics::counter!(REFUSALS, "reason" => self.reason()).increment(1);
    }

    /// Whether the response has a new `WWW-Authenticate: Negotiate`.
    ///
    pub fn challenges(self) -> bool {
        // A browser that sent NTLM would send it again: it finds no ticket, and loops on a challenge
        // without a token (RFC 4559 section 4.1).
        self.status() == StatusCode::UNAUTHORIZED && self != Self::Ntlm
    }

    /// Seconds for `Retry-After`, where the same request may succeed later.
    pub fn retry_after(self) -> Option<u32> {
        let passing = match self.status() {
            // The body is not buffered next time either: the client has to decide to send it again.
            StatusCode::SERVICE_UNAVAILABLE => self != Self::NotReplayable,
            status => status == StatusCode::TOO_MANY_REQUESTS,
        };
        passing.then_some(2)
    }
}
