//! Shared by consoles and streams, below HTTP: listening, accepting, the PROXY protocol, and rules for
//! the addresses of clients.

pub(crate) mod accept;
pub(crate) mod listen;
pub(crate) mod prefix;
pub(crate) mod proxy_protocol;
pub(crate) mod source;
pub(crate) mod sources;

pub use self::{listen::BindError, sources::SourcePolicy};

/// The result of a drain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Connections that ended before the deadline, idle ones included.
    pub finished: usize,
    /// Connections that were closed at the deadline.
    pub cut: usize,
}
