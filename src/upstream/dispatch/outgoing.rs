//! A request of a console: the parts that are the same in every attempt.

use std::{borrow::Cow, net::SocketAddr, sync::Arc};

use http::{HeaderMap, HeaderValue, Method, Uri, header};

use crate::{
    identity::cookies,
    kinds::RequestInfo,
    rewrite::own_page::OwnPage,
    upstream::{backend::Backend, http1::RequestHead, login::LoginHeader},
};

/// A request to be sent to some backend of a console.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub method: Method,
    /// Path and query, in origin form.
    pub target: Uri,
    /// `Host`, `Cookie`, `Authorization`, `Content-Length` and `Transfer-Encoding` in here are not
    /// sent: each attempt writes its own.
    pub headers: HeaderMap,
    /// The client's cookies for this console. The login cookie goes before them.
    pub cookies: Option<HeaderValue>,
    /// The client's query without the parameters that name a user; the gateway's own are in `target`.
    pub query: String,
    /// The client's address, and the address that it connected to.
    pub client: (SocketAddr, SocketAddr),
    /// Which of `Origin` and `Referer` name a page of the console.
    pub own_page: OwnPage,
    /// Identifies the server that began what the request is about ([`crate::kinds::Kind::owner`]).
    pub owner: Option<Box<str>>,
    /// The index of the server that the request's path names.
    pub server: Option<usize>,
}

impl Outgoing {
    /// The request as kinds read it.
    pub(crate) fn request_info(&self) -> RequestInfo<'_> {
        RequestInfo::new(&self.method, &self.target, &self.query)
    }

    /// The client's cookies that may accompany `login`.
    ///
    /// Beside a token only those named in `listed` may: another cookie may be a session that an earlier
    /// login of the gateway has earned, and some servers prefer such a session to the token.
    pub(super) fn cookies_beside(
        &self,
        login: LoginHeader<'_>,
        listed: &[Arc<str>],
    ) -> Option<Cow<'_, HeaderValue>> {
        let cookies = self.cookies.as_ref()?;
        match login {
            LoginHeader::None | LoginHeader::Cookie(_) => Some(Cow::Borrowed(cookies)),
            LoginHeader::Authorization(_) => cookies::listed(cookies, listed).map(Cow::Owned),
        }
    }

    /// Writes the client's headers as `backend` may see them.
    ///
    /// `Origin` and `Referer` that name the console itself are changed to name the backend, as `Host`
    /// does: servers compare the two (WebSocket handshakes, CSRF filters).
    pub(super) fn write_headers(&self, backend: &Backend, head: &mut RequestHead) {
        for (name, value) in &self.headers {
            if [header::HOST, header::COOKIE, header::AUTHORIZATION].contains(name) {
                continue;
            }
            match self.own_page.rest_of(name, value) {
                Some(rest) => head.moved(name, &backend.origin, rest),
                None => head.line(name, value),
            }
        }
    }
}
