//! What a page shows about the request, in addition to the refusal itself.

use super::instead;
use http::{HeaderMap, HeaderValue, Method, Request, Version, header};

/// The media type of the response, chosen by `Accept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Html,
    Json,
    /// Also for clients without a preference, such as curl.
    Text,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct PageContext<'a> {
    /// Host and port as the client sent them.
    pub authority: &'a str,
    pub scheme: &'static str,
    /// Name of the console; empty where none was found.
    pub console: &'a str,
    pub format: Format,
    /// A HEAD request: the response has no body.
    pub head: bool,
    /// The body of an HTTP/1 request has not been read: the response has `Connection: close`, so that
    /// the client stops sending and does not reuse the connection.
    pub unread: bool,
    /// As in the access log, so that users can quote it.
    pub request_id: Option<&'a str>,
    /// The principal of a client that is logged in.
    pub principal: Option<&'a str>,
    /// The host name that would have worked.
    pub instead: Option<&'a str>,
    /// Which part of the request was rejected. Contains bytes of the client.
    pub detail: Option<&'a str>,
}

// === impl Format ===

impl Format {
    /// The first of HTML and JSON in `Accept`; plain text if it has neither.
    ///
    /// Quality values are ignored.
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
    /// For a request of which nothing is known.
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

    /// Reads the head of a request. A body, if there is one, counts as unread.
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
            // HTTP/2 resets the stream instead, and forbids `Connection` (RFC 9113 section 8.2.2).
            unread: body && request.version() <= Version::HTTP_11,
            request_id: request_id.and_then(|id| id.header_value().to_str().ok()),
            principal: None,
            instead: None,
            detail: None,
        }
    }

    pub(super) fn address_instead(&self) -> Option<String> {
        let authority = self.shown().map_or("", |(authority, _)| authority);
        let url = |name| instead::url(self.scheme, name, authority);
        self.instead.map(url)
    }

    /// The name that signs the page: the console, or the gateway if the console is unknown.
    pub(super) fn signer(&self) -> &'a str {
        if self.console.is_empty() {
            "gateway"
        } else {
            self.console
        }
    }

    /// The authority and its host name, if they are safe to be copied into a terminal.
    pub(super) fn shown(&self) -> Option<(&'a str, &'a str)> {
        let safe = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
        // A host name has at most 253 characters, a port six with its colon. A leading `-` would
        // be an option of curl.
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
