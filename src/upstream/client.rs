//! One request on a connection of its own: how probes, proofs and logins talk to a backend, off
//! the workers.

use std::{error::Error, net::SocketAddr, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::{client::conn::http1, ext::ReasonPhrase};
use hyper_util::rt::TokioIo;

use super::{
    backend::Backend,
    wire::{self, ConnectError},
};
use crate::{
    kinds::{Head, PREFIX},
    tls::TlsFault,
};

/// A backend's answer: its head and the start of its body.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status code.
    pub status: StatusCode,
    /// Reason phrase as sent.
    pub reason: Bytes,
    /// Headers.
    pub headers: HeaderMap,
    /// At most [`PREFIX`] bytes of the body.
    pub body: Bytes,
}

impl Reply {
    /// The head, as kinds read it.
    pub fn head(&self) -> Head<'_> {
        Head {
            status: self.status,
            reason: &self.reason,
            headers: &self.headers,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Connected, but no whole answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// Not HTTP, or broken off.
    #[error("broken answer: {0}")]
    Broken(#[source] hyper::Error),
}

impl AskError {
    /// Whether it is TLS that fails.
    pub const fn is_tls(&self) -> bool {
        matches!(self, Self::Connect(ConnectError::Tls(_)))
    }
}

/// With TLS 1.3 a server may refuse the gateway's certificate, or its absence, only after the
/// handshake.
fn broken(error: hyper::Error) -> AskError {
    let inner = error.source().and_then(|source| source.downcast_ref());
    match inner.and_then(TlsFault::alert) {
        Some(fault) => ConnectError::Tls(fault).into(),
        None => AskError::Broken(error),
    }
}

/// The reason phrase of an answer, also where it is the ordinary one.
pub fn reason<B>(response: &http::Response<B>) -> Bytes {
    match response.extensions().get::<ReasonPhrase>() {
        Some(reason) => Bytes::copy_from_slice(reason.as_bytes()),
        None => Bytes::from_static(
            response
                .status()
                .canonical_reason()
                .unwrap_or("")
                .as_bytes(),
        ),
    }
}

/// Sends a GET with these headers; everything within `timeout`.
pub async fn get(
    backend: &Backend,
    addresses: &[SocketAddr],
    target: &str,
    headers: HeaderMap,
    timeout: Duration,
) -> Result<Reply, AskError> {
    tokio::time::timeout(
        timeout,
        exchange(backend, addresses, target, headers, timeout),
    )
    .await
    .unwrap_or(Err(AskError::TimedOut))
}

async fn exchange(
    backend: &Backend,
    addresses: &[SocketAddr],
    target: &str,
    headers: HeaderMap,
    timeout: Duration,
) -> Result<Reply, AskError> {
    let announced = backend.key.send_proxy.map(|version| (version, None));
    let stream = wire::connect(addresses, backend.tls.as_ref(), announced, timeout).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let driver = tokio::spawn(connection);
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.uri_mut() = target.parse().unwrap_or_default();
    *request.headers_mut() = headers;
    request
        .headers_mut()
        .insert(header::HOST, backend.host_header.clone());
    let response = sender.send_request(request).await.map_err(broken)?;
    let reason = reason(&response);
    let (parts, mut incoming) = response.into_parts();
    let mut body = BytesMut::new();
    while body.len() < PREFIX {
        match incoming.frame().await {
            None => break,
            Some(frame) => {
                if let Ok(data) = frame.map_err(broken)?.into_data() {
                    body.extend_from_slice(&data);
                }
            }
        }
    }
    body.truncate(PREFIX);
    driver.abort();
    Ok(Reply {
        status: parts.status,
        reason,
        headers: parts.headers,
        body: body.freeze(),
    })
}
