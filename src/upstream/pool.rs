//! A worker's connections to one backend: last in, first out, spoken to in HTTP/1.1.
//!
//! A connection comes back when the body of its answer has ended. Nothing here carries a user's
//! identity: what says who the user is goes with each request.

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
    wire::{self, Announced, ConnectError},
};
use crate::tls::Connector;

/// Idle connections kept per worker and backend.
const MAX_IDLE: usize = 256;
/// How often [`Pool::sweep`] is to be called: a pool counts time by it.
pub(crate) const TICK: Duration = Duration::from_millis(500);
/// In ticks: Jetty closes after 10 s (Hadoop 2) or more; 8 s is safe.
const MAX_AGE: u32 = 16;
/// In ticks, for methods that must not be sent twice, where the backend's closing would be a lost
/// request.
const MAX_AGE_UNSAFE: u32 = 4;

/// Idle connections to one backend.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<Vec<Idle>>,
    ticks: Cell<u32>,
    /// Where the name led at the last sweep.
    addresses: RefCell<Arc<Vec<SocketAddr>>>,
    /// Counts how often it has come to lead elsewhere.
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
    /// The connection.
    pub connection: Box<Connection<SendBody>>,
    /// It served an earlier request.
    pub reused: bool,
    /// It was announced as one client's, and is nobody else's afterwards.
    single: bool,
    /// [`Pool::moves`] when it was opened.
    moves: u32,
    /// Counts the request that it carries.
    pub in_flight: Option<InFlight>,
}

impl Pool {
    /// The youngest idle connection that is still open.
    pub(crate) fn take(self: &Rc<Self>, safe: bool) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        let max_age = if safe { MAX_AGE } else { MAX_AGE_UNSAFE };
        while let Some(mut top) = idle.pop() {
            if top.connection.is_closed() {
                continue;
            }
            if self.ticks.get().wrapping_sub(top.since) > max_age {
                // everything below is older still
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

    /// Opens a connection; the first address that answers within `timeout` in all, and TLS on it. One
    /// that is `announced` as a client's does not come back.
    pub(crate) async fn connect(
        self: &Rc<Self>,
        addresses: &[SocketAddr],
        tls: Option<&Connector>,
        announced: Option<Announced>,
        timeout: Duration,
    ) -> Result<Lease, ConnectError> {
        let stream = wire::connect(addresses, tls, announced, timeout).await?;
        Ok(Lease {
            pool: Rc::clone(self),
            connection: Box::new(Connection::new(stream)),
            reused: false,
            single: announced.is_some(),
            moves: self.moves.get(),
            in_flight: None,
        })
    }

    /// Counts time, and drops connections that have been idle for too long. Where the name has come
    /// to lead to other `addresses` no connection is used again.
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

    /// Drops all idle connections.
    pub(crate) fn clear(&self) {
        self.idle.borrow_mut().clear();
    }
}

impl Lease {
    /// Gives the connection back.
    pub(crate) fn give_back(self) {
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
