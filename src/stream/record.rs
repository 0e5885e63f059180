//! What is told of each connection: metrics while it lasts, a line in the access log at its end.

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

/// Records the connections of one stream and protocol; every thread has its own clone.
#[derive(Clone, Debug)]
pub(crate) struct StreamRecorder {
    stream: Arc<str>,
    protocol: &'static str,
    /// The numbers.
    pub metrics: StreamMetrics,
    access: AccessLog,
}

/// One connection, flow or exchange; told of when it is dropped.
#[derive(Debug)]
pub(crate) struct StreamRecord<'r> {
    recorder: &'r StreamRecorder,
    /// The client; behind a balancer in front the one that it names.
    pub client: Cell<IpAddr>,
    backend: RefCell<Option<Arc<str>>>,
    bytes_in: Cell<u64>,
    bytes_out: Cell<u64>,
    begun: Instant,
    /// Why it ended, if not by itself.
    pub reason: Cell<Option<Reason>>,
}

// === impl StreamRecorder ===

impl StreamRecorder {
    /// A recorder.
    pub(crate) fn new(stream: Arc<str>, protocol: &'static str, access: AccessLog) -> Self {
        Self {
            metrics: StreamMetrics::new(&stream, protocol),
            stream,
            protocol,
            access,
        }
    }

    /// Begins a record.
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
    /// Bytes came from the client.
    pub(crate) fn came(&self, bytes: usize) {
        self.bytes_in.set(self.bytes_in.get() + bytes as u64);
        self.recorder.metrics.bytes_in.increment(bytes as u64);
    }

    /// Bytes went to the client.
    pub(crate) fn went(&self, bytes: usize) {
        self.bytes_out.set(self.bytes_out.get() + bytes as u64);
        self.recorder.metrics.bytes_out.increment(bytes as u64);
    }

    /// Who serves it.
    pub(crate) fn served_by(&self, backend: &Arc<str>) {
        *self.backend.borrow_mut() = Some(Arc::clone(backend));
    }

    /// It ends for this reason.
    pub(crate) fn end(&self, reason: Reason) {
        self.reason.set(Some(reason));
    }
}

impl Drop for StreamRecord<'_> {
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
