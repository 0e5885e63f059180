//! The HTTP server: worker threads, listeners, TLS, connections, time limits, drain.
//!
//! There is one OS thread per worker, each with a current-thread runtime and its own `SO_REUSEPORT`
//! socket for every address. A connection stays on one thread, so the service may hold `Rc`s and
//! needs no locks. No other module knows how connections are accepted.
//!
//! ```text
//! worker/      acceptor ─ balance (which worker) ─┐          sweep every 250 ms, fast parking
//! connection/  proxy_header ─ handshake ─ observed stream ─ hyper ─ exchange ─ service
//!              └ state: phase, output, parking    └ parked between requests: hyper dropped
//! ```

use std::{
    convert::Infallible,
    error::Error,
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::sync::watch;

use crate::{
    net::{self, BindError, Drained, SourcePolicy},
    telemetry::access::AccessLog,
};

mod clock;
mod conn_info;
mod connection;
pub(crate) mod forwarded_for;
pub(crate) mod framing;
mod redirect;
mod tls;
mod worker;

use self::worker::WorkerBalance;
pub(crate) use self::{
    conn_info::AbortCause,
    connection::{Tunnel, TunnelBackend},
};
pub use self::{
    conn_info::ConnInfo,
    connection::RequestBody,
    redirect::Redirect,
    tls::{ServerTls, Tls},
};

/// The settings of [`start`].
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Worker threads; at least 1.
    pub workers: usize,
    /// Limit of client connections; one more is closed immediately.
    pub max_connections: usize,
    /// Limit for each client address (an IPv6 /64 counts as one); `None`: no limit.
    pub max_connections_per_address: Option<usize>,
    /// Time limits of a connection's phases.
    pub timeouts: ServerTimeouts,
    /// Addresses, each once; a `ListenerId` is an index into this list.
    pub listeners: Vec<Listener>,
    /// Logs the server's own responses, to what never became a request.
    pub access: AccessLog,
}

/// Time limits of a connection's phases, with a resolution of a quarter of a second.
#[derive(Clone, Copy, Debug)]
pub struct ServerTimeouts {
    /// From a request's first byte to the end of its head, for a TLS handshake, and for a connection
    /// that has not sent a request yet.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Without progress in either direction while a body is transferred. Waiting for the head of a
    /// response is limited by the service.
    pub body_idle: Duration,
    /// Without a byte in either direction on an upgraded connection.
    pub tunnel: Duration,
    /// Bytes per second that a client has to send of a body, on average over each `body_idle`; 0: a
    /// single byte is progress.
    pub min_upload_rate: u64,
}

impl ServerTimeouts {
    /// Bytes of a body that count as progress within `body_idle`; at least 1.
    pub fn upload_step(&self) -> u64 {
        upload_step(self.min_upload_rate, self.body_idle)
    }
}

/// Bytes of a body that count as progress within `body_idle`, at `rate` bytes per second; at least 1.
pub(crate) fn upload_step(rate: u64, body_idle: Duration) -> u64 {
    let millis = u64::try_from(body_idle.as_millis()).unwrap_or(u64::MAX);
    (rate.saturating_mul(millis) / 1000).max(1)
}

/// An address clients connect to.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The address; port 0 chooses a free port (see [`Server::addresses`]).
    pub address: SocketAddr,
    /// The protocol.
    pub role: Role,
    /// Which clients and proxies may connect.
    pub sources: SourcePolicy,
}

/// The protocol of a listener.
#[derive(Clone, Debug)]
pub enum Role {
    /// HTTP/1.1.
    Plain,
    /// HTTP/1.1 over TLS, and HTTP/2 where it is configured.
    Tls(Tls),
    /// HTTP/1.1; every request is redirected to an `https` address.
    Redirect(Redirect),
}

/// A worker's number, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerIndex(pub usize);

/// A listener's index in [`ServerOptions::listeners`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerId(pub usize);

/// An extension of a response that needs HTTP/1.1: a login of several steps
/// (`GSS_S_CONTINUE_NEEDED`) belongs to one connection.
///
/// On HTTP/2 its stream is reset with `HTTP_1_1_REQUIRED` (RFC 9113 section 7) instead, and the
/// client repeats the request with HTTP/1.1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WantsHttp1;

