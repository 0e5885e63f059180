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

use hyper::body::Incoming;

use crate::server::{
    ConnInfo,
    framing::scan::{Scan, Verdict},
    multiplex::{Frames, Streams},
    sources::Place,
    tunnel::Tunnel,
};

/// Full ticks without a request after which a connection is parked in any case.
const PARK: u32 = 2;
/// How long a connection that was just taken up may be quiet before it is parked: this, to twice
/// this. A burst of thousands then needs buffers for the few that are at work.
pub(super) const HASTE: Duration = Duration::from_millis(10);
/// Looks at which it may be at work before it is left to the ordinary ticks: short timers cost
/// whoever is at work, for the kernel sets its clock anew each time that the worker goes to sleep.
const BUSY: u8 = 4;

mod limits;

pub(super) use limits::Limits;

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
    /// HTTP/2: see [`Streams`].
    Multiplexed,
    /// Upgraded: bytes both ways.
    Tunnel,
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
    /// HTTP/2: told to open no more streams; what is open goes on.
    Goodbye,
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
    info: RefCell<Arc<ConnInfo>>,
    /// Its place among those of its client's address.
    pub(super) place: RefCell<Option<Box<Place>>>,
    pub(super) clock: Rc<Clock>,
    /// Index in the worker's list.
    pub(super) slot: Cell<usize>,
    phase: Cell<Phase>,
    /// Tick of the phase's beginning or the last progress.
    since: Cell<u32>,
    end: Cell<Option<End>>,
    waker: OnceCell<Waker>,
    scan: RefCell<Scan>,
    /// What the connection is to be joined to, once its last answer is out.
    pub(super) tunnel: RefCell<Option<Box<Tunnel>>>,
    /// Of an HTTP/2 connection.
    multiplexed: OnceCell<Box<(Streams, RefCell<Frames>)>>,
    /// hyper's last read is still waiting.
    pub(super) read_blocked: Cell<bool>,
    /// Everything that hyper had to write is out.
    pub(super) flushed: Cell<bool>,
    /// Only the socket is kept.
    pub(super) parked: Cell<bool>,
    /// Nothing has come since the last look of [`State::is_done_in_haste`].
    quiet: Cell<bool>,
    /// At so many of these looks it was at work.
    busy: Cell<u8>,
    /// To be parked at once.
    haste: Cell<bool>,
    /// When it was last parked in haste.
    hurried: Cell<Option<u32>>,
}

impl State {
    pub(super) fn new(info: Arc<ConnInfo>, clock: Rc<Clock>, phase: Phase) -> Self {
        Self {
            info: RefCell::new(info),
            place: RefCell::default(),
            slot: Cell::new(0),
            phase: Cell::new(phase),
            since: Cell::new(clock.now.get()),
            clock,
            end: Cell::new(None),
            waker: OnceCell::new(),
            scan: RefCell::new(Scan::new()),
            tunnel: RefCell::default(),
            multiplexed: OnceCell::new(),
            read_blocked: Cell::new(false),
            flushed: Cell::new(true),
            parked: Cell::new(false),
            quiet: Cell::new(false),
            busy: Cell::new(0),
            haste: Cell::new(false),
            hurried: Cell::new(None),
        }
    }

    pub(super) fn info(&self) -> Arc<ConnInfo> {
        Arc::clone(&self.info.borrow())
    }

    /// A balancer has said who the client is.
    pub(super) fn set_info(&self, info: ConnInfo) {
        self.info.replace(Arc::new(info));
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
        self.quiet.set(false);
        self.haste.set(false);
        if self.phase.get() == Phase::Tunnel {
            self.progress();
            return;
        }
        if let Some(multiplexed) = self.multiplexed.get() {
            let (streams, frames) = &**multiplexed;
            frames.borrow_mut().feed(bytes);
            let began = streams.head_since.get().unwrap_or(self.clock.now.get());
            let in_head = frames.borrow().in_head();
            streams.head_since.set(in_head.then_some(began));
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
            Phase::Head | Phase::Handshake | Phase::Linger | Phase::Multiplexed | Phase::Tunnel => {
            }
            Phase::Busy | Phase::Body => self.progress(),
            Phase::Tail => self.enter(Self::after_answer(&scan)),
        }
    }

