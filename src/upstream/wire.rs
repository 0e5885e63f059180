//! The socket to a backend, plain or TLS.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Waker},
    time::Duration,
};

use tokio::{
    io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::client::TlsStream;

use crate::{
    net::proxy_protocol::{self, Version},
    tls::{Connector, Socket, TlsFault},
};

/// A backend's socket.
pub(crate) type Wire = Socket<TlsStream<TcpStream>>;

impl Wire {
    /// Whether the server has neither closed nor sent anything; a byte that it has sent is lost. Makes a
    /// system call only if the socket is known to be readable.
    pub(crate) fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        match self {
            Self::Plain(tcp) => tcp
                .try_read(&mut byte)
                .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock),
            // rustls consumes what is not application data, such as session tickets of TLS 1.3
            Self::Tls(tls) => {
                let mut cx = Context::from_waker(Waker::noop());
                let read = Pin::new(tls).poll_read(&mut cx, &mut ReadBuf::new(&mut byte));
                read.is_pending()
            }
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No TCP connection.
    #[error("cannot connect: {0}")]
    Tcp(#[from] io::Error),
    /// The handshake failed, or the certificate is not trusted.
    #[error("TLS: {0}")]
    Tls(#[from] TlsFault),
}

/// A PROXY protocol header: its version, and the client's address with the address that it connected
/// to; `None` for the gateway's own requests.
pub(crate) type ProxyHeader = (Version, Option<(SocketAddr, SocketAddr)>);

/// Connects to the first address that accepts, sends the PROXY protocol header and makes the TLS
/// handshake. TCP and TLS each take at most `within`.
pub(crate) async fn connect(
    addresses: &[SocketAddr],
    tls: Option<&Connector>,
    proxy_header: Option<ProxyHeader>,
    within: Duration,
) -> Result<Wire, ConnectError> {
    let mut tcp = tcp(addresses, within).await?;
    if let Some((version, parties)) = proxy_header {
        let (client, here) = match parties {
            Some(parties) => parties,
            None => (tcp.local_addr()?, tcp.peer_addr()?),
        };
        // a few bytes always fit the send buffer of a new socket
        tcp.write_all(&proxy_protocol::header(version, client, here))
            .await?;
    }
    let Some(tls) = tls else {
        return Ok(Wire::Plain(tcp));
    };
    match timeout(within, Box::pin(tls.connect(tcp))).await {
        Ok(Ok(stream)) => Ok(Wire::Tls(Box::new(stream))),
        // A server that is being stopped does so. It is down, not distrusted: the request may be
        // sent to another one.
        Ok(Err(closed @ TlsFault::Closed)) => {
            Err(io::Error::new(io::ErrorKind::ConnectionReset, closed).into())
        }
        Ok(Err(fault)) => Err(fault.into()),
        Err(_elapsed) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}

async fn tcp(addresses: &[SocketAddr], within: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
    // Shared out evenly: one address that does not respond must not use up the time of the others.
    let each = within / u32::try_from(addresses.len().max(1)).unwrap_or(u32::MAX);
    for address in addresses {
        match timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}
