//! A connection's phase and how long it may last: coarse ticks instead of a timer per request.
//!
//! Every event of a connection is one store to a cell; a sweep over the worker's connections four
//! times a second judges them. No timer is ever armed on the way of a request.

use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use crate::server::{
    ConnInfo, ServerTimeouts,
    framing::scan::{Scan, Verdict},
};

/// The longest tick.
const TICK: Duration = Duration::from_millis(250);
/// Full ticks without a request after which a connection is parked.
const PARK: u32 = 2;
/// How long the last answer of a refused request is kept readable for the client.
const LINGER: Duration = Duration::from_secs(2);
/// How long idle connections are still served when a drain begins.
const GRACE: Duration = Duration::from_secs(1);

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The TLS handshake.
    Handshake,
    /// Between requests.
    Idle,
    /// A head has begun to arrive.
    Head,
    /// The service has the request and has not answered.
    Busy,
    /// The answer's body is on its way.
    Body,
    /// Answered; the request's body still arrives.
    Tail,
    /// Refused or timed out: waiting for the client to read the answer and close.
    Linger,
}

/// Why the sweep ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Idle, lingering or drained: closed without a word.
    Silent,
    /// `timeouts.head`.
    Head,
    /// `timeouts.body_idle`.
    Body,
}

/// The limits in ticks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The length of a tick.
    pub(super) tick: Duration,
    head: u32,
    idle: u32,
    body_idle: u32,
    linger: u32,
    grace: u32,
}

impl Limits {
    pub(super) fn new(timeouts: ServerTimeouts) -> Self {
        let shortest = timeouts.head.min(timeouts.idle).min(timeouts.body_idle);
        let tick = (shortest / 8).clamp(Duration::from_millis(5), TICK);
        let ticks = |limit: Duration| {
            // one more: the first tick may be nearly over when something begins
            u32::try_from(limit.as_millis().div_ceil(tick.as_millis()) + 1).unwrap_or(u32::MAX)
        };
        Self {
            tick,
            head: ticks(timeouts.head),
            idle: ticks(timeouts.idle),
            body_idle: ticks(timeouts.body_idle),
            linger: ticks(LINGER),
            grace: ticks(GRACE),
        }
    }
}

/// A worker's time.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Ticks since the worker started.
    pub(super) now: Cell<u32>,
    /// When the drain began.
    pub(super) draining: Cell<Option<u32>>,
}

/// What the parts of one connection tell each other.
#[derive(Debug)]
pub(super) struct State {
    pub(super) info: Arc<ConnInfo>,
    pub(super) clock: Rc<Clock>,
    /// Index in the worker's list.
    pub(super) slot: Cell<usize>,
    phase: Cell<Phase>,
    /// Tick of the phase's beginning or the last progress.
    since: Cell<u32>,
    end: Cell<Option<End>>,
    waker: OnceCell<Waker>,
    scan: RefCell<Scan>,
    /// hyper's last read is still waiting.
    pub(super) read_blocked: Cell<bool>,
    /// Everything that hyper had to write is out.
    pub(super) flushed: Cell<bool>,
    /// Only the socket is kept.
    pub(super) parked: Cell<bool>,
}

