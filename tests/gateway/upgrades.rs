//! WebSocket and streamed responses: tunnels after the login, and immediate delivery of each chunk.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use spnegate::{auth::Scheme, testing::Refusal};

use crate::{
    client::Client,
    front::{Front, ca},
    proxy::{Gateway, Setup, gateway},
    world::world,
};

/// A backend that hands each connection and its head to the test.
struct Server {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let (serve, seen) = (Arc::new(serve), Arc::clone(&heads));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (serve, seen) = (Arc::clone(&serve), Arc::clone(&seen));
                thread::spawn(move || {
                    let mut stream = stream.unwrap();
                    while let Some(head) = head(&mut stream) {
                        if head.contains("x-request-id") {
                            seen.lock().unwrap().push(head);
                            serve(stream);
                            return;
                        }
                        // a probe
                        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                    }
                });
            }
        });
        Self { address, heads }
    }

    /// Accepts any upgrade and then echoes what it receives.
    fn echo() -> Self {
        Self::start(|mut stream| {
            let consent = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                           Connection: Upgrade\r\nSec-WebSocket-Accept: abc\r\n\r\nhello ";
            stream.write_all(consent.as_bytes()).unwrap();
            let mut chunk = [0; 1024];
            while let Ok(read @ 1..) = stream.read(&mut chunk) {
                stream.write_all(&chunk[..read]).unwrap();
            }
            // the client has ended its direction; the other one is still open
            stream.write_all(b" bye").unwrap();
            let _ = stream.shutdown(Shutdown::Write);
        })
    }

    fn head(&self) -> String {
        self.heads.lock().unwrap()[0].to_lowercase()
    }
}

fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(String::from_utf8(head).unwrap())
}

fn console(url: &str) -> Setup {
    gateway()
        .console("generic")
        .identity("simple")
        .with(&format!("backends = [\"{url}\"]"))
}

fn plain(server: &Server) -> Setup {
    console(&format!("http://{}", server.address))
}

const HANDSHAKE: [(&str, &str); 4] = [
    ("Connection", "keep-alive, Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("Sec-WebSocket-Version", "13"),
];

fn handshake(gateway: &Gateway, more: &[(&str, &str)]) -> Vec<u8> {
    let mut asking = gateway.ask("GET /chat?x=1").by("alice");
    for (name, value) in HANDSHAKE.iter().chain(more) {
        asking = asking.header(name, value);
    }
    asking.bytes()
}

/// Opens a tunnel; returns the head of the 101 response.
fn open(gateway: &Gateway, client: &mut Client) -> String {
    client.send(handshake(gateway, &[]));
    client.head().unwrap().to_lowercase()
}

fn read(client: &mut Client, wanted: &str) {
    assert_eq!(client.exactly(wanted.len()), wanted.as_bytes());
}

#[test]
fn an_authenticated_user_gets_a_tunnel_whose_directions_end_independently() {
    let server = Server::echo();
    let gateway = plain(&server).run();
    let mut client = gateway.connect();
    let consent = open(&gateway, &mut client);
    assert!(consent.starts_with("http/1.1 101 "), "{consent}");
    assert!(consent.contains("upgrade: websocket\r\n"), "{consent}");
    assert!(consent.contains("connection: upgrade\r\n"), "{consent}");
    assert!(
        consent.contains("sec-websocket-accept: abc\r\n"),
        "{consent}"
    );
    read(&mut client, "hello ");
    for word in ["one", "\0\u{1}two", "three"] {
        client.send(word);
        read(&mut client, word);
    }
    assert!(gateway.admin("/metrics").contains("spnegate_tunnels "));
    client.stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.to_end(), " bye");
    let head = server.head();
    assert!(head.starts_with("get /chat?user.name=alice&x=1 "), "{head}");
    assert!(
        head.contains("connection: upgrade\r\nupgrade: websocket\r\n")
            || head.contains("upgrade: websocket"),
        "{head}"
    );
    assert!(head.contains("sec-websocket-key: "), "{head}");
    assert!(!head.contains("cookie"), "{head}");
}

