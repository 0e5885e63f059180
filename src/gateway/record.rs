//! Counting and logging what was answered, when its last byte has gone.
//!
//! In a request's way: around everything. The record goes with the answer's body and is written
//! when that is dropped, so that an aborted transfer is logged with the bytes that were sent.

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
    body::Body,
    refusal::Refusal,
    server::ConnInfo,
    telemetry::{
        access::{AccessLog, Entry},
        metrics::ConsoleMetrics,
    },
    upstream::http1::Fault,
};

/// Counts and logs one console's answers.
#[derive(Clone, Debug)]
pub struct Recorder(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    console: Arc<str>,
    metrics: ConsoleMetrics,
    log: AccessLog,
}

/// Who answered and when it was asked: an extension of an answer that came from a backend.
#[derive(Clone, Debug)]
pub struct AnsweredBy {
    /// `host:port`
    pub backend: Arc<str>,
    /// When the user was known.
    pub asked: Instant,
    /// From then to the head of the answer.
    pub waited: Duration,
}

/// What is noted when a request comes in.
#[derive(Debug)]
pub struct Begun {
    at: Instant,
    logged: Option<Box<Asked>>,
}

/// What only the access log needs.
#[derive(Debug)]
struct Asked {
    client: Option<Arc<ConnInfo>>,
    method: Method,
    uri: Uri,
    version: Version,
    request_id: Option<HeaderValue>,
    headers: HeaderMap,
}

/// A body that writes the access log's line when it ends.
#[derive(Debug)]
pub struct Recorded {
    body: Body,
    line: Option<Box<Line>>,
}

#[derive(Debug)]
struct Line {
    at: Instant,
    asked: Box<Asked>,
    session: Option<Arc<Session>>,
    answered: Option<AnsweredBy>,
    refusal: Option<Refusal>,
    status: StatusCode,
    bytes: u64,
    recorder: Recorder,
}

impl Recorder {
    /// A recorder for one console, or for what belongs to none (`""`).
    pub fn new(console: Arc<str>, log: AccessLog) -> Self {
        Self(Rc::new(Inner {
            metrics: ConsoleMetrics::new(&console),
            console,
            log,
        }))
    }

    /// Notes a request.
    pub fn begin(&self, parts: &Parts) -> Begun {
        let logged = self.0.log.is_on().then(|| {
            let mut headers = HeaderMap::new();
            for name in [header::REFERER, header::USER_AGENT] {
                if let Some(value) = parts.headers.get(&name) {
                    headers.insert(name, value.clone());
                }
            }
            let request_id = parts.extensions.get::<RequestId>();
            Box::new(Asked {
                client: parts.extensions.get().cloned(),
                method: parts.method.clone(),
                uri: parts.uri.clone(),
                version: parts.version,
                request_id: request_id.map(|id| id.header_value().clone()),
                headers,
            })
        });
        Begun {
            at: Instant::now(),
            logged,
        }
    }

    /// Counts the answer, and lets its body write the line.
    pub fn end(&self, begun: Begun, response: Response<Body>) -> Response<Recorded> {
        self.0.metrics.record(response.status(), begun.at.elapsed());
        let (mut parts, body) = response.into_parts();
        let line = begun.logged.map(|asked| {
            Box::new(Line {
                at: begun.at,
                asked,
                session: parts.extensions.remove(),
                answered: parts.extensions.remove(),
                refusal: parts.extensions.remove(),
                status: parts.status,
                bytes: 0,
                recorder: self.clone(),
            })
        });
        Response::from_parts(parts, Recorded { body, line })
    }
}

impl HttpBody for Recorded {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let (Poll::Ready(Some(Ok(frame))), Some(line)) = (&polled, &mut self.line)
            && let Some(data) = frame.data_ref()
        {
            line.bytes += data.len() as u64;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let Some(line) = self.line.take() else { return };
        let Some(client) = &line.asked.client else {
            return;
        };
        let Inner { console, log, .. } = &*line.recorder.0;
        let answered = line.answered.as_ref();
        let request_id = line.asked.request_id.as_ref();
        log.write(&Entry {
            request_id: request_id
                .and_then(|id| id.to_str().ok())
                .unwrap_or_default(),
            client: client.peer.ip(),
            user: line.session.as_ref().map_or("", |session| session.user()),
            console,
            backend: answered.map_or("", |by| &by.backend),
            method: &line.asked.method,
            path: line.asked.uri.path(),
            query: line.asked.uri.query(),
            version: line.asked.version,
            headers: &line.asked.headers,
            status: line.status,
            bytes: line.bytes,
            duration: line.at.elapsed(),
            auth: answered.map_or(Duration::ZERO, |by| by.asked.duration_since(line.at)),
            backend_wait: answered.map_or(Duration::ZERO, |by| by.waited),
            reason: line.refusal.map(Refusal::reason),
        });
    }
}
