//! The numbers: Prometheus metrics, rendered by the admin listener.
//!
//! Handles are fetched when a console is built, so that a request costs two additions. Labels are
//! bounded: consoles and backends of the configuration, words of our enums, never users or paths.

use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Gauge, Histogram, SetRecorderError, Unit};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use thiserror::Error;

/// Requests answered, by console and class of status (`2xx`).
pub(crate) const REQUESTS: &str = "spnegate_requests_total";
/// From a request's head to the end of its answer's head, by console.
pub(crate) const REQUEST_DURATION: &str = "spnegate_request_duration_seconds";
/// The gateway's own answers, by reason word.
pub(crate) const REFUSALS: &str = "spnegate_refusals_total";
/// Kerberos logins, by side (`client`, `backend`) and result.
pub(crate) const LOGINS: &str = "spnegate_logins_total";
/// 1 where a backend serves.
pub(crate) const BACKEND_UP: &str = "spnegate_backend_up";
/// 1 where a backend is the active one.
pub(crate) const BACKEND_ACTIVE: &str = "spnegate_backend_active";
/// Cached sessions.
pub(crate) const SESSIONS: &str = "spnegate_sessions";
/// 1 while the keytab is readable and holds what the configuration needs.
pub(crate) const KEYTAB_VALID: &str = "spnegate_keytab_valid";
/// 1 while every file of certificates, keys and trusted CAs that has changed can be used.
pub(crate) const TLS_VALID: &str = "spnegate_tls_valid";
/// Unix time at which a certificate in use towards clients ends, by its file.
pub(crate) const CERTIFICATE_END: &str = "spnegate_certificate_end_seconds";
/// 1 while the KDC gives tickets to a principal of the gateway.
pub(crate) const OWN_LOGIN_VALID: &str = "spnegate_own_login_valid";
/// Open client connections.
pub(crate) const CONNECTIONS: &str = "spnegate_connections";
/// Connections closed at once because `server.max_connections` was reached.
pub(crate) const CONNECTIONS_REFUSED: &str = "spnegate_connections_refused_total";
/// TLS handshakes that failed.
pub(crate) const TLS_FAILURES: &str = "spnegate_tls_failures_total";
/// Connections that were upgraded (WebSocket) and are open.
pub(crate) const TUNNELS: &str = "spnegate_tunnels";
/// Requests that wait for an active backend.
pub(crate) const HELD_REQUESTS: &str = "spnegate_held_requests";
/// Requests that wait for a place at a backend.
pub(crate) const QUEUED_REQUESTS: &str = "spnegate_queued_requests";
/// Access log lines that were dropped because the disk or pipe was too slow.
pub(crate) const ACCESS_LOG_DROPPED: &str = "spnegate_access_log_dropped_total";

/// Relayed connections, UDP flows and Kerberos exchanges, by stream and protocol.
pub(crate) const STREAM_CONNECTIONS: &str = "spnegate_stream_connections_total";
/// Those that are open.
pub(crate) const STREAM_OPEN: &str = "spnegate_stream_open";
/// Relayed bytes, by stream, protocol and direction (`in`: of clients).
pub(crate) const STREAM_BYTES: &str = "spnegate_stream_bytes_total";
/// Ends that were not the client's or server's own wish, by stream, protocol and reason.
pub(crate) const STREAM_ENDS: &str = "spnegate_stream_ends_total";
/// Datagrams that were not passed on: the buffers of the system were full, or a reply had no claim.
pub(crate) const STREAM_DROPPED: &str = "spnegate_stream_datagrams_dropped_total";
/// 1 where a server of a stream is up.
pub(crate) const STREAM_BACKEND_UP: &str = "spnegate_stream_backend_up";
/// Kerberos requests by stream and the number of KDCs that were asked (`1`, `2`, `3+`).
pub(crate) const KDC_REQUESTS: &str = "spnegate_stream_kdc_requests_total";

/// Upper bounds of the duration histogram, in seconds.
const BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// How often [`PrometheusHandle::run_upkeep`] has to be called: samples wait in memory until then.
pub(crate) const UPKEEP: Duration = Duration::from_secs(1);

