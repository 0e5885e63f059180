//! A listener of a worker: takes connections, or hands them over.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use tokio::{
    net::TcpStream,
    sync::{mpsc::UnboundedReceiver, watch},
    task::spawn_local,
};

use crate::{
    net::{Sources, accept::Accepts},
    server::{
        ConnInfo, HttpService, ListenerId, Order, Role, Tls,
        connection::Connection,
        redirect::RedirectService,
        seats::Handed,
        timers::{Phase, State},
        worker::Worker,
    },
};

/// One listener of one worker.
pub(super) struct Acceptor {
    pub(super) worker: Rc<Worker>,
    pub(super) id: ListenerId,
    pub(super) role: Role,
    pub(super) sources: Rc<Sources>,
}

impl Acceptor {
    pub(super) async fn run<S: HttpService>(
        self,
        mut accepts: Accepts,
        mut handed: UnboundedReceiver<Handed>,
        service: Rc<S>,
        mut order: watch::Receiver<Order>,
    ) {
        let redirect = match &self.role {
            Role::Redirect(redirect) => Some(Rc::new(RedirectService::new(redirect.clone()))),
            Role::Plain | Role::Tls(_) => None,
        };
        let spawn = |tcp, peer| match &redirect {
            Some(redirect) => self.spawn(redirect, tcp, peer),
            None => self.spawn(&service, tcp, peer),
        };
        loop {
            tokio::select! {
                (tcp, peer) = accepts.next() => {
                    if let Some(tcp) = self.seat(tcp, peer) {
                        spawn(tcp, peer);
                    }
                }
                Some(given) = handed.recv() => {
                    if let Some((tcp, peer)) = self.seated(given) {
                        spawn(tcp, peer);
                    }
                }
                changed = order.changed() => {
                    if changed.is_err() || matches!(*order.borrow(), Order::Drain(_)) {
                        break;
                    }
                }
            }
        }
        handed.close();
        while let Some(given) = handed.recv().await {
            if let Some((tcp, peer)) = self.seated(given) {
                spawn(tcp, peer);
            }
        }
        for (tcp, peer) in accepts.rest() {
            self.worker.shared.seats.take_at(self.worker.index);
            spawn(tcp, peer);
        }
    }

    /// A connection that was handed over, with its seat.
    fn seated(&self, (tcp, peer): Handed) -> Option<(TcpStream, SocketAddr)> {
        let tcp = TcpStream::from_std(tcp);
        if tcp.is_err() {
            self.worker.shared.seats.free(self.worker.index);
        }
        Some((tcp.ok()?, peer))
    }

    /// Takes a seat for a connection; `None` where it is another worker's, or came to nothing.
    fn seat(&self, tcp: TcpStream, peer: SocketAddr) -> Option<TcpStream> {
        let Worker { index, shared, .. } = &*self.worker;
        let to = shared.seats.take(*index);
        if to == *index {
            return Some(tcp);
        }
        let handed = tcp
            .into_std()
            .map(|tcp| shared.seats.hand_over(to, self.id.0, (tcp, peer)));
        if let Ok(Ok(())) = handed {
            return None;
        }
        shared.seats.free(to);
        // the other one is draining, as this one is about to
        let (tcp, _peer) = handed.ok()?.err()?;
        let tcp = TcpStream::from_std(tcp).ok()?;
        shared.seats.take_at(*index);
        Some(tcp)
    }

    fn spawn<S: HttpService>(&self, service: &Rc<S>, tcp: TcpStream, peer: SocketAddr) {
        let worker = &self.worker;
        let Some(local) = tcp.local_addr().ok().filter(|_| worker.admit()) else {
            // over the limit: dropping the socket closes it
            worker.shared.seats.free(worker.index);
            return;
        };
        let (tls, phase) = match &self.role {
            Role::Tls(tls) => (Some::<&Tls>(tls), Phase::Handshake),
            Role::Plain | Role::Redirect(_) => (None, Phase::Idle),
        };
        let info = Arc::new(ConnInfo::new(peer, local, self.id, tls.is_some()));
        let expects_header = self.sources.expects_header(peer.ip());
        let phase = if expects_header {
            Phase::Handshake
        } else {
            phase
        };
        let state = State::new(info, Rc::clone(&worker.clock), phase);
        let mut connection = Connection::new(Rc::clone(worker), state, Rc::clone(service));
        if expects_header {
            connection.expect_header(tcp, tls.cloned(), &self.sources);
        } else if connection.welcome(&self.sources) {
            connection.begin(tcp, tls);
        }
        spawn_local(connection);
    }
}
