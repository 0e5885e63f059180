//! One thread of the relays: accepts, serves, drains.

use std::{
    io,
    net::{self, SocketAddr},
    rc::Rc,
    sync::mpsc,
    time::{Duration, Instant},
};

use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    runtime::{Builder, LocalOptions},
    sync::watch,
    task::{JoinHandle, spawn_local},
    time,
};

use super::{
    Order,
    relay::{Live, Relay},
    tcp, udp,
};
use crate::server::Drained;

/// How long a thread that has no file descriptor left waits before it accepts again.
const OUT_OF_FILES: Duration = Duration::from_millis(50);
/// For what was cut to end.
const LAST_MOMENT: Duration = Duration::from_secs(1);

/// Makes a thread's own relay, on that thread.
pub(super) type Make = Box<dyn FnOnce(Rc<Live>) -> Relay + Send>;

/// What one thread is given of one stream.
pub(super) struct Part {
    pub(super) make: Make,
    pub(super) tcp: Vec<net::TcpListener>,
    pub(super) udp: Vec<(SocketAddr, net::UdpSocket)>,
}

/// A thread's whole life; says on `started` when it serves or why it cannot.
pub(super) fn run(
    parts: Vec<Part>,
    order: watch::Receiver<Order>,
    started: mpsc::Sender<io::Result<()>>,
) -> Drained {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default());
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            // the caller waits for every thread
            let _told = started.send(Err(error));
            return Drained::default();
        }
    };
    runtime.block_on(async move {
        let live: Rc<Live> = Rc::default();
        let tasks = begin(parts, &live, &order);
        let failed = tasks.is_err();
        let _told = started.send(
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
    parts: Vec<Part>,
    live: &Rc<Live>,
    order: &watch::Receiver<Order>,
) -> io::Result<Vec<JoinHandle<()>>> {
    let mut tasks = Vec::new();
    for part in parts {
        let relay = Rc::new((part.make)(Rc::clone(live)));
        for socket in part.tcp {
            let socket = TcpListener::from_std(socket)?;
            tasks.push(spawn_local(accept(
                socket,
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

/// Waits for the order to drain, then for the connections, and cuts those that are left.
async fn drain(
    live: &Rc<Live>,
    tasks: Vec<JoinHandle<()>>,
    mut order: watch::Receiver<Order>,
) -> Drained {
    let deadline = loop {
        match (order.changed().await, *order.borrow()) {
            (Ok(()), Order::Drain(deadline)) => break deadline,
            (Ok(()), Order::Serve) => {}
            // the handle was dropped
            (Err(_), _) => break Instant::now(),
        }
    };
    live.begin_to_drain();
    for task in tasks {
        // it has nothing to say, and a panic in it has been reported
        let _ended = task.await;
    }
    until_empty(live, deadline).await;
    let cut = live.count();
    let finished = live.finished();
    live.cut.notify_waiters();
    until_empty(live, Instant::now() + LAST_MOMENT).await;
    Drained { finished, cut }
}

async fn until_empty(live: &Live, deadline: Instant) {
    let deadline = time::sleep_until(deadline.into());
    tokio::pin!(deadline);
    while live.count() > 0 {
        tokio::select! {
            () = live.emptied.notified() => {}
            () = &mut deadline => break,
        }
    }
}

async fn accept(socket: TcpListener, relay: Rc<Relay>, mut order: watch::Receiver<Order>) {
    let serve = |tcp: TcpStream, peer| {
        let relay = Rc::clone(&relay);
        let alive = relay.live.enter();
        spawn_local(async move {
            tcp::serve(relay, tcp, peer).await;
            drop(alive);
        });
    };
    let mut warned = false;
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((tcp, peer)) => serve(tcp, peer),
                Err(error) if is_about_one(&error) => {}
                Err(error) => {
                    if !warned {
                        tracing::error!(%error, "cannot accept connections; is the limit on open files too low?");
                        warned = true;
                    }
                    time::sleep(OUT_OF_FILES).await;
                }
            },
            changed = order.changed() => {
                if changed.is_err() || matches!(*order.borrow(), Order::Drain(_)) {
                    break;
                }
            }
        }
    }
    // what the kernel has accepted for this socket would be reset: ask the queue itself
    let Ok(socket) = socket2::SockRef::from(&socket).try_clone() else {
        return;
    };
    let socket: net::TcpListener = socket.into();
    while let Ok((tcp, peer)) = socket.accept() {
        if tcp.set_nonblocking(true).is_ok()
            && let Ok(tcp) = TcpStream::from_std(tcp)
        {
            serve(tcp, peer);
        }
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