/// Why the metrics could not be set up.
#[derive(Debug, Error)]
pub enum MetricsError {
    /// The exporter refused the fixed settings.
    #[error("the metrics exporter could not be built")]
    Build(#[from] BuildError),
    /// Metrics were set up before in this process.
    #[error("metrics are already set up")]
    Twice(#[from] SetRecorderError<PrometheusRecorder>),
}

/// Sets up the process's metrics; called once, before any handle is fetched.
///
/// # Errors
/// [`MetricsError`]
pub(crate) fn install() -> Result<PrometheusHandle, MetricsError> {
    let recorder = recorder()?;
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder)?;
    describe();
    Ok(handle)
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(REQUEST_DURATION.to_owned()), BUCKETS)?
        .build_recorder())
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(REQUESTS, Unit::Count, "Requests answered.");
    describe_histogram!(
        REQUEST_DURATION,
        Unit::Seconds,
        "Time to a request's answer."
    );
    describe_counter!(REFUSALS, Unit::Count, "Answers by the gateway itself.");
    describe_counter!(
        LOGINS,
        Unit::Count,
        "Kerberos logins of clients and at backends."
    );
    describe_gauge!(BACKEND_UP, Unit::Count, "1 where a backend serves.");
    describe_gauge!(
        BACKEND_ACTIVE,
        Unit::Count,
        "1 where a backend is the active one."
    );
    describe_gauge!(SESSIONS, Unit::Count, "Cached sessions.");
    describe_gauge!(KEYTAB_VALID, Unit::Count, "1 while the keytab is valid.");
    describe_gauge!(
        OWN_LOGIN_VALID,
        Unit::Count,
        "1 while the KDC gives tickets to a principal of the gateway."
    );
    describe_gauge!(TLS_VALID, Unit::Count, "1 while the TLS files are valid.");
    describe_gauge!(
        CERTIFICATE_END,
        Unit::Seconds,
        "When a certificate towards clients ends."
    );
    describe_gauge!(TUNNELS, Unit::Count, "Open upgraded connections.");
    describe_gauge!(CONNECTIONS, Unit::Count, "Open client connections.");
    describe_counter!(
        CONNECTIONS_REFUSED,
        Unit::Count,
        "Connections over the limit."
    );
    describe_counter!(TLS_FAILURES, Unit::Count, "TLS handshakes that failed.");
    describe_gauge!(
        HELD_REQUESTS,
        Unit::Count,
        "Requests waiting for an active backend."
    );
    describe_gauge!(
        QUEUED_REQUESTS,
        Unit::Count,
        "Requests waiting for a place at a backend."
    );
    describe_counter!(STREAM_CONNECTIONS, Unit::Count, "Relayed connections.");
    describe_gauge!(STREAM_OPEN, Unit::Count, "Open relayed connections.");
    describe_counter!(STREAM_BYTES, Unit::Bytes, "Relayed bytes.");
    describe_counter!(
        STREAM_ENDS,
        Unit::Count,
        "Relayed connections refused or cut."
    );
    describe_counter!(STREAM_DROPPED, Unit::Count, "Datagrams not passed on.");
    describe_gauge!(STREAM_BACKEND_UP, Unit::Count, "1 where a server is up.");
    describe_counter!(KDC_REQUESTS, Unit::Count, "Requests passed to KDCs.");
    describe_counter!(ACCESS_LOG_DROPPED, Unit::Count, "Access log lines dropped.");
}

/// Whose login it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// A client logged in to the gateway.
    Client,
    /// The gateway logged in to a backend.
    Backend,
}

impl Side {
    const fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Backend => "backend",
        }
    }
}

/// Counts a login; `result` is `ok` or a reason word.
pub(crate) fn login(side: Side, result: &'static str) {
    metrics::counter!(LOGINS, "side" => side.word(), "result" => result).increment(1);
}

/// Sets whether the KDC gives tickets to a principal of the gateway.
pub(crate) fn own_login(principal: &str, valid: bool) {
    metrics::gauge!(OWN_LOGIN_VALID, "principal" => principal.to_owned())
        .set(f64::from(u8::from(valid)));
}

/// A console's request metrics, with every handle fetched.
#[derive(Clone)]
pub(crate) struct ConsoleMetrics {
    /// `1xx` to `5xx`.
    classes: [Counter; 5],
    duration: Histogram,
}

impl ConsoleMetrics {
    /// The handles of a console.
    pub(crate) fn new(console: &str) -> Self {
        let class = |code: &'static str| metrics::counter!(REQUESTS, "console" => console.to_owned(), "code" => code);
        Self {
            classes: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(class),
            duration: metrics::histogram!(REQUEST_DURATION, "console" => console.to_owned()),
        }
    }

    /// Counts an answer.
    pub(crate) fn record(&self, status: StatusCode, took: Duration) {
        // StatusCode is 100 to 999; what is beyond 599 is as broken as a 5xx
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        if let Some(counter) = self.classes.get(class) {
            counter.increment(1);
        }
        self.duration.record(took.as_secs_f64());
    }
}

impl std::fmt::Debug for ConsoleMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsoleMetrics").finish_non_exhaustive()
    }
}

/// A backend's gauges.
#[derive(Clone)]
pub(crate) struct BackendMetrics {
    up: Gauge,
    active: Gauge,
}

