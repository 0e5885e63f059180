//! The beginning of a connection to a TLS listener: a handshake, or plain HTTP by mistake.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::ServerConfig;
use tokio::{io::ReadBuf, net::TcpStream};
use tokio_rustls::{Accept, TlsAcceptor, server::TlsStream};

use crate::net::prefix;

/// The most bytes that are read of a plain request: enough for its `Host`.
const MAX_PLAIN_HEAD: usize = 8 << 10;

#[expect(
    clippy::large_enum_variant,
    reason = "boxed as a whole, and short-lived"
)]
pub(super) enum Handshake {
    /// Nothing has arrived.
    Silent(TcpStream, Arc<ServerConfig>),
    Tls(Accept<TcpStream>),
    /// The client sends a plain HTTP request.
    Plain(TcpStream, Vec<u8>),
    /// `Ready` was returned.
    Done,
}

pub(super) enum HandshakeOutcome {
    Tls(Box<TlsStream<TcpStream>>),
    /// Plain HTTP, with the part of the request's head that was read.
    Plain(TcpStream, Vec<u8>),
    /// The client closed without sending a byte.
    Closed,
}

impl Handshake {
    pub(super) fn new(tcp: TcpStream, config: Arc<ServerConfig>) -> Self {
        Self::Silent(tcp, config)
    }

    pub(super) const fn is_silent(&self) -> bool {
        matches!(self, Self::Silent(..))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<HandshakeOutcome>> {
        loop {
            match self {
                Self::Silent(tcp, _) => {
                    let mut first = [0; 1];
                    let mut buf = ReadBuf::new(&mut first);
                    // An error is reported again by the handshake.
                    if matches!(ready!(tcp.poll_peek(cx, &mut buf)), Ok(0)) {
                        *self = Self::Done;
                        return Poll::Ready(Ok(HandshakeOutcome::Closed));
                    }
                    // HTTP methods are capital letters; a TLS handshake record begins with byte 22
                    // (RFC 8446 section 5.1).
                    let plain = buf.filled().first().is_some_and(u8::is_ascii_uppercase);
                    if let Self::Silent(tcp, config) = std::mem::replace(self, Self::Done) {
                        *self = if plain {
                            Self::Plain(tcp, Vec::new())
                        } else {
                            Self::Tls(TlsAcceptor::from(config).accept(tcp))
                        };
                    }
                }
                Self::Tls(accept) => {
                    let tls = ready!(Pin::new(accept).poll(cx));
                    *self = Self::Done;
                    return Poll::Ready(tls.map(|tls| HandshakeOutcome::Tls(Box::new(tls))));
                }
                Self::Plain(tcp, head) => {
                    let left = MAX_PLAIN_HEAD - head.len();
                    let more = ready!(prefix::poll_more(tcp, cx, head, left));
                    let complete = head.windows(4).any(|four| four == b"\r\n\r\n");
                    if (!more || complete || head.len() >= MAX_PLAIN_HEAD)
                        && let Self::Plain(tcp, head) = std::mem::replace(self, Self::Done)
                    {
                        return Poll::Ready(Ok(HandshakeOutcome::Plain(tcp, head)));
                    }
                }
                Self::Done => return Poll::Pending,
            }
        }
    }
}
