//! The state of one stream on one thread.

use std::{cell::Cell, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use ipnet::IpNet;
use tokio::sync::Notify;

use super::{
    Reason, StreamGroup,
    limits::{StreamLimits, StreamPermit},
    record::{StreamRecord, StreamRecorder},
};
use crate::{net::sources::contains, stream::options::StreamKind};

#[derive(Debug)]
pub(super) struct Relay {
    pub(super) kind: StreamKind,
    pub(super) group: Arc<StreamGroup>,
    pub(super) allow: Option<Arc<[IpNet]>>,
    pub(super) accept_proxy: Option<Arc<[IpNet]>>,
    pub(super) idle: Duration,
    pub(super) udp_idle: Duration,
    pub(super) udp_responses: Option<u32>,
    /// Timeout of a TCP connect.
    pub(super) connect: Duration,
    /// Timeout for a PROXY header, or a message to a KDC, to arrive.
    pub(super) head: Duration,
    pub(super) tcp_limits: Arc<StreamLimits>,
    pub(super) udp_limits: Arc<StreamLimits>,
    pub(super) tcp: StreamRecorder,
    pub(super) udp: StreamRecorder,
    pub(super) live: Rc<LiveConnections>,
}

/// The connections and exchanges of one thread, which a drain waits for.
#[derive(Debug, Default)]
pub(super) struct LiveConnections {
    count: Cell<usize>,
    finished: Cell<usize>,
    /// Notified when the last one ends.
    pub(super) emptied: Notify,
    /// Notified at the end of a drain: those that are left are reset.
    pub(super) cut: Notify,
    drains: Cell<bool>,
    drain: Notify,
}

/// Counts one connection or exchange until it is dropped.
#[derive(Debug)]
pub(super) struct LiveGuard(Rc<LiveConnections>);

// === impl Relay ===

impl Relay {
    /// Checks `allow` and takes a slot within the limits.
    pub(super) fn admit(
        &self,
        source: SocketAddr,
        limits: &Arc<StreamLimits>,
    ) -> Result<StreamPermit, Reason> {
        let source = source.ip().to_canonical();
        if let Some(allow) = &self.allow
            && !contains(allow, source)
        {
            return Err(Reason::SourceDenied);
        }
        limits.admit(source)
    }
}

// === impl LiveConnections ===

impl LiveConnections {
    pub(super) fn enter(self: &Rc<Self>) -> LiveGuard {
        self.count.set(self.count.get() + 1);
        LiveGuard(Rc::clone(self))
    }

    pub(super) fn count(&self) -> usize {
        self.count.get()
    }

    /// From now on, connections end when no request is in progress.
    pub(super) fn begin_to_drain(&self) {
        self.finished.set(0);
        self.drains.set(true);
        self.drain.notify_waiters();
    }

    /// Waits for [`LiveConnections::begin_to_drain`].
    pub(super) async fn draining(&self) {
        let drain = self.drain.notified();
        if !self.drains.get() {
            drain.await;
        }
    }

    /// The number that has ended since the drain began.
    pub(super) fn finished(&self) -> usize {
        self.finished.get()
    }
}

impl Drop for LiveGuard {
    fn drop(&mut self) {
        let live = &self.0;
        live.count.set(live.count.get() - 1);
        live.finished.set(live.finished.get() + 1);
        // `notify_one` keeps a permit if nobody waits yet, so a drain that begins later does not miss it.
        if live.count.get() == 0 {
            live.emptied.notify_one();
        }
    }
}

/// Records a refused datagram, which has no connection.
pub(super) fn refuse(recorder: &StreamRecorder, client: SocketAddr, reason: Reason) {
    let record: StreamRecord<'_> = recorder.begin(client);
    record.end(reason);
}
