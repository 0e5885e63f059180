//! The gateway's own requests to a backend (probes, logins, impersonation checks): each on a
//! connection of its own, on the control runtime instead of a worker.

use std::{net::SocketAddr, pin::pin, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::Empty;

use super::{
    attempt::{Attempt, Received},
    backend::Backend,
    http1::{Connection, Http1Error},
    login::LoginHeader,
    wire::{self, ConnectError},
};
use crate::{
    kinds::{PREFIX, ResponseInfo},
    tls::TlsFault,
};

/// A backend's response to a request of the gateway's own.
#[derive(Clone, Debug)]
pub(crate) struct ControlResponse {
    pub status: StatusCode,
    /// The reason phrase as sent.
    pub reason: Bytes,
    pub headers: HeaderMap,
    /// At most [`PREFIX`] bytes of the body.
    pub body: Bytes,
    /// Whether it says that the gateway's login failed.
    pub login_failed: bool,
}

impl ControlResponse {
    /// The head, as kinds read it.
    pub(crate) fn info(&self) -> ResponseInfo<'_> {
        ResponseInfo {
            status: self.status,
            reason: &self.reason,
            headers: &self.headers,
        }
    }
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Connected, but no complete response in time.
    #[error("no response in time")]
    TimedOut,
    /// The response is not HTTP, or ended early.
    #[error("broken response: {0}")]
    Broken(#[source] Http1Error),
}

impl ExchangeError {
    /// Whether TLS is what failed.
    pub const fn is_tls(&self) -> bool {
        matches!(self, Self::Connect(ConnectError::Tls(_)))
    }
}

/// With TLS 1.3 the client's part of the handshake ends before the server has read the client
/// certificate (RFC 8446 section 2), so a server that refuses it, or misses it, says so only with an
/// alert in place of the response.
fn broken(error: Http1Error) -> ExchangeError {
    let alert = match &error {
        Http1Error::Io(error) => TlsFault::alert(error),
        _ => None,
    };
    match alert {
        Some(alert) => ConnectError::Tls(alert).into(),
        None => ExchangeError::Broken(error),
    }
}

/// Sends a GET that logs in with `login`; everything has to be done within `timeout`.
pub(crate) async fn get(
    backend: &Backend,
    addresses: &[SocketAddr],
    target: &str,
    login: LoginHeader<'_>,
    headers: &HeaderMap,
    timeout: Duration,
) -> Result<ControlResponse, ExchangeError> {
    let exchange = exchange(backend, addresses, target, login, headers, timeout);
    tokio::time::timeout(timeout, exchange)
        .await
        .unwrap_or(Err(ExchangeError::TimedOut))
}

async fn exchange(
    backend: &Backend,
    addresses: &[SocketAddr],
    target: &str,
    login: LoginHeader<'_>,
    headers: &HeaderMap,
    timeout: Duration,
) -> Result<ControlResponse, ExchangeError> {
    let proxy_header = backend.key.send_proxy.map(|version| (version, None));
    let stream = wire::connect(addresses, backend.tls.as_ref(), proxy_header, timeout).await?;
    let mut connection = Connection::new(stream);
    let target: Uri = target.parse().unwrap_or_default();
    let sent = Attempt::new(&mut connection, &Method::GET, &target, &backend.host_header)
        .authenticate(login, None)
        .headers(|head| head.lines(headers))
        .send(Empty::<Bytes>::new());
    // no `await_head`: one timeout limits the connection, the login and the body as well
    let head = pin!(sent).await.map_err(|failed| broken(failed.error))?;
    let mut received = Received::from(head);
    received.read_start(&mut connection).await.map_err(broken)?;
    let login_failed = backend.kind.login_failed(&received.info());
    let Received {
        parts,
        reason,
        start,
    } = received;
    // kinds see no more than this, and nothing forwards the rest
    let mut body = start.unwrap_or_default();
    body.truncate(PREFIX);
    Ok(ControlResponse {
        status: parts.status,
        reason,
        headers: parts.headers,
        body,
        login_failed,
    })
}
