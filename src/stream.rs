//! Relays TCP and UDP services that are not HTTP, and Kerberos requests to KDCs.
//!
//! ```text
//! tcp: accept ─ PROXY header ─ allow ─ limits ─ server (balance, failover) ─ PROXY header ─ bytes
//! udp: datagram ─ flow of its two addresses ─ allow ─ limits ─ server ─ datagrams, both ways
//! kdc: message ─ a KDC, and the next one if it is silent ─ its reply, or a KRB-ERROR
//! ```
//!
//! The relays have their own threads, as many as the HTTP server has workers, each with its own sockets
//! on every address: a connection stays on one thread. The threads share only atomics: [`StreamGroup`]
//! (the servers of a stream) and the limits. The algorithms of balancing and the administrative states
//! are those of the consoles ([`crate::balance`]).

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

#[derive(Debug)]
pub(crate) struct StreamOptions {
    /// Number of threads; at least 1.
    pub workers: usize,
    /// `timeouts.connect`
    pub connect: Duration,
    /// `timeouts.head`
    pub head: Duration,
    /// Each stream with its servers.
    pub streams: Vec<(options::Stream, Arc<StreamGroup>)>,
    pub access: AccessLog,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum RelayPhase {
    Serve,
    /// Accept nothing new, and end everything by this time.
    Drain(Instant),
}

/// The running relays. Dropping it closes all connections.
#[derive(Debug)]
pub(crate) struct Streams {
    orders: channel::Sender<RelayPhase>,
    addresses: Vec<Vec<SocketAddr>>,
    limits: Vec<[Arc<StreamLimits>; 2]>,
    threads: Vec<thread::JoinHandle<Drained>>,
}

pub(crate) fn group(stream: &options::Stream) -> StreamGroup {
    StreamGroup::new(
        Arc::clone(&stream.name),
        stream.backends.clone(),
        stream.balance,
        stream.check,
        stream.slow_start,
    )
}

/// Opens every address and starts the threads. Without streams there are no threads.
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
            // `streams` is dropped then, which ends the threads that run already.
            .map_err(BindError::Worker)?;
        streams.threads.push(thread);
    }
    // The loop ends when the last sender is gone, and this one belongs to no thread.
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
        // Separate, because a UDP source address can be forged: a flood of flows must not use up the TCP
        // connections.
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

    /// The addresses of each stream, in the order of the configuration, with the actual ports.
    pub(crate) fn addresses(&self) -> &[Vec<SocketAddr>] {
        &self.addresses
    }

    /// Returns a function that counts the TCP connections and UDP flows of each stream.
    pub(crate) fn counts(&self) -> impl Fn() -> Vec<(usize, usize)> + Send + Sync + 'static {
        let limits = self.limits.clone();
        move || {
            let count = |[tcp, udp]: &[Arc<StreamLimits>; 2]| (tcp.count(), udp.count());
            limits.iter().map(count).collect()
        }
    }

    /// Starts to drain and returns immediately: connections in the accept queues are accepted, the sockets
    /// are closed, open connections continue. Those that are left after `within` are reset.
    pub(crate) fn drain(&self, within: Duration) {
        self.orders
            .send_replace(RelayPhase::Drain(Instant::now() + within));
    }

    /// Waits (blocking the thread) until all threads have ended, which they do after
    /// [`Streams::drain`].
    pub(crate) fn join(mut self) -> Drained {
        let mut all = Drained::default();
        for thread in self.threads.drain(..) {
            // A panic has been reported, and the connections of the thread are closed.
            if let Ok(one) = thread.join() {
                all.finished += one.finished;
                all.cut += one.cut;
            }
        }
        all
    }
}
