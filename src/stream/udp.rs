//! UDP: every client has its own flow, a socket that is connected to one server.
//!
//! Datagrams of the server are sent to the address and port of the client, from the address that the
//! client sent to. Because the socket is connected, the kernel drops datagrams of anybody else. Flows
//! are limited in number (`max_connections`), in time (`udp_idle`) and, with `udp_responses`, in what the
//! server may send for each datagram of the client: a client with a forged source address must not be
//! able to use the relay as an amplifier.

use std::{net::SocketAddr, rc::Rc};

use tokio::{net::UdpSocket, sync::watch};

use super::{RelayPhase, kdc, relay::Relay};
use crate::stream::options::StreamKind;

mod flow;
mod front;

use flow::Flows;
pub(super) use flow::connect;
pub(super) use front::{UdpListener, UdpPeer};

/// The size of the largest datagram.
pub(super) const DATAGRAM: usize = 64 * 1024;
/// Datagrams that are received before other tasks of the thread run.
const TURNS: usize = 64;

/// Serves one socket until the drain.
pub(super) async fn serve(
    relay: Rc<Relay>,
    socket: Rc<UdpSocket>,
    address: SocketAddr,
    mut order: watch::Receiver<RelayPhase>,
) {
    let front = Rc::new(UdpListener::new(socket, address));
    let flows = Flows::new(Rc::clone(&relay), Rc::clone(&front));
    let exchanges = kdc::udp::Exchanges::new(relay, Rc::clone(&front));
    let take = |datagram: &[u8], peer: UdpPeer| match flows.kind() {
        StreamKind::Relay => flows.take(datagram, peer),
        StreamKind::Kdc => exchanges.take(datagram, peer),
    };
    let mut buffer = vec![0; DATAGRAM];
    loop {
        tokio::select! {
            ready = front.readable() => {
                if ready.is_err() {
                    return;
                }
            }
            changed = order.changed() => {
                if changed.is_err() || matches!(*order.borrow(), RelayPhase::Drain(_)) {
                    return;
                }
            }
        }
        for _ in 0..TURNS {
            match front.receive(&mut buffer) {
                Ok((length, peer)) => take(buffer.get(..length).unwrap_or_default(), peer),
                // nothing left, or the ICMP error for a reply to a client that is gone
                Err(_) => break,
            }
        }
        tokio::task::yield_now().await;
    }
}
