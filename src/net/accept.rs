//! Taking connections from a socket, whoever serves them.

use std::{io, iter, net, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time,
};

/// How long is waited where no file descriptor is left.
const OUT_OF_FILES: Duration = Duration::from_millis(50);

/// A listening socket's connections.
pub(crate) struct AcceptQueue {
    socket: TcpListener,
    warned: bool,
}

impl AcceptQueue {
    /// Needs a runtime.
    pub(crate) fn new(socket: net::TcpListener) -> io::Result<Self> {
        Ok(Self {
            socket: TcpListener::from_std(socket)?,
            warned: false,
        })
    }

    /// The next connection and its client; can be given up and called again.
    pub(crate) async fn next(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok(accepted) => return accepted,
                Err(error) if is_about_one(&error) => {}
                Err(error) => {
                    if !self.warned {
                        tracing::error!(%error, "cannot accept connections; is the limit on open files too low?");
                        self.warned = true;
                    }
                    time::sleep(OUT_OF_FILES).await;
                }
            }
        }
    }

    /// Stops accepting. Returns the connections that the kernel has already queued for this socket, which closing it would reset. Tokio's
    /// readiness may be older than the queue, so the queue itself is asked.
    pub(crate) fn rest(self) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
        let socket = socket2::SockRef::from(&self.socket).try_clone();
        let socket = socket.ok().map(net::TcpListener::from);
        iter::from_fn(move || {
            loop {
                let (tcp, peer) = socket.as_ref()?.accept().ok()?;
                if tcp.set_nonblocking(true).is_ok()
                    && let Ok(tcp) = TcpStream::from_std(tcp)
                {
                    return Some((tcp, peer));
                }
            }
        })
    }
}

/// Errors of `accept` that concern the one connection which was to be accepted.
fn is_about_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
