//! What a service knows of the connection that a request came on.

use std::{
    any::Any,
    net::SocketAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
};

use http::HeaderMap;
use ipnet::IpNet;

use super::{ListenerId, forwarded_for};

/// An extension of every request, as `Arc<ConnInfo>`.
#[derive(Debug)]
pub struct ConnInfo {
    /// The client: the peer, or the address that a balancer names by the PROXY protocol or a trusted
    /// proxy in `X-Forwarded-For` (then with port 0).
    pub peer: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
    /// The listener that accepted the connection.
    pub listener: ListenerId,
    /// Whether the connection uses TLS.
    pub tls: bool,
    /// Proxies that name the client of each request; only where the peer is one of them.
    proxies: Option<Arc<[IpNet]>>,
    /// The connection's own `ConnInfo`, where this one is of a client that a trusted proxy named.
    connection: Option<Arc<Self>>,
    /// Kept by the login for this connection between the steps of one login. The server neither
    /// reads nor writes it.
    pub login: OnceLock<Arc<dyn Any + Send + Sync>>,
    /// The current request is ambiguously framed. Requests of an HTTP/1.1 connection never overlap.
    ambiguous: AtomicBool,
    /// An [`AbortCause`].
    abort_cause: AtomicU8,
}

/// Why a connection was closed while a request was in progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AbortCause {
    /// The client closed or reset the connection, or the HTTP/2 stream.
    #[default]
    Client,
    /// A body made no progress for `timeouts.body_idle`.
    Stalled,
    /// The drain deadline passed.
    Drained,
}

impl ConnInfo {
    /// Also for tests of services, without a server.
    pub const fn new(peer: SocketAddr, local: SocketAddr, listener: ListenerId, tls: bool) -> Self {
        Self {
            peer,
            local,
            listener,
            tls,
            proxies: None,
            connection: None,
            login: OnceLock::new(),
            ambiguous: AtomicBool::new(false),
            abort_cause: AtomicU8::new(AbortCause::Client as u8),
        }
    }

    /// The same connection, whose peer is one of these trusted proxies.
    pub(super) fn trusting(&self, proxies: &Arc<[IpNet]>) -> Self {
        Self {
            proxies: Some(Arc::clone(proxies)),
            ..Self::new(self.peer, self.local, self.listener, self.tls)
        }
    }

    /// The `ConnInfo` of a request: of another client, where a trusted proxy names one.
    ///
    /// It does not share `login`, because the next request of the connection may be of another
    /// client: a login of several steps cannot be completed through such a proxy.
    pub(super) fn of_request(self: Arc<Self>, headers: &HeaderMap) -> Arc<Self> {
        let Some(proxies) = &self.proxies else {
            return self;
        };
        let client = forwarded_for::client(headers, self.peer.ip(), proxies);
        if client == self.peer.ip() {
            return self;
        }
        Arc::new(Self {
            ambiguous: AtomicBool::new(self.is_ambiguous()),
            ..Self::new(
                SocketAddr::new(client, 0),
                self.local,
                self.listener,
                self.tls,
            )
            .on(self)
        })
    }

    fn on(mut self, connection: Arc<Self>) -> Self {
        self.connection = Some(connection);
        self
    }

    /// Why the connection was closed; valid once a request of it was given up.
    pub(crate) fn abort_cause(&self) -> AbortCause {
        if let Some(connection) = &self.connection {
            return connection.abort_cause();
        }
        let cause = self.abort_cause.load(Ordering::Relaxed);
        [AbortCause::Stalled, AbortCause::Drained]
            .into_iter()
            .find(|known| *known as u8 == cause)
            .unwrap_or_default()
    }

    pub(super) fn set_abort_cause(&self, cause: AbortCause) {
        self.abort_cause.store(cause as u8, Ordering::Relaxed);
    }

    pub(super) fn is_ambiguous(&self) -> bool {
        self.ambiguous.load(Ordering::Relaxed)
    }

    pub(super) fn set_ambiguous(&self, ambiguous: bool) {
        self.ambiguous.store(ambiguous, Ordering::Relaxed);
    }
}
