//! The request of one try: what every try sends, and what the gateway logs in with there.

use std::{net::SocketAddr, sync::Arc};

use http::{HeaderMap, HeaderValue, Method, Uri, header};

use crate::{
    identity::cookies,
    kinds::RequestInfo,
    rewrite::own_page::OwnPage,
    upstream::{backend::Backend, http1::RequestHead, login::Credential},
};

/// A request as every try sends it.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Method.
    pub method: Method,
    /// Path and query in origin form.
    pub target: Uri,
    /// Headers. `Host`, `Cookie`, `Authorization` and what says where the body ends are written anew
    /// for each try, whatever stands here.
    pub headers: HeaderMap,
    /// The client's cookies for this backend; the login cookie joins them.
    pub cookies: Option<HeaderValue>,
    /// The query as the client sent it.
    pub query: String,
    /// Who sent it, and to which address.
    pub client: (SocketAddr, SocketAddr),
    /// Which of `Origin` and `Referer` name the console itself.
    pub own_page: OwnPage,
    /// The word for the server that it belongs to ([`crate::kinds::Kind::owner`]).
    pub owner: Option<Box<str>>,
    /// The server that it belongs to by its address.
    pub server: Option<usize>,
}

impl Outgoing {
    /// The request as kinds read it.
    pub(crate) fn asked(&self) -> RequestInfo<'_> {
        RequestInfo {
            method: &self.method,
            path: self.target.path(),
            query: &self.query,
        }
    }

    /// The request's head for one backend. Beside a token, of the client's cookies only those named in
    /// `listed` go along: another may be a session that a login of the gateway's once earned, and such
    /// a one counts for more than the token to some servers.
    ///
    /// `Origin` and `Referer` that name the console itself name the backend, as `Host` does: servers
    /// compare them (WebSocket, CSRF filters).
    pub(super) fn to(
        &self,
        backend: &Backend,
        credential: &Credential,
        listed: &[Arc<str>],
    ) -> RequestHead {
        let mut head = RequestHead::new(&self.method, &self.target);
        head.line(&header::HOST, &backend.host_header);
        let mut login = None;
        let mut cookies = self.cookies.as_ref();
        let passing;
        match credential {
            Credential::None => {}
            Credential::Cookie(cookie) => login = Some(&cookie.value),
            Credential::Token(value, _) => {
                head.line(&header::AUTHORIZATION, value);
                passing = cookies.and_then(|cookies| cookies::listed(cookies, listed));
                cookies = passing.as_ref();
            }
        }
        let cookies = [login, cookies];
        head.joined(&header::COOKIE, "; ", cookies.into_iter().flatten());
        for (name, value) in &self.headers {
            if [header::HOST, header::COOKIE, header::AUTHORIZATION].contains(name) {
                continue;
            }
            match self.own_page.rest_of(name, value) {
                Some(rest) => head.moved(name, &backend.origin, rest),
                None => head.line(name, value),
            }
        }
        head
    }
}
