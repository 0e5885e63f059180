//! Prometheus metrics, which the admin listener renders.
//!
//! Handles are fetched when a console is built, so that a request costs two atomic additions. Labels
//! are bounded (consoles and backends of the configuration, words of enums), never users or paths:
//! each combination of labels is a time series that stays in memory. What each metric means is in its
//! help text, in `describe`.

use std::time::Duration;

use http::StatusCode;
use metrics::{
    Counter, Gauge, Histogram, SetRecorderError, Unit, describe_counter, describe_gauge,
    describe_histogram,
};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use thiserror::Error;

/// Responses, by console and class of status (`2xx`).
pub(crate) const REQUESTS: &str = "spnegate_requests_total";
/// From a request's head to the head of its response, by console.
pub(crate) const REQUEST_DURATION: &str = "spnegate_request_duration_seconds";
/// Requests that the gateway refused, by reason word.
pub(crate) const REFUSALS: &str = "spnegate_refusals_total";
/// Kerberos logins, by side (`client`, `backend`) and result.
pub(crate) const LOGINS: &str = "spnegate_logins_total";
pub(crate) const BACKEND_UP: &str = "spnegate_backend_up";
pub(crate) const BACKEND_ACTIVE: &str = "spnegate_backend_active";
pub(crate) const SESSIONS: &str = "spnegate_sessions";
pub(crate) const KEYTAB_VALID: &str = "spnegate_keytab_valid";
/// 1 while all files of certificates, keys and trusted CAs could be loaded when they last changed.
pub(crate) const TLS_VALID: &str = "spnegate_tls_valid";
/// Unix time at which a server certificate expires, by its file.
pub(crate) const CERTIFICATE_END: &str = "spnegate_certificate_end_seconds";
pub(crate) const OWN_LOGIN_VALID: &str = "spnegate_own_login_valid";
pub(crate) const CONNECTIONS: &str = "spnegate_connections";
pub(crate) const CONNECTIONS_REFUSED: &str = "spnegate_connections_refused_total";
pub(crate) const TLS_FAILURES: &str = "spnegate_tls_failures_total";
pub(crate) const TUNNELS: &str = "spnegate_tunnels";
pub(crate) const HELD_REQUESTS: &str = "spnegate_held_requests";
pub(crate) const QUEUED_REQUESTS: &str = "spnegate_queued_requests";
pub(crate) const ACCESS_LOG_DROPPED: &str = "spnegate_access_log_dropped_total";

/// Relayed connections, UDP flows and Kerberos exchanges, by stream and protocol.
pub(crate) const STREAM_CONNECTIONS: &str = "spnegate_stream_connections_total";
/// Relayed connections and UDP flows that are open, by stream and protocol.
pub(crate) const STREAM_OPEN: &str = "spnegate_stream_open";
/// Relayed bytes, by stream, protocol and direction (`in`: from clients).
pub(crate) const STREAM_BYTES: &str = "spnegate_stream_bytes_total";
/// Relayed connections that neither client nor server closed, by stream, protocol and reason.
pub(crate) const STREAM_ENDS: &str = "spnegate_stream_ends_total";
/// Datagrams that were dropped: a system buffer was full, or a response exceeded `udp_responses`.
pub(crate) const STREAM_DROPPED: &str = "spnegate_stream_datagrams_dropped_total";
pub(crate) const STREAM_BACKEND_UP: &str = "spnegate_stream_backend_up";
/// Kerberos requests, by stream and number of KDCs that were tried (`1`, `2`, `3+`).
pub(crate) const KDC_REQUESTS: &str = "spnegate_stream_kdc_requests_total";

/// Upper bounds of the duration histogram, in seconds.
const BUCKETS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// How often [`PrometheusHandle::run_upkeep`] has to be called: samples of histograms stay in memory
/// until then.
pub(crate) const UPKEEP: Duration = Duration::from_secs(1);

/// Why the metrics could not be set up.
#[derive(Debug, Error)]
pub enum MetricsError {
    /// The exporter refused its settings.
    #[error("cannot set up the metrics exporter")]
    Build(#[from] BuildError),
    /// Metrics were set up before in this process.
    #[error("metrics are already set up")]
    Twice(#[from] SetRecorderError<PrometheusRecorder>),
}

/// Sets up the metrics of the process. Called once, before any handle is fetched.
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
        // Without buckets the exporter makes a summary, whose quantiles cannot be added up over
        // replicas.
        .set_buckets_for_metric(Matcher::Full(REQUEST_DURATION.to_owned()), BUCKETS)?
        .build_recorder())
}

