//! The request of one try: what every try sends, and what the gateway logs in with there.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};

use crate::{
    gss::ClientToken,
    upstream::{backend::Backend, login::Credential, upload::SendBody},
};

/// A request as every try sends it.
#[derive(Debug)]
pub struct Outgoing {
    /// Method.
    pub method: Method,
    /// Path and query in origin form.
    pub target: Uri,
    /// Headers without what the gateway logs in with. `Host` and `Cookie` are set anew for each
    /// try, whatever stands here (where they stand already, that costs no room).
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
    /// The request for one backend; with it what the mutual token is checked with, where a fresh
    /// token is sent.
    pub(super) fn to(
        &self,
        backend: &Backend,
        credential: Credential,
        body: SendBody,
    ) -> (Request<SendBody>, Option<Box<ClientToken>>) {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.clone();
        let mut headers = self.headers.clone();
        headers.insert(header::HOST, backend.host_header.clone());
        let mut context = None;
        let cookie = match credential {
            Credential::None => self.cookies.clone(),
            Credential::Cookie(login) => Some(match &self.cookies {
                None => login.value.clone(),
                Some(cookies) => joined(&login.value, cookies),
            }),
            Credential::Token(value, verifier) => {
                headers.insert(header::AUTHORIZATION, value);
                context = Some(verifier);
                self.cookies.clone()
            }
        };
        match cookie {
            Some(cookie) => headers.insert(header::COOKIE, cookie),
            None => headers.remove(header::COOKIE),
        };
        *request.headers_mut() = headers;
        (request, context)
    }
}

fn joined(login: &HeaderValue, cookies: &HeaderValue) -> HeaderValue {
    let mut both = Vec::with_capacity(login.len() + 2 + cookies.len());
    both.extend_from_slice(login.as_bytes());
    both.extend_from_slice(b"; ");
    both.extend_from_slice(cookies.as_bytes());
    HeaderValue::from_bytes(&both).unwrap_or_else(|_| login.clone())
}
