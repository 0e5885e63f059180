//! The flows of one listening socket.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    rc::Rc,
    sync::Arc,
};

use socket2::SockRef;
use tokio::{
    net::UdpSocket,
    sync::Notify,
    task::spawn_local,
    time::{Instant, sleep_until},
};

use super::{DATAGRAM, TURNS, UdpListener, UdpPeer};
use crate::stream::{
    Reason,
    group::{Endpoint, EndpointPermit},
    limits::StreamPermit,
    options::StreamKind,
    record::StreamRecord,
    relay::{Relay, refuse},
    tcp::client_key,
};

/// The most servers that are tried for one datagram.
const TRIES: usize = 4;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; DATAGRAM].into());
}

/// The datagrams between a client and a server.
#[derive(Debug)]
struct Flow {
    socket: UdpSocket,
    permit: EndpointPermit,
    last: Cell<Instant>,
    /// Datagrams that the server may still send, if they are limited.
    credit: Cell<u32>,
    /// Bytes from the client that are not recorded yet.
    received: Cell<usize>,
    /// Notified when the server refuses datagrams.
    broken: Notify,
    _admitted: StreamPermit,
}

/// All flows of a listening socket.
pub(super) struct Flows {
    relay: Rc<Relay>,
    front: Rc<UdpListener>,
    of: Rc<RefCell<HashMap<UdpPeer, Rc<Flow>>>>,
}

// === impl Flows ===

impl Flows {
    pub(super) fn new(relay: Rc<Relay>, front: Rc<UdpListener>) -> Self {
        Self {
            relay,
            front,
            of: Rc::default(),
        }
    }

    pub(super) fn kind(&self) -> StreamKind {
        self.relay.kind
    }

    /// Forwards a datagram of a client.
    pub(super) fn take(&self, datagram: &[u8], peer: UdpPeer) {
        let known = self.of.borrow().get(&peer).cloned();
        let mut tried: Vec<Arc<Endpoint>> = Vec::new();
        if let Some(flow) = known {
            match self.send(&flow, datagram) {
                Ok(()) => return,
                Err(()) => tried.push(Arc::clone(&flow.permit)),
            }
        }
        while tried.len() < TRIES {
            let flow = match self.open(peer, &tried) {
                Ok(flow) => flow,
                Err(reason) => return refuse(&self.relay.udp, peer.client, reason),
            };
            if self.send(&flow, datagram).is_ok() {
                return;
            }
            tried.push(Arc::clone(&flow.permit));
        }
        refuse(&self.relay.udp, peer.client, Reason::BackendDown);
    }

    /// Fails if the server refuses datagrams.
    fn send(&self, flow: &Flow, datagram: &[u8]) -> Result<(), ()> {
        flow.last.set(Instant::now());
        // Not through tokio: it learns only in its next turn that a new socket is writable.
        match SockRef::from(&flow.socket).send(datagram) {
            Ok(_) => {}
            Err(error) if is_refusal(&error) => {
                self.relay.group.silent(&flow.permit, &error);
                flow.broken.notify_one();
                return Err(());
            }
            // No buffer, or larger than the MTU: it is lost, as datagrams may be.
            Err(_) => self.relay.udp.metrics.dropped.increment(1),
        }
        flow.received.set(flow.received.get() + datagram.len());
        if let Some(responses) = self.relay.udp_responses {
            flow.credit.set(flow.credit.get().saturating_add(responses));
        }
        Ok(())
    }

    fn open(&self, peer: UdpPeer, tried: &[Arc<Endpoint>]) -> Result<Rc<Flow>, Reason> {
        let relay = &self.relay;
        let admitted = relay.admit(peer.client, &relay.udp_limits)?;
        let permit = relay.group.choose(client_key(peer.client), tried)?;
        let socket = connect(permit.address).map_err(|error| {
            tracing::warn!(stream = %relay.group.name, %error, "no socket for a UDP flow");
            Reason::OutOfResources
        })?;
        let flow = Rc::new(Flow {
            socket,
            permit,
            last: Cell::new(Instant::now()),
            credit: Cell::new(0),
            received: Cell::new(0),
            broken: Notify::new(),
            _admitted: admitted,
        });
        self.of.borrow_mut().insert(peer, Rc::clone(&flow));
        let (relay, front) = (Rc::clone(relay), Rc::clone(&self.front));
        let (flows, mine) = (Rc::clone(&self.of), Rc::clone(&flow));
        spawn_local(async move {
            let record = relay.udp.begin(peer.client);
            record.served_by(&mine.permit.backend);
            mine.run(&relay, &front, peer, &record).await;
            record.received(mine.received.take());
            let mut flows = flows.borrow_mut();
            // A new flow of the same client may have replaced this one.
            if flows.get(&peer).is_some_and(|flow| Rc::ptr_eq(flow, &mine)) {
                flows.remove(&peer);
            }
        });
        Ok(flow)
    }
}

// === impl Flow ===

impl Flow {
    /// Forwards the datagrams of the server until the flow is idle.
    async fn run(
        &self,
        relay: &Relay,
        front: &UdpListener,
        peer: UdpPeer,
        record: &StreamRecord<'_>,
    ) {
        loop {
            let until = self.last.get() + relay.udp_idle;
            tokio::select! {
                ready = self.socket.readable() => {
                    if ready.is_err() {
                        return;
                    }
                }
                () = self.broken.notified() => return record.end(Reason::BackendDown),
                () = sleep_until(until) => {
                    if self.last.get() + relay.udp_idle <= Instant::now() {
                        return;
                    }
                    continue;
                }
            }
            // Recorded here and not for each datagram, because the record belongs to this task.
            record.received(self.received.take());
            if let Err(error) = self.forward_replies(relay, front, peer, record) {
                relay.group.silent(&self.permit, &error);
                return record.end(Reason::BackendDown);
            }
            tokio::task::yield_now().await;
        }
    }

    fn forward_replies(
        &self,
        relay: &Relay,
        front: &UdpListener,
        peer: UdpPeer,
        record: &StreamRecord<'_>,
    ) -> io::Result<()> {
        SCRATCH.with_borrow_mut(|buffer| {
            for _ in 0..TURNS {
                let length = match self.socket.try_recv(buffer) {
                    Ok(length) => length,
                    Err(error) if is_refusal(&error) => return Err(error),
                    // nothing left for now
                    Err(_) => return Ok(()),
                };
                self.last.set(Instant::now());
                relay.group.succeeded(&self.permit);
                if relay.udp_responses.is_some() {
                    let Some(left) = self.credit.get().checked_sub(1) else {
                        relay.udp.metrics.dropped.increment(1);
                        continue;
                    };
                    self.credit.set(left);
                }
                match front.send(buffer.get(..length).unwrap_or_default(), peer) {
                    Ok(()) => record.sent(length),
                    Err(_) => relay.udp.metrics.dropped.increment(1),
                }
            }
            Ok(())
        })
    }
}

/// A socket that sends to one address, and receives from that one only.
pub(in crate::stream) fn connect(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = if to.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(to)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Whether the error is an ICMP message: nothing listens on the port, or there is no route.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}
