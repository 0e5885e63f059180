//! Sending requests to backends: from a request that may be forwarded to the response.
//!
//! On the request path: [`dispatch`] is the loop of attempts for one request. It chooses a backend from
//! the [`group`], takes a connection from the worker's [`pool`], makes an [`attempt`] on it in the four
//! steps authenticate, send, await head and classify (over [`http1`]), and asks [`next`] what follows.
//! Beside it, on the control runtime: [`probe`] checks the health of each [`backend`], and [`login`]
//! keeps the gateway logged in.

use std::time::Duration;

pub(crate) mod attempt;
pub(crate) mod backend;
pub(crate) mod body;
mod client;
pub(crate) mod dispatch;
pub(crate) mod group;
pub(crate) mod http1;
pub(crate) mod login;
pub(crate) mod next;
pub(crate) mod pool;
pub(crate) mod probe;
mod probe_epoch;
pub(crate) mod rewritten;
pub(crate) mod upload;
pub(crate) mod wire;

/// Timeouts towards backends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// TCP connect.
    pub connect: Duration,
    /// From the end of a request to the head of the response.
    pub first_byte: Duration,
    /// A body, in either direction, that makes no progress.
    pub body_idle: Duration,
    /// Bytes per second that a client has to send of a body, averaged over `body_idle`; 0: any progress
    /// is enough.
    pub min_upload_rate: u64,
    /// How long a request waits for an active backend.
    pub hold: Duration,
}
