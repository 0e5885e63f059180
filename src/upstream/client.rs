//! One request on a connection of its own: how probes, proofs and logins talk to a backend, off
//! the workers.

use std::{future::poll_fn, net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, Uri, header};
use http_body_util::Empty;

use super::{
    backend::Backend,
    http1::{Connection, Head as Answered, Http1Error, RequestHead},
    wire::{self, ConnectError},
};
use crate::{
    kinds::{PREFIX, ResponseInfo},
    tls::TlsFault,
};

/// A backend's answer: its head and the start of its body.
#[derive(Clone, Debug)]
pub(crate) struct ControlResponse {
    /// Status code.
    pub status: StatusCode,
    /// Reason phrase as sent.
    pub reason: Bytes,
    /// Headers.
    pub headers: HeaderMap,
    /// At most [`PREFIX`] bytes of the body.
    pub body: Bytes,
}

impl ControlResponse {
    /// The head, as kinds read it.
    pub(crate) fn head(&self) -> ResponseInfo<'_> {
        ResponseInfo {
            status: self.status,
            reason: &self.reason,
            headers: &self.headers,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Connected, but no whole answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// Not HTTP, or broken off.
    #[error("broken answer: {0}")]
    Broken(#[source] Http1Error),
}

impl ExchangeError {
    /// Whether it is TLS that fails.
    pub const fn is_tls(&self) -> bool {
        matches!(self, Self::Connect(ConnectError::Tls(_)))
    }
}

/// With TLS 1.3 a server may refuse the gateway's certificate, or its absence, only after the
/// handshake.
fn broken(fault: Http1Error) -> ExchangeError {
    let alert = match &fault {
        Http1Error::Io(error) => TlsFault::alert(error),
        _ => None,
    };
    match alert {
        Some(alert) => ConnectError::Tls(alert).into(),
        None => ExchangeError::Broken(fault),
    }
}

/// Sends a GET with these headers; everything within `timeout`.
pub(crate) async fn get(
    backend: &Backend,
    addresses: &[SocketAddr],
    target: &str,
    headers: HeaderMap,
    timeout: Duration,
) -> Result<ControlResponse, ExchangeError> {
    tokio::time::timeout(
        timeout,
        exchange(backend, addresses, target, headers, timeout),
    )
    .await
    .unwrap_or(Err(ExchangeError::TimedOut))
}

async fn exchange(
    backend: &Backend,
    addresses: &[SocketAddr],
    target: &str,
    headers: HeaderMap,
    timeout: Duration,
) -> Result<ControlResponse, ExchangeError> {
    let announced = backend.key.send_proxy.map(|version| (version, None));
    let stream = wire::connect(addresses, backend.tls.as_ref(), announced, timeout).await?;
    let mut connection = Connection::new(stream);
    let uri: Uri = target.parse().unwrap_or_default();
    let mut head = RequestHead::new(&Method::GET, &uri);
    head.line(&header::HOST, &backend.host_header);
    let sent = connection.exchange(head.lines(&headers), Empty::<Bytes>::new());
    let Answered { parts, reason, .. } = sent.await.map_err(|failed| broken(failed.fault))?;
    let mut body = BytesMut::new();
    while body.len() < PREFIX {
        match poll_fn(|cx| connection.poll_data(cx)).await {
            None => break,
            Some(data) => body.extend_from_slice(&data.map_err(broken)?),
        }
    }
    body.truncate(PREFIX);
    Ok(ControlResponse {
        status: parts.status,
        reason,
        headers: parts.headers,
        body: body.freeze(),
    })
}
