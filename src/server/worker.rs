//! A worker thread: accepts connections, runs the sweep, drains.

use std::{
    cell::{Cell, RefCell},
    io, net,
    rc::Rc,
    sync::{Arc, atomic::Ordering, mpsc},
    time::Instant,
};

use hyper::server::conn::{http1, http2};
use metrics::{Counter, Gauge};
use tokio::{
    runtime::{Builder, LocalOptions},
    sync::{Notify, mpsc::UnboundedReceiver, watch},
    task::{JoinHandle, spawn_local},
    time,
};

use crate::{
    net::{Drained, SourcePolicy, accept::AcceptQueue, sources::contains},
    refusal::Refusal,
    server::{
        AbortCause, HttpService, Listener, ListenerId, RunState, ServerState,
        clock::{Clock, TickLimits},
        connection::{ConnectionState, FAST_PARKING_INTERVAL, LocalExecutor},
    },
    telemetry::{access::AccessLog, metrics as names},
};

mod acceptor;
mod balance;
mod fast_parking;

pub(super) use self::balance::WorkerBalance;
use self::{acceptor::Acceptor, balance::HandedOver, fast_parking::FastParking};

/// The limit on a request's head, and on hyper's buffers for each direction.
const BUFFER: usize = 64 * 1024;
/// Concurrent requests of one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;
/// The limit on an HTTP/2 request's head. RFC 9113 section 6.5.2 counts 32 bytes more for each line,
/// so it is larger than [`BUFFER`]: a head that is accepted on HTTP/1.1 has to be accepted here.
const HEADER_LIST: u32 = 128 * 1024;
/// Streams that a client may have reset before they were served; one more closes the connection.
const MAX_RESETS: usize = 32;
/// Stream errors that a client may cause; one more closes the connection.
const MAX_ERRORS: usize = 1024;

/// A worker's sockets, with the connections that other workers hand over for each.
pub(super) struct Listeners(Vec<(net::TcpListener, UnboundedReceiver<HandedOver>, Listener)>);

impl Listeners {
    pub(super) fn new(
        listeners: Vec<Listener>,
        sockets: Vec<net::TcpListener>,
        handed: Vec<UnboundedReceiver<HandedOver>>,
    ) -> Self {
        let all = sockets.into_iter().zip(handed).zip(listeners);
        Self(
            all.map(|((socket, handed), listener)| (socket, handed, listener))
                .collect(),
        )
    }
}

/// Shared by the connections of one worker.
pub(super) struct Worker {
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<LocalExecutor>,
    pub(super) tls_failures: Counter,
    pub(super) clock: Rc<Clock>,
    pub(super) limits: TickLimits,
    pub(super) index: usize,
    pub(super) shared: Arc<ServerState>,
    pub(super) access: AccessLog,
    live: RefCell<Vec<Rc<ConnectionState>>>,
    fast_parking: FastParking,
    /// Notified when the last connection has ended.
    emptied: Notify,
    /// Connections that have ended since the drain began.
    finished: Cell<usize>,
    connections: Gauge,
    refused: Counter,
}

pub(super) struct WorkerSetup {
    pub(super) index: usize,
    pub(super) shared: Arc<ServerState>,
    pub(super) access: AccessLog,
}

/// Runs a worker to its end. Reports on `started` when it serves, or why it cannot.
pub(super) fn run<S: HttpService>(
    setup: WorkerSetup,
    listeners: Listeners,
    run_state: watch::Receiver<RunState>,
    started: mpsc::Sender<io::Result<()>>,
    make: impl FnOnce() -> S,
) -> Drained {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            // The caller waits for the report of every worker, and may have given up.
            let _sent = started.send(Err(error));
            return Drained::default();
        }
    };
    let worker = Rc::new(Worker::new(setup));
    runtime.block_on(async move {
        let service = Rc::new(make());
        let acceptors: io::Result<Vec<_>> = listeners
            .0
            .into_iter()
            .enumerate()
            .map(|(index, (socket, handed, listener))| {
                let accepts = AcceptQueue::new(socket)?;
                let acceptor = Acceptor {
                    worker: Rc::clone(&worker),
                    id: ListenerId(index),
                    role: listener.role,
                    sources: Rc::new(listener.sources),
                };
                Ok(spawn_local(acceptor.run(
                    accepts,
                    handed,
                    Rc::clone(&service),
                    run_state.clone(),
                )))
            })
            .collect();
        match acceptors {
            Ok(acceptors) => {
                let _sent = started.send(Ok(()));
                drop(started);
                worker.run(acceptors, run_state).await
            }
            Err(error) => {
                let _sent = started.send(Err(error));
                Drained::default()
            }
        }
    })
}

// === impl Worker ===

