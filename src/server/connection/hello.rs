//! The beginning of a connection to an address that speaks TLS: a handshake, or plain HTTP by mistake.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{Accept, TlsAcceptor, server::TlsStream};

/// What is read of a plain request, at most: enough for `Host`.
const MOST_HEAD: usize = 8 << 10;

/// A client that is about to say what it speaks.
#[expect(
    clippy::large_enum_variant,
    reason = "boxed as a whole, and short-lived"
)]
pub(super) enum Hello {
    /// Nothing has come.
    Silent(TcpStream, Arc<ServerConfig>),
    Handshake(Accept<TcpStream>),
    /// It sends an HTTP request in plain.
    Plain(TcpStream, Vec<u8>),
    /// Ready was returned.
    Done,
}

/// What a client speaks.
pub(super) enum Greeted {
    Tls(Box<TlsStream<TcpStream>>),
    /// Plain HTTP: the head of its request, as far as it came.
    Plain(TcpStream, Vec<u8>),
    /// It went away without a byte.
    Nobody,
}

impl Hello {
    pub(super) fn new(tcp: TcpStream, config: Arc<ServerConfig>) -> Self {
        Self::Silent(tcp, config)
    }

    /// Whether nothing has come.
    pub(super) const fn is_silent(&self) -> bool {
        matches!(self, Self::Silent(..))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Greeted>> {
        loop {
            match self {
                Self::Silent(tcp, _) => {
                    let mut first = [0; 1];
                    let mut buf = ReadBuf::new(&mut first);
                    // an error shows again in the handshake
                    if matches!(ready!(tcp.poll_peek(cx, &mut buf)), Ok(0)) {
                        *self = Self::Done;
                        return Poll::Ready(Ok(Greeted::Nobody));
                    }
                    // methods are in capitals; a TLS record begins with 22
                    let plain = buf.filled().first().is_some_and(u8::is_ascii_uppercase);
                    if let Self::Silent(tcp, config) = std::mem::replace(self, Self::Done) {
                        *self = if plain {
                            Self::Plain(tcp, Vec::new())
                        } else {
                            Self::Handshake(TlsAcceptor::from(config).accept(tcp))
                        };
                    }
                }
                Self::Handshake(accept) => {
                    let tls = ready!(Pin::new(accept).poll(cx));
                    *self = Self::Done;
                    return Poll::Ready(tls.map(|tls| Greeted::Tls(Box::new(tls))));
                }
                Self::Plain(tcp, head) => {
                    let mut chunk = [0; 1024];
                    let mut buf = ReadBuf::new(&mut chunk);
                    let read = ready!(Pin::new(tcp).poll_read(cx, &mut buf));
                    head.extend_from_slice(buf.filled());
                    let ended = read.is_err() || buf.filled().is_empty();
                    let whole = head.windows(4).any(|four| four == b"\r\n\r\n");
                    if (ended || whole || head.len() >= MOST_HEAD)
                        && let Self::Plain(tcp, head) = std::mem::replace(self, Self::Done)
                    {
                        return Poll::Ready(Ok(Greeted::Plain(tcp, head)));
                    }
                }
                Self::Done => return Poll::Pending,
            }
        }
    }
}
