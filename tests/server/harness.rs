//! A server with an echo behind it, and a client of raw bytes.

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
use spnegate::testing::AccessLog;
use spnegate::testing::{
    BindError, ConnInfo, Listener, RequestBody, Role, Server, ServerOptions, ServerTimeouts,
    SourcePolicy, WorkerIndex, framing, start,
};
use tokio::sync::watch;

/// Far beyond what any test waits for; only a failing one sees it.
pub(crate) const FOREVER: Duration = Duration::from_secs(20);
/// A limit that a test waits for.
pub(crate) const SHORT: Duration = Duration::from_millis(200);

/// Answers with what it saw: method, path, body, framing, listener.
#[derive(Clone)]
pub(crate) struct Echo {
    /// Requests to `/wait` are answered when this turns true.
    gate: watch::Receiver<bool>,
    entered: mpsc::Sender<()>,
}

pub(crate) type Answer = Result<Response<Full<Bytes>>, Infallible>;

impl tower_service::Service<Request<RequestBody>> for Echo {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Answer>>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let mut echo = self.clone();
        Box::pin(async move { Ok(echo.answer(request).await) })
    }
}

impl Echo {
    async fn answer(&mut self, request: Request<RequestBody>) -> Response<Full<Bytes>> {
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
            "/refuse" => {
                drop(body);
                let mut response = Response::new(Full::from("who are you?"));
                *response.status_mut() = StatusCode::UNAUTHORIZED;
                return response;
            }
            "/worker" => {
                let thread = thread::current();
                return Response::new(Full::from(thread.name().unwrap_or_default().to_owned()));
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
            "{} {} {:?} peer={} listener={} tls={} legs={}",
            head.method,
            head.uri,
            String::from_utf8_lossy(&body.to_bytes()),
            info.peer,
            info.listener.0,
            info.tls,
            Arc::strong_count(legs),
        )))
    }
}

pub(crate) struct Setup {
    pub(crate) options: ServerOptions,
}

pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) gate: watch::Sender<bool>,
    pub(crate) entered: mpsc::Receiver<()>,
}

pub(crate) fn server() -> Setup {
    Setup {
        options: ServerOptions {
            workers: 2,
            max_connections: 1000,
            max_connections_per_address: None,
            timeouts: ServerTimeouts {
                head: FOREVER,
                idle: FOREVER,
                body_idle: FOREVER,
                tunnel: FOREVER,
                min_upload_rate: 0,
            },
            listeners: vec![Listener {
                address: SocketAddr::from(([127, 0, 0, 1], 0)),
                role: Role::Plain,
                sources: SourcePolicy::default(),
            }],
            access: AccessLog::off(),
        },
    }
}

impl Setup {
    pub(crate) fn timeouts(mut self, set: impl FnOnce(&mut ServerTimeouts)) -> Self {
        set(&mut self.options.timeouts);
        self
    }

    pub(crate) fn access(mut self, log: AccessLog) -> Self {
        self.options.access = log;
        self
    }

    pub(crate) fn workers(mut self, workers: usize) -> Self {
        self.options.workers = workers;
        self
    }

    pub(crate) fn max_connections(mut self, max: usize) -> Self {
        self.options.max_connections = max;
        self
    }

    pub(crate) fn listener(mut self, address: &str, role: Role) -> Self {
        let address = address.parse().unwrap();
        self.options.listeners.push(Listener {
            address,
            role,
            sources: SourcePolicy::default(),
        });
        self
    }

    /// Of all listeners so far.
    pub(crate) fn sources(mut self, sources: &SourcePolicy) -> Self {
        for listener in &mut self.options.listeners {
            listener.sources = sources.clone();
        }
        self
    }

    pub(crate) fn max_connections_per_address(mut self, max: usize) -> Self {
        self.options.max_connections_per_address = Some(max);
        self
    }

    pub(crate) fn try_run(self) -> Result<Running, BindError> {
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

    pub(crate) fn run(self) -> Running {
        self.try_run().unwrap()
    }
}

impl Running {
    pub(crate) fn connect(&self) -> TcpStream {
        self.connect_to(0)
    }

    pub(crate) fn connect_to(&self, listener: usize) -> TcpStream {
        let tcp = TcpStream::connect(self.server.addresses()[listener]).unwrap();
        tcp.set_read_timeout(Some(FOREVER)).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp
    }

    /// Everything the server says to these bytes until it closes; the client does not close.
    pub(crate) fn say(&self, bytes: &[u8]) -> String {
        let mut tcp = self.connect();
        tcp.write_all(bytes).unwrap();
        to_end(&mut tcp)
    }
}

pub(crate) fn to_end(stream: &mut impl Read) -> String {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        Err(error) => panic!("{error}: the server did not close after {all:?}"),
    }
    String::from_utf8(all).unwrap()
}

/// Reads one answer with a `Content-Length`: its head and its body.
pub(crate) fn answer(stream: &mut impl Read) -> (String, String) {
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

pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + FOREVER;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come");
        thread::yield_now();
    }
}

pub(crate) const CLOSE: &str = "Connection: close\r\n\r\n";
