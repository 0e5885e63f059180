//! A worker thread: accepts, sweeps, drains.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
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
    net::{Drained, Sources, accept::Accepts, sources::contains},
    refusal::Refusal,
    server::{
        Cut, HttpService, Listener, ListenerId, Order, Shared,
        acceptor::Acceptor,
        connection::LocalExecutor,
        seats::Handed,
        timers::{Clock, HASTE, Limits, State},
    },
    telemetry::{access::AccessLog, metrics as names},
};

/// The limit on a request's head, and on what hyper buffers either way.
const BUFFER: usize = 64 * 1024;
/// Connections that were just taken up may be so many before the oldest has to give way.
const FRESH: usize = 32;
/// Requests that one HTTP/2 connection may have under way.
const MAX_STREAMS: u32 = 128;
/// The limit on an HTTP/2 request's head, counted as RFC 9113 section 6.5.2 does (32 bytes more a
/// line): what passes on HTTP/1.1 passes here.
const HEADER_LIST: u32 = 128 * 1024;
/// Streams that a client may have reset before they were served; one more ends the connection.
const MAX_RESETS: usize = 32;
/// Streams that a client may have spoilt by breaking the protocol; one more ends the connection.
const MAX_ERRORS: usize = 1024;
/// A worker's sockets with what is spoken on them, and what other workers hand over.
pub(super) struct Listeners(Vec<(net::TcpListener, UnboundedReceiver<Handed>, Listener)>);

impl Listeners {
    pub(super) fn new(
        listeners: Vec<Listener>,
        sockets: Vec<net::TcpListener>,
        handed: Vec<UnboundedReceiver<Handed>>,
    ) -> Self {
        let all = sockets.into_iter().zip(handed).zip(listeners);
        Self(
            all.map(|((socket, handed), listener)| (socket, handed, listener))
                .collect(),
        )
    }
}

/// What the connections of one worker share.
pub(super) struct Worker {
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<LocalExecutor>,
    pub(super) tls_failures: Counter,
    pub(super) clock: Rc<Clock>,
    pub(super) limits: Limits,
    pub(super) index: usize,
    pub(super) shared: Arc<Shared>,
    live: RefCell<Vec<Rc<State>>>,
    pub(super) access: AccessLog,
    /// Connections that were just taken up, and when.
    fresh: RefCell<VecDeque<(Rc<State>, u32)>>,
    stirred: Notify,
    emptied: Notify,
    finished: Cell<usize>,
    connections: Gauge,
    refused: Counter,
}

/// What a worker is given.
pub(super) struct With {
    pub(super) index: usize,
    pub(super) shared: Arc<Shared>,
    pub(super) access: AccessLog,
}

/// A worker thread's whole life; says on `started` when it serves or why it cannot.
pub(super) fn run<S: HttpService>(
    with: With,
    listeners: Listeners,
    order: watch::Receiver<Order>,
    started: mpsc::Sender<io::Result<()>>,
    make: impl FnOnce() -> S,
) -> Drained {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            // the caller waits for every worker
            let _told = started.send(Err(error));
            return Drained::default();
        }
    };
    let worker = Rc::new(Worker::new(with));
    runtime.block_on(async move {
        let service = Rc::new(make());
        let acceptors: io::Result<Vec<_>> = listeners
            .0
            .into_iter()
            .enumerate()
            .map(|(index, (socket, handed, listener))| {
                let accepts = Accepts::new(socket)?;
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
                    order.clone(),
                )))
            })
            .collect();
        match acceptors {
            Ok(acceptors) => {
                let _told = started.send(Ok(()));
                drop(started);
                worker.run(acceptors, order).await
            }
            Err(error) => {
                let _told = started.send(Err(error));
                Drained::default()
            }
        }
    })
}

// === impl Worker ===

impl Worker {
    fn new(with: With) -> Self {
        let With {
            index,
            shared,
            access,
        } = with;
        let mut http1 = http1::Builder::new();
        http1
            .max_buf_size(BUFFER)
            // without this a head that arrives in one piece may be twice as large
            .max_header_size(BUFFER)
            // a client that is gone frees its backend connection at once
            .half_close(false)
            // timers.rs keeps the time
            .header_read_timeout(None);
        let mut http2 = http2::Builder::new(LocalExecutor);
        http2
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(HEADER_LIST)
            // resets that a client may have waiting (CVE-2023-44487), and cause (CVE-2025-8671)
            .max_pending_accept_reset_streams(Some(MAX_RESETS))
            .max_local_error_reset_streams(Some(MAX_ERRORS))
            .max_send_buf_size(BUFFER);
        Self {
            http1,
            http2,
            tls_failures: metrics::counter!(names::TLS_FAILURES),
            clock: Rc::new(Clock::new(shared.timeouts.upload_step())),
            limits: Limits::new(shared.timeouts),
            index,
            shared,
            live: RefCell::default(),
            access,
            fresh: RefCell::default(),
            stirred: Notify::new(),
            emptied: Notify::new(),
            finished: Cell::new(0),
            connections: metrics::gauge!(names::CONNECTIONS),
            refused: metrics::counter!(names::CONNECTIONS_REFUSED),
        }
    }

