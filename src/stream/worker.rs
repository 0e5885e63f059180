//! One thread of the relays: accepts, serves, and drains.

use std::{
    io,
    net::{self, SocketAddr},
    rc::Rc,
    sync::mpsc,
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpStream, UdpSocket},
    runtime::{Builder, LocalOptions},
    sync::watch,
    task::{JoinHandle, spawn_local},
    time,
};

use super::{
    RelayPhase,
    relay::{LiveConnections, Relay},
    tcp, udp,
};
use crate::net::{Drained, accept::AcceptQueue};

/// The time in which connections that were reset end.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Creates the relay of a thread, on that thread, because it is not `Send`.
pub(super) type RelayFactory = Box<dyn FnOnce(Rc<LiveConnections>) -> Relay + Send>;

/// The part of one stream that one thread serves.
pub(super) struct ThreadShare {
    pub(super) make: RelayFactory,
    pub(super) tcp: Vec<net::TcpListener>,
    pub(super) udp: Vec<(SocketAddr, net::UdpSocket)>,
}

/// Runs a thread. Reports on `started` that it serves, or why it cannot.
pub(super) fn run(
    parts: Vec<ThreadShare>,
    order: watch::Receiver<RelayPhase>,
    started: mpsc::Sender<io::Result<()>>,
) -> Drained {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            // The caller waits for a report of every thread.
            let _reported = started.send(Err(error));
            return Drained::default();
        }
    };
    runtime.block_on(async move {
        let live: Rc<LiveConnections> = Rc::default();
        let tasks = begin(parts, &live, &order);
        let failed = tasks.is_err();
        let _reported = started.send(
            tasks
                .as_ref()
                .map(|_| ())
                .map_err(|error| error.kind().into()),
        );
        drop(started);
        if failed {
            return Drained::default();
        }
        drain(&live, tasks.unwrap_or_default(), order).await
    })
}

fn begin(
    parts: Vec<ThreadShare>,
    live: &Rc<LiveConnections>,
    order: &watch::Receiver<RelayPhase>,
) -> io::Result<Vec<JoinHandle<()>>> {
    let mut tasks = Vec::new();
    for part in parts {
        let relay = Rc::new((part.make)(Rc::clone(live)));
        for socket in part.tcp {
            let accepts = AcceptQueue::new(socket)?;
            tasks.push(spawn_local(accept(
                accepts,
                Rc::clone(&relay),
                order.clone(),
            )));
        }
        for (address, socket) in part.udp {
            let socket = Rc::new(UdpSocket::from_std(socket)?);
            let relay = Rc::clone(&relay);
            tasks.push(spawn_local(udp::serve(
                relay,
                socket,
                address,
                order.clone(),
            )));
        }
    }
    Ok(tasks)
}

/// Waits for the drain to begin, then for the connections to end, and resets those that are left.
async fn drain(
    live: &Rc<LiveConnections>,
    tasks: Vec<JoinHandle<()>>,
    mut order: watch::Receiver<RelayPhase>,
) -> Drained {
    let deadline = loop {
        match (order.changed().await, *order.borrow()) {
            (Ok(()), RelayPhase::Drain(deadline)) => break deadline,
            (Ok(()), RelayPhase::Serve) => {}
            // `Streams` was dropped
            (Err(_), _) => break Instant::now(),
        }
    };
    live.begin_to_drain();
    for task in tasks {
        // It returns nothing, and a panic has been reported.
        let _ended = task.await;
    }
    until_empty(live, deadline).await;
    let cut = live.count();
    let finished = live.finished();
    live.cut.notify_waiters();
    until_empty(live, Instant::now() + LAST_MOMENT).await;
    Drained { finished, cut }
}

async fn until_empty(live: &LiveConnections, deadline: Instant) {
    let deadline = time::sleep_until(deadline.into());
    tokio::pin!(deadline);
    while live.count() > 0 {
        tokio::select! {
            () = live.emptied.notified() => {}
            () = &mut deadline => break,
        }
    }
}

async fn accept(
    mut accepts: AcceptQueue,
    relay: Rc<Relay>,
    mut order: watch::Receiver<RelayPhase>,
) {
    let serve = |tcp: TcpStream, peer| {
        let relay = Rc::clone(&relay);
        let alive = relay.live.enter();
        spawn_local(async move {
            tcp::serve(relay, tcp, peer).await;
            drop(alive);
        });
    };
    loop {
        tokio::select! {
            (tcp, peer) = accepts.next() => serve(tcp, peer),
            changed = order.changed() => {
                if changed.is_err() || matches!(*order.borrow(), RelayPhase::Drain(_)) {
                    break;
                }
            }
        }
    }
    // These clients are connected as far as they know: the kernel has completed their handshakes.
    for (tcp, peer) in accepts.drain() {
        serve(tcp, peer);
    }
}