/// The WebSocket endpoints of Jetty and Zeppelin refuse a foreign `Origin`.
#[test]
fn a_websocket_opened_by_the_consoles_page_carries_the_backends_origin() {
    let server = Server::start(|mut stream| {
        let consent = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                       Connection: Upgrade\r\n\r\nhello";
        stream.write_all(consent.as_bytes()).unwrap();
    });
    let gateway = plain(&server).run();
    let own = format!("http://{}:{}", world().proxy, gateway.address().port());
    let mut client = gateway.connect();
    client.send(handshake(&gateway, &[("Origin", &own)]));
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101 "));
    let head = server.head();
    let (host, origin) = (
        server.address,
        format!("origin: http://{}\r\n", server.address),
    );
    assert!(head.contains(&format!("host: {host}\r\n")), "{head}");
    assert!(head.contains(&origin), "{head}");
}

#[test]
fn bytes_sent_before_the_upgrade_response_are_not_lost() {
    let server = Server::echo();
    let gateway = plain(&server).run();
    let mut client = gateway.connect();
    client.send([&handshake(&gateway, &[])[..], b"early"].concat());
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101 "));
    read(&mut client, "hello early");
}

#[test]
fn a_tunnel_needs_a_session_and_the_same_site() {
    let server = Server::echo();
    let gateway = plain(&server).run();
    let mut asking = gateway.ask("GET /chat");
    for (name, value) in HANDSHAKE {
        asking = asking.header(name, value);
    }
    asking.response().is(Refusal::LoginRequired);
    let mut client = gateway.connect();
    client.send(handshake(&gateway, &[("Origin", "http://evil.example")]));
    client.response().is(Refusal::CrossSite);
    assert!(server.heads.lock().unwrap().is_empty());
}

#[test]
fn an_upgrade_to_http_2_is_not_forwarded_and_an_unrequested_101_is_refused() {
    let server = Server::echo();
    let gateway = plain(&server).run();
    let answer = gateway
        .ask("GET /x")
        .by("alice")
        .header("Connection", "Upgrade, HTTP2-Settings")
        .header("Upgrade", "h2c")
        .header("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA")
        .response();
    answer.is(Refusal::BackendBroken);
    let head = server.head();
    assert!(
        !head.contains("upgrade") && !head.contains("http2-settings"),
        "{head}"
    );
}

#[test]
fn a_101_for_another_protocol_is_refused() {
    let server = Server::start(|mut stream| {
        let other =
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
        stream.write_all(other).unwrap();
        let _ = stream.read(&mut [0]);
    });
    let gateway = plain(&server).run();
    let mut client = gateway.connect();
    client.send(handshake(&gateway, &[]));
    client.response().is(Refusal::BackendBroken);
}

#[test]
fn a_backend_may_decline_an_upgrade() {
    let server = Server::start(|mut stream| {
        let no = b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: foo\r\nContent-Length: 2\r\n\r\nno";
        stream.write_all(no).unwrap();
        let _ = stream.read(&mut [0]);
    });
    let gateway = plain(&server).run();
    let mut client = gateway.connect();
    client.send(handshake(&gateway, &[]));
    let answer = client.response();
    assert_eq!((answer.status, answer.text().as_str()), (426, "no"));
    assert_eq!(answer.header("upgrade"), None);
    // the connection remains an ordinary HTTP connection
    client.send(gateway.ask("GET /.spnegate/whoami").by("alice").bytes());
    assert_eq!(client.response().status, 200);
}

