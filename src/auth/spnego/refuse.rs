//! Turns a refusal into its response, log line and counts.

use http::{HeaderMap, HeaderValue, Request, Response, header};

use super::SpnegoPolicy;
use crate::{
    auth::session::{SessionLookup, unix_now},
    gss::{Accepted, Principal},
    refusal::{Refusal, page},
    telemetry::metrics::{self, LoginSide},
};

/// The cause of a failed login, for the log.
pub(super) enum LoginFailure<'a> {
    /// The acceptor's error.
    Accept(&'a (dyn std::error::Error + 'static)),
    /// The ticket is for a service that the console does not accept.
    Service(&'a Accepted),
    /// The client's principal has no name, or no session could begin.
    Client(&'a Principal, &'a (dyn std::error::Error + 'static)),
}

/// The response to a request without usable credentials.
pub(super) fn response<B, R: From<bytes::Bytes>>(
    policy: &SpnegoPolicy,
    request: &Request<B>,
    refusal: Refusal,
) -> Response<R> {
    match refusal {
        // The first request of every client: no login has failed, so it is neither counted nor logged.
        Refusal::LoginRequired | Refusal::SessionEnded => {
            tracing::debug!(
                target: "spnegate::auth",
                console = %policy.console,
                reason = refusal.reason(),
                "login required"
            );
        }
        refused => {
            count(refused.reason());
            tracing::info!(
                target: "spnegate::auth",
                console = %policy.console,
                reason = refused.reason(),
                "login refused"
            );
        }
    }
    refusal_page(policy, request, refusal, None)
}

/// The response to a login that GSSAPI or the policy refuses. `mutual` authenticates the gateway to a
/// client whose ticket GSSAPI has accepted: some clients discard a response without it.
pub(super) fn login<B, R: From<bytes::Bytes>>(
    policy: &SpnegoPolicy,
    request: &Request<B>,
    refusal: Refusal,
    why: &LoginFailure<'_>,
    mutual: Option<HeaderValue>,
) -> Response<R> {
    let reason = refusal.reason();
    count(reason);
    let console = &*policy.console;
    let principal = match why {
        LoginFailure::Accept(error) => {
            let error = *error;
            tracing::info!(target: "spnegate::auth", console, reason, error, "login refused");
            None
        }
        LoginFailure::Service(Accepted {
            client, service, ..
        }) => {
            tracing::info!(
                target: "spnegate::auth",
                console, reason, principal = %client, %service, "login refused"
            );
            Some(client)
        }
        LoginFailure::Client(client, error) => {
            let error = *error;
            tracing::info!(
                target: "spnegate::auth",
                console, reason, principal = %client, error, "login refused"
            );
            Some(*client)
        }
    };
    let principal = principal.map(ToString::to_string);
    let mut response = refusal_page(policy, request, refusal, principal.as_deref());
    if let Some(mutual) = mutual {
        response
            .headers_mut()
            .append(header::WWW_AUTHENTICATE, mutual);
    }
    response
}

/// The response in the middle of a login: a challenge with GSSAPI's token.
pub(super) fn continue_login<B, R: From<bytes::Bytes>>(
    policy: &SpnegoPolicy,
    request: &Request<B>,
    token: HeaderValue,
) -> Response<R> {
    let context = page::PageContext::of(request, &policy.console, policy.scheme.as_str());
    // The login continues on this connection, which must therefore stay open.
    let context = page::PageContext {
        unread: false,
        ..context
    };
    let mut response = page::response(Refusal::LoginRequired, &context);
    response
        .headers_mut()
        .insert(header::WWW_AUTHENTICATE, token);
    response
}

/// Counts a finished login in `spnegate_logins_total`.
pub(super) fn count(result: &'static str) {
    metrics::login(LoginSide::Client, result);
}

fn refusal_page<B, R: From<bytes::Bytes>>(
    policy: &SpnegoPolicy,
    request: &Request<B>,
    refusal: Refusal,
    principal: Option<&str>,
) -> Response<R> {
    refusal.count();
    let context = page::PageContext::of(request, &policy.console, policy.scheme.as_str());
    let mut response = page::response(
        refusal,
        &page::PageContext {
            principal,
            ..context
        },
    );
    if refusal == Refusal::Ntlm && has_session(policy, request.headers()) {
        // The client has logged in with a ticket before and keeps its body until it is challenged; with
        // a session it cannot loop.
        response.headers_mut().insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Negotiate"),
        );
    }
    // A challenge to a script can make the browser show a password prompt.
    if !policy.challenge_scripts && is_script(request.headers()) {
        response.headers_mut().remove(header::WWW_AUTHENTICATE);
    }
    response
}

fn has_session(policy: &SpnegoPolicy, headers: &HeaderMap) -> bool {
    let found = policy
        .sessions
        .find(headers, policy.scheme, &policy.names, unix_now());
    matches!(found, SessionLookup::Session(_))
}

fn is_script(headers: &HeaderMap) -> bool {
    headers.contains_key("x-requested-with")
        || headers
            .get("sec-fetch-mode")
            .is_some_and(|mode| mode == "cors")
}
