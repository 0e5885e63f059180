//! A listener of a worker: takes connections, or hands them over.

use std::{
    io,
    net::{self, SocketAddr},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc::UnboundedReceiver, watch},
    task::spawn_local,
    time,
};

use crate::server::{
    ConnInfo, HttpService, ListenerId, Order, Role, Sources, Tls,
    connection::Connection,
    redirect::RedirectService,
    seats::Handed,
    timers::{Phase, State},
    worker::Worker,
};

/// How long a worker that has no file descriptor left waits before it accepts again.
const OUT_OF_FILES: Duration = Duration::from_millis(50);

/// One listener of one worker.
pub(super) struct Acceptor {
    pub(super) worker: Rc<Worker>,
    pub(super) id: ListenerId,
    pub(super) socket: TcpListener,
    pub(super) handed: UnboundedReceiver<Handed>,
    pub(super) role: Role,
    pub(super) sources: Rc<Sources>,
}

impl Acceptor {
    pub(super) async fn run<S: HttpService>(
        mut self,
        service: Rc<S>,
        mut order: watch::Receiver<Order>,
    ) {
        let redirect = match &self.role {
            Role::Redirect(redirect) => Some(Rc::new(RedirectService::new(redirect.clone()))),
            Role::Plain | Role::Tls(_) => None,
        };
        let spawn = |this: &Self, tcp, peer| match &redirect {
            Some(redirect) => this.spawn(redirect, tcp, peer),
            None => this.spawn(&service, tcp, peer),
        };
        let mut warned = false;
        loop {
            tokio::select! {
                accepted = self.socket.accept() => match accepted {
                    Ok((tcp, peer)) => {
                        if let Some(tcp) = self.seat(tcp, peer) {
                            spawn(&self, tcp, peer);
                        }
                    }
                    Err(error) if is_about_one(&error) => {}
                    Err(error) => {
                        if !warned {
                            tracing::error!(%error, "cannot accept connections; is the limit on open files too low?");
                            warned = true;
                        }
                        time::sleep(OUT_OF_FILES).await;
                    }
                },
                Some((tcp, peer)) = self.handed.recv() => match TcpStream::from_std(tcp) {
                    Ok(tcp) => spawn(&self, tcp, peer),
                    Err(_closed) => self.worker.shared.seats.free(self.worker.index),
                },
                changed = order.changed() => {
                    if changed.is_err() || matches!(*order.borrow(), Order::Drain(_)) {
                        break;
                    }
                }
            }
        }
        self.handed.close();
        while let Some((tcp, peer)) = self.handed.recv().await {
            match TcpStream::from_std(tcp) {
                Ok(tcp) => spawn(&self, tcp, peer),
                Err(_closed) => self.worker.shared.seats.free(self.worker.index),
            }
        }
        // what the kernel has accepted for this socket would be reset: tokio's readiness may be
        // older than the queue, so ask the queue itself
        let Ok(socket) = socket2::SockRef::from(&self.socket).try_clone() else {
            return;
        };
        let socket: net::TcpListener = socket.into();
        while let Ok((tcp, peer)) = socket.accept() {
            if tcp.set_nonblocking(true).is_ok()
                && let Ok(tcp) = TcpStream::from_std(tcp)
            {
                self.worker.shared.seats.take_at(self.worker.index);
                spawn(&self, tcp, peer);
            }
        }
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

/// Errors of `accept` that concern the one connection which was to be accepted.
fn is_about_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
