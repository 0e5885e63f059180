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

/// Servers that a datagram is offered to.
const TRIES: usize = 4;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; DATAGRAM].into());
}

/// Where the datagrams of a client go.
#[derive(Debug)]
struct Flow {
    socket: UdpSocket,
    place: EndpointPermit,
    last: Cell<Instant>,
    /// Datagrams that the server may still send, where they are counted.
    claim: Cell<u32>,
    /// Bytes that have come and are not recorded yet.
    came: Cell<usize>,
    /// The server is not there.
    broken: Notify,
    _admitted: StreamPermit,
}

/// All of them.
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

    /// Passes a client's datagram on.
    pub(super) fn take(&self, datagram: &[u8], peer: UdpPeer) {
        let known = self.of.borrow().get(&peer).cloned();
        let mut tried: Vec<Arc<Endpoint>> = Vec::new();
        if let Some(flow) = known {
            match self.send(&flow, datagram) {
                Ok(()) => return,
                Err(()) => tried.push(Arc::clone(&flow.place)),
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
            tried.push(Arc::clone(&flow.place));
        }
        refuse(&self.relay.udp, peer.client, Reason::BackendDown);
    }

    /// Fails where the server is not there.
    fn send(&self, flow: &Flow, datagram: &[u8]) -> Result<(), ()> {
        flow.last.set(Instant::now());
        // straight to the system: the runtime knows of a new socket's room only a turn later
        match SockRef::from(&flow.socket).send(datagram) {
            Ok(_) => {}
            Err(error) if is_refusal(&error) => {
                self.relay.group.silent(&flow.place, &error);
                flow.broken.notify_one();
                return Err(());
            }
            // no room, or too long for the way: lost, as datagrams are
            Err(_) => self.relay.udp.metrics.dropped.increment(1),
        }
        flow.came.set(flow.came.get() + datagram.len());
        if let Some(responses) = self.relay.udp_responses {
            flow.claim.set(flow.claim.get().saturating_add(responses));
        }
        Ok(())
    }

    fn open(&self, peer: UdpPeer, tried: &[Arc<Endpoint>]) -> Result<Rc<Flow>, Reason> {
        let relay = &self.relay;
        let admitted = relay.admit(peer.client, &relay.udp_limits)?;
        let place = relay.group.choose(client_key(peer.client), tried)?;
        let socket = connect(place.address).map_err(|error| {
            tracing::warn!(stream = %relay.group.name, %error, "no socket for a UDP flow");
            Reason::OutOfResources
        })?;
        let flow = Rc::new(Flow {
            socket,
            place,
            last: Cell::new(Instant::now()),
            claim: Cell::new(0),
            came: Cell::new(0),
            broken: Notify::new(),
            _admitted: admitted,
        });
        self.of.borrow_mut().insert(peer, Rc::clone(&flow));
        let (relay, front) = (Rc::clone(relay), Rc::clone(&self.front));
        let (flows, mine) = (Rc::clone(&self.of), Rc::clone(&flow));
        spawn_local(async move {
            let record = relay.udp.begin(peer.client);
            record.served_by(&mine.place.backend);
            mine.run(&relay, &front, peer, &record).await;
            record.came(mine.came.take());
            let mut flows = flows.borrow_mut();
            // another may have taken its place
            if flows.get(&peer).is_some_and(|flow| Rc::ptr_eq(flow, &mine)) {
                flows.remove(&peer);
            }
        });
        Ok(flow)
    }
}

// === impl Flow ===

impl Flow {
    /// Passes the server's datagrams on until nothing passes any more.
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
            record.came(self.came.take());
            if let Err(error) = self.answers(relay, front, peer, record) {
                relay.group.silent(&self.place, &error);
                return record.end(Reason::BackendDown);
            }
            tokio::task::yield_now().await;
        }
    }

    fn answers(
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
                    // nothing more for now
                    Err(_) => return Ok(()),
                };
                self.last.set(Instant::now());
                relay.group.succeeded(&self.place);
                if relay.udp_responses.is_some() {
                    let Some(left) = self.claim.get().checked_sub(1) else {
                        relay.udp.metrics.dropped.increment(1);
                        continue;
                    };
                    self.claim.set(left);
                }
                match front.send(buffer.get(..length).unwrap_or_default(), peer) {
                    Ok(()) => record.went(length),
                    Err(_) => relay.udp.metrics.dropped.increment(1),
                }
            }
            Ok(())
        })
    }
}

/// A socket that sends to one address and hears it alone.
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

/// The server's host says that nobody listens there, or that there is no way.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    )
}
