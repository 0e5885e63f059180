//! Counting and logging what was answered, when its last byte has gone.
//!
//! In a request's way: around everything. The record goes with the answer's body and is written
//! when that is dropped, so that an aborted transfer is logged with the bytes that were sent.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, Uri, header, request::Parts};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tower_http::request_id::RequestId;

use super::forward::AnsweredBy;
use crate::{
    auth::session::Session,
    body::Body,
    refusal::Refusal,
    server::ConnInfo,
    telemetry::{
        access::{AccessLog, Entry},
        metrics::ConsoleMetrics,
    },
};

/// Counts and logs one console's answers.
#[derive(Clone, Debug)]
pub struct Recorder {
    console: Arc<str>,
    metrics: ConsoleMetrics,
    log: AccessLog,
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
    request_id: Option<HeaderValue>,
    referer: Option<HeaderValue>,
    user_agent: Option<HeaderValue>,
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
    console: Arc<str>,
    session: Option<Arc<Session>>,
    backend: Option<AnsweredBy>,
    refused: Option<Refusal>,
    status: u16,
    bytes: u64,
    log: AccessLog,
}

impl Recorder {
    /// A recorder for one console, or for what belongs to none (`""`).
    pub fn new(console: Arc<str>, log: AccessLog) -> Self {
        Self {
            metrics: ConsoleMetrics::new(&console),
            console,
            log,
        }
    }

    /// Notes a request.
    pub fn begin(&self, parts: &Parts) -> Begun {
        let logged = self.log.is_on().then(|| {
            Box::new(Asked {
                client: parts.extensions.get().cloned(),
                method: parts.method.clone(),
                uri: parts.uri.clone(),
                request_id: parts
                    .extensions
                    .get::<RequestId>()
                    .map(|id| id.header_value().clone()),
                referer: parts.headers.get(header::REFERER).cloned(),
                user_agent: parts.headers.get(header::USER_AGENT).cloned(),
            })
        });
        Begun {
            at: Instant::now(),
            logged,
        }
    }

    /// Counts the answer, and lets its body write the line.
    pub fn end(&self, begun: Begun, response: Response<Body>) -> Response<Recorded> {
        self.metrics.record(response.status(), begun.at.elapsed());
        let (mut parts, body) = response.into_parts();
        let line = begun.logged.map(|asked| {
            Box::new(Line {
                at: begun.at,
                asked,
                console: Arc::clone(&self.console),
                session: parts.extensions.remove(),
                backend: parts.extensions.remove(),
                refused: parts.extensions.remove(),
                status: parts.status.as_u16(),
                bytes: 0,
                log: self.log.clone(),
            })
        });
        Response::from_parts(parts, Recorded { body, line })
    }
}

impl HttpBody for Recorded {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
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
        line.log.write(&Entry {
            peer: line.asked.client.as_ref().map(|info| info.peer),
            user: line.session.as_ref().map(|session| session.user()),
            method: line.asked.method.as_str(),
            uri: &line.asked.uri,
            status: line.status,
            bytes: line.bytes,
            duration: line.at.elapsed(),
            console: &line.console,
            backend: line.backend.as_ref().map(|backend| &*backend.0),
            reason: line.refused.map(Refusal::reason),
            request_id: line.asked.request_id.as_ref(),
            referer: line.asked.referer.as_ref(),
            user_agent: line.asked.user_agent.as_ref(),
        });
    }
}
