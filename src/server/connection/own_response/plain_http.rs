//! The response to plain HTTP on a TLS listener: a page that names the same address with `https`.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};

use crate::refusal::{
    Refusal,
    page::{self, Format, PageContext},
};

/// `head`: the beginning of the request, as far as it was read.
pub(super) fn response(head: &[u8]) -> Response<Bytes> {
    let mut lines = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut lines);
    // A head that cannot be parsed gets the same page without an address.
    let complete = request.parse(head).is_ok_and(|status| status.is_complete());
    let mut headers = HeaderMap::new();
    if complete {
        for line in request.headers.iter() {
            let name = HeaderName::from_bytes(line.name.as_bytes());
            if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line.value)) {
                headers.append(name, value);
            }
        }
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let authority = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        _ => "",
    };
    let context = PageContext {
        authority,
        scheme: "https",
        format: Format::of(&headers),
        head: complete && request.method == Some("HEAD"),
        unread: true,
        instead: page::instead::host_of(authority),
        ..PageContext::plain("")
    };
    page::response(Refusal::PlainHttp, &context)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::serialized, *};

    fn text(head: &str) -> String {
        String::from_utf8(serialized(&response(head.as_bytes()))).unwrap()
    }

    #[test]
    fn the_address_with_https_is_named() {
        let page = text("GET /x HTTP/1.1\r\nHost: proxy.example.com:7778\r\n\r\n");
        assert!(page.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{page}");
        assert!(
            page.contains("Use https://proxy.example.com:7778/ instead."),
            "{page}"
        );
        assert!(
            page.contains("connection: close\r\n") && page.ends_with("plain_http\n"),
            "{page}"
        );
        let html = text("GET / HTTP/1.1\r\nHost: p:1\r\nAccept: text/html\r\n\r\n");
        assert!(html.contains("href=\"https://p:1/\""), "{html}");
    }

    #[test]
    fn an_invalid_host_is_not_repeated_on_the_page() {
        for host in ["", "a\"b", "a b", "<x>", "a@b", "-x", "x/y"] {
            let page = text(&format!(
                "GET / HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n\r\n"
            ));
            assert!(
                !page.contains("href") && page.contains("plain_http"),
                "{host}: {page}"
            );
        }
        assert!(text("PRI * HTTP/2.0\r\n\r\nSM").contains("plain_http"));
    }

    proptest! {
        #[test]
        fn any_bytes_get_the_same_status(head in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = serialized(&response(&head));
            prop_assert!(bytes.starts_with(b"HTTP/1.1 400 "));
        }
    }
}
