//! Where a request enters: worker threads, listeners, TLS, connections, timers, drain.
//!
//! One OS thread per worker, each with a current-thread runtime and its own `SO_REUSEPORT` listener
//! for every address: a connection lives and dies on one thread, so the service behind it may hold
//! `Rc`s. Nothing else of the gateway knows how connections are accepted.
//!
//! ```text
//! worker: accept ─ connection ─ watched (bytes: scan, progress) ─ hyper http1 ─ exchange ─ service
//!                  └ parked between requests, hyper's buffers freed
//! timers: one sweep over the worker's connections every quarter of a second
//! ```

use std::{
    any::Any,
    convert::Infallible,
    error::Error,
    io,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use ipnet::IpNet;
use tokio::sync::watch;

use crate::{
    net::{self, BindError, Drained, Sources},
    telemetry::access::AccessLog,
};

mod acceptor;
mod connection;
mod exchange;
pub(crate) mod forwarded_for;
pub(crate) mod framing;
mod incoming;
mod multiplex;
mod redirect;
mod seats;
mod stream;
mod timers;
mod tls;
mod tunnel;
mod watched;
mod worker;

use self::seats::Seats;
pub(crate) use self::tunnel::{Far, Tunnel};
pub use self::{
    incoming::RequestBody,
    redirect::Redirect,
    tls::{ServerTls, Tls},
};

/// What [`start`] needs to know.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Worker threads; at least 1.
    pub workers: usize,
    /// Client connections in all; one more is closed at once.
    pub max_connections: usize,
    /// Of each client address; `None`: as many as there may be.
    pub max_connections_per_address: Option<usize>,
    /// Limits of a connection's phases.
    pub timeouts: ServerTimeouts,
    /// Addresses, each once; a `ListenerId` is an index into this list.
    pub listeners: Vec<Listener>,
    /// Where the server's own answers are logged: those to what never became a request.
    pub access: AccessLog,
}

/// Limits of a connection's phases, kept to a quarter of a second.
#[derive(Clone, Copy, Debug)]
pub struct ServerTimeouts {
    /// From a request's first byte to the end of its head, for a TLS handshake, and for a connection
    /// that has not sent a request yet.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Without progress, either way, while a body is in transfer. Waiting for the head of an answer
    /// is the upstream's business.
    pub body_idle: Duration,
    /// Without a byte either way, of a connection that was upgraded.
    pub tunnel: Duration,
    /// Bytes a second that a client has to send of a body, over each `body_idle`; 0: any is enough.
    pub min_upload_rate: u64,
}

impl ServerTimeouts {
    /// Bytes of a body that are progress within `body_idle`; never none.
    pub fn upload_step(&self) -> u64 {
        upload_step(self.min_upload_rate, self.body_idle)
    }
}

/// Bytes of a body that are progress within `body_idle`, at `rate` bytes a second; never none.
pub(crate) fn upload_step(rate: u64, body_idle: Duration) -> u64 {
    let millis = u64::try_from(body_idle.as_millis()).unwrap_or(u64::MAX);
    (rate.saturating_mul(millis) / 1000).max(1)
}

/// An address clients connect to.
#[derive(Clone, Debug)]
pub struct Listener {
    /// The address; port 0 takes a free one (see [`Server::addresses`]).
    pub address: SocketAddr,
    /// What is spoken there.
    pub role: Role,
    /// Who may speak there.
    pub sources: Sources,
}

/// What is spoken on a listener.
#[derive(Clone, Debug)]
pub enum Role {
    /// HTTP/1.1.
    Plain,
    /// HTTP/1.1, and HTTP/2 where it is wanted, in TLS.
    Tls(Tls),
    /// HTTP/1.1 that only leads to an `https` address.
    Redirect(Redirect),
}

/// A worker's number, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerIndex(pub usize);

/// A listener's index in [`ServerOptions::listeners`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerId(pub usize);

/// What a service knows of the connection a request came on: an extension of every request, as
/// `Arc<ConnInfo>`.
#[derive(Debug)]
pub struct ConnInfo {
    /// The client; where a balancer in front speaks the PROXY protocol, or a trusted proxy says so in
    /// `X-Forwarded-For` (then without a port), the one that it names.
    pub peer: SocketAddr,
    /// The address it connected to.
    pub local: SocketAddr,
    /// The listener it came by.
    pub listener: ListenerId,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Proxies that say in each request who its client is, where the peer is one of them.
    proxies: Option<Arc<[IpNet]>>,
    /// The connection's own facts, where these are of a client that a trusted proxy names.
    connection: Option<Arc<Self>>,
    /// What the login step keeps for this connection between the legs of one login; the server
    /// neither reads nor writes it.
    pub login: OnceLock<Arc<dyn Any + Send + Sync>>,
    /// The request at hand is ambiguously framed; requests of a connection never overlap.
    ambiguous: AtomicBool,
    /// A [`Cut`].
    cut: AtomicU8,
}

/// Why a connection ended under its requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// The client closed or reset it, or the stream of HTTP/2: the server did nothing.
    #[default]
    Client,
    /// A body made no progress for `timeouts.body_idle`.
    Stalled,
    /// The drain was over.
    Drained,
}

/// Marks an answer that only HTTP/1.1 can carry on from: a login of several legs belongs to a
/// connection. On HTTP/2 its stream is reset with `HTTP_1_1_REQUIRED` (RFC 9113 section 7) instead,
/// and the client asks again by HTTP/1.1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WantsHttp1;

impl ConnInfo {
    /// The facts of a connection, for tests of what stands behind the server too.
    pub const fn new(peer: SocketAddr, local: SocketAddr, listener: ListenerId, tls: bool) -> Self {
        Self {
            peer,
            local,
            listener,
            tls,
            proxies: None,
            connection: None,
            login: OnceLock::new(),
            ambiguous: AtomicBool::new(false),
            cut: AtomicU8::new(Cut::Client as u8),
        }
    }

