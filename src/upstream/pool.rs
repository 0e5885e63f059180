//! A worker's HTTP/1.1 connections to one backend, last in, first out.
//!
//! A connection returns to the pool when the body of its response has ended. Connections carry no
//! user's identity: each request names its user.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use super::{
    backend::InFlight,
    http1::Connection,
    upload::SendBody,
    wire::{self, ConnectError, ProxyHeader},
};
use crate::tls::Connector;

/// Idle connections kept per worker and backend.
const MAX_IDLE: usize = 256;
/// The interval of [`Pool::sweep`]: a pool counts time in these ticks, so that it needs no clock.
pub(crate) const TICK: Duration = Duration::from_millis(500);
/// In ticks. Jetty closes idle connections after 10 s (Hadoop 2) or more; 8 s is safe.
const MAX_AGE: u32 = 16;
/// In ticks, for methods that must not be repeated: a request that meets the closing of its connection
/// fails.
const MAX_AGE_UNSAFE: u32 = 4;

/// Idle connections to one backend.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<Vec<Idle>>,
    ticks: Cell<u32>,
    /// The backend's addresses at the last sweep.
    addresses: RefCell<Arc<Vec<SocketAddr>>>,
    /// Counts the changes of `addresses`.
    moves: Cell<u32>,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection<SendBody>>,
    since: u32,
}

/// A connection in use.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Rc<Pool>,
    pub connection: Box<Connection<SendBody>>,
    /// Whether it has served an earlier request.
    pub reused: bool,
    /// Whether its PROXY protocol header names one client, so that it must not serve another.
    single: bool,
    /// The value of [`Pool::moves`] when it was opened.
    moves: u32,
    pub in_flight: Option<InFlight>,
}

impl Pool {
    /// The most recently used idle connection that is still open. `safe`: the method may be repeated.
    pub(crate) fn take(self: &Rc<Self>, safe: bool) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        let max_age = if safe { MAX_AGE } else { MAX_AGE_UNSAFE };
        // Last in, first out: the fewest connections stay in use, and the others reach their age.
        while let Some(mut top) = idle.pop() {
            if top.connection.is_closed() {
                continue;
            }
            if self.ticks.get().wrapping_sub(top.since) > max_age {
                // all others are older
                if safe {
                    idle.clear();
                } else {
                    idle.push(top);
                }
                return None;
            }
            return Some(Lease {
                pool: Rc::clone(self),
                connection: top.connection,
                reused: true,
                single: false,
                moves: self.moves.get(),
                in_flight: None,
            });
        }
        None
    }

    /// Connects to the first address that accepts; see [`wire::connect`]. A connection with a
    /// `proxy_header` does not return to the pool.
    pub(crate) async fn connect(
        self: &Rc<Self>,
        addresses: &[SocketAddr],
        tls: Option<&Connector>,
        proxy_header: Option<ProxyHeader>,
        timeout: Duration,
    ) -> Result<Lease, ConnectError> {
        let stream = wire::connect(addresses, tls, proxy_header, timeout).await?;
        Ok(Lease {
            pool: Rc::clone(self),
            connection: Box::new(Connection::new(stream)),
            reused: false,
            single: proxy_header.is_some(),
            moves: self.moves.get(),
            in_flight: None,
        })
    }

    /// Counts a tick, and drops connections that have been idle for too long. If the backend's
    /// `addresses` have changed, no connection is used again.
    pub(crate) fn sweep(&self, addresses: &Arc<Vec<SocketAddr>>) {
        if !Arc::ptr_eq(&self.addresses.borrow(), addresses) {
            self.addresses.replace(Arc::clone(addresses));
            self.moves.set(self.moves.get().wrapping_add(1));
            self.clear();
        }
        let now = self.ticks.get().wrapping_add(1);
        self.ticks.set(now);
        self.idle.borrow_mut().retain_mut(|idle| {
            !idle.connection.is_closed() && now.wrapping_sub(idle.since) <= MAX_AGE
        });
    }

    pub(crate) fn clear(&self) {
        self.idle.borrow_mut().clear();
    }
}

impl Lease {
    /// Returns the connection to the pool, if it can be used again.
    pub(crate) fn give_back(self) {
        // A request still in the socket, unread bytes or an old address: another request on the
        // connection could get the wrong response, or reach a server that is no longer the backend.
        if self.single || !self.connection.is_reusable() || self.moves != self.pool.moves.get() {
            return;
        }
        let mut idle = self.pool.idle.borrow_mut();
        if idle.len() < MAX_IDLE {
            idle.push(Idle {
                connection: self.connection,
                since: self.pool.ticks.get(),
            });
        }
    }
}
