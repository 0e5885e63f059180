//! HTTP/1.1 towards a backend: one connection, one request at a time (RFC 9112).
//!
//! There is no task behind a connection: it is polled by whoever waits for its answer. A task of its
//! own and the channels to it, as hyper's client has, were a fifth of the gateway's instructions for a
//! small request and a tenth of its CPU time. Lines and fields are read by httparse, as in hyper.

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

/// The largest head of an answer, in bytes; as for clients.
pub(crate) const MAX_HEAD: usize = 64 * 1024;

/// What is wrong with a connection to a backend.
#[derive(Debug, thiserror::Error)]
pub enum Http1Error {
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It ended too early.
    #[error("it closed the connection before the end of its answer")]
    Closed,
    /// Not HTTP/1.
    #[error("the head of its answer is not HTTP/1: {0}")]
    Syntax(#[from] httparse::Error),
    /// More than `MAX_HEAD`.
    #[error("the head of its answer, or its trailers, are larger than {} KiB", MAX_HEAD / 1024)]
    LargeHead,
    /// Nobody can say where the body ends.
    #[error("its answer's {0} makes no sense")]
    Framing(&'static str),
    /// The request's own body.
    #[error(transparent)]
    Upload(Box<dyn std::error::Error + Send + Sync>),
}
