//! The path of a request: every layer between a connection and a backend, in order.
//!
//! ```text
//! connection              TLS, HTTP/1.1 or HTTP/2, timeouts, X-Forwarded-For      server/
//! └ SetSensitiveHeaders   credentials cannot be printed by the layers below       ┐
//!   └ request id: check   an unusable X-Request-Id of the client is dropped       │ connection()
//!     └ request id: set   a request without an id gets one                        ┘
//!       └ Gateway         starts and ends the access-log record                   gateway.rs
//!         │ refuses       framing, rate limit, method, scheme
//!         ├ /.spnegate/health   built in: any host, no login                      builtin/health.rs
//!         ├ /KdcProxy           relayed to the KDCs of a realm: no login          kdc_proxy.rs
//!         │ refuses       host, path; finds the console by both                   route.rs
//!         ├ /.spnegate/logout   built in: ends sessions, no login
//!         │ refuses       a client address outside the console's allow_from
//!         │ adds          the session that needs no login: anonymous, signed link
//!         └ SpnegoLayer   session cookie, else token, else 401                    ┐ auth/
//!           └ AclLayer    origin of the page, users, groups                       │ console()
//!             └ BuiltinPages    /.spnegate/login and whoami                       ┘ builtin.rs
//!               └ Forward       body check → strip → set → attempts → response    forward.rs
//! ```
//!
//! The layers that every request passes are stacked by [`connection`], those of a console by
//! [`console`]. Between them stands [`Gateway`], which chooses the console.

use http::{Request, header};
use tower::{ServiceBuilder, util::MapRequest};
use tower_http::{
    request_id::{SetRequestId, SetRequestIdLayer},
    sensitive_headers::{SetSensitiveRequestHeaders, SetSensitiveRequestHeadersLayer},
};

use super::{
    Gateway,
    builtin::BuiltinPages,
    forward::Forward,
    request::id::{self, REQUEST_ID, RequestIds},
};
use crate::{
    auth::{
        acl::{AclLayer, AclPolicy, AclService},
        spnego::{SpnegoLayer, SpnegoPolicy, SpnegoService},
    },
    gss::Acceptor,
    server::RequestBody,
};

/// What a worker serves its connections with.
pub(crate) type ConnectionStack =
    SetSensitiveRequestHeaders<MapRequest<SetRequestId<Gateway, RequestIds>, CheckRequestId>>;

type CheckRequestId = fn(Request<RequestBody>) -> Request<RequestBody>;

/// The layers of one console on one worker.
pub(crate) type ConsoleStack = SpnegoService<AclService<BuiltinPages>>;

/// Stacks the layers that every request passes, whichever console it is for.
pub(crate) fn connection(gateway: Gateway) -> ConnectionStack {
    ServiceBuilder::new()
        // Outermost, because the mark is on the header value and holds only from here on: a layer above
        // this one that logs a request with `{:?}` would print a Kerberos token or a session cookie,
        // and everybody who reads the log could use it.
        .layer(SetSensitiveRequestHeadersLayer::new([
            header::AUTHORIZATION,
            header::COOKIE,
            header::PROXY_AUTHORIZATION,
        ]))
        // Before an id is set, because `SetRequestId` keeps whatever id is there. The id goes into the
        // access log, into refusal pages and to the backend, so an id of a client may carry neither
        // markup nor a line break.
        .map_request(id::remove_unacceptable as CheckRequestId)
        // Before the gateway, because the access-log record, which starts there, holds the id. A load
        // balancer's id is kept, so that one id leads from its log through ours to the backend's.
        .layer(SetRequestIdLayer::new(REQUEST_ID, RequestIds::new()))
        // Innermost. It also ends the record of every response, so that refusals by the layers of a
        // console are counted and logged in the same way as responses of a backend.
        .service(gateway)
}

/// Stacks the layers of one console.
pub(crate) fn console(
    spnego: SpnegoPolicy,
    acceptor: Acceptor,
    acl: AclPolicy,
    forward: Forward,
) -> ConsoleStack {
    ServiceBuilder::new()
        // First, because everything below decides by the user. It runs after routing, because the
        // challenge depends on the console: its service principals, its host names, its cookie scheme.
        .layer(SpnegoLayer::new(spnego, acceptor))
        // Directly below the login, because `allow` names users and groups. It also compares `Origin`:
        // a browser responds to a challenge on behalf of any page, so that a login alone does not protect
        // from cross-site request forgery.
        .layer(AclLayer::new(acl))
        // Below both, so that `whoami` reports a user that may use this console, and above the
        // forwarding, because a backend must never see a path under `/.spnegate/`.
        .service(BuiltinPages::new(forward))
}
