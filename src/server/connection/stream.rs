//! A client's socket, plain or TLS.

use std::{
    io,
    task::{Context, Poll},
};

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::tls::Socket;

pub(super) type Stream = Socket<TlsStream<TcpStream>>;

impl Stream {
    /// Whether HTTP/2 was agreed on (ALPN).
    pub(super) fn speaks_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// Ready when the socket has bytes or is at its end.
    ///
    /// Does not see bytes that rustls has already decrypted, so it may be used only after a read was
    /// pending.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(tcp) => tcp.poll_read_ready(cx),
            Self::Tls(tls) => tls.get_ref().0.poll_read_ready(cx),
        }
    }
}
