//! HTTP/2: logins of one leg, the same refusals, uploads; and the fallback to HTTP/1.1 for logins
//! that a stream cannot carry.

use std::{error::Error, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use spnegate::{auth::Scheme, testing::Refusal};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::{
    backend::{Backend, backend, reply},
    client::FOREVER,
    front::{Ca, ca},
    proxy::{Gateway, Setup, gateway},
    tickets,
    world::world,
};

mod clients;

type Body = UnsyncBoxBody<Bytes, std::convert::Infallible>;

struct Secure {
    ca: Ca,
    gateway: Gateway,
}

/// A console with TLS.
fn secure(set: impl FnOnce(Setup) -> Setup, backend: &Backend) -> Secure {
    let ca = ca("ours");
    let files = ca.issue("proxy", &[&world().proxy]).files();
    let tls = format!(
        "tls = {{ cert = \"{}\", key = \"{}\" }}",
        files[0].display(),
        files[1].display()
    );
    let setup = gateway().console("generic").with(&tls).backend(backend);
    Secure {
        ca,
        gateway: set(setup).run(),
    }
}

impl Secure {
    async fn connect(&self) -> SendRequest<Body> {
        let mut roots = rustls::RootCertStore::empty();
        let pem = self.ca.pem();
        let der = spnegate::testing::certificates(pem.as_bytes(), None).unwrap();
        roots.add(der[0].clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tcp = TcpStream::connect(self.gateway.address()).await.unwrap();
        let name = world().proxy.clone().try_into().unwrap();
        let tls = TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
            .unwrap();
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
            .await
            .unwrap();
        tokio::spawn(connection);
        sender
    }

    fn get(&self, path: &str) -> http::request::Builder {
        let port = self.gateway.address().port();
        Request::builder().uri(format!("https://{}:{port}{path}", world().proxy))
    }
}

fn nothing() -> Body {
    Full::default().boxed_unsync()
}

async fn text(response: Response<Incoming>) -> (StatusCode, String) {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    crate::world::block_on(async { tokio::time::timeout(FOREVER, future).await.unwrap() })
}

#[test]
fn users_of_one_http_2_connection_log_in_by_ticket_or_cookie_and_stay_separate() {
    let backend = backend();
    backend.set_response(|seen| reply(200).body(seen.do_as().unwrap_or("nobody")));
    let secure = secure(|s| s, &backend);
    let (alice, bob) = (
        world().authorization("alice"),
        world().cookie_for("bob", Scheme::Tls),
    );
    block_on(async {
        let mut sender = secure.connect().await;
        let bare = secure.get("/x").body(nothing()).unwrap();
        let response = sender.send_request(bare).await.unwrap();
        assert_eq!(response.headers()["www-authenticate"], "Negotiate");
        assert_eq!(response.status(), 401);
        let whoami = |name: &'static str, value: &str| {
            let request = secure.get("/.spnegate/whoami").header(name, value);
            request.body(nothing()).unwrap()
        };
        let by_ticket = sender.send_request(whoami("authorization", &alice));
        // HTTP/2 clients may split the cookie header (RFC 9113, section 8.2.3)
        let mut by_cookie = whoami("cookie", "a=1");
        by_cookie
            .headers_mut()
            .append("cookie", bob.parse().unwrap());
        let by_cookie = sender.send_request(by_cookie);
        let (by_ticket, by_cookie) = tokio::join!(by_ticket, by_cookie);
        let by_ticket = by_ticket.unwrap();
        assert!(
            by_ticket.headers()["set-cookie"]
                .to_str()
                .unwrap()
                .starts_with("__Host-spnegate=")
        );
        assert!(text(by_ticket).await.1.contains("\"alice\""));
        assert!(text(by_cookie.unwrap()).await.1.contains("\"bob\""));
    });
}

#[test]
fn a_login_that_needs_a_second_leg_is_directed_to_http_1_1() {
    let backend = backend();
    let secure = secure(|s| s, &backend);
    block_on(async {
        let mut sender = secure.connect().await;
        for token in [tickets::first_of_two(), tickets::second_of_two()] {
            let request = secure.get("/x").header("authorization", &token);
            let error = sender.send_request(request.body(nothing()).unwrap()).await;
            let error = error.unwrap_err();
            let reset = error.source().and_then(|s| s.downcast_ref::<h2::Error>());
            let reason = reset.and_then(h2::Error::reason);
            assert_eq!(reason, Some(h2::Reason::HTTP_1_1_REQUIRED), "{error:?}");
        }
        // NTLM receives the same explanation as on HTTP/1.1: another protocol version would not
        // help
        let ntlm = secure
            .get("/x")
            .header("authorization", "Negotiate TlRMTVNTUAABAAAA");
        let response = sender
            .send_request(ntlm.body(nothing()).unwrap())
            .await
            .unwrap();
        let (status, body) = text(response).await;
        assert!(
            status == 401 && body.contains(Refusal::Ntlm.reason()),
            "{status} {body}"
        );
    });
    assert!(backend.seen().is_empty());
}

#[test]
fn hosts_methods_and_paths_are_checked_as_on_http_1_1() {
    let backend = backend();
    let secure = secure(|s| s, &backend);
    let cookie = world().cookie_for("alice", Scheme::Tls);
    block_on(async {
        let mut sender = secure.connect().await;
        let ask = |uri: &str, host: Option<&str>, method: &str| {
            let mut request = Request::builder().uri(uri).method(method);
            request = request.header("cookie", &cookie);
            if let Some(host) = host {
                request = request.header("host", host);
            }
            request.body(nothing()).unwrap()
        };
        let known = format!("https://{}", world().proxy);
        for (request, refusal) in [
            (
                ask("https://evil.example/x", None, "GET"),
                Refusal::UnknownHost,
            ),
            (
                ask(&format!("{known}/x"), Some("evil.example"), "GET"),
                Refusal::BadHost,
            ),
            (
                ask(&format!("{known}/a/%2e%2e/b"), None, "GET"),
                Refusal::BadPath,
            ),
            (
                ask(&format!("{known}/x"), None, "TRACE"),
                Refusal::BadMethod,
            ),
        ] {
            let response = sender.send_request(request).await.unwrap();
            let (status, body) = text(response).await;
            assert_eq!(status, refusal.status(), "{refusal:?} {body}");
            assert!(body.contains(refusal.reason()), "{refusal:?} {body}");
        }
    });
    assert!(backend.seen().is_empty());
}

#[test]
fn a_request_reaches_the_backend_as_http_1_1_without_traces_of_http_2() {
    let backend = backend();
    backend.set_response(|seen| {
        reply(200)
            .with("Connection", "keep-alive")
            .with("Keep-Alive", "timeout=5")
            .body(format!("{} {}", seen.method, seen.body.len()))
    });
    let secure = secure(|s| s, &backend);
    let cookie = world().cookie_for("alice", Scheme::Tls);
    block_on(async {
        let mut sender = secure.connect().await;
        let whole = Full::from(vec![b'x'; 300_000]).boxed_unsync();
        let pieces = (0..10).map(|_| Ok(Frame::data(Bytes::from_static(b"piece"))));
        let trailers = Frame::trailers(http::HeaderMap::from_iter([(
            http::HeaderName::from_static("x-remote-user"),
            http::HeaderValue::from_static("root"),
        )]));
        let pieces = pieces.chain([Ok(trailers)]);
        let pieces = StreamBody::new(futures_util::stream::iter(pieces)).boxed_unsync();
        for (body, expected) in [
            (whole, "PUT 300000"),
            (pieces, "PUT 50"),
            (nothing(), "PUT 0"),
        ] {
            let request = secure.get("/x?a=b").method("PUT").header("cookie", &cookie);
            let response = sender
                .send_request(request.body(body).unwrap())
                .await
                .unwrap();
            assert!(!response.headers().contains_key("keep-alive"));
            assert_eq!(text(response).await, (StatusCode::OK, expected.to_owned()));
        }
    });
    let host = backend.address().to_string();
    for seen in backend.seen() {
        assert_eq!(seen.target, "/x?a=b");
        assert_eq!(seen.header("host"), Some(host.as_str()));
        assert!(
            !seen.raw_text().contains("x-remote-user"),
            "{}",
            seen.raw_text()
        );
    }
}

#[test]
fn a_stalled_upload_is_ended_and_its_http_2_connection_stays_open() {
    let backend = backend();
    let secure = secure(|s| s.set("timeouts", "body_idle = \"200ms\""), &backend);
    let cookie = world().cookie_for("alice", Scheme::Tls);
    block_on(async {
        let mut sender = secure.connect().await;
        let stalled = futures_util::stream::pending::<Result<Frame<Bytes>, _>>();
        let request = secure.get("/x").method("PUT").header("cookie", &cookie);
        let body = StreamBody::new(stalled).boxed_unsync();
        let response = sender
            .send_request(request.body(body).unwrap())
            .await
            .unwrap();
        let (status, body) = text(response).await;
        assert_eq!(status, Refusal::BodyTimeout.status(), "{body}");
        let next = secure.get("/.spnegate/whoami").header("cookie", &cookie);
        let response = sender
            .send_request(next.body(nothing()).unwrap())
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
    });
}

/// A form on a stream may omit its length and end with an empty DATA frame.
#[test]
fn a_form_on_an_http_2_stream_is_checked_while_it_is_read() {
    let backend = backend().responds(|seen| reply(200).body(seen.body.len().to_string()));
    let secure = secure(|s| s, &backend);
    let cookie = world().cookie_for("alice", Scheme::Tls);
    let piece = "name=value&".repeat(1_000);
    let form = |pieces: usize, end: &'static str| {
        let pieces = std::iter::repeat_n(Bytes::from(piece.clone()), pieces);
        let pieces = pieces.chain([Bytes::from_static(end.as_bytes()), Bytes::new()]);
        let frames = pieces.map(|piece| Ok(Frame::data(piece)));
        StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
    };
    block_on(async {
        let mut sender = secure.connect().await;
        for (pieces, end, expected) in [
            (1, "a=1", Ok(11_003)),
            (100, "a=1", Ok(1_100_003)),
            (1, "doAs=bob", Err(Refusal::BadForm)),
            (100, "doAs=bob", Err(Refusal::BadForm)),
        ] {
            let request = secure.get("/x").method("POST").header("cookie", &cookie);
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            let request = request.body(form(pieces, end)).unwrap();
            let (status, body) = text(sender.send_request(request).await.unwrap()).await;
            match expected {
                Ok(length) => assert_eq!(body, format!("{length}")),
                Err(refusal) => {
                    assert_eq!(status, refusal.status(), "{pieces} {body}");
                    assert!(body.contains(refusal.reason()), "{pieces} {body}");
                }
            }
        }
    });
    assert_eq!(backend.seen().len(), 2);
    assert!(!backend.got("bob"));
}
