//! What a refusal's page says beside the refusal.

use super::instead;
use http::{HeaderMap, HeaderValue, Method, Request, Version, header};

/// In which form a client reads best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Browsers.
    Html,
    /// `Accept: application/json`.
    Json,
    /// curl and whoever does not say.
    Text,
}

/// What a page says beside the refusal itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageContext<'a> {
    /// Host and port as the client named them.
    pub authority: &'a str,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The console's name.
    pub console: &'a str,
    /// The form of the body.
    pub format: Format,
    /// A HEAD request: no body.
    pub head: bool,
    /// An HTTP/1 request whose body has not been read: the answer says `Connection: close`, so that
    /// the client stops sending and does not reuse the connection.
    pub unread: bool,
    /// As in the access log.
    pub request_id: Option<&'a str>,
    /// The principal, where the client has proven who it is.
    pub principal: Option<&'a str>,
    /// The host name that would have worked.
    pub instead: Option<&'a str>,
    /// What in the request was refused; holds bytes of the client.
    pub detail: Option<&'a str>,
}

// === impl Format ===

impl Format {
    /// The first of HTML and JSON that `Accept` names; plain text where it names neither.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(header::ACCEPT).iter();
        values
            .by_ref()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .find_map(|range| match range.split(';').next().map(str::trim) {
                Some("text/html" | "application/xhtml+xml") => Some(Self::Html),
                Some("application/json") => Some(Self::Json),
                Some(_) | None => None,
            })
            .unwrap_or(Self::Text)
    }

    pub(super) const fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Json => "application/json",
            Self::Text => "text/plain; charset=utf-8",
        })
    }
}

// === impl PageContext ===

impl<'a> PageContext<'a> {
    /// Of a request that says nothing of itself.
    pub(crate) const fn plain(console: &'a str) -> Self {
        Self {
            authority: "",
            scheme: "http",
            console,
            format: Format::Text,
            head: false,
            unread: false,
            request_id: None,
            principal: None,
            instead: None,
            detail: None,
        }
    }

    /// What a request says of itself; its body, if it has one, counts as unread.
    pub(crate) fn of<B>(request: &'a Request<B>, console: &'a str, scheme: &'static str) -> Self {
        let host = || {
            request
                .headers()
                .get(header::HOST)
                .and_then(|h| h.to_str().ok())
        };
        let authority = request.uri().authority().map(http::uri::Authority::as_str);
        let headers = request.headers();
        let body = headers.contains_key(header::TRANSFER_ENCODING)
            || headers
                .get(header::CONTENT_LENGTH)
                .is_some_and(|length| length != "0");
        let request_id = request
            .extensions()
            .get::<tower_http::request_id::RequestId>();
        Self {
            authority: authority.or_else(host).unwrap_or_default(),
            scheme,
            console,
            format: Format::of(headers),
            head: request.method() == Method::HEAD,
            unread: body && request.version() <= Version::HTTP_11,
            request_id: request_id.and_then(|id| id.header_value().to_str().ok()),
            principal: None,
            instead: None,
            detail: None,
        }
    }

    /// The address that would have worked.
    pub(super) fn address_instead(&self) -> Option<String> {
        let authority = self.shown().map_or("", |(authority, _)| authority);
        let url = |name| instead::url(self.scheme, name, authority);
        self.instead.map(url)
    }

    /// The console, or the gateway where it is not known which.
    pub(super) fn speaker(&self) -> &'a str {
        if self.console.is_empty() {
            "gateway"
        } else {
            self.console
        }
    }

    /// The authority and its host name, if it is safe to be copied from a page into a terminal.
    pub(super) fn shown(&self) -> Option<(&'a str, &'a str)> {
        let safe = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
        let fits = !self.authority.is_empty() && self.authority.len() <= 260;
        if !fits || !self.authority.bytes().all(safe) || self.authority.starts_with('-') {
            return None;
        }
        let name = match self.authority.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => self.authority,
        };
        Some((self.authority, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_follows_accept() {
        let of = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
            Format::of(&headers)
        };
        assert_eq!(
            of("text/html,application/xhtml+xml,*/*;q=0.8"),
            Format::Html
        );
        assert_eq!(of("application/json, text/html"), Format::Json);
        assert_eq!(of("application/json;q=0.9"), Format::Json);
        assert_eq!(of("*/*"), Format::Text);
        assert_eq!(Format::of(&HeaderMap::new()), Format::Text);
    }
}
