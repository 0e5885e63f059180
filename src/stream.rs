//! Relayed TCP and UDP services: what is not HTTP, and the KDC.
//!
//! ```text
//! tcp: accept ─ PROXY header ─ allow ─ limits ─ server (balance, fail over) ─ PROXY header ─ bytes
//! udp: datagram ─ flow of its two addresses ─ allow ─ limits ─ server ─ datagrams, both ways
//! kdc: message ─ a KDC, and the next one if it is silent ─ its answer, or a KRB-ERROR
//! ```
//!
//! The relays have threads of their own, as many as the server has workers, each with its own
//! sockets on every address: a connection lives and dies on one thread. What all threads share is
//! atomics: [`StreamGroup`] (the servers of a stream) and the limits.

use std::{
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch as channel;

use crate::{
    net::{BindError, Drained},
    telemetry::access::AccessLog,
};

pub(crate) mod group;
pub(crate) mod kdc;
pub(crate) mod limits;
mod listen;
pub(crate) mod options;
pub(crate) mod reason;
pub(crate) mod record;
mod relay;
mod tcp;
mod udp;
mod worker;

pub use self::reason::Reason;
pub(crate) use self::{group::StreamGroup, limits::StreamLimits, tcp::client_key as source_key};
use self::{record::StreamRecorder, relay::Relay, worker::ThreadShare};

/// What [`start`] needs to know.
#[derive(Debug)]
pub(crate) struct StreamOptions {
    /// Threads; at least 1.
    pub workers: usize,
    /// `timeouts.connect`
    pub connect: Duration,
    /// `timeouts.head`
    pub head: Duration,
    /// The streams with their servers.
    pub streams: Vec<(options::Stream, Arc<StreamGroup>)>,
    /// Where connections are logged.
    pub access: AccessLog,
}

/// What the threads are told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RelayPhase {
    Serve,
    /// Finish until then.
    Drain(Instant),
}

/// The running relays. Dropping it cuts all connections.
#[derive(Debug)]
pub(crate) struct Streams {
    orders: channel::Sender<RelayPhase>,
    addresses: Vec<Vec<SocketAddr>>,
    limits: Vec<[Arc<StreamLimits>; 2]>,
    threads: Vec<thread::JoinHandle<Drained>>,
}

/// A group for a configured stream.
pub(crate) fn group(stream: &options::Stream) -> StreamGroup {
    StreamGroup::new(
        Arc::clone(&stream.name),
        stream.backends.clone(),
        stream.balance,
        stream.check,
        stream.slow_start,
    )
}

/// Opens every address and starts the threads; without streams there are none.
///
/// # Errors
/// [`BindError`], naming the address; nothing is left running or bound.
pub(crate) fn start(options: &StreamOptions) -> Result<Streams, BindError> {
    let threads = if options.streams.is_empty() {
        0
    } else {
        options.workers.max(1)
    };
    let (orders, order) = channel::channel(RelayPhase::Serve);
    let mut streams = Streams {
        orders,
        addresses: Vec::new(),
        limits: Vec::new(),
        threads: Vec::new(),
    };
    let mut parts: Vec<Vec<ThreadShare>> = (0..threads).map(|_| Vec::new()).collect();
    for (config, group) in &options.streams {
        streams.open(config, group, options, &mut parts)?;
    }
    let (started, starts) = mpsc::channel::<io::Result<()>>();
    for (index, parts) in parts.into_iter().enumerate() {
        let (order, started) = (order.clone(), started.clone());
        let thread = thread::Builder::new()
            .name(format!("relay-{index}"))
            .spawn(move || worker::run(parts, order, started))
            .map_err(BindError::Worker)?;
        streams.threads.push(thread);
    }
    drop(started);
    for start in starts {
        start.map_err(BindError::Worker)?;
    }
    Ok(streams)
}

// === impl Streams ===

impl Streams {
    fn open(
        &mut self,
        config: &options::Stream,
        group: &Arc<StreamGroup>,
        options: &StreamOptions,
        parts: &mut [Vec<ThreadShare>],
    ) -> Result<(), BindError> {
        let limits = || {
            let most = config.max_connections;
            Arc::new(StreamLimits::new(most, config.max_connections_per_source))
        };
        let (tcp_limits, udp_limits) = (limits(), limits());
        self.limits
            .push([Arc::clone(&tcp_limits), Arc::clone(&udp_limits)]);
        let make: Vec<_> = parts
            .iter()
            .map(|_| {
                let (config, group) = (config.clone(), Arc::clone(group));
                let (connect, head) = (options.connect, options.head);
                let (tcp_limits, udp_limits) = (Arc::clone(&tcp_limits), Arc::clone(&udp_limits));
                let recorder = |protocol| {
                    StreamRecorder::new(Arc::clone(&config.name), protocol, options.access.clone())
                };
                let (tcp, udp) = (recorder("tcp"), recorder("udp"));
                Box::new(move |live: Rc<relay::LiveConnections>| Relay {
                    kind: config.kind,
                    group,
                    allow: config.allow,
                    accept_proxy: config.accept_proxy,
                    idle: config.idle,
                    udp_idle: config.udp_idle,
                    udp_responses: config.udp_responses,
                    connect,
                    head,
                    tcp_limits,
                    udp_limits,
                    tcp,
                    udp,
                    live,
                }) as worker::RelayFactory
            })
            .collect();
        for (of_thread, make) in parts.iter_mut().zip(make) {
            of_thread.push(ThreadShare {
                make,
                tcp: Vec::new(),
                udp: Vec::new(),
            });
        }
        let mut addresses = Vec::new();
        for address in &config.listen {
            let opened = listen::open(*address, (config.tcp, config.udp), parts.len())?;
            addresses.push(opened.address);
            let mut tcp = opened.tcp.into_iter();
            let mut udp = opened.udp.into_iter();
            for part in parts
                .iter_mut()
                .filter_map(|of_thread| of_thread.last_mut())
            {
                part.tcp.extend(tcp.next());
                part.udp
                    .extend(udp.next().map(|socket| (opened.address, socket)));
            }
        }
        self.addresses.push(addresses);
        Ok(())
    }

    /// The addresses of each stream, in the order of the configuration, with the ports they got.
    pub(crate) fn addresses(&self) -> &[Vec<SocketAddr>] {
        &self.addresses
    }

    /// Counts the TCP connections and UDP flows of each stream, for as long as it is kept.
    pub(crate) fn counts(&self) -> impl Fn() -> Vec<(usize, usize)> + Send + Sync + 'static {
        let limits = self.limits.clone();
        move || {
            let count = |[tcp, udp]: &[Arc<StreamLimits>; 2]| (tcp.count(), udp.count());
            limits.iter().map(count).collect()
        }
    }

    /// Starts to drain and returns at once: what waits in the accept queues is taken, the sockets
    /// are closed, connections go on until they end; what is left after `within` is cut.
    pub(crate) fn drain(&self, within: Duration) {
        self.orders
            .send_replace(RelayPhase::Drain(Instant::now() + within));
    }

    /// Waits (blocking the thread) until all threads have ended, which they do after
    /// [`Streams::drain`].
    pub(crate) fn join(mut self) -> Drained {
        let mut all = Drained::default();
        for thread in self.threads.drain(..) {
            // a thread that panicked has said so, and its connections are gone
            if let Ok(one) = thread.join() {
                all.finished += one.finished;
                all.cut += one.cut;
            }
        }
        all
    }
}