#[test]
fn a_tunnel_ends_on_idle_timeout_session_end_and_shutdown() {
    let server = Server::echo();
    let idle = plain(&server).set("timeouts", "tunnel = \"200ms\"").run();
    let mut client = idle.connect();
    open(&idle, &mut client);
    assert_eq!(client.to_end(), "hello ");

    let gateway = plain(&server).set("timeouts", "drain = \"100ms\"").run();
    let mut client = gateway.connect();
    let cookie = world().short_cookie("alice", Duration::from_secs(2));
    let mut asking = gateway.ask("GET /chat").header("Cookie", &cookie);
    for (name, value) in HANDSHAKE {
        asking = asking.header(name, value);
    }
    client.send(asking.bytes());
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101 "));
    assert_eq!(client.to_end(), "hello ");

    let mut client = gateway.connect();
    open(&gateway, &mut client);
    read(&mut client, "hello ");
    gateway.stop();
    assert_eq!(client.to_end(), "");
}

#[test]
fn a_logout_ends_the_tunnels_of_its_session_only() {
    let server = Server::echo();
    let gateway = plain(&server).run();
    let open = |cookie: &str| {
        let mut asking = gateway.ask("GET /chat").header("Cookie", cookie);
        for (name, value) in HANDSHAKE {
            asking = asking.header(name, value);
        }
        let mut client = gateway.connect();
        client.send(asking.bytes());
        assert!(client.head().unwrap().starts_with("HTTP/1.1 101 "));
        read(&mut client, "hello ");
        client
    };
    let (mine, other) = (world().cookie("alice"), world().cookie("alice"));
    let (mut ended, mut kept) = (open(&mine), open(&other));
    let logout = gateway.ask("GET /.spnegate/logout");
    assert_eq!(logout.header("Cookie", &mine).response().status, 200);
    assert_eq!(ended.to_end(), "");
    kept.send("still here");
    read(&mut kept, "still here");
}

#[test]
fn a_tunnel_works_with_tls_on_both_sides() {
    let server = Server::echo();
    let ca = ca("ours");
    let front = Front::at(
        server.address,
        crate::front::server(&ca.issue("web", &["localhost"]), rustls::ALL_VERSIONS),
    );
    let files = ca.issue("proxy", &[&world().proxy]).files();
    let gateway = console(&front.url())
        .with(&format!(
            "tls = {{ cert = \"{}\", key = \"{}\" }}\nbackend_tls = {{ truststore = \"{}\" }}",
            files[0].display(),
            files[1].display(),
            ca.path("ca.pem").display()
        ))
        .run();
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(
        spnegate::testing::certificates(ca.pem().as_bytes(), None).unwrap(),
    );
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = world().proxy.clone().try_into().unwrap();
    let session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let tcp = TcpStream::connect(gateway.address()).unwrap();
    let mut client = Client::over(rustls::StreamOwned::new(session, tcp));
    let mut asking = gateway.ask("GET /chat");
    for (name, value) in HANDSHAKE {
        asking = asking.header(name, value);
    }
    let cookie = world().cookie_for("alice", Scheme::Tls);
    client.send(asking.header("Cookie", &cookie).bytes());
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101 "));
    client.send(vec![b'x'; 100_000]);
    assert_eq!(client.exactly(6), b"hello ");
    assert_eq!(client.exactly(100_000), vec![b'x'; 100_000]);
}

#[test]
fn each_chunk_of_a_response_is_delivered_before_the_next_is_sent() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let server = Server::start(move |mut stream| {
        let start = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                     Transfer-Encoding: chunked\r\n\r\n7\r\ndata: 0\r\n";
        stream.write_all(start.as_bytes()).unwrap();
        for n in 1..4 {
            gone.lock().unwrap().recv().unwrap();
            stream
                .write_all(format!("7\r\ndata: {n}\r\n").as_bytes())
                .unwrap();
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
    });
    let gateway = plain(&server).run();
    let mut client = gateway.connect();
    client.send(gateway.ask("GET /events").by("alice").bytes());
    let head = client.head().unwrap().to_lowercase();
    assert!(head.contains("text/event-stream"), "{head}");
    for n in 0..4 {
        read(&mut client, &format!("7\r\ndata: {n}\r\n"));
        // the backend sends more only now
        let _ = go.send(());
    }
    read(&mut client, "0\r\n\r\n");
}