fn describe() {
    describe_counter!(
        REQUESTS,
        Unit::Count,
        "Responses sent to clients, by console and class of status."
    );
    describe_histogram!(
        REQUEST_DURATION,
        Unit::Seconds,
        "Time from the head of a request to the head of its response."
    );
    describe_counter!(
        REFUSALS,
        Unit::Count,
        "Requests that the gateway refused, by reason."
    );
    describe_counter!(
        LOGINS,
        Unit::Count,
        "Kerberos logins of clients at the gateway and of the gateway at backends, by result."
    );
    describe_gauge!(
        BACKEND_UP,
        Unit::Count,
        "1 if the backend can serve requests, else 0."
    );
    describe_gauge!(
        BACKEND_ACTIVE,
        Unit::Count,
        "1 if the backend is the active one of its console, else 0."
    );
    describe_gauge!(SESSIONS, Unit::Count, "Sessions in the cache.");
    describe_gauge!(
        KEYTAB_VALID,
        Unit::Count,
        "1 while the keytab is readable and has the required keys, else 0."
    );
    describe_gauge!(
        OWN_LOGIN_VALID,
        Unit::Count,
        "1 while the KDC issues tickets to a principal of the gateway, else 0."
    );
    describe_gauge!(
        TLS_VALID,
        Unit::Count,
        "1 while all certificate and key files could be loaded, else 0."
    );
    describe_gauge!(
        CERTIFICATE_END,
        Unit::Seconds,
        "Unix time at which the server certificate expires."
    );
    describe_gauge!(
        TUNNELS,
        Unit::Count,
        "Open upgraded connections (WebSocket)."
    );
    describe_gauge!(CONNECTIONS, Unit::Count, "Open client connections.");
    describe_counter!(
        CONNECTIONS_REFUSED,
        Unit::Count,
        "Client connections refused because of server.max_connections."
    );
    describe_counter!(
        TLS_FAILURES,
        Unit::Count,
        "TLS handshakes with clients that failed."
    );
    describe_gauge!(
        HELD_REQUESTS,
        Unit::Count,
        "Requests waiting for an active backend."
    );
    describe_gauge!(
        QUEUED_REQUESTS,
        Unit::Count,
        "Requests waiting because their backends are at max_connections."
    );
    describe_counter!(
        ACCESS_LOG_DROPPED,
        Unit::Count,
        "Access log lines dropped because the disk or pipe was too slow."
    );
    describe_streams();
}

fn describe_streams() {
    describe_counter!(
        STREAM_CONNECTIONS,
        Unit::Count,
        "Relayed connections, UDP flows and Kerberos exchanges."
    );
    describe_gauge!(
        STREAM_OPEN,
        Unit::Count,
        "Open relayed connections and UDP flows."
    );
    describe_counter!(STREAM_BYTES, Unit::Bytes, "Relayed bytes, by direction.");
    describe_counter!(
        STREAM_ENDS,
        Unit::Count,
        "Relayed connections that the gateway refused or closed, by reason."
    );
    describe_counter!(STREAM_DROPPED, Unit::Count, "Datagrams dropped.");
    describe_gauge!(
        STREAM_BACKEND_UP,
        Unit::Count,
        "1 if the server of a stream is up, else 0."
    );
    describe_counter!(
        KDC_REQUESTS,
        Unit::Count,
        "Kerberos requests, by the number of KDCs tried."
    );
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoginSide {
    /// A client, to the gateway.
    Client,
    /// The gateway, to a backend.
    Backend,
}

impl LoginSide {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Backend => "backend",
        }
    }
}

/// Counts a login; `result` is `ok` or a reason word.
pub(crate) fn login(side: LoginSide, result: &'static str) {
    metrics::counter!(LOGINS, "side" => side.as_str(), "result" => result).increment(1);
}

