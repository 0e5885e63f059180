//! Counts and logs every response when its last byte has been sent.
//!
//! On the request path: around everything. The record travels with the body of the response and is
//! written when the body is dropped. So an aborted transfer is logged with the bytes that were sent and
//! with how it ended: the body knows whether it was waiting for the backend, and the connection
//! ([`ConnInfo::abort_cause`]) why it was given up. A request that is given up before its response has a
//! line as well.

use std::{
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, Version, header, request::Parts,
};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tower_http::request_id::RequestId;

use crate::{
    auth::session::Session,
    gateway::body::Body,
    refusal::Refusal,
    server::{AbortCause, ConnInfo},
    telemetry::{
        access::{AccessEntry, AccessLog, Ending},
        metrics::ConsoleMetrics,
    },
    upstream::http1::Http1Error,
};

/// Counts and logs the responses of one console.
#[derive(Clone, Debug)]
pub(crate) struct Recorder(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    console: Arc<str>,
    metrics: ConsoleMetrics,
    log: AccessLog,
}

/// Which backend responded, and when: an extension of the response.
#[derive(Clone, Debug)]
pub(crate) struct ServedBy {
    /// `host:port`
    pub backend: Arc<str>,
    /// When the login was complete.
    pub started: Instant,
    /// From then to the head of the response.
    pub waited: Duration,
}

/// Noted when a request arrives.
#[derive(Debug)]
pub(crate) struct PendingRecord {
    at: Instant,
    // Boxed and only with a log: this value is part of every request's future.
    logged: Option<Box<LoggedRequest>>,
}

/// The parts of a request that only the access log needs.
#[derive(Debug)]
struct LoggedRequest {
    client: Option<Arc<ConnInfo>>,
    method: Method,
    uri: Uri,
    version: Version,
    request_id: Option<HeaderValue>,
    headers: HeaderMap,
}

/// A body that writes the access log's line when it ends.
#[derive(Debug)]
pub(crate) struct RecordedBody {
    body: Body,
    line: Option<Box<LogLine>>,
    progress: BodyProgress,
}

/// How far a body has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyProgress {
    /// The last frame was given to the connection, so the client is slow if anybody is.
    Given,
    /// Nothing was there when the connection polled, so the backend is slow if anybody is.
    Awaited,
    /// The end was read.
    Whole,
    /// The backend broke off the response.
    Broken,
}

/// The status in the log of a request whose client went away before the response; nginx's number.
const CLIENT_CLOSED_REQUEST: u16 = 499;

#[derive(Debug)]
struct LogLine {
    at: Instant,
    request: Box<LoggedRequest>,
    session: Option<Arc<Session>>,
    served_by: Option<ServedBy>,
    refusal: Option<Refusal>,
    status: StatusCode,
    bytes: u64,
    head: Duration,
    recorder: Recorder,
}

impl PendingRecord {
    /// Whether a line is to be written for a request by HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        let request = self.logged.as_ref();
        request.is_some_and(|request| request.version == Version::HTTP_2)
    }
}

impl Recorder {
    /// `console` is empty for requests that belong to none.
    pub(crate) fn new(console: Arc<str>, log: AccessLog) -> Self {
        Self(Rc::new(Inner {
            metrics: ConsoleMetrics::new(&console),
            console,
            log,
        }))
    }

    pub(crate) fn begin(&self, parts: &Parts) -> PendingRecord {
        let logged = self.0.log.is_on().then(|| {
            // Only those of the combined format: the request's headers go to the backend and are gone
            // when the line is written.
            let mut headers = HeaderMap::new();
            for name in [header::REFERER, header::USER_AGENT] {
                if let Some(value) = parts.headers.get(&name) {
                    headers.insert(name, value.clone());
                }
            }
            let request_id = parts.extensions.get::<RequestId>();
            Box::new(LoggedRequest {
                client: parts.extensions.get().cloned(),
                method: parts.method.clone(),
                uri: parts.uri.clone(),
                version: parts.version,
                request_id: request_id.map(|id| id.header_value().clone()),
                headers,
            })
        });
        PendingRecord {
            at: Instant::now(),
            logged,
        }
    }

