//! Listeners that redirect every request to `https` (`redirect_from`).

use std::{
    collections::HashMap,
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;

use crate::{
    refusal::{Refusal, page::instead::name_for},
    server::RequestBody,
};

/// The targets of a redirect listener.
///
/// Only hosts that the gateway serves are redirected to: with any `Host` it would be an open redirect.
#[derive(Clone, Debug)]
pub struct Redirect {
    /// The port of the `https` listener of each served host name, in lower case.
    pub ports: Arc<HashMap<Arc<str>, u16>>,
}

impl Redirect {
    /// The `Location` for a request.
    fn target<B>(&self, request: &Request<B>) -> Result<HeaderValue, Refusal> {
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let named = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().ok(),
            _ => None,
        };
        let host = match (named, request.uri().authority()) {
            // By RFC 9112 section 3.2.2 the absolute form takes precedence. Requiring both to be
            // equal leaves nothing to disagree about.
            (Some(host), Some(authority)) if host != authority.as_str() => None,
            (host, _) => host,
        }
        .ok_or(Refusal::BadHost)?
        .to_ascii_lowercase();
        let name = match host.rsplit_once(':') {
            Some((name, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
                name
            }
            _ => &host,
        };
        let port = *self.ports.get(name).ok_or(Refusal::UnknownHost)?;
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
        if !path.starts_with('/') {
            return Err(Refusal::BadPath);
        }
        let location = match port {
            443 => format!("https://{name}{path}"),
            port => format!("https://{name}:{port}{path}"),
        };
        HeaderValue::try_from(location).map_err(|_| Refusal::BadPath)
    }

    /// The text for a request that is not redirected.
    fn page<B>(&self, refusal: Refusal, request: &Request<B>) -> String {
        let sentence = refusal.sentence();
        let asked = request.headers().get(header::HOST);
        let asked = asked
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default();
        let mut names: Vec<&str> = self.ports.keys().map(|name| &**name).collect();
        names.sort_unstable();
        match name_for(asked, names.into_iter()) {
            Some(name) if refusal == Refusal::UnknownHost => {
                let port = self.ports.get(name).copied().unwrap_or(443);
                let colon_port = if port == 443 {
                    String::new()
                } else {
                    format!(":{port}")
                };
                format!("{sentence}\nUse https://{name}{colon_port}/ instead.\n")
            }
            Some(_) | None => format!("{sentence}\n"),
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        match self.target(request) {
            Ok(location) => {
                // 308 keeps the method and body (RFC 9110 section 15.4.9). Old clients know only 301,
                // which has the same effect for GET.
                *response.status_mut() = match *request.method() {
                    Method::GET | Method::HEAD => StatusCode::MOVED_PERMANENTLY,
                    _ => StatusCode::PERMANENT_REDIRECT,
                };
                response.headers_mut().insert(header::LOCATION, location);
            }
            Err(refusal) => {
                refusal.count();
                *response.status_mut() = refusal.status();
                *response.body_mut() = Full::from(self.page(refusal, request));
                let text = HeaderValue::from_static("text/plain; charset=utf-8");
                response.headers_mut().insert(header::CONTENT_TYPE, text);
            }
        }
        response
    }
}

/// The service of a redirect listener.
#[derive(Clone)]
pub(super) struct RedirectService(Redirect);

impl RedirectService {
    pub(super) const fn new(redirect: Redirect) -> Self {
        Self(redirect)
    }
}

impl tower_service::Service<Request<RequestBody>> for RedirectService {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        ready(Ok(self.0.answer(&request)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(port: u16, method: Method, uri: &str, host: &str) -> (StatusCode, String) {
        let redirect = Redirect {
            ports: Arc::new(HashMap::from([("proxy.example.com".into(), port)])),
        };
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("host", host)
            .body(())
            .unwrap();
        let response = redirect.answer(&request);
        let location = response.headers().get("location");
        let location = location.map_or("", |l| l.to_str().unwrap()).to_owned();
        (response.status(), location)
    }

    #[test]
    fn redirects_to_the_same_host_and_path() {
        assert_eq!(
            answer(443, Method::GET, "/a?b=c", "Proxy.example.com:80"),
            (
                StatusCode::MOVED_PERMANENTLY,
                "https://proxy.example.com/a?b=c".to_owned()
            )
        );
        assert_eq!(
            answer(50470, Method::PUT, "//evil.example/a", "proxy.example.com"),
            (
                StatusCode::PERMANENT_REDIRECT,
                "https://proxy.example.com:50470//evil.example/a".to_owned()
            )
        );
    }

    #[test]
    fn the_page_for_a_short_name_contains_the_address_that_works() {
        let redirect = Redirect {
            ports: Arc::new(HashMap::from([("proxy.example.com".into(), 50470)])),
        };
        let page = |host: &str| {
            let request = Request::builder().header("host", host).body(()).unwrap();
            redirect.page(Refusal::UnknownHost, &request)
        };
        assert!(page("proxy").contains("Use https://proxy.example.com:50470/ instead."));
        assert!(page("10.0.0.1:80").contains("https://proxy.example.com:50470/"));
        assert!(!page("evil.example").contains("proxy.example.com"));
    }

    #[test]
    fn never_redirects_to_another_host() {
        for (uri, host) in [
            ("/", "evil.example"),
            ("/", "proxy.example.com@evil.example"),
            ("/", "proxy.example.com.evil.example:80"),
            ("http://evil.example/", "proxy.example.com"),
            ("http://evil.example/", "evil.example"),
        ] {
            let (status, location) = answer(443, Method::GET, uri, host);
            assert!(status.is_client_error(), "{uri} {host}: {status}");
            assert_eq!(location, "");
        }
    }
}
