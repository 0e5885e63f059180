//! HTTP/2 on TLS listeners: the same service, its own limits and its own goodbye.

use std::{
    io::{Read, Write},
    net::SocketAddr,
    sync::Arc,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use spnegate::testing::{Role, Tls};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    harness::{FOREVER, Running, SHORT, Setup, server},
    tls::Certificates,
};

fn config(certificates: &Certificates) -> Arc<ClientConfig> {
    let mut config = ClientConfig::clone(&certificates.client(rustls::ALL_VERSIONS));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

async fn handshake(address: SocketAddr, config: Arc<ClientConfig>) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    TlsConnector::from(config).connect(name, tcp).await.unwrap()
}

struct World {
    certificates: Certificates,
    server: Running,
}

fn world(set: impl FnOnce(Setup) -> Setup) -> World {
    let certificates = Certificates::of(&["localhost"]);
    let server = set(server())
        .listener("127.0.0.1:0", certificates.role())
        .run();
    World {
        certificates,
        server,
    }
}

impl World {
    fn address(&self) -> SocketAddr {
        self.server.server.addresses()[1]
    }

    async fn tls(&self) -> TlsStream<TcpStream> {
        handshake(self.address(), config(&self.certificates)).await
    }

    /// A connection, and the task that ends with it.
    async fn connect(&self) -> (SendRequest<Full<Bytes>>, tokio::task::JoinHandle<()>) {
        let tls = self.tls().await;
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
            .await
            .unwrap();
        let ended = tokio::spawn(async move {
            let _ = connection.await;
        });
        (sender, ended)
    }
}

fn get(path: &str) -> Request<Full<Bytes>> {
    let uri = format!("https://localhost{path}");
    Request::builder().uri(uri).body(Full::default()).unwrap()
}

async fn text(response: Response<hyper::body::Incoming>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { tokio::time::timeout(FOREVER, future).await.unwrap() })
}

#[test]
fn streams_of_one_connection_are_served_side_by_side() {
    let world = world(|setup| setup);
    block_on(async {
        let (mut sender, _) = world.connect().await;
        let waiting = tokio::spawn(sender.send_request(get("/wait")));
        let mut post = get("/echo");
        *post.method_mut() = http::Method::POST;
        *post.body_mut() = Full::from("body");
        let response = sender.send_request(post).await.unwrap();
        assert_eq!(response.version(), Version::HTTP_2);
        let said = text(response).await;
        assert!(
            said.starts_with("POST https://localhost/echo \"body\""),
            "{said}"
        );
        assert!(said.contains("listener=1 tls=true"), "{said}");
        world.server.gate.send(true).unwrap();
        let waited = waiting.await.unwrap().unwrap();
        assert_eq!(waited.status(), StatusCode::OK);
    });
}

#[test]
fn http_1_1_is_spoken_where_http_2_is_not_wanted_by_either() {
    let both = world(|setup| setup);
    let mut config_without = both.certificates.config();
    config_without.http2 = false;
    let role = Role::Tls(Tls::load(&config_without).unwrap());
    let without = server().listener("127.0.0.1:0", role).run();
    block_on(async {
        let offers = config(&both.certificates);
        let tls = handshake(without.server.addresses()[1], offers).await;
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        // a client that knows no ALPN
        let mut old = ClientConfig::clone(&both.certificates.client(rustls::ALL_VERSIONS));
        old.alpn_protocols.clear();
        let tls = handshake(both.address(), Arc::new(old)).await;
        assert_eq!(tls.get_ref().1.alpn_protocol(), None);
    });
}

#[test]
fn a_drain_says_goodbye_and_lets_open_streams_finish() {
    let world = world(|setup| setup);
    block_on(async {
        let (mut sender, ended) = world.connect().await;
        let waiting = tokio::spawn(sender.send_request(get("/wait")));
        let entered = &world.server.entered;
        while entered.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        world.server.server.drain(FOREVER);
        // refused by the client itself, once it has read GOAWAY
        while sender.ready().await.is_ok() {
            let late = sender.send_request(get("/late")).await;
            if late.is_err() {
                break;
            }
        }
        world.server.gate.send(true).unwrap();
        assert_eq!(waiting.await.unwrap().unwrap().status(), StatusCode::OK);
        ended.await.unwrap();
    });
    let drained = world.server.server.join();
    assert_eq!(drained.cut, 0);
}

