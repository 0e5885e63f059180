//! Accepts connections from a listening socket, for consoles and streams.

use std::{io, iter, net, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time,
};

/// The pause after `EMFILE` or `ENFILE`: without it the loop would spin, because the socket stays
/// readable.
const OUT_OF_FILES: Duration = Duration::from_millis(50);

pub(crate) struct AcceptQueue {
    socket: TcpListener,
    warned: bool,
}

impl AcceptQueue {
    /// Has to be called in a Tokio runtime.
    pub(crate) fn new(socket: net::TcpListener) -> io::Result<Self> {
        Ok(Self {
            socket: TcpListener::from_std(socket)?,
            warned: false,
        })
    }

    /// The next connection and its peer. Cancel-safe.
    pub(crate) async fn next(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok(accepted) => return accepted,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // Once: at the limit of open files it would be twenty lines a second.
                    if !self.warned {
                        tracing::error!(%error, "cannot accept connections; the limit on open files (LimitNOFILE=, ulimit -n) may be too low");
                        self.warned = true;
                    }
                    time::sleep(OUT_OF_FILES).await;
                }
            }
        }
    }

    /// Ends accepting, and returns the connections that the kernel has already accepted for this
    /// socket: closing the socket would reset them. Tokio's cached readiness may be out of date, so
    /// the system call is made directly until the queue is empty.
    pub(crate) fn drain(self) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
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

/// Errors of `accept(2)` that concern only the connection that was to be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