/// The service of a worker: a Tower service that is always ready (it queues or refuses requests
/// itself), cloned for each connection. Neither it nor its futures need to be `Send`.
pub trait HttpService:
    tower_service::Service<
        Request<RequestBody>,
        Response = Response<<Self as HttpService>::Body>,
        Error = Infallible,
    > + Clone
    + 'static
{
    /// The body of its responses.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static;
}

impl<S, B> HttpService for S
where
    S: tower_service::Service<Request<RequestBody>, Response = Response<B>, Error = Infallible>
        + Clone
        + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    type Body = B;
}

/// Shared by all workers.
#[derive(Debug)]
struct ServerState {
    timeouts: ServerTimeouts,
    max_connections: usize,
    connections: AtomicUsize,
    balance: WorkerBalance,
    limiter: Option<Arc<net::sources::ConnectionLimiter>>,
}

#[derive(Clone, Copy, Debug)]
enum RunState {
    Serve,
    /// Finish before this time.
    Drain(Instant),
}

/// A running server. Dropping it closes all connections.
#[derive(Debug)]
pub struct Server {
    shared: Arc<ServerState>,
    run_state: watch::Sender<RunState>,
    addresses: Vec<SocketAddr>,
    threads: Vec<thread::JoinHandle<Drained>>,
}

/// Binds every address and starts the workers. `make` is called once on each worker's thread,
/// inside its runtime (it may `spawn_local`), and returns that worker's service.
///
/// The recorder of metrics has to be installed before, because workers keep their counters.
///
/// # Errors
/// [`BindError`], naming the address; nothing is left running or bound.
pub fn start<F, S>(options: ServerOptions, make: F) -> Result<Server, BindError>
where
    F: Fn(WorkerIndex) -> S + Clone + Send + 'static,
    S: HttpService,
{
    let ServerOptions {
        workers,
        max_connections,
        max_connections_per_address,
        timeouts,
        listeners,
        access,
    } = options;
    let wanted = listeners.iter().map(|listener| listener.address);
    let (addresses, sockets) = net::listen::bind(wanted, workers.max(1))?;
    let (balance, handed) = WorkerBalance::new(sockets.len(), listeners.len());
    let shared = Arc::new(ServerState {
        timeouts,
        max_connections,
        connections: AtomicUsize::new(0),
        balance,
        limiter: max_connections_per_address.map(net::sources::ConnectionLimiter::new),
    });
    let (run_state, receiver) = watch::channel(RunState::Serve);
    let mut server = Server {
        shared,
        run_state,
        addresses,
        threads: Vec::with_capacity(sockets.len()),
    };
    let (started, starts) = mpsc::channel::<io::Result<()>>();
    for (index, (sockets, handed)) in sockets.into_iter().zip(handed).enumerate() {
        let listeners = worker::Listeners::new(listeners.clone(), sockets, handed);
        let (shared, receiver) = (Arc::clone(&server.shared), receiver.clone());
        let (make, started) = (make.clone(), started.clone());
        let access = access.clone();
        let thread = thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || {
                let setup = worker::WorkerSetup {
                    index,
                    shared,
                    access,
                };
                worker::run(setup, listeners, receiver, started, || {
                    make(WorkerIndex(index))
                })
            })
            .map_err(BindError::Worker)?;
        server.threads.push(thread);
    }
    drop(started);
    // A worker that cannot start sends the reason or drops its sender.
    for start in starts {
        start.map_err(BindError::Worker)?;
    }
    Ok(server)
}

impl Server {
    /// The addresses in the order of [`ServerOptions::listeners`], with the actual ports.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// A function that returns the number of client connections; it may outlive the server.
    pub fn connection_count(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.connections.load(Ordering::Relaxed)
    }

    /// The number of client connections.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Starts to drain and returns immediately. Connections in the accept queues are accepted, then
    /// the listeners are closed. The next response of each connection has `Connection: close`, idle
    /// connections are closed after one second, and all others after `within`.
    pub fn drain(&self, within: Duration) {
        self.run_state
            .send_replace(RunState::Drain(Instant::now() + within));
    }

    /// Blocks the thread until all workers have ended, which they do after [`Server::drain`].
    pub fn join(mut self) -> Drained {
        let mut all = Drained::default();
        for thread in self.threads.drain(..) {
            // The panic hook has reported a worker that panicked, and its connections are closed.
            if let Ok(one) = thread.join() {
                all.finished += one.finished;
                all.cut += one.cut;
            }
        }
        all
    }
}
