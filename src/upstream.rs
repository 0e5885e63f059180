//! Attempts at backends: everything between a request that may pass and the answer to it.
//!
//! [`group`] knows the servers of a console and picks one, [`probe`] and [`login`] keep that
//! knowledge fresh off the workers, [`pool`] holds a worker's connections, which speak [`http1`], and
//! [`attempt`] is the one loop for everything that is tried again.

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
    /// Bytes a second that a client has to send of a body, over each `body_idle`; 0: any progress is
    /// enough.
    pub min_upload_rate: u64,
    /// How long a request waits for an active backend.
    pub hold: Duration,
}
