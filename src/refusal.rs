//! Every reason for which the gateway itself answers instead of a backend.
//!
//! One enum, one exhaustive match to status, reason word and sentence; the reason word is the same
//! in the log, in the metric `spnegate_refusals_total{reason}` and on the page.

use http::StatusCode;

pub mod page;

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
    /// The keytab holds no key for the ticket's principal or it does not decrypt the ticket.
    WrongKey,
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
    /// No rule of `auth_to_local` maps the principal to a short name.
    NameUnmapped,
    /// The user is not in `allow`.
    UserDenied,
    /// The operating system did not say in time which groups the user is in.
    GroupsUnavailable,
    /// `Origin` or `Sec-Fetch-Site` say that another site made the browser send this.
    CrossSite,
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
    /// CONNECT or TRACE.
    BadMethod,
    /// The request's framing or head is refused (hyper's own 400).
    BadRequest,
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
    /// A node link to a host or port that is not allow-listed.
    NodeDenied,
    /// A node link's signature is wrong, of another user, or expired.
    NodeLink,
    /// No backend could be connected to.
    BackendDown,
    /// No backend is active, and none became active within `timeouts.hold`.
    NoActive,
    /// Too many requests wait for an active backend.
    HoldFull,
    /// The request must go to another backend, but its body is gone.
    NotReplayable,
    /// The backend closed the connection or broke HTTP.
    BackendBroken,
    /// The backend did not answer within `timeouts.first_byte`.
    BackendTimeout,
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
        Self::TokenReplayed,
        Self::TicketExpired,
        Self::ClockSkew,
        Self::KeytabOutOfDate,
        Self::TicketOutOfDate,
        Self::WrongKey,
        Self::TokenRejected,
        Self::WrongService,
        Self::LoginInterrupted,
        Self::LoginBusy,
        Self::LoginFlood,
        Self::LoginTimeout,
        Self::NameUnmapped,
        Self::UserDenied,
        Self::GroupsUnavailable,
        Self::CrossSite,
        Self::UnknownHost,
        Self::BadHost,
        Self::BadPath,
        Self::BadQuery,
        Self::BadForm,
        Self::BadMethod,
        Self::BadRequest,
        Self::HeadTooLarge,
        Self::HeadTimeout,
        Self::BodyTimeout,
        Self::NotFound,
        Self::CredentialDenied,
        Self::NodeDenied,
        Self::NodeLink,
        Self::BackendDown,
        Self::NoActive,
        Self::HoldFull,
        Self::NotReplayable,
        Self::BackendBroken,
        Self::BackendTimeout,
        Self::BackendLogin,
        Self::BackendMutual,
        Self::KdcUnavailable,
        Self::IdentityIgnored,
        Self::IdentityUnproven,
        Self::Draining,
    ];

    /// Status, reason word, and one sentence for people.
    #[expect(clippy::too_many_lines, reason = "a table, one row a variant")]
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::LoginRequired => (
                S::UNAUTHORIZED,
                "login_required",
                "This service wants a Kerberos login.",
            ),
            Self::SessionEnded => (
                S::UNAUTHORIZED,
                "session_ended",
                "Your session has ended; please log in again.",
            ),
            Self::BadAuthorization => (
                S::UNAUTHORIZED,
                "bad_authorization",
                "The Authorization header is not a Negotiate token.",
            ),
            Self::DuplicateAuthorization => (
                S::BAD_REQUEST,
                "duplicate_authorization",
                "More than one Authorization header came with the request.",
            ),
            Self::TokenTooLarge => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "token_too_large",
                "The login token is too large.",
            ),
            Self::Ntlm => (
                S::UNAUTHORIZED,
                "ntlm",
                "The client offered NTLM because it found no Kerberos ticket for this host.",
            ),
            Self::TokenMalformed => (
                S::UNAUTHORIZED,
                "token_malformed",
                "The login token cannot be read.",
            ),
            Self::TokenReplayed => (
                S::UNAUTHORIZED,
                "token_replayed",
                "The login token has been used before.",
            ),
            Self::TicketExpired => (
                S::UNAUTHORIZED,
                "ticket_expired",
                "The Kerberos ticket has expired; run kinit again.",
            ),
            Self::ClockSkew => (
                S::UNAUTHORIZED,
                "clock_skew",
                "The clocks of this client and the gateway differ too much.",
            ),
            Self::KeytabOutOfDate => (
                S::UNAUTHORIZED,
                "keytab_out_of_date",
                "The gateway's keytab lacks the newest key of this service.",
            ),
            Self::TicketOutOfDate => (
                S::UNAUTHORIZED,
                "ticket_out_of_date",
                "The ticket was made with an old key; run kinit again.",
            ),
            Self::WrongKey => (
                S::UNAUTHORIZED,
                "wrong_key",
                "The gateway's keytab has no key that opens this ticket.",
            ),
            Self::TokenRejected => (
                S::UNAUTHORIZED,
                "token_rejected",
                "The login token was refused.",
            ),
            Self::WrongService => (
                S::FORBIDDEN,
                "wrong_service",
                "The ticket is for another service or host than this console.",
            ),
            Self::LoginInterrupted => (
                S::UNAUTHORIZED,
                "login_interrupted",
                "The login was interrupted; please try again.",
            ),
            Self::LoginBusy => (
                S::SERVICE_UNAVAILABLE,
                "login_busy",
                "Too many logins are waiting.",
            ),
            Self::LoginFlood => (
                S::TOO_MANY_REQUESTS,
                "login_flood",
                "Too many logins from your address are waiting.",
            ),
            Self::LoginTimeout => (
                S::SERVICE_UNAVAILABLE,
                "login_timeout",
                "The login took too long.",
            ),
            Self::NameUnmapped => (
                S::FORBIDDEN,
                "name_unmapped",
                "No auth_to_local rule gives this principal a user name.",
            ),
            Self::UserDenied => (
                S::FORBIDDEN,
                "user_denied",
                "You are logged in, but may not use this console.",
            ),
            Self::GroupsUnavailable => (
                S::SERVICE_UNAVAILABLE,
                "groups_unavailable",
                "The gateway cannot find out which groups you are in.",
            ),
            Self::CrossSite => (
                S::FORBIDDEN,
                "cross_site",
                "Another web site made the browser send this request.",
            ),
            Self::UnknownHost => (
                S::MISDIRECTED_REQUEST,
                "unknown_host",
                "This gateway does not serve that host name.",
            ),
            Self::BadHost => (
                S::BAD_REQUEST,
                "bad_host",
                "The request's host is missing, doubled or malformed.",
            ),
            Self::BadPath => (
                S::BAD_REQUEST,
                "bad_path",
                "The request's path is ambiguous.",
            ),
            Self::BadQuery => (
                S::BAD_REQUEST,
                "bad_query",
                "The request's query is ambiguous.",
            ),
            Self::BadForm => (
                S::BAD_REQUEST,
                "bad_form",
                "The form names an identity, or is too large or too odd to be checked for one.",
            ),
            Self::BadMethod => (
                S::METHOD_NOT_ALLOWED,
                "bad_method",
                "This method is not allowed here.",
            ),
            Self::BadRequest => (S::BAD_REQUEST, "bad_request", "The request cannot be read."),
            Self::HeadTooLarge => (
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "head_too_large",
                "The request's head is too large.",
            ),
            Self::HeadTimeout => (
                S::REQUEST_TIMEOUT,
                "head_timeout",
                "The request's head did not arrive in time.",
            ),
            Self::BodyTimeout => (
                S::REQUEST_TIMEOUT,
                "body_timeout",
                "The transfer made no progress.",
            ),
            Self::NotFound => (S::NOT_FOUND, "not_found", "There is no such page here."),
            Self::CredentialDenied => (
                S::FORBIDDEN,
                "credential_denied",
                "This would hand out a credential of the gateway itself.",
            ),
            Self::NodeDenied => (
                S::FORBIDDEN,
                "node_denied",
                "This node or port is not allow-listed.",
            ),
            Self::NodeLink => (
                S::FORBIDDEN,
                "node_link",
                "This link is not valid, not yours, or has expired.",
            ),
            Self::BackendDown => (
                S::SERVICE_UNAVAILABLE,
                "backend_down",
                "The service behind the gateway cannot be reached.",
            ),
            Self::NoActive => (
                S::SERVICE_UNAVAILABLE,
                "no_active",
                "No server of this service is active at the moment.",
            ),
            Self::HoldFull => (
                S::SERVICE_UNAVAILABLE,
                "hold_full",
                "Too many requests wait for the service to become active.",
            ),
            Self::NotReplayable => (
                S::SERVICE_UNAVAILABLE,
                "not_replayable",
                "The request must go to another server, but its body cannot be sent again.",
            ),
            Self::BackendBroken => (
                S::BAD_GATEWAY,
                "backend_broken",
                "The service behind the gateway broke off its answer.",
            ),
            Self::BackendTimeout => (
                S::GATEWAY_TIMEOUT,
                "backend_timeout",
                "The service behind the gateway did not answer in time.",
            ),
            Self::BackendLogin => (
                S::BAD_GATEWAY,
                "backend_login",
                "The gateway could not log in to the service behind it.",
            ),
            Self::BackendMutual => (
                S::BAD_GATEWAY,
                "backend_mutual",
                "The service behind the gateway did not prove who it is.",
            ),
            Self::KdcUnavailable => (
                S::SERVICE_UNAVAILABLE,
                "kdc_unavailable",
                "The gateway waits for the Kerberos KDC.",
            ),
            Self::IdentityIgnored => (
                S::BAD_GATEWAY,
                "identity_ignored",
                "The service behind the gateway ignores who the user is, so it stays closed.",
            ),
            Self::IdentityUnproven => (
                S::SERVICE_UNAVAILABLE,
                "identity_unproven",
                "The gateway has not yet seen that the service obeys who the user is.",
            ),
            Self::Draining => (
                S::SERVICE_UNAVAILABLE,
                "draining",
                "The gateway is shutting down.",
            ),
        }
    }

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

    /// Counts it in `spnegate_refusals_total`; called once where the answer is made.
    pub fn count(self) {
        metrics::counter!("spnegate_refusals_total", "reason" => self.reason()).increment(1);
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
