//! What is known of one connection: shared by its task, hyper's service and I/O, and the sweep.
//!
//! The parts of a connection report events here; each is a store to a few cells. The sweep asks at
//! every tick whether the connection is overdue. No timer is armed on the request path.

use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
    sync::Arc,
    task::Context,
};

use hyper::body::Incoming;

use super::{http2::Http2State, tunnel::Tunnel};
use crate::{
    net::sources::ConnectionPermit,
    server::{
        AbortCause, ConnInfo,
        clock::{Clock, TickLimits},
        framing::scan::{FramingScan, FramingVerdict},
    },
};

mod output;
mod parking;
mod phase;

use self::{
    output::Output,
    parking::Parking,
    phase::{CloseRequest, Progress},
};
pub(in crate::server) use self::{
    parking::FAST_PARKING_INTERVAL,
    phase::{CloseReason, Phase},
};

#[derive(Debug)]
pub(in crate::server) struct ConnectionState {
    info: RefCell<Arc<ConnInfo>>,
    /// Held against the limit of connections per client address.
    permit: RefCell<Option<Box<ConnectionPermit>>>,
    clock: Rc<Clock>,
    /// Index in the worker's list of connections.
    index: Cell<usize>,
    close: CloseRequest,
    progress: Progress,
    request_seen: Cell<bool>,
    scan: RefCell<FramingScan>,
    output: Output,
    parking: Parking,
    /// Only on a connection that speaks HTTP/2. Boxed: most do not.
    http2: OnceCell<Box<Http2State>>,
    /// Takes over the connection once the `101` response is written.
    tunnel: RefCell<Option<Box<Tunnel>>>,
}

impl ConnectionState {
    pub(in crate::server) fn new(info: Arc<ConnInfo>, clock: Rc<Clock>, phase: Phase) -> Self {
        Self {
            info: RefCell::new(info),
            permit: RefCell::default(),
            index: Cell::new(0),
            close: CloseRequest::default(),
            progress: Progress::new(phase, &clock),
            request_seen: Cell::new(false),
            clock,
            scan: RefCell::new(FramingScan::new()),
            output: Output::default(),
            parking: Parking::default(),
            http2: OnceCell::new(),
            tunnel: RefCell::default(),
        }
    }

    // === identity and registration ===

    pub(in crate::server) fn info(&self) -> Arc<ConnInfo> {
        Arc::clone(&self.info.borrow())
    }

    /// Replaces the address of the peer by that of the client that a proxy named.
    pub(in crate::server) fn set_info(&self, info: ConnInfo) {
        self.info.replace(Arc::new(info));
    }

    pub(in crate::server) fn set_abort_cause(&self, cause: AbortCause) {
        self.info.borrow().set_abort_cause(cause);
    }

    pub(in crate::server) fn hold(&self, permit: ConnectionPermit) {
        self.permit.replace(Some(Box::new(permit)));
    }

    pub(in crate::server) fn release_permit(&self) {
        self.permit.take();
    }

    pub(in crate::server) fn index(&self) -> usize {
        self.index.get()
    }

    pub(in crate::server) fn set_index(&self, index: usize) {
        self.index.set(index);
    }

    // === phase ===

    pub(super) fn phase(&self) -> Phase {
        self.progress.phase()
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.progress.enter(phase, &self.clock);
    }

    fn progress(&self) {
        self.progress.made(&self.clock);
    }

    /// Ticks since the phase began or last made progress.
    pub(super) fn ticks_in_phase(&self) -> u32 {
        self.progress.ticks(&self.clock)
    }

    pub(super) fn now(&self) -> u32 {
        self.clock.now()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.clock.is_draining()
    }

    /// Whether the client may have sent more than the requests that were read completely.
    pub(super) fn is_mid_message(&self) -> bool {
        let scan = self.scan.borrow();
        scan.in_head() || scan.in_body()
    }

    /// Whether the bytes received are malformed in another way than by a head that is too large.
    pub(super) fn is_malformed(&self) -> bool {
        self.scan.borrow().is_lost()
    }

    // === events of the socket ===

    pub(super) fn read_pending(&self) {
        self.parking.set_read_blocked(true);
    }

    pub(super) fn read_finished(&self) {
        self.parking.set_read_blocked(false);
    }

    pub(super) fn bytes_read(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.parking.bytes_read();
        if self.phase() == Phase::Tunnel {
            self.progress();
            return;
        }
        if let Some(http2) = self.http2.get() {
            http2.bytes_read(bytes, self.clock.now());
            return;
        }
        let mut scan = self.scan.borrow_mut();
        scan.feed(bytes);
        match self.phase() {
            // A complete head has no phase of its own: hyper calls the service in the same poll.
            Phase::Idle => {
                if scan.in_head() || scan.in_body() {
                    self.enter(Phase::Head);
                }
            }
            // A slow head gets no more time for each byte (Slowloris).
            Phase::Head | Phase::Handshake | Phase::Linger | Phase::Multiplexed | Phase::Tunnel => {
            }
            Phase::Service | Phase::Response => self.progress.upload_read(bytes.len(), &self.clock),
            Phase::UploadTail if scan.in_body() => {
                self.progress.upload_read(bytes.len(), &self.clock);
            }
            Phase::UploadTail => self.enter(Self::phase_after_response(&scan)),
        }
    }

