//! One listener of one worker: accepts connections, or hands them over to another worker.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use tokio::{
    net::TcpStream,
    sync::{mpsc::UnboundedReceiver, watch},
    task::spawn_local,
};

use super::{Worker, balance::HandedOver};
use crate::{
    net::{SourcePolicy, accept::AcceptQueue},
    server::{
        ConnInfo, HttpService, ListenerId, Role, RunState, Tls,
        connection::{Connection, ConnectionState, Phase},
        redirect::RedirectService,
    },
};

pub(super) struct Acceptor {
    pub(super) worker: Rc<Worker>,
    pub(super) id: ListenerId,
    pub(super) role: Role,
    pub(super) sources: Rc<SourcePolicy>,
}

impl Acceptor {
    pub(super) async fn run<S: HttpService>(
        self,
        mut accepts: AcceptQueue,
        mut handed: UnboundedReceiver<HandedOver>,
        service: Rc<S>,
        mut run_state: watch::Receiver<RunState>,
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
                    if let Some(tcp) = self.place(tcp, peer) {
                        spawn(tcp, peer);
                    }
                }
                Some(connection) = handed.recv() => {
                    if let Some((tcp, peer)) = self.receive(connection) {
                        spawn(tcp, peer);
                    }
                }
                changed = run_state.changed() => {
                    if changed.is_err() || matches!(*run_state.borrow(), RunState::Drain(_)) {
                        break;
                    }
                }
            }
        }
        // A drain loses no connection: neither those on their way from another worker, nor those that
        // the kernel has accepted for this socket.
        handed.close();
        while let Some(connection) = handed.recv().await {
            if let Some((tcp, peer)) = self.receive(connection) {
                spawn(tcp, peer);
            }
        }
        for (tcp, peer) in accepts.drain() {
            self.worker.shared.balance.count(self.worker.index);
            spawn(tcp, peer);
        }
    }

    /// A connection that another worker hands over, counted for this worker.
    fn receive(&self, (tcp, peer): HandedOver) -> Option<(TcpStream, SocketAddr)> {
        let tcp = TcpStream::from_std(tcp);
        if tcp.is_err() {
            self.worker.shared.balance.release(self.worker.index);
        }
        Some((tcp.ok()?, peer))
    }

    /// Chooses the worker of a connection. `None` where it was handed over, or failed.
    fn place(&self, tcp: TcpStream, peer: SocketAddr) -> Option<TcpStream> {
        let Worker { index, shared, .. } = &*self.worker;
        let to = shared.balance.choose(*index);
        if to == *index {
            return Some(tcp);
        }
        let handed = tcp
            .into_std()
            .map(|tcp| shared.balance.hand_over(to, self.id.0, (tcp, peer)));
        if let Ok(Ok(())) = handed {
            return None;
        }
        shared.balance.release(to);
        // The other worker has begun to drain; this one is about to.
        let (tcp, _peer) = handed.ok()?.err()?;
        let tcp = TcpStream::from_std(tcp).ok()?;
        shared.balance.count(*index);
        Some(tcp)
    }

    fn spawn<S: HttpService>(&self, service: &Rc<S>, tcp: TcpStream, peer: SocketAddr) {
        let worker = &self.worker;
        let Some(local) = tcp.local_addr().ok().filter(|_| worker.admit_connection()) else {
            // Over the limit. Dropping the socket closes it.
            worker.shared.balance.release(worker.index);
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
        let state = ConnectionState::new(info, Rc::clone(&worker.clock), phase);
        let mut connection = Connection::new(Rc::clone(worker), state, Rc::clone(service));
        if expects_header {
            connection.expect_header(tcp, tls.cloned(), &self.sources);
        } else if connection.is_admitted(&self.sources) {
            connection.begin(tcp, tls);
        }
        spawn_local(connection);
    }
}