pub(crate) fn own_login(principal: &str, valid: bool) {
    // No handle is kept: this runs once per second, for a few principals.
    metrics::gauge!(OWN_LOGIN_VALID, "principal" => principal.to_owned())
        .set(f64::from(u8::from(valid)));
}

/// The handles of a console's request metrics.
#[derive(Clone, Debug)]
pub(crate) struct ConsoleMetrics {
    /// From `1xx` to `5xx`.
    classes: [Counter; 5],
    duration: Histogram,
}

impl ConsoleMetrics {
    pub(crate) fn new(console: &str) -> Self {
        let class = |code: &'static str| metrics::counter!(REQUESTS, "console" => console.to_owned(), "code" => code);
        Self {
            classes: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(class),
            duration: metrics::histogram!(REQUEST_DURATION, "console" => console.to_owned()),
        }
    }

    pub(crate) fn record(&self, status: StatusCode, took: Duration) {
        // http::StatusCode allows up to 999; those above 599 are counted as 5xx.
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        if let Some(counter) = self.classes.get(class) {
            counter.increment(1);
        }
        self.duration.record(took.as_secs_f64());
    }
}

#[derive(Clone, Debug)]
pub(crate) struct BackendMetrics {
    up: Gauge,
    active: Gauge,
}

impl BackendMetrics {
    /// `backend` is its URL.
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

    pub(crate) fn set(&self, up: bool, active: bool) {
        self.up.set(f64::from(u8::from(up)));
        self.active.set(f64::from(u8::from(active)));
    }
}

#[derive(Clone, Debug)]
pub(crate) struct StreamBackendMetrics(Gauge);

impl StreamBackendMetrics {
    /// `backend` is its `host:port`.
    pub(crate) fn new(stream: &str, backend: &str) -> Self {
        let labels = [
            ("stream", stream.to_owned()),
            ("backend", backend.to_owned()),
        ];
        Self(metrics::gauge!(STREAM_BACKEND_UP, &labels))
    }

    pub(crate) fn set(&self, up: bool) {
        self.0.set(f64::from(u8::from(up)));
    }
}

/// The handles of a stream's metrics for one protocol.
#[derive(Clone, Debug)]
pub(crate) struct StreamMetrics {
    pub connections: Counter,
    pub open: Gauge,
    /// From clients.
    pub bytes_in: Counter,
    /// From servers.
    pub bytes_out: Counter,
    /// Datagrams.
    pub dropped: Counter,
    labels: [(&'static str, String); 2],
}

impl StreamMetrics {
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

    /// Counts a connection that the gateway ended; `reason` is a reason word.
    pub(crate) fn ended(&self, reason: &'static str) {
        // The reason is one more label, so the handle is looked up. Connections that end normally
        // do not come here.
        let [(stream, name), (protocol, word)] = &self.labels;
        metrics::counter!(STREAM_ENDS, *stream => name.clone(), *protocol => word.clone(), "reason" => reason)
            .increment(1);
    }

    /// Counts a request for which this many KDCs were tried.
    pub(crate) fn kdc_request(&self, tried: usize) {
        // Three words at most, because each value of a label is a time series of its own.
        let tried = match tried {
            0 => "0",
            1 => "1",
            2 => "2",
            _ => "3+",
        };
        let [(stream, name), (protocol, word)] = &self.labels;
        metrics::counter!(KDC_REQUESTS, *stream => name.clone(), *protocol => word.clone(), "kdcs" => tried)
            .increment(1);
    }
}

pub(crate) fn sessions() -> Gauge {
    metrics::gauge!(SESSIONS)
}

pub(crate) fn keytab_valid() -> Gauge {
    metrics::gauge!(KEYTAB_VALID)
}

pub(crate) fn tls_valid() -> Gauge {
    metrics::gauge!(TLS_VALID)
}

pub(crate) fn certificate_end(file: &str) -> Gauge {
    metrics::gauge!(CERTIFICATE_END, "file" => file.to_owned())
}

pub(crate) fn tunnels() -> Gauge {
    metrics::gauge!(TUNNELS)
}

pub(crate) fn held_requests() -> Gauge {
    metrics::gauge!(HELD_REQUESTS)
}

pub(crate) fn queued_requests() -> Gauge {
    metrics::gauge!(QUEUED_REQUESTS)
}

#[cfg(test)]
mod tests;