impl State {
    pub(super) fn new(info: Arc<ConnInfo>, clock: Rc<Clock>, phase: Phase) -> Self {
        Self {
            info,
            slot: Cell::new(0),
            phase: Cell::new(phase),
            since: Cell::new(clock.now.get()),
            clock,
            end: Cell::new(None),
            waker: OnceCell::new(),
            scan: RefCell::new(Scan::new()),
            read_blocked: Cell::new(false),
            flushed: Cell::new(true),
            parked: Cell::new(false),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.progress();
    }

    fn progress(&self) {
        self.since.set(self.clock.now.get());
    }

    pub(super) fn is_draining(&self) -> bool {
        self.clock.draining.get().is_some()
    }

    /// Whether the client may have sent more than was read as whole requests.
    pub(super) fn is_mid_message(&self) -> bool {
        let scan = self.scan.borrow();
        scan.in_head() || scan.in_body()
    }

    // === events ===

    pub(super) fn on_read(&self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut scan = self.scan.borrow_mut();
        scan.feed(bytes);
        match self.phase.get() {
            // a head that is whole goes on to Busy at once
            Phase::Idle => {
                if scan.in_head() || scan.in_body() {
                    self.enter(Phase::Head);
                }
            }
            // slow heads get no more time for each byte
            Phase::Head | Phase::Handshake | Phase::Linger => {}
            Phase::Busy | Phase::Body => self.progress(),
            Phase::Tail => self.enter(Self::after_answer(&scan)),
        }
    }

    pub(super) fn on_write(&self) {
        if matches!(self.phase.get(), Phase::Busy | Phase::Body | Phase::Idle) {
            self.progress();
        }
    }

    /// The service is about to get a request.
    pub(super) fn on_request(&self) -> Verdict {
        self.enter(Phase::Busy);
        self.flushed.set(false);
        self.scan.borrow_mut().take()
    }

    /// The head of the answer is there.
    pub(super) fn on_answer(&self) {
        self.enter(Phase::Body);
    }

    /// The answer's body has ended or was given up.
    pub(super) fn on_answered(&self) {
        if self.phase.get() == Phase::Body {
            self.enter(Self::after_answer(&self.scan.borrow()));
        }
    }

    fn after_answer(scan: &Scan) -> Phase {
        if scan.in_body() {
            Phase::Tail
        } else if scan.in_head() {
            Phase::Head
        } else {
            Phase::Idle
        }
    }

    // === sweep ===

    /// Why this connection has to end now.
    pub(super) fn judge(&self, limits: &Limits) -> Option<End> {
        let now = self.clock.now.get();
        let over = |limit, end| (now.wrapping_sub(self.since.get()) >= limit).then_some(end);
        match self.phase.get() {
            Phase::Handshake | Phase::Head => over(limits.head, End::Head),
            // the client does not take the end of its answer
            Phase::Idle if !self.flushed.get() => over(limits.body_idle, End::Body),
            Phase::Idle => match self.clock.draining.get() {
                Some(began) if now.wrapping_sub(began) >= limits.grace => {
                    over(limits.grace, End::Silent)
                }
                _ => over(limits.idle, End::Silent),
            },
            Phase::Busy if !self.scan.borrow().in_body() => None,
            Phase::Busy | Phase::Body | Phase::Tail => over(limits.body_idle, End::Body),
            Phase::Linger => over(limits.linger, End::Silent),
        }
    }

    /// Whether hyper's buffers may be taken away: nothing has come or gone for two ticks.
    pub(super) fn is_parkable(&self) -> bool {
        self.phase.get() == Phase::Idle
            && !self.parked.get()
            && self.read_blocked.get()
            && self.flushed.get()
            && self.clock.now.get().wrapping_sub(self.since.get()) >= PARK
    }

    /// Ends the connection when its task runs next.
    pub(super) fn finish(&self, end: End) {
        self.end.set(Some(end));
        self.wake();
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// The sweep's word, once; remembers the task, whose waker never changes.
    pub(super) fn ending(&self, cx: &Context<'_>) -> Option<End> {
        self.waker.get_or_init(|| cx.waker().clone());
        self.end.take()
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::server::ListenerId;

    fn limits() -> Limits {
        Limits::new(ServerTimeouts {
            head: Duration::from_secs(8),
            idle: Duration::from_secs(60),
            body_idle: Duration::from_secs(60),
        })
    }

    fn state() -> State {
        let any = SocketAddr::from(([127, 0, 0, 1], 1));
        let info = Arc::new(ConnInfo::new(any, any, ListenerId(0), false));
        State::new(info, Rc::default(), Phase::Idle)
    }

    fn advance(state: &State, by: Duration) {
        let ticks = u32::try_from(by.as_millis() / limits().tick.as_millis()).unwrap();
        state.clock.now.set(state.clock.now.get() + ticks);
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_slow_head_gets_no_more_time_for_each_byte() {
        let state = state();
        for byte in b"GET / HT" {
            assert_eq!(state.judge(&limits()), None);
            state.on_read(&[*byte]);
            advance(&state, SECOND);
        }
        advance(&state, SECOND);
        assert_eq!(state.judge(&limits()), Some(End::Head));
    }

    #[test]
    fn waiting_for_an_answer_is_not_timed_but_a_stalled_upload_is() {
        let state = state();
        state.on_read(b"PUT / HTTP/1.1\r\nContent-Length: 5\r\n\r\nab");
        assert_eq!(state.on_request(), Verdict::Clean);
        advance(&state, 61 * SECOND);
        assert_eq!(state.judge(&limits()), Some(End::Body));
        state.on_read(b"cde");
        advance(&state, 600 * SECOND);
        assert_eq!(state.judge(&limits()), None);
    }

    #[test]
    fn a_stalled_download_is_timed_from_its_last_byte() {
        let state = state();
        state.on_read(b"GET / HTTP/1.1\r\n\r\n");
        state.on_request();
        state.on_answer();
        advance(&state, 50 * SECOND);
        state.on_write();
        advance(&state, 50 * SECOND);
        assert_eq!(state.judge(&limits()), None);
        advance(&state, 11 * SECOND);
        assert_eq!(state.judge(&limits()), Some(End::Body));
    }

    #[test]
    fn a_pipelined_part_of_a_head_counts_from_the_answer_before_it() {
        let state = state();
        state.on_read(b"GET / HTTP/1.1\r\n\r\nGET /");
        state.on_request();
        state.on_answer();
        advance(&state, 30 * SECOND);
        state.on_answered();
        assert_eq!(state.phase(), Phase::Head);
        assert_eq!(state.judge(&limits()), None);
        advance(&state, 9 * SECOND);
        assert_eq!(state.judge(&limits()), Some(End::Head));
    }

    #[test]
    fn an_upload_that_outlives_its_answer_ends_in_idle() {
        let state = state();
        state.on_read(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
        state.on_request();
        state.on_answer();
        state.on_answered();
        assert_eq!(state.phase(), Phase::Tail);
        state.on_read(b"cde\r\n0\r\n\r\n");
        assert_eq!(state.phase(), Phase::Idle);
    }

    #[test]
    fn a_drain_ends_idle_connections_after_a_grace() {
        let state = state();
        advance(&state, 10 * SECOND);
        state.clock.draining.set(Some(state.clock.now.get()));
        assert_eq!(state.judge(&limits()), None);
        advance(&state, 2 * SECOND);
        assert_eq!(state.judge(&limits()), Some(End::Silent));
    }

    #[test]
    fn only_a_quiet_flushed_connection_is_parked() {
        let state = state();
        state.read_blocked.set(true);
        assert!(!state.is_parkable());
        advance(&state, SECOND);
        assert!(state.is_parkable());
        state.flushed.set(false);
        assert!(!state.is_parkable());
        state.flushed.set(true);
        state.on_read(b"G");
        advance(&state, SECOND);
        assert!(!state.is_parkable());
    }
}