impl Worker {
    fn new(setup: WorkerSetup) -> Self {
        let WorkerSetup {
            index,
            shared,
            access,
        } = setup;
        let mut http1 = http1::Builder::new();
        http1
            .max_buf_size(BUFFER)
            // Without this, a head that arrives in one piece may be twice as large.
            .max_header_size(BUFFER)
            // A client that closes aborts its request, which frees the backend's connection
            // immediately.
            .half_close(false)
            // The sweep does it, without a timer for each head; see clock.rs.
            .header_read_timeout(None);
        let mut http2 = http2::Builder::new(LocalExecutor);
        http2
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(HEADER_LIST)
            // Against rapid reset (CVE-2023-44487) and resets that a client makes the server send
            // ("MadeYouReset", CVE-2025-8671).
            .max_pending_accept_reset_streams(Some(MAX_RESETS))
            .max_local_error_reset_streams(Some(MAX_ERRORS))
            .max_send_buf_size(BUFFER);
        Self {
            http1,
            http2,
            tls_failures: metrics::counter!(names::TLS_FAILURES),
            clock: Rc::new(Clock::new(shared.timeouts.upload_step())),
            limits: TickLimits::new(shared.timeouts),
            index,
            shared,
            live: RefCell::default(),
            access,
            fast_parking: FastParking::default(),
            emptied: Notify::new(),
            finished: Cell::new(0),
            connections: metrics::gauge!(names::CONNECTIONS),
            refused: metrics::counter!(names::CONNECTIONS_REFUSED),
        }
    }

    async fn run(
        &self,
        acceptors: Vec<JoinHandle<()>>,
        mut run_state: watch::Receiver<RunState>,
    ) -> Drained {
        let mut ticks = time::interval(self.limits.tick);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Skip);
        let mut checks = time::interval(FAST_PARKING_INTERVAL);
        checks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let deadline = loop {
            // The short interval only runs while there is something to check: it costs a wake-up of
            // the worker every 10 ms.
            let checking = !self.fast_parking.is_empty();
            tokio::select! {
                _ = ticks.tick() => self.sweep(),
                _ = checks.tick(), if checking => self.fast_parking.check(),
                () = self.fast_parking.added(), if !checking => {}
                changed = run_state.changed() => match (changed, *run_state.borrow()) {
                    (Ok(()), RunState::Drain(deadline)) => break deadline,
                    (Ok(()), RunState::Serve) => {}
                    // The server was dropped.
                    (Err(_), _) => break Instant::now(),
                },
            }
        };
        self.clock.start_drain();
        self.finished.set(0);
        for acceptor in acceptors {
            // It returns nothing, and the panic hook has reported a panic.
            let _ended = acceptor.await;
        }
        let deadline = time::sleep_until(deadline.into());
        tokio::pin!(deadline);
        while !self.live.borrow().is_empty() {
            tokio::select! {
                _ = ticks.tick() => self.sweep(),
                () = self.emptied.notified() => {}
                () = &mut deadline => break,
            }
        }
        for state in self.live.borrow().iter() {
            state.set_abort_cause(AbortCause::Drained);
        }
        Drained {
            finished: self.finished.get(),
            cut: self.live.borrow().len(),
        }
    }

    fn sweep(&self) {
        self.clock.tick();
        for state in self.live.borrow().iter() {
            if let Some(reason) = state.overdue(&self.limits) {
                state.request_close(reason);
            } else if state.wants_ticks() || state.is_parkable() {
                state.wake();
            }
        }
    }

    /// Parks a connection that was just resumed as soon as it is at rest.
    pub(super) fn try_fast_parking(&self, state: &Rc<ConnectionState>) {
        self.fast_parking.add(state, self.clock.now());
    }

    /// Adds a connection to those that are swept.
    pub(super) fn register(&self, state: &Rc<ConnectionState>) {
        let mut live = self.live.borrow_mut();
        state.set_index(live.len());
        live.push(Rc::clone(state));
    }

    /// A connection has ended.
    pub(super) fn deregister(&self, state: &ConnectionState) {
        state.release_permit();
        let mut live = self.live.borrow_mut();
        let index = state.index();
        live.swap_remove(index);
        if let Some(moved) = live.get(index) {
            moved.set_index(index);
        }
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        self.shared.balance.release(self.index);
        self.connections.decrement(1);
        self.finished.set(self.finished.get() + 1);
        if live.is_empty() {
            self.emptied.notify_one();
        }
    }

    /// Checks a client against the policy of its listener, once its address is known, and takes a
    /// permit for the connection.
    ///
    /// Trusted proxies are exempt from both, because they connect on behalf of many clients.
    pub(super) fn admit_client(
        &self,
        state: &ConnectionState,
        sources: &SourcePolicy,
    ) -> Result<(), Refusal> {
        let info = state.info();
        let client = info.peer.ip();
        if contains(&sources.trusted_proxies, client) {
            state.set_info(info.trusting(&sources.trusted_proxies));
            return Ok(());
        }
        if !sources.admits(client) {
            return Err(Refusal::SourceDenied);
        }
        if let Some(limiter) = &self.shared.limiter {
            let permit = limiter.acquire(client).ok_or(Refusal::TooManyConnections)?;
            state.hold(permit);
        }
        Ok(())
    }

    /// Counts one more connection against `max_connections`, if it is within the limit.
    /// [`Worker::deregister`] releases it.
    pub(super) fn admit_connection(&self) -> bool {
        let before = self.shared.connections.fetch_add(1, Ordering::Relaxed);
        if before < self.shared.max_connections {
            self.connections.increment(1);
            return true;
        }
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        self.refused.increment(1);
        false
    }
}
