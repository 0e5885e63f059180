//! Opens the addresses of a stream: for each thread one TCP socket, one UDP socket, or both.

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
};

use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use crate::net::{BindError, listen::bind_one};

/// Buffer for datagrams that wait for a thread. The kernel limits it to `net.core.rmem_max`.
const RECEIVE_BUFFER: usize = 1 << 20;

/// One address of a stream, opened for every thread.
#[derive(Debug)]
pub(super) struct Opened {
    /// The actual address, with the port.
    pub(super) address: SocketAddr,
    /// One per thread; empty without TCP.
    pub(super) tcp: Vec<TcpListener>,
    /// One per thread; empty without UDP.
    pub(super) udp: Vec<UdpSocket>,
}

pub(super) fn open(
    wanted: SocketAddr,
    (tcp, udp): (bool, bool),
    threads: usize,
) -> Result<Opened, BindError> {
    let mut opened = Opened {
        address: wanted,
        tcp: Vec::new(),
        udp: Vec::new(),
    };
    if tcp {
        (opened.address, opened.tcp) = bind_one(wanted, threads)?;
    }
    if udp {
        // With port 0, UDP gets the port that TCP got, because Kerberos clients expect the same one.
        let failed = |source| BindError::new(opened.address, source);
        // First without SO_REUSEPORT: with it, binding succeeds silently although another process of
        // this user has the port.
        socket(opened.address)
            .and_then(|socket| socket.bind(&opened.address.into()))
            .map_err(failed)?;
        let mut address = opened.address;
        for _ in 0..threads {
            let socket = datagrams(address).map_err(failed)?;
            address = socket.local_addr().map_err(failed)?;
            opened.udp.push(socket);
        }
        opened.address = address;
    }
    Ok(opened)
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

fn datagrams(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket(address)?;
    socket.set_reuse_port(true)?;
    // It works with a smaller buffer too, but a burst loses datagrams.
    let _best_effort = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    // Needed to send a reply from the address that the datagram was sent to.
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    } else {
        setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    }
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcp_and_udp_of_a_stream_have_the_same_port() {
        let opened = open(SocketAddr::from(([127, 0, 0, 1], 0)), (true, true), 2).unwrap();
        assert_eq!((opened.tcp.len(), opened.udp.len()), (2, 2));
        for socket in &opened.udp {
            assert_eq!(socket.local_addr().unwrap(), opened.address);
        }
        assert_eq!(opened.tcp[0].local_addr().unwrap(), opened.address);
    }

    #[test]
    fn a_udp_port_in_use_is_reported_even_if_its_owner_would_share_it() {
        let first = datagrams(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = first.local_addr().unwrap();
        let error = open(address, (false, true), 1).unwrap_err();
        assert!(matches!(error, BindError::InUse { .. }), "{error}");
        assert!(error.to_string().contains(&address.to_string()));
    }
}
