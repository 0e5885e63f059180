//! The server by raw bytes: what hyper and we refuse, timers, parking, drain, TLS, limits.

use std::{
    convert::Infallible,
    future::Future,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    pin::Pin,
    sync::{Arc, mpsc},
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use spnegate::{
    config::TlsFiles,
    server::{
        BindError, ConnInfo, Listener, Redirect, Role, Server, ServerOptions, ServerTimeouts, Tls,
        WorkerIndex, framing, start,
    },
};
use tokio::sync::watch;

/// Far beyond what any test waits for; only a failing one sees it.
const FOREVER: Duration = Duration::from_secs(20);

/// Answers with what it saw: method, path, body, framing, listener.
#[derive(Clone)]
struct Echo {
    /// Requests to `/wait` are answered when this turns true.
    gate: watch::Receiver<bool>,
    entered: mpsc::Sender<()>,
}

type Answer = Result<Response<Full<Bytes>>, Infallible>;

impl tower_service::Service<Request<Incoming>> for Echo {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer>>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let mut echo = self.clone();
        Box::pin(async move { Ok(echo.answer(request).await) })
    }
}

impl Echo {
    async fn answer(&mut self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if let Err(refusal) = framing::check(&request) {
            let mut response = Response::new(Full::from(refusal.reason()));
            *response.status_mut() = refusal.status();
            return response;
        }
        let info = request.extensions().get::<Arc<ConnInfo>>().unwrap().clone();
        let (head, body) = request.into_parts();
        match head.uri.path() {
            "/wait" => {
                self.entered.send(()).unwrap();
                self.gate.wait_for(|open| *open).await.unwrap();
            }
            "/big" => return Response::new(Full::from(vec![b'x'; 64 << 20])),
            _ => {}
        }
        let Ok(body) = body.collect().await else {
            let mut response = Response::new(Full::from("bad body"));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            return response;
        };
        let legs = info.login.get_or_init(|| Arc::new(()));
        Response::new(Full::from(format!(
            "{} {} {:?} listener={} tls={} legs={}",
            head.method,
            head.uri,
            String::from_utf8_lossy(&body.to_bytes()),
            info.listener.0,
            info.tls,
            Arc::strong_count(legs),
        )))
    }
}

struct Setup {
    options: ServerOptions,
}

struct Running {
    server: Server,
    gate: watch::Sender<bool>,
    entered: mpsc::Receiver<()>,
}

fn server() -> Setup {
    Setup {
        options: ServerOptions {
            workers: 2,
            max_connections: 1000,
            timeouts: ServerTimeouts {
                head: FOREVER,
                idle: FOREVER,
                body_idle: FOREVER,
            },
            listeners: vec![Listener {
                address: SocketAddr::from(([127, 0, 0, 1], 0)),
                role: Role::Plain,
            }],
        },
    }
}

impl Setup {
    fn timeouts(mut self, set: impl FnOnce(&mut ServerTimeouts)) -> Self {
        set(&mut self.options.timeouts);
        self
    }

    fn workers(mut self, workers: usize) -> Self {
        self.options.workers = workers;
        self
    }

    fn max_connections(mut self, max: usize) -> Self {
        self.options.max_connections = max;
        self
    }

    fn listener(mut self, address: &str, role: Role) -> Self {
        let address = address.parse().unwrap();
        self.options.listeners.push(Listener { address, role });
        self
    }

    fn try_run(self) -> Result<Running, BindError> {
        let (gate, waiting) = watch::channel(false);
        let (entered, enters) = mpsc::channel();
        let server = start(self.options, move |_: WorkerIndex| Echo {
            gate: waiting.clone(),
            entered: entered.clone(),
        })?;
        Ok(Running {
            server,
            gate,
            entered: enters,
        })
    }

    fn run(self) -> Running {
        self.try_run().unwrap()
    }
}

impl Running {
    fn connect(&self) -> TcpStream {
        self.connect_to(0)
    }

    fn connect_to(&self, listener: usize) -> TcpStream {
        let tcp = TcpStream::connect(self.server.addresses()[listener]).unwrap();
        tcp.set_read_timeout(Some(FOREVER)).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp
    }

    /// Everything the server says to these bytes until it closes; the client does not close.
    fn say(&self, bytes: &[u8]) -> String {
        let mut tcp = self.connect();
        tcp.write_all(bytes).unwrap();
        to_end(&mut tcp)
    }
}

fn to_end(stream: &mut impl Read) -> String {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}: the server did not close after {all:?}"),
    }
    String::from_utf8(all).unwrap()
}

