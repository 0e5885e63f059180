//! Metrics of each connection while it is open, and a line in the access log at its end.

use std::{
    cell::{Cell, RefCell},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};

use super::Reason;
use crate::telemetry::{
    access::{AccessLog, StreamEntry},
    metrics::StreamMetrics,
};

/// Records the connections of one stream and protocol. Every thread has its own clone.
#[derive(Clone, Debug)]
pub(crate) struct StreamRecorder {
    stream: Arc<str>,
    protocol: &'static str,
    pub metrics: StreamMetrics,
    access: AccessLog,
}

/// One connection, flow or exchange. Logged on drop.
#[derive(Debug)]
pub(crate) struct StreamRecord<'r> {
    recorder: &'r StreamRecorder,
    /// The client; behind a load balancer the address from the PROXY header.
    pub client: Cell<IpAddr>,
    backend: RefCell<Option<Arc<str>>>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
    begun: Instant,
    /// Why it ended, unless client or server ended it normally.
    pub reason: Cell<Option<Reason>>,
}

// === impl StreamRecorder ===

impl StreamRecorder {
    pub(crate) fn new(stream: Arc<str>, protocol: &'static str, access: AccessLog) -> Self {
        Self {
            metrics: StreamMetrics::new(&stream, protocol),
            stream,
            protocol,
            access,
        }
    }

    pub(crate) fn begin(&self, client: SocketAddr) -> StreamRecord<'_> {
        self.metrics.connections.increment(1);
        self.metrics.open.increment(1);
        StreamRecord {
            recorder: self,
            client: Cell::new(client.ip().to_canonical()),
            backend: RefCell::default(),
            bytes_in: Cell::default(),
            bytes_out: Cell::default(),
            begun: Instant::now(),
            reason: Cell::default(),
        }
    }
}

// === impl StreamRecord ===

impl StreamRecord<'_> {
    /// Counts bytes from the client.
    pub(crate) fn received(&self, bytes: usize) {
        // Counted immediately in the metric: a connection may be open for days before it is logged.
        self.bytes_in.set(self.bytes_in.get() + bytes as u64);
        self.recorder.metrics.bytes_in.increment(bytes as u64);
    }

    /// Counts bytes to the client.
    pub(crate) fn sent(&self, bytes: usize) {
        self.bytes_out.set(self.bytes_out.get() + bytes as u64);
        self.recorder.metrics.bytes_out.increment(bytes as u64);
    }

    pub(crate) fn served_by(&self, backend: &Arc<str>) {
        *self.backend.borrow_mut() = Some(Arc::clone(backend));
    }

    pub(crate) fn end(&self, reason: Reason) {
        self.reason.set(Some(reason));
    }
}

impl Drop for StreamRecord<'_> {
    // On drop, so that a connection whose task is cancelled has a line and leaves the gauge too.
    fn drop(&mut self) {
        let StreamRecorder {
            stream,
            protocol,
            metrics,
            access,
        } = self.recorder;
        metrics.open.decrement(1);
        let reason = self.reason.get().map(Reason::as_str);
        if let Some(reason) = reason {
            metrics.ended(reason);
        }
        let backend = self.backend.take();
        access.write_stream(&StreamEntry {
            client: self.client.get(),
            stream,
            protocol,
            backend: backend.as_deref().unwrap_or_default(),
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            duration: self.begun.elapsed(),
            reason,
        });
    }
}