impl BackendMetrics {
    /// The handles of a backend; `backend` is its URL.
    pub(crate) fn new(console: &str, backend: &str) -> Self {
        let labels = [
            ("console", console.to_owned()),
            ("backend", backend.to_owned()),
        ];
        Self {
            up: metrics::gauge!(BACKEND_UP, &labels),
            active: metrics::gauge!(BACKEND_ACTIVE, &labels),
        }
    }

    /// Sets both.
    pub(crate) fn set(&self, up: bool, active: bool) {
        self.up.set(f64::from(u8::from(up)));
        self.active.set(f64::from(u8::from(active)));
    }
}

impl std::fmt::Debug for BackendMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendMetrics").finish_non_exhaustive()
    }
}

/// The gauge of a stream's server.
#[derive(Clone)]
pub(crate) struct StreamBackendMetrics(Gauge);

impl StreamBackendMetrics {
    /// The handle of a server; `backend` is its `host:port`.
    pub(crate) fn new(stream: &str, backend: &str) -> Self {
        let labels = [
            ("stream", stream.to_owned()),
            ("backend", backend.to_owned()),
        ];
        Self(metrics::gauge!(STREAM_BACKEND_UP, &labels))
    }

    /// Sets it.
    pub(crate) fn set(&self, up: bool) {
        self.0.set(f64::from(u8::from(up)));
    }
}

impl std::fmt::Debug for StreamBackendMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamBackendMetrics")
            .finish_non_exhaustive()
    }
}

/// A stream's metrics of one protocol, with every handle fetched.
#[derive(Clone)]
pub(crate) struct StreamMetrics {
    /// Begun.
    pub connections: Counter,
    /// Open.
    pub open: Gauge,
    /// Of clients.
    pub bytes_in: Counter,
    /// Of servers.
    pub bytes_out: Counter,
    /// Not passed on.
    pub dropped: Counter,
    labels: [(&'static str, String); 2],
}

impl StreamMetrics {
    /// The handles of a stream.
    pub(crate) fn new(stream: &str, protocol: &'static str) -> Self {
        let labels = [
            ("stream", stream.to_owned()),
            ("protocol", protocol.to_owned()),
        ];
        let bytes = |direction: &'static str| metrics::counter!(STREAM_BYTES, "stream" => stream.to_owned(), "protocol" => protocol, "direction" => direction);
        Self {
            connections: metrics::counter!(STREAM_CONNECTIONS, &labels),
            open: metrics::gauge!(STREAM_OPEN, &labels),
            bytes_in: bytes("in"),
            bytes_out: bytes("out"),
            dropped: metrics::counter!(STREAM_DROPPED, &labels),
            labels,
        }
    }

    /// Counts an end; `reason` is a reason word.
    pub(crate) fn ended(&self, reason: &'static str) {
        let [(stream, name), (protocol, word)] = &self.labels;
        metrics::counter!(STREAM_ENDS, *stream => name.clone(), *protocol => word.clone(), "reason" => reason)
            .increment(1);
    }

    /// Counts a request that went to so many KDCs.
    pub(crate) fn kdc_request(&self, asked: usize) {
        let asked = match asked {
            0 => "0",
            1 => "1",
            2 => "2",
            _ => "3+",
        };
        let [(stream, name), (protocol, word)] = &self.labels;
        metrics::counter!(KDC_REQUESTS, *stream => name.clone(), *protocol => word.clone(), "kdcs" => asked)
            .increment(1);
    }
}

impl std::fmt::Debug for StreamMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamMetrics").finish_non_exhaustive()
    }
}

/// The number of cached sessions.
pub(crate) fn sessions() -> Gauge {
    metrics::gauge!(SESSIONS)
}

/// Whether the keytab is valid (1 or 0).
pub(crate) fn keytab_valid() -> Gauge {
    metrics::gauge!(KEYTAB_VALID)
}

/// Whether the files of certificates and keys are valid (1 or 0).
pub(crate) fn tls_valid() -> Gauge {
    metrics::gauge!(TLS_VALID)
}

/// When the certificate of that file ends, in Unix time.
pub(crate) fn certificate_end(file: &str) -> Gauge {
    metrics::gauge!(CERTIFICATE_END, "file" => file.to_owned())
}

/// Upgraded connections.
pub(crate) fn tunnels() -> Gauge {
    metrics::gauge!(TUNNELS)
}

/// Requests that wait for an active backend.
pub(crate) fn held_requests() -> Gauge {
    metrics::gauge!(HELD_REQUESTS)
}

/// Requests that wait for a place at a backend.
pub(crate) fn queued_requests() -> Gauge {
    metrics::gauge!(QUEUED_REQUESTS)
}

#[cfg(test)]
mod tests;
