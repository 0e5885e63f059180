//! `/KdcProxy` (MS-KKDCP): Kerberos for clients that reach nothing but HTTPS.
//!
//! It needs no login: it is on the way to one. Only realms of the configuration are served, and their
//! KDCs are the configured ones; nothing that a client says is looked up in the DNS
//! (CVE-2025-59088). What a Kerberos client understands is a `KRB-ERROR` in an answer of 200.

use std::{fmt, net::SocketAddr, rc::Rc, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, Version, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use ipnet::IpNet;

use crate::{
    body::Body,
    server::{self, ConnInfo, RequestBody},
    stream::{
        Group, Reason,
        kdc::{
            ask::{self, Transport},
            message::{self, ErrorCode, Request},
        },
        kkdcp,
        record::{Record, Recorder},
        source_key,
    },
    telemetry::access::AccessLog,
};

/// Where clients ask; in any case of letters.
pub const PATH: &str = "/KdcProxy";
const MEDIA: HeaderValue = HeaderValue::from_static("application/kerberos");

/// A realm that is served.
#[derive(Debug)]
pub struct Realm {
    /// Its name.
    pub name: Arc<str>,
    /// Addresses that clients may have; `None`: all. The listener may be open to more.
    pub allow_from: Option<Arc<[IpNet]>>,
    /// Its KDCs.
    pub kdcs: Arc<Group>,
    /// Where passwords are changed.
    pub kpasswd: Option<Arc<Group>>,
}

/// The KDC proxy of one listener on one worker.
#[derive(Clone)]
pub struct KdcProxy(Rc<Inner>);

struct Inner {
    realms: Vec<Realm>,
    connect: Duration,
    recorder: Recorder,
}

/// What became of a request.
enum Outcome {
    /// A Kerberos message.
    Kerberos(Vec<u8>),
    /// No Kerberos client sent it.
    Http(StatusCode, &'static str),
}

// === impl KdcProxy ===

impl KdcProxy {
    /// A proxy for these realms.
    pub fn new(realms: Vec<Realm>, connect: Duration) -> Self {
        // the request itself stands in the access log already
        let recorder = Recorder::new("kdc_proxy".into(), "kkdcp", AccessLog::off());
        Self(Rc::new(Inner {
            realms,
            connect,
            recorder,
        }))
    }

    /// Whether a request is for it.
    pub fn is_asked(parts: &Parts) -> bool {
        parts.uri.path().eq_ignore_ascii_case(PATH)
    }

    /// Answers a request.
    pub async fn answer(self, parts: Parts, body: RequestBody) -> Response<Body> {
        let client = parts.extensions.get::<Arc<ConnInfo>>();
        let client = client.map_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)), |info| info.peer);
        let record = self.0.recorder.begin(client);
        let outcome = self.0.serve(&parts, body, client, &record).await;
        let (status, media, bytes) = match outcome {
            Outcome::Kerberos(message) => {
                let bytes = kkdcp::write(&message);
                record.went(bytes.len());
                (StatusCode::OK, MEDIA, Bytes::from(bytes))
            }
            Outcome::Http(status, line) => (
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
        // what is left of the body is not read; HTTP/2 has other means
        if status == StatusCode::PAYLOAD_TOO_LARGE && parts.version != Version::HTTP_2 {
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
        record: &Record<'_>,
    ) -> Outcome {
        if parts.method != Method::POST {
            record.end(Reason::RequestMalformed);
            let line = "This is for Kerberos clients (MS-KKDCP): POST only.\n";
            return Outcome::Http(StatusCode::METHOD_NOT_ALLOWED, line);
        }
        let body = match Limited::new(body, kkdcp::MAX_BODY).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                record.end(Reason::MessageTooLong);
                let line = "A message to a KDC has at most 128 KiB.\n";
                return Outcome::Http(StatusCode::PAYLOAD_TOO_LARGE, line);
            }
            Err(_) => {
                record.end(Reason::ClientReset);
                return Outcome::Http(StatusCode::BAD_REQUEST, "The body broke off.\n");
            }
        };
        record.came(body.len());
        let read = kkdcp::read(&body).and_then(|proxied| {
            let request = message::look(proxied.message)?;
            Some((proxied, request))
        });
        let Some((proxied, request)) = read else {
            record.end(Reason::RequestMalformed);
            let line = "This is no KDC-PROXY-MESSAGE (MS-KKDCP) with a realm.\n";
            return Outcome::Http(StatusCode::BAD_REQUEST, line);
        };
        Outcome::Kerberos(
            self.pass_on(proxied.message, request, proxied.realm, client, record)
                .await,
        )
    }

    async fn pass_on(
        &self,
        message: &[u8],
        request: Request<'_>,
        realm: &str,
        client: SocketAddr,
        record: &Record<'_>,
    ) -> Vec<u8> {
        let served = self
            .realms
            .iter()
            .find(|served| served.name.eq_ignore_ascii_case(realm));
        let Some(served) = served else {
            record.end(Reason::RealmDenied);
            // whoever reaches the port can cause it
            tracing::debug!(?realm, client = %client.ip(), "a realm that no kdc_proxy names");
            let text = "this realm is not served by the KDC proxy of the gateway";
            return message::error(ErrorCode::Generic, realm, text);
        };
        let mut networks = served.allow_from.iter();
        if networks.any(|list| !server::contains(list, client.ip())) {
            record.end(Reason::SourceDenied);
            let text = "this realm is not served to your network by the KDC proxy of the gateway";
            return message::error(ErrorCode::Generic, realm, text);
        }
        let group = match request {
            Request::Ticket { .. } => Some(&served.kdcs),
            Request::Password => served.kpasswd.as_ref(),
        };
        let Some(group) = group else {
            record.end(Reason::RealmDenied);
            let text = "passwords of this realm are not changed through the gateway";
            return message::error(ErrorCode::Generic, realm, text);
        };
        let by = Transport::Tcp {
            connect: self.connect,
        };
        let asked = ask::ask(group, source_key(client), (message, request), by).await;
        self.recorder.metrics.kdc_request(asked.kdcs);
        match asked.answer {
            Ok((bytes, backend)) => {
                record.served_by(&backend);
                bytes
            }
            Err(reason) => {
                record.end(reason);
                let text = "no KDC behind the gateway answers";
                message::error(ErrorCode::ServiceUnavailable, realm, text)
            }
        }
    }
}

impl fmt::Debug for KdcProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KdcProxy")
            .field("realms", &self.0.realms)
            .finish_non_exhaustive()
    }
}
