//! The socket that clients send to. If it listens on all addresses, each reply is sent from the address
//! that the client sent to (`IP_PKTINFO`), because clients drop replies from another one.

use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::AsRawFd,
    rc::Rc,
};

use nix::{
    cmsg_space,
    libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo},
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg,
    },
};
use tokio::{io::Interest, net::UdpSocket};

/// A client, and the local address that it sent to if the socket listens on all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::stream) struct UdpPeer {
    pub(in crate::stream) client: SocketAddr,
    pub(in crate::stream) local: Option<IpAddr>,
}

#[derive(Debug)]
pub(in crate::stream) struct UdpListener {
    socket: Rc<UdpSocket>,
    /// Listens on all addresses.
    any: bool,
}

impl UdpListener {
    pub(in crate::stream) fn new(socket: Rc<UdpSocket>, address: SocketAddr) -> Self {
        Self {
            socket,
            any: address.ip().is_unspecified(),
        }
    }

    pub(in crate::stream) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Receives a datagram without waiting.
    pub(in crate::stream) fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, UdpPeer)> {
        let receive = || self.receive_now(buffer);
        self.socket.try_io(Interest::READABLE, receive)
    }

    fn receive_now(&self, buffer: &mut [u8]) -> io::Result<(usize, UdpPeer)> {
        let mut slices = [IoSliceMut::new(buffer)];
        let mut control = cmsg_space!(in6_pktinfo);
        let message = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut slices,
            // On a fixed address the kernel need not copy control messages.
            self.any.then_some(&mut control),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let client = message.address.as_ref().and_then(socket_address);
        let client = client.ok_or(io::ErrorKind::InvalidData)?;
        let mut local = None;
        if self.any {
            for part in message.cmsgs()? {
                match part {
                    ControlMessageOwned::Ipv4PacketInfo(info) => {
                        let octets = info.ipi_addr.s_addr.to_ne_bytes();
                        local = Some(IpAddr::from(octets));
                    }
                    ControlMessageOwned::Ipv6PacketInfo(info) => {
                        local = Some(IpAddr::from(info.ipi6_addr.s6_addr));
                    }
                    // no other control message was enabled
                    _ => {}
                }
            }
        }
        Ok((message.bytes, UdpPeer { client, local }))
    }

    /// Sends a reply. It is lost if the kernel has no buffer for it, as datagrams may be.
    pub(in crate::stream) fn send(&self, bytes: &[u8], peer: UdpPeer) -> io::Result<()> {
        let slices = [IoSlice::new(bytes)];
        let to = SockaddrStorage::from(peer.client);
        let send = |control: &[ControlMessage<'_>]| {
            let fd = self.socket.as_raw_fd();
            sendmsg(fd, &slices, control, MsgFlags::MSG_DONTWAIT, Some(&to))
        };
        let result = match peer.local {
            None => send(&[]),
            Some(IpAddr::V4(ip)) => send(&[ControlMessage::Ipv4PacketInfo(&in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: raw(ip),
                ipi_addr: raw(Ipv4Addr::UNSPECIFIED),
            })]),
            Some(IpAddr::V6(ip)) => send(&[ControlMessage::Ipv6PacketInfo(&in6_pktinfo {
                ipi6_addr: in6_addr {
                    s6_addr: ip.octets(),
                },
                ipi6_ifindex: 0,
            })]),
        };
        result.map(|_| ()).map_err(io::Error::from)
    }
}

const fn raw(ip: Ipv4Addr) -> in_addr {
    in_addr {
        s_addr: u32::from_ne_bytes(ip.octets()),
    }
}

fn socket_address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::V4((*v4).into()));
    }
    storage
        .as_sockaddr_in6()
        .map(|v6| SocketAddr::V6((*v6).into()))
}
