//! Datagrams of clients: each is a request with one reply.
//!
//! A datagram that is not a Kerberos request gets no reply: the source address may be forged, and a reply
//! that is longer than the datagram would make the gateway an amplifier.

use std::{cell::RefCell, collections::HashSet, rc::Rc};

use tokio::task::spawn_local;

use super::{
    exchange::{self, Transport},
    message,
    tcp::unavailable,
};
use crate::{
    balance::stable_hash,
    stream::{
        Reason,
        relay::{Relay, refuse},
        tcp::client_key,
        udp::{UdpListener, UdpPeer},
    },
};

/// The requests of one listening socket that wait for a reply.
pub(in crate::stream) struct Exchanges {
    relay: Rc<Relay>,
    front: Rc<UdpListener>,
    /// The clients and the hashes of their requests.
    waiting: Rc<RefCell<HashSet<(UdpPeer, u64)>>>,
}

impl Exchanges {
    pub(in crate::stream) fn new(relay: Rc<Relay>, front: Rc<UdpListener>) -> Self {
        Self {
            relay,
            front,
            waiting: Rc::default(),
        }
    }

    /// Starts the exchange for a datagram.
    pub(in crate::stream) fn take(&self, datagram: &[u8], peer: UdpPeer) {
        let relay = &self.relay;
        if message::classify(datagram).is_none() {
            return refuse(&relay.udp, peer.client, Reason::MessageMalformed);
        }
        // Clients repeat a request while they wait; one exchange is enough.
        let key = (peer, stable_hash(datagram));
        if self.waiting.borrow().contains(&key) {
            relay.udp.metrics.dropped.increment(1);
            return;
        }
        let admitted = match relay.admit(peer.client, &relay.udp_limits) {
            Ok(admitted) => admitted,
            Err(reason) => return refuse(&relay.udp, peer.client, reason),
        };
        self.waiting.borrow_mut().insert(key);
        let (relay, front) = (Rc::clone(relay), Rc::clone(&self.front));
        let (waiting, message) = (Rc::clone(&self.waiting), datagram.to_vec());
        let alive = relay.live.enter();
        spawn_local(async move {
            exchange(&relay, &front, &message, peer).await;
            waiting.borrow_mut().remove(&key);
            drop((admitted, alive));
        });
    }
}

async fn exchange(relay: &Relay, front: &UdpListener, message: &[u8], peer: UdpPeer) {
    let record = relay.udp.begin(peer.client);
    record.received(message.len());
    let Some(request) = message::classify(message) else {
        return;
    };
    let key = client_key(peer.client);
    let sent = exchange::send(&relay.group, key, (message, request), Transport::Udp).await;
    relay.udp.metrics.kdc_request(sent.kdcs);
    let reply = match sent.reply {
        Ok((bytes, backend)) => {
            record.served_by(&backend);
            bytes
        }
        Err(reason) => {
            record.end(reason);
            unavailable(request)
        }
    };
    match front.send(&reply, peer) {
        Ok(()) => record.sent(reply.len()),
        Err(_) => relay.udp.metrics.dropped.increment(1),
    }
}