#[test]
fn an_idle_connection_is_told_to_go() {
    let world = world(|setup| setup.timeouts(|t| t.idle = SHORT));
    block_on(async {
        let (mut sender, ended) = world.connect().await;
        sender.send_request(get("/")).await.unwrap();
        ended.await.unwrap();
    });
}

#[test]
fn a_connection_without_a_request_is_told_to_go_after_the_time_of_a_head() {
    let world = world(|setup| setup.timeouts(|t| t.head = SHORT));
    block_on(async {
        let (_sender, ended) = world.connect().await;
        ended.await.unwrap();
        // not even the preface of HTTP/2
        let mut silent = world.tls().await;
        let mut said = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut silent, &mut said)
            .await
            .ok();
        // one that asked has the idle time
        let (mut sender, ended) = world.connect().await;
        sender.send_request(get("/")).await.unwrap();
        let (_other, other_ended) = world.connect().await;
        other_ended.await.unwrap();
        assert!(!ended.is_finished());
        sender.send_request(get("/")).await.unwrap();
    });
}

#[test]
fn a_head_that_does_not_end_is_cut() {
    let world = world(|setup| setup.timeouts(|t| t.head = SHORT));
    let tls = block_on(world.tls());
    let (tcp, session) = tls.into_inner();
    let tcp = tcp.into_std().unwrap();
    tcp.set_nonblocking(false).unwrap();
    tcp.set_read_timeout(Some(FOREVER)).unwrap();
    let mut tls = rustls::StreamOwned::new(session, tcp);
    tls.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    tls.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
    // HEADERS without END_HEADERS
    tls.write_all(&[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]).unwrap();
    let mut all = Vec::new();
    let _ = tls.read_to_end(&mut all);
    assert!(!all.is_empty());
}

#[test]
fn a_head_of_64_kib_passes_and_one_beyond_the_list_does_not() {
    let world = world(|setup| setup);
    block_on(async {
        let (mut sender, _) = world.connect().await;
        for (size, status) in [(64 * 1024, 200), (160 * 1024, 431)] {
            let mut request = get("/");
            let value = "x".repeat(size).parse().unwrap();
            request.headers_mut().insert("authorization", value);
            // the client may refuse by itself what the server announced that it would
            match sender.send_request(request).await {
                Ok(response) => assert_eq!(response.status(), status),
                Err(error) => assert_eq!(status, 431, "{error}"),
            }
        }
    });
}

