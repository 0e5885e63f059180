//! HTTP/1.1 towards a backend: one connection, one request at a time (RFC 9112).
//!
//! A connection has no task of its own: the future that waits for its response polls it. hyper's client
//! has such a task and channels to it, which took a fifth of the gateway's instructions for a small
//! request and a tenth of its CPU time. Heads are parsed by httparse, as in hyper.

mod connection;
mod decoder;
mod head;
mod heads;
mod request;
#[cfg(test)]
mod tests;

pub(crate) use connection::{Connection, Exchange};
pub(crate) use decoder::Decoder;
pub(crate) use head::Head;
pub use heads::Heads;
pub(crate) use request::{Length, RequestHead};

/// The largest head of a response, in bytes; the same as for clients.
pub(crate) const MAX_HEAD: usize = 64 * 1024;

/// Why an exchange with a backend failed. The texts continue a sentence about the backend.
#[derive(Debug, thiserror::Error)]
pub enum Http1Error {
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The server closed the connection too early.
    #[error("it closed the connection before the end of its response")]
    Closed,
    /// Not HTTP/1.
    #[error("the head of its response is not HTTP/1: {0}")]
    Syntax(#[from] httparse::Error),
    /// More than `MAX_HEAD`.
    #[error("the head of its response, or its trailers, are larger than {} KiB", MAX_HEAD / 1024)]
    LargeHead,
    /// The named part contradicts itself or another, so the end of the body is not known.
    #[error("invalid {0} in its response")]
    Framing(&'static str),
    /// The request body failed.
    #[error(transparent)]
    Upload(Box<dyn std::error::Error + Send + Sync>),
}