/// Reads one answer with a `Content-Length`: its head and its body.
fn answer(stream: &mut impl Read) -> (String, String) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap();
    let length: usize = length.lines().next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + FOREVER;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come");
        thread::yield_now();
    }
}

const CLOSE: &str = "Connection: close\r\n\r\n";

// === framing ===

#[test]
fn what_is_refused_by_raw_bytes() {
    let server = server().run();
    for (what, bytes) in [
        (
            "CL then TE",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "TE then CL",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        ),
        (
            "differing CL",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        ),
        (
            "comma CL",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
        ),
        (
            "signed CL",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
        ),
        (
            "obs-fold",
            "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
        ),
        (
            "bare CR in a value",
            "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r2\r\n\r\n",
        ),
        (
            "space before the colon",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc",
        ),
        (
            "NUL in a value",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        ),
        (
            "TE on HTTP/1.0",
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "TE not ending in chunked",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        ),
        (
            "TE of two codings",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "TE twice",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "TE with a vertical tab",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunk size with 0x",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        ),
        (
            "chunk size with a sign",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
        ),
        (
            "chunk size that overflows",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\na\r\n0\r\n\r\n",
        ),
        (
            "chunk longer than its size",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "bare LF after a chunk size",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
        ),
        (
            "a space in the target",
            "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        ("HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ] {
        let said = server.say(bytes.as_bytes());
        assert!(
            said.starts_with("HTTP/1.1 400") || said.starts_with("HTTP/1.0 400"),
            "{what}: {said}"
        );
        assert_eq!(said.matches("HTTP/1.").count(), 1, "{what}: {said}");
    }
}

#[test]
fn the_preface_of_http_2_is_closed_on() {
    assert_eq!(server().run().say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "");
}

#[test]
fn what_is_tolerated_reaches_the_service_unambiguous() {
    let server = server().run();
    for (what, bytes, seen) in [
        (
            "bare LF",
            "GET /a HTTP/1.1\nHost: a\nConnection: close\n\n",
            "GET /a \"\"",
        ),
        (
            "equal CL twice",
            "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
            "POST /b \"abc\"",
        ),
        (
            "no Host",
            "GET /c HTTP/1.1\r\nConnection: close\r\n\r\n",
            "GET /c \"\"",
        ),
        (
            "blank lines first",
            "\r\n\r\nGET /d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET /d \"\"",
        ),
        (
            "chunk extension",
            "POST /e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1;a=b\r\nz\r\n0\r\n\r\n",
            "POST /e \"z\"",
        ),
    ] {
        let said = server.say(bytes.as_bytes());
        assert!(said.starts_with("HTTP/1.1 200"), "{what}: {said}");
        assert!(said.contains(seen), "{what}: {said}");
    }
}

#[test]
fn both_framings_are_refused_behind_pipelined_requests_too() {
    let said = server().run().say(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
          POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
          GET /never HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    assert!(said.contains("HTTP/1.1 400"), "{said}");
    assert!(!said.contains("/never"), "{said}");
}

#[test]
fn a_head_that_is_too_large_is_answered_with_431() {
    let head = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(70_000));
    let said = server().run().say(head.as_bytes());
    assert!(said.starts_with("HTTP/1.1 431"), "{said}");
}

#[test]
fn a_head_below_64_kib_passes() {
    let head = format!("GET / HTTP/1.1\r\nX: {}\r\n{CLOSE}", "a".repeat(60_000));
    let said = server().run().say(head.as_bytes());
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

// === connections ===

#[test]
fn http_1_0_closes_unless_asked_to_stay() {
    let server = server().run();
    let said = server.say(b"GET / HTTP/1.0\r\n\r\n");
    assert!(said.starts_with("HTTP/1.0 200"), "{said}");
    let mut tcp = server.connect();
    for _ in 0..2 {
        tcp.write_all(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .unwrap();
        let (head, _) = answer(&mut tcp);
        assert!(head.contains("connection: keep-alive"), "{head}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = server().run();
    let mut tcp = server.connect();
    let mut bytes = String::new();
    for n in 0..50 {
        bytes += &format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab");
    }
    tcp.write_all(bytes.as_bytes()).unwrap();
    for n in 0..50 {
        assert!(answer(&mut tcp).1.starts_with(&format!("POST /{n} \"ab\"")));
    }
}

#[test]
fn a_login_slot_belongs_to_one_connection() {
    let server = server().run();
    let mut tcp = server.connect();
    for _ in 0..3 {
        tcp.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(answer(&mut tcp).1.ends_with("legs=1"));
    }
}

#[test]
fn one_connection_too_many_is_closed_and_its_place_is_free_again_later() {
    let server = server().max_connections(2).run();
    let mut first = server.connect();
    let second = server.connect();
    until("two connections", || server.server.connections() == 2);
    assert_eq!(to_end(&mut server.connect()), "");
    first
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    answer(&mut first);
    drop(second);
    until("a free place", || server.server.connections() == 1);
    let said = server.say(format!("GET / HTTP/1.1\r\nHost: a\r\n{CLOSE}").as_bytes());
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[test]
fn ipv4_and_ipv6_share_a_port() {
    let v4 = server().run();
    let port = v4.server.addresses()[0].port();
    let v6 = server()
        .listener(&format!("[::]:{port}"), Role::Plain)
        .run();
    let mut tcp = TcpStream::connect(("::1", port)).unwrap();
    tcp.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{CLOSE}").as_bytes())
        .unwrap();
    assert!(to_end(&mut tcp).contains("listener=1"));
    drop(v6);
}

#[test]
fn a_second_server_on_the_port_is_told_so() {
    let first = server().run();
    let address = first.server.addresses()[0].to_string();
    let error = server()
        .listener(&address, Role::Plain)
        .try_run()
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        format!("{address}: port in use by another program; `ss -ltnp` shows it")
    );
}

// === timers ===

const SHORT: Duration = Duration::from_millis(200);

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let server = server().timeouts(|t| t.idle = SHORT).run();
    let mut tcp = server.connect();
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    answer(&mut tcp);
    assert_eq!(to_end(&mut tcp), "");
    assert_eq!(to_end(&mut server.connect()), "");
}

#[test]
fn a_head_that_does_not_end_is_answered_with_408() {
    let server = server().timeouts(|t| t.head = SHORT).run();
    for start in [
        "G",
        "GET / HTTP/1.1\r\nHost",
        "GET / HTTP/1.1\r\nHost: a\r\n",
    ] {
        let said = server.say(start.as_bytes());
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
        assert!(said.contains("Connection: close"), "{said}");
    }
    until("an empty server", || server.server.connections() == 0);
}

#[test]
fn an_upload_that_stalls_is_answered_with_408() {
    let server = server().timeouts(|t| t.body_idle = SHORT).run();
    for start in [
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab",
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    ] {
        let said = server.say(start.as_bytes());
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    }
}

#[test]
fn a_download_that_stalls_is_cut() {
    let server = server().timeouts(|t| t.body_idle = SHORT).run();
    let mut tcp = server.connect();
    tcp.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    tcp.read_exact(&mut [0]).unwrap();
    until("the end of it", || server.server.connections() == 0);
}

#[test]
fn waiting_for_an_answer_is_not_timed() {
    let server = server()
        .timeouts(|t| (t.head, t.idle, t.body_idle) = (SHORT, SHORT, SHORT))
        .run();
    let mut slow = server.connect();
    slow.write_all(b"POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab")
        .unwrap();
    server.entered.recv().unwrap();
    // another connection lives through all limits meanwhile
    assert_eq!(to_end(&mut server.connect()), "");
    assert_eq!(to_end(&mut server.connect()), "");
    server.gate.send_replace(true);
    assert!(answer(&mut slow).1.starts_with("POST /wait \"ab\""));
}

#[test]
fn a_client_that_vanishes_frees_its_connection_at_once() {
    let server = server().run();
    let mut tcp = server.connect();
    tcp.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    server.entered.recv().unwrap();
    drop(tcp);
    until("an empty server", || server.server.connections() == 0);
}

// === parking ===

#[test]
fn a_parked_connection_resumes_whatever_comes() {
    // ticks of 5 ms: parked after 10 ms
    let server = server()
        .timeouts(|t| t.head = Duration::from_millis(40))
        .run();
    let mut tcp = server.connect();
    for round in 0..3 {
        tcp.write_all(
            b"\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n\r\n",
        )
        .unwrap();
        assert!(
            answer(&mut tcp).1.starts_with("GET /1 \"\""),
            "round {round}"
        );
        assert!(
            answer(&mut tcp).1.starts_with("POST /2 \"z\""),
            "round {round}"
        );
        // so long does a head take to time out: the connection has been parked for long
        let said = server.say(b"G");
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    }
    until("the others' end", || server.server.connections() == 1);
}

// === drain ===

#[test]
fn a_drain_loses_no_request_that_waits_in_the_accept_queues_or_in_flight() {
    let server = server().run();
    let mut slow = server.connect();
    slow.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    server.entered.recv().unwrap();
    let mut queued: Vec<_> = (0..200)
        .map(|_| {
            let mut tcp = server.connect();
            tcp.write_all(b"GET /queued HTTP/1.1\r\nHost: a\r\n\r\n")
                .unwrap();
            tcp
        })
        .collect();
    server.server.drain(FOREVER);
    until("the queues' end", || {
        queued.iter().all(|tcp| tcp.peek(&mut [0]).is_ok())
    });
    let address = server.server.addresses()[0];
    until("the listeners' end", || {
        TcpStream::connect(address).is_err()
    });
    server.gate.send_replace(true);
    let (head, _) = answer(&mut slow);
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(to_end(&mut slow), "");
    for tcp in &mut queued {
        assert!(answer(tcp).1.starts_with("GET /queued"));
    }
    drop(queued);
    assert_eq!(server.server.join().cut, 0);
}

#[test]
fn a_drain_serves_what_races_with_it_and_ends_the_idle() {
    let server = server().workers(1).run();
    let mut racing = server.connect();
    let mut idle = server.connect();
    for tcp in [&mut racing, &mut idle] {
        tcp.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        answer(tcp);
    }
    server.server.drain(FOREVER);
    let address = server.server.addresses()[0];
    until("the listener's end", || {
        TcpStream::connect(address).is_err()
    });
    racing
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    assert!(answer(&mut racing).0.contains("connection: close"));
    assert_eq!(to_end(&mut racing), "");
    assert_eq!(to_end(&mut idle), "");
    let drained = server.server.join();
    assert!(drained.finished >= 2 && drained.cut == 0, "{drained:?}");
}

#[test]
fn what_a_drain_finds_busy_at_its_deadline_is_cut() {
    let server = server().run();
    let mut slow = server.connect();
    slow.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    server.entered.recv().unwrap();
    server.server.drain(SHORT);
    assert_eq!(server.server.join().cut, 1);
    assert_eq!(to_end(&mut slow), "");
}

// === TLS ===

fn certificate() -> (
    tempfile::TempDir,
    TlsFiles,
    rcgen::CertifiedKey<rcgen::KeyPair>,
) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let files = TlsFiles {
        cert: dir.path().join("cert.pem"),
        key: dir.path().join("key.pem"),
    };
    std::fs::write(&files.cert, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    (dir, files, made)
}

#[test]
fn tls_serves_the_same_service_and_speaks_http_1_1() {
    let (_dir, files, made) = certificate();
    let role = Role::Tls(Tls::load(&files).unwrap());
    let server = server()
        .listener("127.0.0.1:0", role)
        .timeouts(|t| t.head = Duration::from_millis(40))
        .run();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = "localhost".try_into().unwrap();
    let session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut tls = rustls::StreamOwned::new(session, server.connect_to(1));
    for _ in 0..3 {
        tls.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        assert!(answer(&mut tls).1.contains("listener=1 tls=true"));
        // parked meanwhile
        let said = server.say(b"G");
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    }
    assert_eq!(tls.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn a_tls_handshake_that_does_not_end_is_closed() {
    let (_dir, files, _) = certificate();
    let role = Role::Tls(Tls::load(&files).unwrap());
    let server = server()
        .listener("127.0.0.1:0", role)
        .timeouts(|t| t.head = SHORT)
        .run();
    let mut tcp = server.connect_to(1);
    tcp.write_all(&[22, 3, 1, 2]).unwrap();
    assert_eq!(to_end(&mut tcp), "");
}

#[test]
fn a_redirect_listener_leads_to_https() {
    let role = Role::Redirect(Redirect {
        port: 8443,
        is_ours: Arc::new(|host| host == "proxy.example.com"),
    });
    let server = server().listener("127.0.0.1:0", role).run();
    let mut tcp = server.connect_to(1);
    tcp.write_all(b"GET /a?b HTTP/1.1\r\nHost: proxy.example.com\r\n\r\n")
        .unwrap();
    let (head, _) = answer(&mut tcp);
    assert!(head.starts_with("http/1.1 301"), "{head}");
    assert!(
        head.contains("location: https://proxy.example.com:8443/a?b\r\n"),
        "{head}"
    );
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        .unwrap();
    let (head, _) = answer(&mut tcp);
    assert!(head.starts_with("http/1.1 421"), "{head}");
}