#[test]
fn a_flood_of_resets_ends_the_connection() {
    let world = world(|setup| setup);
    block_on(async {
        let tls = world.tls().await;
        let (client, connection) = h2::client::handshake(tls).await.unwrap();
        let connection = tokio::spawn(connection);
        let flood = async {
            let mut client = client;
            loop {
                let Ok(mut ready) = client.ready().await else {
                    return;
                };
                let request = get("/wait").map(drop);
                let Ok((response, mut stream)) = ready.send_request(request, true) else {
                    return;
                };
                // else the client would never send what it takes back
                tokio::task::yield_now().await;
                stream.send_reset(h2::Reason::CANCEL);
                tokio::task::yield_now().await;
                drop(response);
                client = ready;
            }
        };
        flood.await;
        // GOAWAY (ENHANCE_YOUR_CALM), which a client that only writes may not get to read
        assert!(connection.await.unwrap().is_err());
    });
    let said = world
        .server
        .say(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[test]
fn connection_specific_headers_are_refused() {
    let world = world(|setup| setup);
    block_on(async {
        for (name, value) in [
            ("connection", "x-remote-user"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
        ] {
            let tls = world.tls().await;
            let (mut client, connection) = h2::client::handshake(tls).await.unwrap();
            tokio::spawn(connection);
            let mut request = get("/").map(drop);
            request.headers_mut().insert(name, value.parse().unwrap());
            client = client.ready().await.unwrap();
            // h2's own client lets them pass or not; a server never does
            if let Ok((response, _)) = client.send_request(request, true) {
                assert!(response.await.is_err(), "{name}");
            }
        }
    });
}

/// A refused upload: its answer read to the end, with nothing of its body sent yet.
struct Refused {
    upload: h2::SendStream<Bytes>,
    client: h2::client::SendRequest<Bytes>,
    ping: h2::PingPong,
}

async fn refused(world: &World, length: Option<usize>) -> Refused {
    let tls = world.tls().await;
    let (client, mut connection) = h2::client::Builder::new()
        .handshake::<_, Bytes>(tls)
        .await
        .unwrap();
    let ping = connection.ping_pong().unwrap();
    tokio::spawn(connection);
    let mut request = get("/refuse").map(drop);
    *request.method_mut() = http::Method::PUT;
    if let Some(length) = length {
        request
            .headers_mut()
            .insert("content-length", length.into());
    }
    let mut client = client.ready().await.unwrap();
    let (response, upload) = client.send_request(request, false).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let mut body = response.into_body();
    while let Some(data) = body.data().await {
        body.flow_control()
            .release_capacity(data.unwrap().len())
            .unwrap();
    }
    Refused {
        upload,
        client,
        ping,
    }
}

impl Refused {
    /// Waits until all that the server had to say was read.
    async fn caught_up(&mut self) {
        self.ping.ping(h2::Ping::opaque()).await.unwrap();
    }

    /// Waits for the server to give up on the body.
    async fn reset(&mut self) -> h2::Reason {
        std::future::poll_fn(|cx| self.upload.poll_reset(cx))
            .await
            .unwrap()
    }

    async fn lives_on(self) {
        let mut client = self.client.ready().await.unwrap();
        let (response, _) = client.send_request(get("/").map(drop), true).unwrap();
        assert_eq!(response.await.unwrap().status(), StatusCode::OK);
    }
}

#[test]
fn an_upload_that_is_refused_at_once_is_read_to_its_end_without_a_reset() {
    let world = world(|setup| setup);
    block_on(async {
        for (length, piece) in [
            (None, 10_000),
            (Some(50_000), 10_000),
            (None, 256 << 10),
            (Some(8 << 20), 256 << 10),
        ] {
            let pieces = length.unwrap_or(32 * piece) / piece;
            let mut refused = refused(&world, length).await;
            refused.caught_up().await;
            for at in 1..=pieces {
                let piece = Bytes::from(vec![b'x'; piece]);
                refused.upload.send_data(piece, at == pieces).unwrap();
                refused.caught_up().await;
            }
            refused.lives_on().await;
        }
    });
}

/// As curl does when it has read the refusal.
#[test]
fn a_large_upload_that_ends_short_of_its_length_leaves_the_connection_as_it_was() {
    let world = world(|setup| setup);
    block_on(async {
        let mut refused = refused(&world, Some(100 << 20)).await;
        refused.caught_up().await;
        refused.upload.send_data(Bytes::new(), true).unwrap();
        refused.lives_on().await;
    });
}

#[test]
fn a_slow_upload_that_is_refused_gets_its_answer_and_then_a_reset() {
    let world = world(|setup| setup.timeouts(|t| t.body_idle = SHORT));
    block_on(async {
        // a byte now and then is no progress
        let mut drips = refused(&world, None).await;
        while drips
            .upload
            .send_data(Bytes::from_static(b"x"), false)
            .is_ok()
        {
            drips.caught_up().await;
        }
        assert_eq!(drips.reset().await, h2::Reason::NO_ERROR);
        drips.lives_on().await;
        // nothing comes, whatever was announced
        for length in [None, Some(100 << 20)] {
            let mut slow = refused(&world, length).await;
            assert_eq!(slow.reset().await, h2::Reason::NO_ERROR);
            slow.lives_on().await;
        }
    });
}
