//! Explains a server's refusal to let the gateway impersonate a user.
//!
//! On the request path: before a response is prepared for the client. The server's message is about the
//! cluster's `hadoop.proxyuser` rules and does not help the user. It is replaced by a page that says
//! which side has to act and which lines an administrator has to add.

use http::{HeaderValue, Method, Response, header};

use crate::{
    gateway::{body::Body, console::Console, request::id::REQUEST_ID},
    identity::IdentityMode,
    kinds::{ImpersonationDenial, ResponseInfo},
    refusal::{
        Refusal,
        page::{self, Format, ImpersonationAdvice, PageContext},
    },
    upstream::dispatch::{BackendResponse, Outgoing},
};

/// Paths that programs request. They read JSON whatever `Accept` says: `HttpURLConnection` of Java names
/// HTML first by default.
const INTERFACES: [&str; 3] = ["/webhdfs/", "/ws/", "/oozie/v"];

pub(crate) fn denial(
    received: &BackendResponse,
    out: &Outgoing,
    console: &Console,
) -> Option<ImpersonationDenial> {
    if console.identity != IdentityMode::DoAs || received.parts.status.is_success() {
        return None;
    }
    let head = ResponseInfo {
        status: received.parts.status,
        reason: &[],
        headers: &received.parts.headers,
    };
    let body = received.visible_start();
    console
        .kind
        .impersonation_denial(&out.request_info(), &head, body)
}

/// The response for the client, logged and counted.
pub(crate) fn response(
    denial: &ImpersonationDenial,
    received: &BackendResponse,
    out: &Outgoing,
    (user, tls): (&str, bool),
    console: &Console,
) -> Response<Body> {
    // The name in the server's message is the one that its rules are about. `auth_to_local` of the server
    // may have made another than the first component of the gateway's principal.
    let principal = received.backend.key.principal.as_ref();
    let own = principal.and_then(|principal| principal.components().first());
    let gateway = denial.gateway.as_ref().or(own);
    let gateway = gateway.map_or("the gateway", String::as_str);
    let cure = console.kind.remedy(denial, gateway, user);
    let advice = ImpersonationAdvice {
        user,
        gateway,
        file: cure.file,
        rules: &cure.rules,
        apply: cure.apply,
        message: &denial.message,
        exception: denial
            .exception
            .as_ref()
            .map(|(simple, class)| (simple.as_str(), class.as_str())),
    };
    let refusal = Refusal::ImpersonationDenied;
    refusal.count();
    tracing::warn!(
        console = %console.name,
        backend = %received.backend.key.authority,
        reason = refusal.reason(),
        user,
        gateway,
        "the server does not let the gateway act for the user: in {} {}; then {}",
        cure.file,
        cure.rules.join(", and "),
        cure.apply
    );
    let text = |name| {
        out.headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let programs = INTERFACES
        .iter()
        .any(|start| out.target.path().starts_with(start));
    let context = PageContext {
        authority: text(header::HOST).unwrap_or_default(),
        scheme: if tls { "https" } else { "http" },
        format: if programs {
            Format::Json
        } else {
            Format::of(&out.headers)
        },
        head: out.method == Method::HEAD,
        request_id: text(REQUEST_ID),
        ..PageContext::plain(&console.name)
    };
    let mut response = page::impersonation(&advice, &context);
    if let Some((code, message)) = denial.headers {
        let headers = response.headers_mut();
        if let Some(value) = received.parts.headers.get(code) {
            headers.insert(code, value.clone());
        }
        // A sentence that a header cannot contain is in the body only.
        if let Ok(value) = HeaderValue::from_str(&advice.sentence()) {
            headers.insert(message, value);
        }
    }
    response
}
