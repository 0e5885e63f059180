//! What each refusal says: one row a variant.

use http::StatusCode;

use super::Refusal;

/// The limits that operators set, by the refusals of what is beyond them.
pub(super) const SETTINGS: &[(Refusal, &str)] = &[
    (Refusal::LoginTimeout, "timeouts.gss"),
    (Refusal::HeadTimeout, "timeouts.head"),
    (Refusal::BodyTimeout, "timeouts.body_idle"),
    (Refusal::BackendTimeout, "timeouts.first_byte"),
    (Refusal::BackendStalled, "timeouts.body_idle"),
    (Refusal::NoActive, "timeouts.hold"),
    (Refusal::QueueFull, "console.queue.length"),
    (Refusal::QueueTimeout, "console.queue.timeout"),
    (Refusal::NotReplayable, "console.retry.buffer"),
    (
        Refusal::RateLimited,
        "server.requests_per_second_per_address",
    ),
    (
        Refusal::TooManyConnections,
        "server.max_connections_per_address",
    ),
];

impl Refusal {
    /// Status, reason word, and one sentence for people.
    #[expect(clippy::too_many_lines, reason = "a table, one row a variant")]
    pub(super) const fn parts(self) -> (StatusCode, &'static str, &'static str) {
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
            Self::TokenKrbError => (
                S::UNAUTHORIZED,
                "token_krb_error",
                "The client sent a Kerberos error message in place of a ticket.",
            ),
            Self::TokenApRep => (
                S::UNAUTHORIZED,
                "token_ap_rep",
                "The client sent a server's Kerberos answer in place of a ticket.",
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
            Self::NoKeyForService => (
                S::UNAUTHORIZED,
                "no_key_for_service",
                "The gateway's keytab has no key of the service that this ticket is for.",
            ),
            Self::NoKeyOfEnctype => (
                S::UNAUTHORIZED,
                "no_key_of_enctype",
                "The gateway's keytab has no key of this ticket's encryption type.",
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
            Self::ReplayCache => (
                S::SERVICE_UNAVAILABLE,
                "replay_cache",
                "The gateway cannot remember logins, so it accepts none.",
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
            Self::SourceDenied => (
                S::FORBIDDEN,
                "source_denied",
                "This service is not open to your network address.",
            ),
            Self::TooManyConnections => (
                S::SERVICE_UNAVAILABLE,
                "too_many_connections",
                "Too many connections come from this address.",
            ),
            Self::RateLimited => (
                S::TOO_MANY_REQUESTS,
                "rate_limited",
                "Too many requests a second come from this address.",
            ),
            Self::ProxyHeader => (
                S::BAD_REQUEST,
                "proxy_header",
                "The connection did not begin with a PROXY protocol header.",
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
                "The form names an identity, or is too odd to be checked for one.",
            ),
            Self::BadThrift => (
                S::BAD_REQUEST,
                "bad_thrift",
                "The request's body is not a Thrift call, or is too odd to be checked for an identity.",
            ),
            Self::ThriftIdentity => (
                S::FORBIDDEN,
                "thrift_identity",
                "The Thrift call names another user than the one who is logged in.",
            ),
            Self::BadMethod => (
                S::METHOD_NOT_ALLOWED,
                "bad_method",
                "This method is not allowed here.",
            ),
            Self::BadRequest => (S::BAD_REQUEST, "bad_request", "The request cannot be read."),
            Self::PlainHttp => (
                S::BAD_REQUEST,
                "plain_http",
                "This address speaks TLS: use https instead of http.",
            ),
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
            Self::NotPublished => (
                S::FORBIDDEN,
                "not_published",
                "Neither clients nor pages make such a request, so the gateway does not pass it on.",
            ),
            Self::NodeDenied => (
                S::FORBIDDEN,
                "node_denied",
                "This node or port is not allow-listed.",
            ),
            Self::NodeLink => (
                S::FORBIDDEN,
                "node_link",
                "This link is not valid: the gateway did not sign it, or it was changed.",
            ),
            Self::NodeLinkUser => (
                S::FORBIDDEN,
                "node_link_user",
                "This link was made for another user.",
            ),
            Self::NodeLinkExpired => (
                S::FORBIDDEN,
                "node_link_expired",
                "This link has expired, or the session it belongs to has ended.",
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
            Self::QueueFull => (
                S::SERVICE_UNAVAILABLE,
                "queue_full",
                "The service is busy, and too many requests wait already.",
            ),
            Self::QueueTimeout => (
                S::SERVICE_UNAVAILABLE,
                "queue_timeout",
                "The service was too busy to take the request in time.",
            ),
            Self::OwnerGone => (
                S::SERVICE_UNAVAILABLE,
                "owner_gone",
                "The server that this request belongs to is gone, and its work with it.",
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
            Self::BackendStalled => (
                S::GATEWAY_TIMEOUT,
                "backend_stalled",
                "The service behind the gateway stopped in the middle of a transfer.",
            ),
            Self::BackendTls => (
                S::BAD_GATEWAY,
                "backend_tls",
                "The gateway could not speak TLS to the service behind it, or did not believe its certificate.",
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
            Self::ImpersonationDenied => (
                S::FORBIDDEN,
                "impersonation_denied",
                "The service behind the gateway does not let the gateway act for you.",
            ),
            Self::Draining => (
                S::SERVICE_UNAVAILABLE,
                "draining",
                "The gateway is shutting down.",
            ),
        }
    }
}
