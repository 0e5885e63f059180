//! Opens listening sockets: one with `SO_REUSEPORT` for each worker and address.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

/// Connections that may wait to be accepted, for each worker. The kernel limits it to
/// `net.core.somaxconn` (4096 since Linux 5.4).
const BACKLOG: i32 = 4096;

/// Why the server could not start.
#[derive(Debug, Error)]
pub enum BindError {
    /// Another program, or another line of the configuration, uses the port.
    #[error("{address}: port in use by another program; `ss -lntup` shows it")]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// Ports below 1024 need a capability.
    #[error(
        "{address}: no permission to listen on this port; ports below 1024 need CAP_NET_BIND_SERVICE (AmbientCapabilities= in the systemd unit)"
    )]
    Denied {
        /// The address.
        address: SocketAddr,
    },
    /// This host does not have the address.
    #[error("{address}: this host has no such address; `ip address` shows those it has")]
    NoSuchAddress {
        /// The address.
        address: SocketAddr,
    },
    /// Another failure of the operating system.
    #[error("{address}: cannot listen")]
    Other {
        /// The address.
        address: SocketAddr,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// A worker thread or its runtime could not be started.
    #[error("cannot start a worker thread; the limits on processes and open files may be too low")]
    Worker(#[source] io::Error),
}

impl BindError {
    pub(crate) fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::PermissionDenied => Self::Denied { address },
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress { address },
            _ => Self::Other { address, source },
        }
    }
}

/// Opens all listeners. Returns the actual addresses, and each worker's sockets in the order of
/// `wanted`.
pub(crate) fn bind(
    wanted: impl IntoIterator<Item = SocketAddr>,
    workers: usize,
) -> Result<(Vec<SocketAddr>, Vec<Vec<TcpListener>>), BindError> {
    let mut addresses = Vec::new();
    let mut sockets: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
    for address in wanted {
        let (address, opened) = bind_one(address, workers)?;
        for (of_worker, socket) in sockets.iter_mut().zip(opened) {
            of_worker.push(socket);
        }
        addresses.push(address);
    }
    Ok((addresses, sockets))
}

/// Opens one address. Returns the actual address, and a socket for each worker.
pub(crate) fn bind_one(
    wanted: SocketAddr,
    workers: usize,
) -> Result<(SocketAddr, Vec<TcpListener>), BindError> {
    let failed = |source| BindError::new(wanted, source);
    let mut address = wanted;
    probe(address).map_err(failed)?;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 0..workers {
        let socket = open(address).map_err(failed)?;
        // With port 0, the port of the first socket is used for all.
        address = socket.local_addr().map_err(failed)?;
        sockets.push(socket);
    }
    Ok((address, sockets))
}

/// Binds without `SO_REUSEPORT` and closes again. Sockets with `SO_REUSEPORT` share a port silently: a
/// second gateway started by mistake would take half of the connections.
fn probe(address: SocketAddr) -> io::Result<()> {
    socket(address)?.bind(&address.into())
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    // Accepted sockets inherit it, which saves a system call for each (Linux).
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // Otherwise connections in TIME_WAIT would keep the port busy after a restart.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // `[::]:port` and `0.0.0.0:port` may both be configured.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_has_its_own_socket_on_one_port() {
        let (addresses, sockets) = bind([SocketAddr::from(([127, 0, 0, 1], 0))], 3).unwrap();
        assert_ne!(addresses[0].port(), 0);
        assert_eq!(sockets.len(), 3);
        for socket in sockets.iter().flatten() {
            assert_eq!(socket.local_addr().unwrap(), addresses[0]);
        }
    }

    #[test]
    fn a_port_in_use_is_named_even_if_its_owner_would_share_it() {
        let first = open(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = first.local_addr().unwrap();
        let error = bind([address], 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{address}: port in use by another program; `ss -lntup` shows it")
        );
    }

    #[test]
    fn an_address_of_another_host_is_named() {
        let address = SocketAddr::from(([192, 0, 2, 1], 0));
        let error = bind([address], 1).unwrap_err();
        assert!(matches!(error, BindError::NoSuchAddress { .. }), "{error}");
    }
}
