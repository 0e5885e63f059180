//! `/KdcProxy` (MS-KKDCP): Kerberos for clients that can reach only HTTPS.
//!
//! It needs no login, because its clients are about to get the ticket for one. Every request is
//! therefore limited in size, in number (of all clients and of each source) and in time: `timeouts.head`
//! for its body, and the limits of [`exchange::send`] for the KDCs. Only configured realms are served, by
//! their configured KDCs; a name that a client sends is never looked up in the DNS (CVE-2025-59088). A
//! failure is a `KRB-ERROR` in a response with status 200, which Kerberos clients understand.

use std::{fmt, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, Version, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use ipnet::IpNet;
use tokio::time::timeout;

use crate::{
    gateway::body::Body,
    net::sources,
    server::{ConnInfo, RequestBody},
    stream::{
        Reason, StreamGroup, StreamLimits,
        kdc::{
            exchange::{self, Transport},
            kkdcp,
            message::{self, KdcRequest, KrbErrorCode},
        },
        record::{StreamRecord, StreamRecorder},
        source_key,
    },
    telemetry::access::AccessLog,
};

/// The path, compared without case, and with or without a final slash, as policies of Windows write it.
pub(crate) const PATH: &str = "/KdcProxy";
/// Concurrent requests of all realms and workers: each may hold [`kkdcp::MAX_BODY`] bytes without a login.
const MAX_REQUESTS: usize = 512;
/// The same for one source address, so that one client cannot use all of it.
const MAX_PER_SOURCE: usize = MAX_REQUESTS / 2;
const MEDIA: HeaderValue = HeaderValue::from_static("application/kerberos");

/// A realm that is served.
#[derive(Debug)]
pub(crate) struct ProxiedRealm {
    pub name: Arc<str>,
    /// Networks of the clients; `None`: all. The listener may be open to more.
    pub allow_from: Option<Arc<[IpNet]>>,
    pub kdcs: Arc<StreamGroup>,
    /// The servers for password changes (RFC 3244).
    pub kpasswd: Option<Arc<StreamGroup>>,
}

/// The KDC proxy of one listener on one worker.
#[derive(Clone)]
pub(crate) struct KdcProxy(Rc<Inner>);

struct Inner {
    realms: Vec<ProxiedRealm>,
    within: KdcProxyTimeouts,
    limits: Arc<StreamLimits>,
    recorder: StreamRecorder,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct KdcProxyTimeouts {
    /// Of a connect to a KDC.
    pub connect: Duration,
    /// For the body of a request to arrive.
    pub body: Duration,
}

/// The limits that all KDC proxies of the process share.
pub(crate) fn limits() -> Arc<StreamLimits> {
    Arc::new(StreamLimits::new(MAX_REQUESTS, Some(MAX_PER_SOURCE)))
}

enum ProxyResponse {
    /// A Kerberos message.
    Kerberos(Vec<u8>),
    /// For a request that no Kerberos client has sent.
    Http(StatusCode, &'static str),
}

// === impl KdcProxy ===

impl KdcProxy {
    pub(crate) fn new(
        realms: Vec<ProxiedRealm>,
        within: KdcProxyTimeouts,
        limits: Arc<StreamLimits>,
    ) -> Self {
        // No log here, because the HTTP request is in the access log already.
        let recorder = StreamRecorder::new("kdc_proxy".into(), "kkdcp", AccessLog::off());
        Self(Rc::new(Inner {
            realms,
            within,
            limits,
            recorder,
        }))
    }

    pub(crate) fn is_kdc_proxy_path(parts: &Parts) -> bool {
        let path = parts.uri.path();
        path.strip_suffix('/')
            .unwrap_or(path)
            .eq_ignore_ascii_case(PATH)
    }

    pub(crate) async fn respond(self, parts: Parts, body: RequestBody) -> Response<Body> {
        let client = parts.extensions.get::<Arc<ConnInfo>>();
        let client = client.map_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)), |info| info.peer);
        let record = self.0.recorder.begin(client);
        let outcome = self.0.serve(&parts, body, client, &record).await;
        let (status, media, bytes) = match outcome {
            ProxyResponse::Kerberos(message) => {
                let bytes = kkdcp::write(&message);
                record.sent(bytes.len());
                (StatusCode::OK, MEDIA, Bytes::from(bytes))
            }
            ProxyResponse::Http(status, line) => (
                status,
                HeaderValue::from_static("text/plain; charset=utf-8"),
                Bytes::from_static(line.as_bytes()),
            ),
        };
        let mut response = Response::new(Body::from(bytes));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, media);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("POST"));
        }
        if matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        ) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        // The rest of the body is not read, so the connection cannot be used again; HTTP/2 ends the stream.
        if leaves_body(status) && parts.version != Version::HTTP_2 {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl Inner {
    async fn serve(
        &self,
        parts: &Parts,
        body: RequestBody,
        client: SocketAddr,
        record: &StreamRecord<'_>,
    ) -> ProxyResponse {
        if parts.method != Method::POST {
            record.end(Reason::RequestMalformed);
            let line = "This address serves Kerberos clients (MS-KKDCP) and accepts POST only.\n";
            return ProxyResponse::Http(StatusCode::METHOD_NOT_ALLOWED, line);
        }
        // Held until the client has its response.
        let _admitted = match self.limits.admit(client.ip().to_canonical()) {
            Ok(admitted) => admitted,
            Err(reason) => {
                record.end(reason);
                return full(reason);
            }
        };
        let body = Limited::new(body, kkdcp::MAX_BODY).collect();
        let body = match timeout(self.within.body, body).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                record.end(Reason::MessageTooLong);
                let line = "The message is longer than 128 KiB.\n";
                return ProxyResponse::Http(StatusCode::PAYLOAD_TOO_LARGE, line);
            }
            Ok(Err(_)) => {
                record.end(Reason::ClientReset);
                return ProxyResponse::Http(
                    StatusCode::BAD_REQUEST,
                    "The request body is incomplete.\n",
                );
            }
            Err(_elapsed) => {
                record.end(Reason::RequestTimeout);
                let line = "The message did not arrive in time.\n";
                return ProxyResponse::Http(StatusCode::REQUEST_TIMEOUT, line);
            }
        };
        record.received(body.len());
        let read = kkdcp::read(&body).and_then(|proxied| {
            let request = message::classify(proxied.message)?;
            Some((proxied, request))
        });
        let Some((proxied, request)) = read else {
            record.end(Reason::RequestMalformed);
            let line = "The body is not a KDC-PROXY-MESSAGE (MS-KKDCP) with a realm.\n";
            return ProxyResponse::Http(StatusCode::BAD_REQUEST, line);
        };
        ProxyResponse::Kerberos(
            self.pass_on(proxied.message, request, proxied.realm, client, record)
                .await,
        )
    }

    async fn pass_on(
        &self,
        message: &[u8],
        request: KdcRequest<'_>,
        realm: &str,
        client: SocketAddr,
        record: &StreamRecord<'_>,
    ) -> Vec<u8> {
        let served = self
            .realms
            .iter()
            .find(|served| served.name.eq_ignore_ascii_case(realm));
        let Some(served) = served else {
            record.end(Reason::RealmDenied);
            // At debug level, because any client that reaches the port can cause it.
            tracing::debug!(?realm, client = %client.ip(), "request for a realm that no kdc_proxy serves");
            let text = "this realm is not served by the KDC proxy of the gateway";
            return message::error(KrbErrorCode::Generic, realm, text);
        };
        let mut networks = served.allow_from.iter();
        if networks.any(|list| !sources::contains(list, client.ip())) {
            record.end(Reason::SourceDenied);
            let text = "this realm is not served to your network by the KDC proxy of the gateway";
            return message::error(KrbErrorCode::Generic, realm, text);
        }
        let group = match request {
            KdcRequest::Ticket { .. } => Some(&served.kdcs),
            KdcRequest::Password => served.kpasswd.as_ref(),
        };
        let Some(group) = group else {
            record.end(Reason::RealmDenied);
            let text = "the KDC proxy of the gateway does not serve password changes of this realm";
            return message::error(KrbErrorCode::Generic, realm, text);
        };
        let by = Transport::Tcp {
            connect: self.within.connect,
        };
        let sent = exchange::send(group, source_key(client), (message, request), by).await;
        self.recorder.metrics.kdc_request(sent.kdcs);
        match sent.reply {
            Ok((bytes, backend)) => {
                record.served_by(&backend);
                bytes
            }
            Err(reason) => {
                record.end(reason);
                let text = "no KDC behind the gateway replies";
                message::error(KrbErrorCode::ServiceUnavailable, realm, text)
            }
        }
    }
}

fn full(reason: Reason) -> ProxyResponse {
    if reason == Reason::SourceLimit {
        let line = "Too many requests of your address wait for a KDC.\n";
        ProxyResponse::Http(StatusCode::TOO_MANY_REQUESTS, line)
    } else {
        let line = "Too many requests wait for a KDC.\n";
        ProxyResponse::Http(StatusCode::SERVICE_UNAVAILABLE, line)
    }
}

/// Whether a response with this status is sent before the body of the request has been read.
fn leaves_body(status: StatusCode) -> bool {
    [
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::REQUEST_TIMEOUT,
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::TOO_MANY_REQUESTS,
    ]
    .contains(&status)
}

impl fmt::Debug for KdcProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KdcProxy")
            .field("realms", &self.0.realms)
            .finish_non_exhaustive()
    }
}
