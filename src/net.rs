//! What consoles and streams share below HTTP: listening, accepting, the PROXY protocol and the
//! addresses of clients.

pub(crate) mod accept;
pub(crate) mod listen;
pub(crate) mod proxy_protocol;
pub(crate) mod source;
pub(crate) mod sources;

pub use self::{listen::BindError, sources::Sources};

/// How a drain went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drained {
    /// Connections that ended by themselves or were idle.
    pub finished: usize,
    /// Connections cut off at the deadline.
    pub cut: usize,
}
