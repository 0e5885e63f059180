//! The gateway's own pages below `/.spnegate/` that need a login: `login` and `whoami`. Every other
//! request is passed on to the console.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::future::{Either, LocalBoxFuture, Ready, ready};
use http::{HeaderValue, Request, Response, StatusCode, header, request::Parts};
use http_body::Body as _;
use percent_encoding::percent_decode_str;
use tower_service::Service;

use super::{forward::Forward, link, refuse, request::path};
use crate::{auth::session::Session, gateway::body::Body, refusal::Refusal, server::RequestBody};

pub(super) mod health;

pub(crate) const PREFIX: &str = "/.spnegate/";
/// For the health checks of load balancers; needs no login.
pub(crate) const HEALTH: &str = "/.spnegate/health";
/// Ends the session.
pub(crate) const LOGOUT: &str = "/.spnegate/logout";
const LOGIN: &str = "/.spnegate/login";
const WHOAMI: &str = "/.spnegate/whoami";

/// Serves the gateway's own pages and passes every other request on.
#[derive(Clone, Debug)]
pub(crate) struct BuiltinPages {
    inner: Forward,
}

impl BuiltinPages {
    pub(crate) fn new(inner: Forward) -> Self {
        Self { inner }
    }
}

impl Service<Request<RequestBody>> for BuiltinPages {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<
        LocalBoxFuture<'static, Result<Response<Body>, Infallible>>,
        Ready<Result<Response<Body>, Infallible>>,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let path = request.uri().path();
        // Signed links are below the prefix too, so that no console can have a page of the same path.
        if !path.starts_with(PREFIX) || link::is_link_path(path) {
            return Either::Left(self.inner.call(request));
        }
        let (parts, body) = request.into_parts();
        let console = self.inner.console_name();
        Either::Right(ready(Ok(page(&parts, !body.is_end_stream(), console))))
    }
}

fn page(parts: &Parts, body: bool, console: &str) -> Response<Body> {
    let session = parts.extensions.get::<Arc<Session>>();
    match (parts.uri.path(), session) {
        (WHOAMI, Some(session)) => who_am_i(session, console),
        (LOGIN, Some(_)) => {
            let mut response = Response::new(Body::Empty);
            *response.status_mut() = StatusCode::SEE_OTHER;
            let headers = response.headers_mut();
            headers.insert(
                header::LOCATION,
                destination(parts.uri.query().unwrap_or("")),
            );
            // A cached redirect would send a browser whose session has ended past the login.
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        // Also a page that is unknown here: a backend must never see a path below the prefix.
        _ => refuse::response(
            Refusal::NotFound,
            &refuse::RefusalContext::of(parts, body),
            console,
        ),
    }
}

fn who_am_i(session: &Session, console: &str) -> Response<Body> {
    let json = serde_json::json!({
        "user": session.user(),
        "principal": session.principal(),
        "expires": session.expires(),
        "console": console,
    });
    let mut response = Response::new(Body::from(Bytes::from(json.to_string())));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The target of `login?to=…`: always a path of this origin.
fn destination(query: &str) -> HeaderValue {
    // An open redirect would let a link to the gateway lead to any site (Knox CVE-2021-42357). The rules of
    // request paths exclude everything that a browser reads as a host: `//host`, `/\host`, `http:`.
    let home = HeaderValue::from_static("/");
    let Some(to) = query.split('&').find_map(|piece| piece.strip_prefix("to=")) else {
        return home;
    };
    let Ok(to) = percent_decode_str(to).decode_utf8() else {
        return home;
    };
    let only_path = to.split(['?', '#']).next().unwrap_or_default();
    let sound = path::check(only_path, path::AllowedEscapes::NOTHING).is_ok()
        && to.bytes().all(|b| b.is_ascii_graphic());
    if sound {
        HeaderValue::from_str(&to).unwrap_or(home)
    } else {
        home
    }
}

/// The page after a logout.
pub(crate) fn logged_out() -> Response<Body> {
    plain_text(
        StatusCode::OK,
        "You are logged out of the gateway. A browser with a Kerberos ticket logs in again by \
         itself; end the ticket with kdestroy.\n",
    )
}

/// A short text of the gateway's own, which no cache keeps.
fn plain_text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_leads_to_paths_of_this_origin_only() {
        let table = [
            ("", "/"),
            ("to=/explorer.html", "/explorer.html"),
            ("to=%2Fcluster%3Fa=b", "/cluster?a=b"),
            ("to=//evil.example.org/", "/"),
            ("to=%2F%2Fevil.example.org", "/"),
            ("to=%2F%5Cevil.example.org", "/"),
            ("to=https://evil.example.org/", "/"),
            ("to=/%0d%0aSet-Cookie:x", "/"),
            ("to=javascript:alert(1)", "/"),
        ];
        for (query, wanted) in table {
            assert_eq!(destination(query), wanted, "{query}");
        }
    }
}
