//! A connection to a backend, plain or in TLS.

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
    /// Whether the server has neither closed nor said anything; a byte that it said is lost. Asks the
    /// kernel only where the socket is known to be readable.
    pub(crate) fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        match self {
            Self::Plain(tcp) => tcp
                .try_read(&mut byte)
                .is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock),
            // what is no data, as a session ticket, is rustls' own
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
    /// It cannot be spoken to, or not be believed.
    #[error("TLS: {0}")]
    Tls(#[from] TlsFault),
}

/// A PROXY protocol header: its version, and the client with the address that it connected to; `None`
/// where the gateway speaks for itself.
pub(crate) type Announced = (Version, Option<(SocketAddr, SocketAddr)>);

/// Connects to the first address that answers, says who the client is where that is wanted, and shakes
/// hands; each within `within`.
pub(crate) async fn connect(
    addresses: &[SocketAddr],
    tls: Option<&Connector>,
    announced: Option<Announced>,
    within: Duration,
) -> Result<Wire, ConnectError> {
    let mut tcp = tcp(addresses, within).await?;
    if let Some((version, parties)) = announced {
        let (client, here) = match parties {
            Some(parties) => parties,
            None => (tcp.local_addr()?, tcp.peer_addr()?),
        };
        // a few bytes into an empty socket
        tcp.write_all(&proxy_protocol::header(version, client, here))
            .await?;
    }
    let Some(tls) = tls else {
        return Ok(Wire::Plain(tcp));
    };
    match timeout(within, Box::pin(tls.connect(tcp))).await {
        Ok(Ok(stream)) => Ok(Wire::Tls(Box::new(stream))),
        // as a server that is killed does: it is no question of trust
        Ok(Err(closed @ TlsFault::Closed)) => {
            Err(io::Error::new(io::ErrorKind::ConnectionReset, closed).into())
        }
        Ok(Err(fault)) => Err(fault.into()),
        Err(_elapsed) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}

async fn tcp(addresses: &[SocketAddr], within: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "no address");
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
