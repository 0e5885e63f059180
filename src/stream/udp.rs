//! UDP: every client has a flow of its own, a socket that is connected to one server.
//!
//! What the server sends goes to the one address and port that asked, from the address that was
//! asked; what anybody else sends to the flow's socket is dropped by the system. Flows are bounded
//! in number (`max_connections`), in time (`udp_idle`) and, where `udp_responses` says so, in what
//! the server may send for each datagram of the client.

use std::{net::SocketAddr, rc::Rc};

use tokio::{net::UdpSocket, sync::watch};

use super::{RelayPhase, kdc, relay::Relay};
use crate::stream::options::StreamKind;

mod flow;
mod front;

use flow::Flows;
pub(super) use flow::connect;
pub(super) use front::{UdpListener, UdpPeer};

/// The largest datagram.
pub(super) const DATAGRAM: usize = 64 * 1024;
/// Datagrams that are taken before others have their turn.
const TURNS: usize = 64;

/// Serves one socket until the order to drain.
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
                // empty, or an answer of ours that a client did not want
                Err(_) => break,
            }
        }
        tokio::task::yield_now().await;
    }
}