    /// Counts the response; its body will write the line.
    pub(crate) fn end(
        &self,
        pending: PendingRecord,
        response: Response<Body>,
    ) -> Response<RecordedBody> {
        let head = pending.at.elapsed();
        self.0.metrics.record(response.status(), head);
        let (mut parts, body) = response.into_parts();
        let line = pending.logged.map(|request| {
            Box::new(LogLine {
                at: pending.at,
                request,
                // Each layer leaves in the extensions what it knows: the SPNEGO layer the session,
                // `forward` the backend, a refusal its reason.
                session: parts.extensions.remove(),
                served_by: parts.extensions.remove(),
                refusal: parts.extensions.remove(),
                status: parts.status,
                bytes: 0,
                head,
                recorder: self.clone(),
            })
        });
        let body = RecordedBody {
            body,
            line,
            progress: BodyProgress::Given,
        };
        Response::from_parts(parts, body)
    }

    /// Logs a request that was given up before its response.
    pub(crate) fn abandon(&self, pending: PendingRecord) {
        // Not counted in the metric: no response of this status was sent.
        let Some(request) = pending.logged else {
            return;
        };
        let cut = request
            .client
            .as_ref()
            .map_or(AbortCause::Client, |info| info.abort_cause());
        let (status, refusal, end) = match cut {
            AbortCause::Client => {
                let status = StatusCode::from_u16(CLIENT_CLOSED_REQUEST);
                let status = status.unwrap_or(StatusCode::BAD_REQUEST);
                (status, None, Ending::ClientClosed)
            }
            AbortCause::Stalled => {
                let refusal = Refusal::BodyTimeout;
                (refusal.status(), Some(refusal), Ending::ClientStalled)
            }
            AbortCause::Drained => {
                let refusal = Refusal::Draining;
                (refusal.status(), Some(refusal), Ending::Drained)
            }
        };
        let head = pending.at.elapsed();
        let line = LogLine {
            at: pending.at,
            request,
            session: None,
            served_by: None,
            refusal,
            status,
            bytes: 0,
            head,
            recorder: self.clone(),
        };
        line.write(Some(end));
    }
}

impl LogLine {
    fn write(&self, end: Option<Ending>) {
        let Some(client) = &self.request.client else {
            return;
        };
        let Inner { console, log, .. } = &*self.recorder.0;
        let served_by = self.served_by.as_ref();
        let request_id = self.request.request_id.as_ref();
        log.write(&AccessEntry {
            request_id: request_id
                .and_then(|id| id.to_str().ok())
                .unwrap_or_default(),
            client: client.peer.ip(),
            user: self.session.as_ref().map_or("", |session| session.user()),
            console,
            backend: served_by.map_or("", |by| &by.backend),
            method: Some(&self.request.method),
            path: self.request.uri.path(),
            query: self.request.uri.query(),
            version: self.request.version,
            headers: &self.request.headers,
            status: self.status,
            bytes: self.bytes,
            duration: self.at.elapsed(),
            head: self.head,
            auth: served_by.map_or(Duration::ZERO, |by| by.started.duration_since(self.at)),
            backend_wait: served_by.map_or(Duration::ZERO, |by| by.waited),
            reason: self.refusal.map(Refusal::reason),
            end,
        });
    }
}

impl HttpBody for RecordedBody {
    type Data = Bytes;
    type Error = Http1Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Http1Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.progress = match &polled {
            Poll::Pending => BodyProgress::Awaited,
            Poll::Ready(None) => BodyProgress::Whole,
            Poll::Ready(Some(Err(_))) => BodyProgress::Broken,
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(data), Some(line)) = (frame.data_ref(), &mut self.line) {
                    line.bytes += data.len() as u64;
                }
                BodyProgress::Given
            }
        };
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl RecordedBody {
    /// How the body ended. Called when it is dropped.
    fn ending(&self, line: &LogLine) -> Option<Ending> {
        let awaited = match self.progress {
            BodyProgress::Whole => return None,
            BodyProgress::Broken => return Some(Ending::BackendBroken),
            // A body that says that it has ended is not polled again, so the end was never read.
            BodyProgress::Given | BodyProgress::Awaited if self.body.is_end_stream() => {
                return None;
            }
            BodyProgress::Given => false,
            BodyProgress::Awaited => true,
        };
        let client = line.request.client.as_ref();
        Some(
            match client.map_or(AbortCause::Client, |info| info.abort_cause()) {
                AbortCause::Client => Ending::ClientClosed,
                AbortCause::Stalled if awaited => Ending::BackendStalled,
                AbortCause::Stalled => Ending::ClientStalled,
                AbortCause::Drained => Ending::Drained,
            },
        )
    }
}

impl Drop for RecordedBody {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            line.write(self.ending(&line));
        }
    }
}
