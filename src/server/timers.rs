//! A connection's phase and how long it may last: coarse ticks instead of a timer per request.
//!
//! Every event of a connection is one store to a cell; a sweep over the worker's connections four
//! times a second judges them. No timer is ever armed on the way of a request.

use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
    sync::Arc,
    task::{Context, Waker},
};

use hyper::body::Incoming;

use crate::{
    net::sources::Place,
    server::{
        ConnInfo,
        framing::scan::{Scan, Verdict},
        multiplex::{Frames, Streams},
        tunnel::Tunnel,
    },
};

mod limits;
mod parking;
mod phase;
mod waste;

pub(super) use limits::Limits;
pub(super) use parking::HASTE;
pub(super) use phase::{End, Phase};
pub(super) use waste::Waste;

/// A worker's time.
#[derive(Debug, Default)]
pub(super) struct Clock {
    /// Ticks since the worker started.
    pub(super) now: Cell<u32>,
    /// When the drain began.
    pub(super) draining: Cell<Option<u32>>,
    /// Bytes of a body that are progress; 0 is as 1.
    upload_step: u64,
}

impl Clock {
    pub(super) fn new(upload_step: u64) -> Self {
        Self {
            upload_step,
            ..Self::default()
        }
    }
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
    /// A request has come.
    asked: Cell<bool>,
    /// Bytes of a request's body since the last progress.
    came: Cell<u64>,
    /// hyper has something of an answer to write.
    owed: Cell<bool>,
    /// Something was written.
    spoke: Cell<bool>,
    /// hyper's own answer to what is no request was not written.
    withheld: Cell<bool>,
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
            asked: Cell::new(false),
            came: Cell::new(0),
            owed: Cell::new(false),
            spoke: Cell::new(false),
            withheld: Cell::new(false),
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

    /// Whether the bytes that came are malformed beyond a head that is too large.
    pub(super) fn is_malformed(&self) -> bool {
        self.scan.borrow().is_lost()
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
            Phase::Busy | Phase::Body => self.on_body(bytes.len()),
            Phase::Tail if scan.in_body() => self.on_body(bytes.len()),
            Phase::Tail => self.enter(Self::after_answer(&scan)),
        }
    }

    /// Bytes of a request's body: progress, once there are enough of them.
    fn on_body(&self, bytes: usize) {
        let came = self.came.get() + bytes as u64;
        if came >= self.clock.upload_step {
            self.came.set(0);
            self.progress();
        } else {
            self.came.set(came);
        }
    }

    /// hyper wants to write; whether that is its own bare answer to what is no request, which is
    /// withheld: the connection answers with a page. An answer of the service that is not yet out
    /// may be in the same bytes.
    pub(super) fn withholds(&self) -> bool {
        let withholds = matches!(self.phase.get(), Phase::Idle | Phase::Head) && !self.owed.get();
        if withholds {
            self.withheld.set(true);
        }
        withholds
    }

    /// Everything that hyper had to write is out.
    pub(super) fn on_flush(&self) {
        self.flushed.set(true);
        self.owed.set(false);
    }

    /// Whether the client has been sent no answer to what it sent last.
    pub(super) fn is_unanswered(&self) -> bool {
        self.withheld.get() || !self.spoke.get()
    }

    /// For how many ticks it has been doing what it does.
    pub(super) fn ticks_in_phase(&self) -> u32 {
        self.ticks_since(self.since.get())
    }

    pub(super) fn on_write(&self) {
        self.spoke.set(true);
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
            streams.asked.set(true);
            return Verdict::Clean;
        }
        self.enter(Phase::Busy);
        self.asked.set(true);
        self.came.set(0);
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
        self.owed.set(true);
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
            self.owed.set(true);
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
                _ if self.asked.get() => over(limits.idle, End::Silent),
                _ => over(limits.first, End::Silent),
            },
            Phase::Busy if !self.scan.borrow().in_body() => None,
            // it is the service that does not take what has come
            Phase::Busy if !self.read_blocked.get() => {
                self.progress();
                None
            }
            Phase::Busy | Phase::Body | Phase::Tail => over(limits.body_idle, End::Body),
            // its task looks after the time
            Phase::Linger => None,
            Phase::Tunnel => over(limits.tunnel, End::Silent),
            Phase::Multiplexed => self.streams().and_then(|streams| {
                let quiet = now.wrapping_sub(self.since.get());
                streams.judge(now, quiet, self.is_draining(), limits)
            }),
        }
    }

    /// Whether the connection's task is to be woken at every tick.
    pub(super) fn wants_ticks(&self) -> bool {
        self.phase.get() == Phase::Linger
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