    pub(super) fn on_write(&self) {
        if matches!(
            self.phase.get(),
            Phase::Busy | Phase::Body | Phase::Idle | Phase::Multiplexed | Phase::Tunnel
        ) {
            self.progress();
        }
    }

    /// From now on HTTP/2 is spoken.
    pub(super) fn multiplex(&self) {
        self.enter(Phase::Multiplexed);
        let _first = self.multiplexed.set(Box::default());
    }

    /// The streams of an HTTP/2 connection.
    pub(super) fn streams(&self) -> Option<&Streams> {
        self.multiplexed.get().map(|multiplexed| &multiplexed.0)
    }

    /// The service is about to get a request.
    pub(super) fn on_request(&self) -> Verdict {
        if let Some(streams) = self.streams() {
            streams.open.set(streams.open.get() + 1);
            return Verdict::Clean;
        }
        self.enter(Phase::Busy);
        self.flushed.set(false);
        self.scan.borrow_mut().take()
    }

    /// The head of the answer is there.
    pub(super) fn on_answer(&self) {
        if let Some(streams) = self.streams() {
            streams.answering.set(streams.answering.get() + 1);
            self.progress();
            return;
        }
        self.enter(Phase::Body);
    }

    /// The answer's body has ended, or the request was given up, before its answer or after.
    pub(super) fn on_answered(&self, answering: bool) {
        if let Some(streams) = self.streams() {
            streams.open.set(streams.open.get() - 1);
            streams
                .answering
                .set(streams.answering.get() - u32::from(answering));
            self.progress();
            return;
        }
        if self.phase.get() == Phase::Body {
            self.enter(Self::after_answer(&self.scan.borrow()));
        }
    }

    /// Of a stream's body, the rest that nobody reads.
    pub(super) fn on_leftover(&self, body: Incoming) {
        if let Some(streams) = self.streams() {
            streams.leftovers.add(body, self.clock.now.get());
            // it is the connection's task that reads it
            self.wake();
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
            Phase::Tunnel => over(limits.tunnel, End::Silent),
            Phase::Multiplexed => self.streams().and_then(|streams| {
                let quiet = now.wrapping_sub(self.since.get());
                streams.judge(now, quiet, self.is_draining(), limits)
            }),
        }
    }

    /// Whether hyper's buffers may be taken away: nothing has come or gone for two ticks, or for a
    /// moment after it was taken up.
    pub(super) fn is_parkable(&self) -> bool {
        self.rests() && (self.haste.get() || self.ticks_since(self.since.get()) >= PARK)
    }

    /// Whether hyper waits for a request and holds nothing.
    fn rests(&self) -> bool {
        self.phase.get() == Phase::Idle
            && !self.parked.get()
            && self.read_blocked.get()
            && self.flushed.get()
    }

    fn ticks_since(&self, tick: u32) -> u32 {
        self.clock.now.get().wrapping_sub(tick)
    }

    /// The connection is taken up: hyper gets it. Says whether it may be parked in haste, which one
    /// that was and came back soon may not: its requests are only a little apart.
    pub(super) fn take_up(&self) -> bool {
        self.parked.set(false);
        self.read_blocked.set(false);
        self.quiet.set(false);
        self.haste.set(false);
        let hurried = self.hurried.take();
        hurried.is_none_or(|tick| self.ticks_since(tick) >= PARK)
    }

    /// Looks at a connection that was taken up at `tick`, every [`HASTE`], until this is true: it
    /// is to be parked now, or takes longer.
    pub(super) fn is_done_in_haste(&self, tick: u32) -> bool {
        if self.parked.get() || self.ticks_since(tick) >= PARK {
            return true;
        }
        if !self.rests() {
            self.busy.set(self.busy.get().saturating_add(1));
            return self.busy.get() >= BUSY;
        }
        let quiet = self.quiet.replace(true);
        if quiet {
            self.hurry();
        }
        quiet
    }

    /// Parks a connection that rests, however short; whether it does.
    pub(super) fn gives_way(&self) -> bool {
        let rests = self.rests();
        if rests {
            self.hurry();
        }
        rests || self.parked.get()
    }

    fn hurry(&self) {
        self.haste.set(true);
        self.hurried.set(Some(self.clock.now.get()));
        self.wake();
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
mod tests;