    /// Whether what hyper is about to write has to be dropped: its own bare response to malformed
    /// bytes, in whose place the connection writes a page with the reason.
    ///
    /// Between requests nothing else is written, except the rest of a response of the service.
    pub(super) fn withholds_write(&self) -> bool {
        let between = matches!(self.phase(), Phase::Idle | Phase::Head);
        between && self.output.withhold_unless_pending()
    }

    pub(super) fn write_started(&self) {
        self.output.unflushed();
    }

    pub(super) fn bytes_written(&self) {
        self.output.bytes_written();
        if matches!(
            self.phase(),
            Phase::Service | Phase::Response | Phase::Idle | Phase::Multiplexed | Phase::Tunnel
        ) {
            self.progress();
        }
    }

    /// Everything that hyper had to write is written.
    pub(super) fn flushed(&self) {
        self.output.flushed();
    }

    pub(super) fn flush_failed(&self) {
        self.output.unflushed();
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.output.is_flushed()
    }

    /// Whether the client has received no response to what it sent last.
    pub(super) fn is_unanswered(&self) -> bool {
        self.output.is_unanswered()
    }

    // === events of the service ===

    pub(super) fn http2_agreed(&self) {
        self.enter(Phase::Multiplexed);
        let _first = self.http2.set(Box::default());
    }

    pub(super) fn http2(&self) -> Option<&Http2State> {
        self.http2.get().map(|http2| &**http2)
    }

    /// The head of a request is complete and goes to the service.
    pub(super) fn request_received(&self) -> FramingVerdict {
        if let Some(http2) = self.http2() {
            http2.request_received();
            return FramingVerdict::Clean;
        }
        self.enter(Phase::Service);
        self.request_seen.set(true);
        self.progress.upload_started();
        self.output.unflushed();
        self.scan.borrow_mut().take()
    }

    /// The service has returned the head of the response.
    pub(super) fn response_started(&self) {
        if let Some(http2) = self.http2() {
            http2.response_started();
            self.progress();
            return;
        }
        self.output.response_pending();
        self.enter(Phase::Response);
    }

    /// The response's body has ended, or the request was given up before (`responding` is false) or
    /// during its response.
    pub(super) fn request_ended(&self, responding: bool) {
        if let Some(http2) = self.http2() {
            http2.request_ended(responding);
            self.progress();
            return;
        }
        if self.phase() == Phase::Response {
            self.output.response_pending();
            self.enter(Self::phase_after_response(&self.scan.borrow()));
        }
    }

    fn phase_after_response(scan: &FramingScan) -> Phase {
        if scan.in_body() {
            Phase::UploadTail
        } else if scan.in_head() {
            Phase::Head
        } else {
            Phase::Idle
        }
    }

    /// The service has dropped the body of an HTTP/2 request before its end.
    pub(super) fn body_abandoned(&self, body: Incoming) {
        if let Some(http2) = self.http2() {
            http2.body_abandoned(body, self.clock.now());
            // The connection's task reads the rest.
            self.wake();
        }
    }

    pub(super) fn upgrade_to(&self, tunnel: Tunnel) {
        self.tunnel.replace(Some(Box::new(tunnel)));
    }

    pub(super) fn take_tunnel(&self) -> Option<Box<Tunnel>> {
        self.tunnel.take()
    }

    // === sweep ===

    /// Why this connection has to be closed now, if it has.
    pub(in crate::server) fn overdue(&self, limits: &TickLimits) -> Option<CloseReason> {
        let over = |limit, reason| (self.ticks_in_phase() >= limit).then_some(reason);
        match self.phase() {
            Phase::Handshake | Phase::Head => over(limits.head, CloseReason::HeadTimeout),
            // The client does not read the end of its response.
            Phase::Idle if !self.output.is_flushed() => {
                over(limits.body_idle, CloseReason::BodyTimeout)
            }
            Phase::Idle => match self.clock.draining_for() {
                Some(ticks) if ticks >= limits.grace => over(limits.grace, CloseReason::Quiet),
                _ if self.request_seen.get() => over(limits.idle, CloseReason::Quiet),
                _ => over(limits.first, CloseReason::Quiet),
            },
            Phase::Service if !self.scan.borrow().in_body() => None,
            // hyper is not waiting for the client: the service does not read what has arrived.
            Phase::Service if !self.parking.is_read_blocked() => {
                self.progress();
                None
            }
            Phase::Service | Phase::Response | Phase::UploadTail => {
                over(limits.body_idle, CloseReason::BodyTimeout)
            }
            // Bounded by the connection's task, which is woken at every tick.
            Phase::Linger => None,
            Phase::Tunnel => over(limits.tunnel, CloseReason::Quiet),
            Phase::Multiplexed => {
                let quiet = self.ticks_in_phase();
                let draining = self.is_draining();
                self.http2()?
                    .overdue(self.clock.now(), quiet, draining, limits)
            }
        }
    }

    pub(in crate::server) fn wants_ticks(&self) -> bool {
        self.phase() == Phase::Linger
    }

    /// Has the connection's task close it.
    pub(in crate::server) fn request_close(&self, reason: CloseReason) {
        self.close.set(reason);
    }

    pub(in crate::server) fn wake(&self) {
        self.close.wake();
    }

    /// The sweep's request to close, once.
    pub(super) fn take_close_request(&self, cx: &Context<'_>) -> Option<CloseReason> {
        self.close.take(cx)
    }
}

#[cfg(test)]
mod tests;