    /// The same of a peer that is one of these proxies.
    fn trusting(&self, proxies: &Arc<[IpNet]>) -> Self {
        Self {
            proxies: Some(Arc::clone(proxies)),
            ..Self::new(self.peer, self.local, self.listener, self.tls)
        }
    }

    /// The facts for a request with these headers: another client's, where the peer is a trusted proxy
    /// that names one. No login of several legs goes on there: the next request may be somebody else's.
    fn of_request(self: Arc<Self>, headers: &HeaderMap) -> Arc<Self> {
        let Some(proxies) = &self.proxies else {
            return self;
        };
        let client = forwarded_for::client(headers, self.peer.ip(), proxies);
        if client == self.peer.ip() {
            return self;
        }
        Arc::new(Self {
            ambiguous: AtomicBool::new(self.is_ambiguous()),
            ..Self::new(
                SocketAddr::new(client, 0),
                self.local,
                self.listener,
                self.tls,
            )
            .on(self)
        })
    }

    /// Facts of one request that came on a connection.
    fn on(mut self, connection: Arc<Self>) -> Self {
        self.connection = Some(connection);
        self
    }

    /// Why the connection ended, to be asked when a request of it is given up.
    pub fn cut(&self) -> Cut {
        if let Some(connection) = &self.connection {
            return connection.cut();
        }
        let cut = self.cut.load(Ordering::Relaxed);
        [Cut::Stalled, Cut::Drained]
            .into_iter()
            .find(|known| *known as u8 == cut)
            .unwrap_or_default()
    }

    fn set_cut(&self, cut: Cut) {
        self.cut.store(cut as u8, Ordering::Relaxed);
    }

    fn is_ambiguous(&self) -> bool {
        self.ambiguous.load(Ordering::Relaxed)
    }

    fn set_ambiguous(&self, ambiguous: bool) {
        self.ambiguous.store(ambiguous, Ordering::Relaxed);
    }
}

/// What a worker serves connections with: a Tower service that is always ready (it queues or
/// refuses inside), cloned for each connection. Neither it nor its futures need be `Send`.
pub trait HttpService:
    tower_service::Service<
        Request<RequestBody>,
        Response = Response<<Self as HttpService>::Body>,
        Error = Infallible,
    > + Clone
    + 'static
{
    /// The body of its answers.
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

/// What all workers share.
#[derive(Debug)]
struct Shared {
    timeouts: ServerTimeouts,
    max_connections: usize,
    connections: AtomicUsize,
    seats: Seats,
    places: Option<Arc<net::sources::Places>>,
}

/// What the workers are told.
#[derive(Clone, Copy, Debug)]
enum Order {
    Serve,
    /// Finish until then.
    Drain(Instant),
}

/// A running server. Dropping it cuts all connections.
#[derive(Debug)]
pub struct Server {
    shared: Arc<Shared>,
    orders: watch::Sender<Order>,
    addresses: Vec<SocketAddr>,
    threads: Vec<thread::JoinHandle<Drained>>,
}

/// Binds every address and starts the workers. `make` is called once on each worker's thread,
/// inside its runtime (it may `spawn_local`), and returns that worker's service.
///
/// Metrics have to be installed before.
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
    let (seats, handed) = Seats::new(sockets.len(), listeners.len());
    let shared = Arc::new(Shared {
        timeouts,
        max_connections,
        connections: AtomicUsize::new(0),
        seats,
        places: max_connections_per_address.map(net::sources::Places::new),
    });
    let (orders, order) = watch::channel(Order::Serve);
    let mut server = Server {
        shared,
        orders,
        addresses,
        threads: Vec::with_capacity(sockets.len()),
    };
    let (started, starts) = mpsc::channel::<io::Result<()>>();
    for (index, (sockets, handed)) in sockets.into_iter().zip(handed).enumerate() {
        let listeners = worker::Listeners::new(listeners.clone(), sockets, handed);
        let (shared, order) = (Arc::clone(&server.shared), order.clone());
        let (make, started) = (make.clone(), started.clone());
        let access = access.clone();
        let thread = thread::Builder::new()
            .name(format!("worker-{index}"))
            .spawn(move || {
                let with = worker::With {
                    index,
                    shared,
                    access,
                };
                worker::run(with, listeners, order, started, || make(WorkerIndex(index)))
            })
            .map_err(BindError::Worker)?;
        server.threads.push(thread);
    }
    drop(started);
    // a worker that cannot start drops its sender or sends why
    for start in starts {
        start.map_err(BindError::Worker)?;
    }
    Ok(server)
}

impl Server {
    /// The addresses in the order of [`ServerOptions::listeners`], with the ports they got.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Counts the client connections, for as long as it is kept.
    pub fn connection_count(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.connections.load(Ordering::Relaxed)
    }

    /// Client connections at the moment.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Starts to drain and returns at once: what waits in the accept queues is taken, the listeners
    /// are closed, the next answer of each connection says `Connection: close`, idle connections
    /// end after one second; what is left after `within` is cut.
    pub fn drain(&self, within: Duration) {
        self.orders
            .send_replace(Order::Drain(Instant::now() + within));
    }

    /// Waits (blocking the thread) until all workers have ended, which they do after
    /// [`Server::drain`].
    pub fn join(mut self) -> Drained {
        let mut all = Drained::default();
        for thread in self.threads.drain(..) {
            // a worker that panicked has said so, and its connections are gone
            if let Ok(one) = thread.join() {
                all.finished += one.finished;
                all.cut += one.cut;
            }
        }
        all
    }
}