    async fn run(
        &self,
        acceptors: Vec<JoinHandle<()>>,
        mut order: watch::Receiver<Order>,
    ) -> Drained {
        let mut ticks = time::interval(self.limits.tick);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Skip);
        let mut moments = time::interval(HASTE);
        moments.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let deadline = loop {
            let hurries = !self.fresh.borrow().is_empty();
            tokio::select! {
                _ = ticks.tick() => self.sweep(),
                _ = moments.tick(), if hurries => self.park_in_haste(),
                () = self.stirred.notified(), if !hurries => {}
                changed = order.changed() => match (changed, *order.borrow()) {
                    (Ok(()), Order::Drain(deadline)) => break deadline,
                    (Ok(()), Order::Serve) => {}
                    // the server was dropped
                    (Err(_), _) => break Instant::now(),
                },
            }
        };
        self.clock.draining.set(Some(self.clock.now.get()));
        self.finished.set(0);
        for acceptor in acceptors {
            // it has nothing to say, and a panic in it has been reported
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
            state.info().set_cut(Cut::Drained);
        }
        Drained {
            finished: self.finished.get(),
            cut: self.live.borrow().len(),
        }
    }

    fn sweep(&self) {
        self.clock.now.set(self.clock.now.get().wrapping_add(1));
        for state in self.live.borrow().iter() {
            if let Some(end) = state.judge(&self.limits) {
                state.finish(end);
            } else if state.wants_ticks() || state.is_parkable() {
                state.wake();
            }
        }
    }

    /// Has a connection that was just taken up parked as soon as it rests.
    pub(super) fn watch(&self, state: &Rc<State>) {
        let mut fresh = self.fresh.borrow_mut();
        if fresh.is_empty() {
            self.stirred.notify_one();
        }
        fresh.push_back((Rc::clone(state), self.clock.now.get()));
        if fresh.len() > FRESH
            && let Some(oldest) = fresh.pop_front()
            && !oldest.0.gives_way()
        {
            fresh.push_back(oldest);
        }
    }

    fn park_in_haste(&self) {
        let mut fresh = self.fresh.borrow_mut();
        // what has ended is held by nobody else
        fresh.retain(|(state, tick)| Rc::strong_count(state) > 1 && !state.is_done_in_haste(*tick));
    }

    /// Enters a connection in the list.
    pub(super) fn enter(&self, state: &Rc<State>) {
        let mut live = self.live.borrow_mut();
        state.slot.set(live.len());
        live.push(Rc::clone(state));
    }

    /// A connection has ended.
    pub(super) fn leave(&self, state: &State) {
        state.place.take();
        let mut live = self.live.borrow_mut();
        let slot = state.slot.get();
        live.swap_remove(slot);
        if let Some(moved) = live.get(slot) {
            moved.slot.set(slot);
        }
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        self.shared.seats.free(self.index);
        self.connections.decrement(1);
        self.finished.set(self.finished.get() + 1);
        if live.is_empty() {
            self.emptied.notify_one();
        }
    }

    /// Whether a client may connect to a listener, once it is known; takes its place there.
    pub(super) fn welcome(&self, state: &State, sources: &Sources) -> Result<(), Refusal> {
        let info = state.info();
        let client = info.peer.ip();
        if contains(&sources.trusted_proxies, client) {
            state.set_info(info.trusting(&sources.trusted_proxies));
            return Ok(());
        }
        if !sources.admits(client) {
            return Err(Refusal::SourceDenied);
        }
        if let Some(places) = &self.shared.places {
            let place = places.take(client).ok_or(Refusal::TooManyConnections)?;
            state.place.replace(Some(Box::new(place)));
        }
        Ok(())
    }

    /// Whether one more connection may be held; [`Worker::leave`] gives the place back.
    pub(super) fn admit(&self) -> bool {
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
