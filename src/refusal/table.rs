//! Status and texts of each refusal: one row per variant.

use http::StatusCode;

use super::Refusal;

/// Status and texts of a refusal.
pub(super) struct Row {
    pub(super) status: StatusCode,
    /// What happened. The headline of the page, and the message of the JSON.
    pub(super) sentence: &'static str,
    /// On whose side it is, and what to do now.
    pub(super) advice: &'static str,
    /// The configuration key of the limit that was reached.
    pub(super) setting: Option<&'static str>,
}

const fn row(status: StatusCode, sentence: &'static str, advice: &'static str) -> Row {
    Row {
        status,
        sentence,
        advice,
        setting: None,
    }
}

impl Row {
    const fn limit(self, key: &'static str) -> Self {
        Self {
            setting: Some(key),
            ..self
        }
    }
}

impl Refusal {
    #[expect(clippy::too_many_lines, reason = "a table, one row per variant")]
    pub(super) const fn row(self) -> Row {
        use StatusCode as S;
        match self {
            Self::LoginRequired => row(
                S::UNAUTHORIZED,
                "This service requires a Kerberos login.",
                "Get a ticket with kinit and configure the client to use it for this host.",
            ),
            Self::SessionEnded => row(
                S::UNAUTHORIZED,
                "Your session has ended.",
                "Log in again: reload the page or repeat the command.",
            ),
            Self::BadAuthorization => row(
                S::UNAUTHORIZED,
                "The Authorization header does not hold a Negotiate token.",
                "Configure the client for Kerberos (SPNEGO); this service accepts no other scheme.",
            ),
            Self::DuplicateAuthorization => row(
                S::BAD_REQUEST,
                "The request has more than one Authorization header.",
                "The fault is in the client or in a proxy between it and the gateway.",
            ),
            // Not 401, after which the client would send the same token again (RFC 6585 section
            // 5). The header of a user with 1,500 groups in Active Directory has 17.9 KB, with a
            // forwarded ticket about twice that.
            Self::TokenTooLarge => row(
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "The login token is larger than the gateway accepts.",
                "A ticket grows with the groups of its user: report this to the administrator of the realm.",
            ),
            Self::Ntlm => row(
                S::UNAUTHORIZED,
                "The client offered NTLM because it found no Kerberos ticket for this host.",
                "Get a ticket with kinit, use the full host name, and allow the client to use Kerberos for it.",
            ),
            Self::TokenMalformed => row(
                S::UNAUTHORIZED,
                "The login token cannot be read.",
                "The fault is in the client: what it sent is not a Kerberos token.",
            ),
            Self::TokenKrbError => row(
                S::UNAUTHORIZED,
                "The client sent a Kerberos error message instead of a ticket.",
                "The client could not get a ticket for this host: run kinit and try again.",
            ),
            Self::TokenApRep => row(
                S::UNAUTHORIZED,
                "The client sent a Kerberos reply of a server instead of a ticket.",
                "The fault is in the client.",
            ),
            Self::TokenReplayed => row(
                S::UNAUTHORIZED,
                "The login token has been used before.",
                "A token is valid once: send the request again with a new one.",
            ),
            Self::TicketExpired => row(
                S::UNAUTHORIZED,
                "The Kerberos ticket has expired.",
                "Run kinit and try again.",
            ),
            Self::ClockSkew => row(
                S::UNAUTHORIZED,
                "The clocks of this client and the gateway differ too much.",
                "Synchronise the clock of the client with that of the KDC (NTP) and try again.",
            ),
            // Users cannot do anything about it, so the page says that their ticket is valid.
            Self::KeytabOutOfDate => row(
                S::UNAUTHORIZED,
                "The gateway's keytab lacks the newest key of this service.",
                "Your ticket is valid. The administrator of the gateway has to update the keytab.",
            ),
            Self::TicketOutOfDate => row(
                S::UNAUTHORIZED,
                "The ticket was issued with an old key of this service.",
                "Run kinit to get a new ticket and try again.",
            ),
            Self::WrongKey => row(
                S::UNAUTHORIZED,
                "The gateway's keytab has no key that decrypts this ticket.",
                "The administrator of the gateway has to compare the keytab with the KDC.",
            ),
            Self::NoKeyForService => row(
                S::UNAUTHORIZED,
                "The gateway's keytab has no key of the service that this ticket is for.",
                "Use another host name of this gateway, or ask its administrator to add a key for this one.",
            ),
            Self::NoKeyOfEnctype => row(
                S::UNAUTHORIZED,
                "The gateway's keytab has no key of this ticket's encryption type.",
                "The administrator of the gateway has to add one.",
            ),
            Self::TokenRejected => row(
                S::UNAUTHORIZED,
                "The login token was rejected.",
                "Run kinit to get a new ticket and try again. The log of the gateway has the cause.",
            ),
            // Not 401: the ticket itself is valid, and the client would repeat it at every
            // challenge.
            Self::WrongService => row(
                S::FORBIDDEN,
                "The ticket is for another service or host than this console.",
                "Use the host name of this console in the address.",
            ),
            // The steps belong to one connection. HTTP/2 has no place for them; such logins are
            // sent to HTTP/1.1 (`HTTP_1_1_REQUIRED`).
            Self::LoginInterrupted => row(
                S::UNAUTHORIZED,
                "The login was interrupted.",
                "Try again. A login of several steps needs one HTTP/1.1 connection.",
            ),
            Self::LoginBusy => row(
                S::SERVICE_UNAVAILABLE,
                "Too many logins are waiting at the gateway.",
                "Try again in a few seconds.",
            ),
            // 429 is about one address, 503 (`login_busy`) about the gateway as a whole.
            Self::LoginFlood => row(
                S::TOO_MANY_REQUESTS,
                "Too many logins from your address are waiting at the gateway.",
                "Try again in a few seconds.",
            ),
            Self::LoginTimeout => row(
                S::SERVICE_UNAVAILABLE,
                "The gateway did not verify the login in time.",
                "Try again in a few seconds.",
            )
            .limit("timeouts.gss"),
            // Not 401: browsers asked again, and users looked for the fault in their tickets.
            Self::ReplayCache => row(
                S::SERVICE_UNAVAILABLE,
                "The gateway cannot record logins, so it accepts none.",
                "The administrator of the gateway has to make its replay cache readable and writable.",
            ),
            Self::NameUnmapped => row(
                S::FORBIDDEN,
                "No auth_to_local rule maps this principal to a user name.",
                "You are logged in. The administrator of the gateway can add a rule for it.",
            ),
            Self::UserDenied => row(
                S::FORBIDDEN,
                "You are logged in, but not allowed to use this console.",
                "Ask the administrator of the gateway for access.",
            ),
            Self::GroupsUnavailable => row(
                S::SERVICE_UNAVAILABLE,
                "The gateway cannot look up the groups that you are in.",
                "Try again in a few seconds. If it persists, tell the administrator of the gateway.",
            ),
            Self::CrossSite => row(
                S::FORBIDDEN,
                "Another web site caused this request.",
                "The gateway rejected it to protect you: open this service directly.",
            ),
            Self::SourceDenied => row(
                S::FORBIDDEN,
                "This service does not accept requests from your network address.",
                "Connect from another network, or ask the administrator of the gateway.",
            ),
            Self::TooManyConnections => row(
                S::SERVICE_UNAVAILABLE,
                "Too many connections come from this address.",
                "Close some of them, or try again later.",
            )
            .limit("server.max_connections_per_address"),
            Self::RateLimited => row(
                S::TOO_MANY_REQUESTS,
                "Too many requests per second come from this address.",
                "Send requests more slowly.",
            )
            .limit("server.requests_per_second_per_address"),
            Self::ProxyHeader => row(
                S::BAD_REQUEST,
                "The connection does not begin with a PROXY protocol header.",
                "The load balancer in front of the gateway has to send one.",
            ),
            // Clients may repeat the request on another connection (RFC 9110 section 15.5.20).
            Self::UnknownHost => row(
                S::MISDIRECTED_REQUEST,
                "This gateway does not serve that host name.",
                "Check the host name in the address.",
            ),
            Self::BadHost => row(
                S::BAD_REQUEST,
                "The host of the request is missing, repeated or malformed.",
                "The fault is in the client or in a proxy between it and the gateway.",
            ),
            // Refused and not normalised, because the gateway cannot know how the backend reads
            // it: both have to see the same path for the same decision.
            Self::BadPath => row(
                S::BAD_REQUEST,
                "The path of the request is ambiguous.",
                "Servers could read it in different ways, so the gateway does not forward it: correct the address.",
            ),
            Self::BadQuery => row(
                S::BAD_REQUEST,
                "The query of the request is ambiguous.",
                "Servers could read it in different ways, so the gateway does not forward it: correct the address.",
            ),
            Self::BadForm => row(
                S::BAD_REQUEST,
                "The form contains an identity parameter, or cannot be checked for one.",
                "The gateway itself names the user to the service: remove the parameter.",
            ),
            Self::BadThrift => row(
                S::BAD_REQUEST,
                "The request body is not a Thrift call, or cannot be checked for an identity.",
                "Configure the client for HiveServer2 over HTTP (transportMode=http).",
            ),
            Self::ThriftIdentity => row(
                S::FORBIDDEN,
                "The Thrift call names another user than the one who is logged in.",
                "Remove the user name from the settings of the client, or log in as that user.",
            ),
            Self::BadMethod => row(
                S::METHOD_NOT_ALLOWED,
                "The gateway does not forward this method.",
                "CONNECT and TRACE are never forwarded.",
            ),
            Self::BadRequest => row(
                S::BAD_REQUEST,
                "The request is not valid HTTP.",
                "The fault is in the client or in a proxy between it and the gateway.",
            ),
            // Sent in plain text, before any handshake; it was an empty reply, which said
            // nothing.
            Self::PlainHttp => row(
                S::BAD_REQUEST,
                "This address speaks TLS.",
                "Use https instead of http.",
            ),
            Self::HeadTooLarge => row(
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "The head of the request is too large.",
                "Shorten the address, or delete the cookies of this site.",
            ),
            Self::HeadTimeout => row(
                S::REQUEST_TIMEOUT,
                "The head of the request did not arrive in time.",
                "Check the network between the client and the gateway.",
            )
            .limit("timeouts.head"),
            Self::BodyTimeout => row(
                S::REQUEST_TIMEOUT,
                "The body of the request made no progress.",
                "Check the network between the client and the gateway.",
            )
            .limit("timeouts.body_idle"),
            Self::NotFound => row(
                S::NOT_FOUND,
                "The gateway has no page at this address.",
                "Check the address.",
            ),
            // Under `identity = "service"` a delegation token is the gateway's own, and with it a
            // client could act as the gateway.
            Self::CredentialDenied => row(
                S::FORBIDDEN,
                "The response would hold a credential of the gateway itself.",
                "The gateway never hands out its own credentials.",
            ),
            // The internal interface of Presto and Trino (`/v1/task`, `/v1/announcement`) would
            // be reached with the gateway's login.
            Self::NotPublished => row(
                S::FORBIDDEN,
                "The gateway does not publish this part of the service.",
                "Only servers of the cluster use it: clients and pages do not need it.",
            ),
            Self::NodeDenied => row(
                S::FORBIDDEN,
                "This node or port is not on the allow-list of the console.",
                "The administrator of the gateway can add it to `nodes`.",
            ),
            Self::NodeLink => row(
                S::FORBIDDEN,
                "This link is not valid: the gateway did not sign it, or it was changed.",
                "Start again from the page or command that gave you the link.",
            ),
            Self::NodeLinkUser => row(
                S::FORBIDDEN,
                "This link was made for another user.",
                "Start again from the page or command that gives you a link of your own.",
            ),
            Self::NodeLinkExpired => row(
                S::FORBIDDEN,
                "This link has expired, or the session it belongs to has ended.",
                "Start again from the page or command that gave you the link.",
            ),
            Self::BackendDown => row(
                S::SERVICE_UNAVAILABLE,
                "The service behind the gateway cannot be reached.",
                "The gateway works. Try again later, or tell the administrator of the service.",
            ),
            Self::NoActive => row(
                S::SERVICE_UNAVAILABLE,
                "No server of this service is active.",
                "The gateway works. Try again in a few seconds, or tell the administrator of the service.",
            )
            .limit("timeouts.hold"),
            Self::HoldFull => row(
                S::SERVICE_UNAVAILABLE,
                "Too many requests are waiting for the service to become active.",
                "Try again in a few seconds.",
            ),
            Self::QueueFull => row(
                S::SERVICE_UNAVAILABLE,
                "The service is busy, and too many requests are waiting already.",
                "Try again in a few seconds.",
            )
            .limit("console.queue.length"),
            Self::QueueTimeout => row(
                S::SERVICE_UNAVAILABLE,
                "The service was too busy to take the request in time.",
                "Try again in a few seconds.",
            )
            .limit("console.queue.timeout"),
            // Another coordinator responds with 404 or 410 to a query that it does not run.
            Self::OwnerGone => row(
                S::SERVICE_UNAVAILABLE,
                "The server that this request belongs to is gone, and its work with it.",
                "Start the query again.",
            ),
            Self::NotReplayable => row(
                S::SERVICE_UNAVAILABLE,
                "The request must go to another server, but its body cannot be sent again.",
                "Send the request again.",
            )
            .limit("console.retry.buffer"),
            // The gateway sends a POST at most once, and cannot know what became of it. The same
            // holds for `backend_timeout`.
            Self::BackendBroken => row(
                S::BAD_GATEWAY,
                "The service behind the gateway sent an incomplete or invalid response.",
                "The fault is on the side of the service. It may have carried out the request: check before you repeat it.",
            ),
            Self::BackendTimeout => row(
                S::GATEWAY_TIMEOUT,
                "The service behind the gateway did not respond in time.",
                "The fault is on the side of the service. It may still carry out the request: check before you repeat it.",
            )
            .limit("timeouts.first_byte"),
            Self::BackendStalled => row(
                S::GATEWAY_TIMEOUT,
                "The service behind the gateway stopped in the middle of a transfer.",
                "The fault is on the side of the service: try again, or tell its administrator.",
            )
            .limit("timeouts.body_idle"),
            Self::BackendTls => row(
                S::BAD_GATEWAY,
                "The TLS connection to the service behind the gateway failed, or its certificate is not trusted.",
                "Your request is fine. The administrator of the gateway finds the cause in its log.",
            ),
            // A backend's 401 is about the gateway's login. It is never forwarded: the client
            // would answer the challenge, and some coordinators echo the gateway's token in the
            // body.
            Self::BackendLogin => row(
                S::BAD_GATEWAY,
                "The gateway cannot log in to the service behind it.",
                "Your login is fine. The administrator of the gateway finds the cause in its log.",
            ),
            Self::BackendMutual => row(
                S::BAD_GATEWAY,
                "The service behind the gateway did not prove its identity.",
                "Your login is fine. The administrator of the gateway finds the cause in its log.",
            ),
            Self::KdcUnavailable => row(
                S::SERVICE_UNAVAILABLE,
                "The gateway is waiting for the Kerberos KDC.",
                "Your login is fine. Try again in a few seconds.",
            ),
            // If the console stayed open, every user would act as the gateway, usually a Hadoop
            // proxy user.
            Self::IdentityIgnored => row(
                S::BAD_GATEWAY,
                "The service behind the gateway ignores the identity of users, so this console is closed.",
                "The administrator of the service has to enable impersonation there.",
            ),
            Self::IdentityUnproven => row(
                S::SERVICE_UNAVAILABLE,
                "The gateway has not yet verified that the service honours the identity of users.",
                "Try again in a few seconds.",
            ),
            // 403 also where the server sent 401 (Oozie, `E1400`): the client is logged in, and
            // would log in again without end.
            Self::ImpersonationDenied => row(
                S::FORBIDDEN,
                "The service behind the gateway does not allow the gateway to act for you.",
                "You are logged in. The administrator of the service has to allow it.",
            ),
            Self::Draining => row(
                S::SERVICE_UNAVAILABLE,
                "The gateway is shutting down.",
                "Try again in a few seconds.",
            ),
        }
    }
}
