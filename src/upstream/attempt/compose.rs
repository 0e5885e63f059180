//! The request of one try: what every try sends, and what the gateway logs in with there.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderValue, Method, Uri, header};

use crate::{
    gss::ClientToken,
    upstream::{backend::Backend, http1::RequestHead, login::Credential},
};

/// A request as every try sends it.
#[derive(Debug)]
pub struct Outgoing {
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
    /// The word for the server that it belongs to ([`crate::kinds::Kind::owner`]).
    pub owner: Option<Box<str>>,
}

impl Outgoing {
    /// The request's head for one backend; with it what the mutual token is checked with, where a
    /// fresh token is sent.
    pub(super) fn to(
        &self,
        backend: &Backend,
        credential: Credential,
    ) -> (RequestHead, Option<Box<ClientToken>>) {
        let mut head = RequestHead::new(&self.method, &self.target);
        head.line(&header::HOST, &backend.host_header);
        let mut context = None;
        let mut login = None;
        match credential {
            Credential::None => {}
            Credential::Cookie(cookie) => login = Some(cookie),
            Credential::Token(value, verifier) => {
                head.line(&header::AUTHORIZATION, &value);
                context = Some(verifier);
            }
        }
        let cookies = [
            login.as_deref().map(|login| &login.value),
            self.cookies.as_ref(),
        ];
        head.joined(&header::COOKIE, "; ", cookies.into_iter().flatten());
        for (name, value) in &self.headers {
            if ![header::HOST, header::COOKIE, header::AUTHORIZATION].contains(name) {
                head.line(name, value);
            }
        }
        (head, context)
    }
}
