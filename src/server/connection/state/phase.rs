//! What a connection is doing and since when, and why it is closed.

use std::{
    cell::{Cell, OnceCell},
    task::{Context, Waker},
};

use crate::server::clock::Clock;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Phase {
    /// TLS handshake, or a PROXY protocol header.
    Handshake,
    /// Between requests.
    Idle,
    /// A part of a head has arrived.
    Head,
    /// The service has the request and has not returned a response.
    Service,
    /// The response's body is being sent.
    Response,
    /// The response is complete; the request's body is still arriving.
    UploadTail,
    /// Refused or timed out: waiting for the client to read the response and close.
    Linger,
    /// HTTP/2; see `Http2State`.
    Multiplexed,
    /// Upgraded: bytes are copied both ways.
    Tunnel,
}

/// Why the sweep closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum CloseReason {
    /// Idle, lingering or drained: closed without a response.
    Quiet,
    /// `timeouts.head`.
    HeadTimeout,
    /// `timeouts.body_idle`.
    BodyTimeout,
    /// HTTP/2: a GOAWAY is sent, open streams go on.
    Goodbye,
}

/// The phase, and the progress in it.
#[derive(Debug)]
pub(super) struct Progress {
    phase: Cell<Phase>,
    /// Tick at which the phase began or last made progress.
    since: Cell<u32>,
    /// Bytes of a request's body since the last progress.
    upload_bytes: Cell<u64>,
}

/// The sweep's request to the connection's task to close it.
#[derive(Debug, Default)]
pub(super) struct CloseRequest {
    reason: Cell<Option<CloseReason>>,
    /// Of the connection's task.
    waker: OnceCell<Waker>,
}

// === impl Progress ===

impl Progress {
    pub(super) fn new(phase: Phase, clock: &Clock) -> Self {
        Self {
            phase: Cell::new(phase),
            since: Cell::new(clock.now()),
            upload_bytes: Cell::new(0),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn enter(&self, phase: Phase, clock: &Clock) {
        self.phase.set(phase);
        self.made(clock);
    }

    pub(super) fn made(&self, clock: &Clock) {
        self.since.set(clock.now());
    }

    pub(super) fn ticks(&self, clock: &Clock) -> u32 {
        clock.ticks_since(self.since.get())
    }

    pub(super) fn upload_started(&self) {
        self.upload_bytes.set(0);
    }

    /// Bytes of a request's body count as progress only once there are enough of them: a client
    /// must not hold a connection by sending a byte now and then.
    pub(super) fn upload_read(&self, bytes: usize, clock: &Clock) {
        let bytes = self.upload_bytes.get() + bytes as u64;
        if bytes >= clock.upload_step() {
            self.upload_bytes.set(0);
            self.made(clock);
        } else {
            self.upload_bytes.set(bytes);
        }
    }
}

// === impl CloseRequest ===

impl CloseRequest {
    pub(super) fn set(&self, reason: CloseReason) {
        self.reason.set(Some(reason));
        self.wake();
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Returns the request once. Remembers the waker of the task, which stays the same because the task
    /// is spawned and never polled by another future.
    pub(super) fn take(&self, cx: &Context<'_>) -> Option<CloseReason> {
        self.waker.get_or_init(|| cx.waker().clone());
        self.reason.take()
    }
}
