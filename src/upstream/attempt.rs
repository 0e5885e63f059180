//! One attempt: one request on one connection to a server, in four steps.
//!
//! Requests of consoles ([`super::dispatch`]), requests to nodes ([`crate::gateway::node`]) and the
//! gateway's own requests ([`super::client`]: probes, logins, impersonation checks) take the same
//! steps. Only their policies differ:
//!
//! | step | console | node | own request |
//! |---|---|---|---|
//! | [`Attempt::authenticate`] | login cookie or token | nothing: the link carries its token | login cookie or token |
//! | [`Attempt::send`] | the client's body | the client's body | no body |
//! | [`await_head`] | until `first_byte`, or the backend is found dead | until `first_byte` | one timeout for all steps |
//! | [`Received::classify`] | `Kind::verdict` | 401 is a failed login | `Kind::login_failed` |

use std::{future::poll_fn, pin::Pin};

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, StatusCode, Uri, header, response::Parts};
use http_body::Body;
use tokio::time::{Instant, timeout_at};

use super::{
    http1::{Connection, Exchange, Head, Http1Error, RequestHead},
    login::LoginHeader,
};
use crate::{
    kinds::{PREFIX, ResponseInfo, Verdict},
    refusal::Refusal,
};

/// A request that has not been sent yet, and the connection for it.
#[derive(Debug)]
pub(crate) struct Attempt<'c, B> {
    connection: &'c mut Connection<B>,
    head: RequestHead,
}

/// The head of a response, and the start of its body where that has been read.
#[derive(Debug)]
pub(crate) struct Received {
    pub parts: Parts,
    /// The reason phrase as sent: Hadoop puts the Java exception there.
    pub reason: Bytes,
    /// Everything that has been read of the body. It may be longer than [`PREFIX`].
    pub start: Option<Bytes>,
}

/// The response has not begun in time.
#[derive(Debug)]
pub(crate) struct HeadTimeout;

// === impl Attempt ===

impl<'c, B> Attempt<'c, B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    /// Begins a request; `target` is in origin form.
    pub(crate) fn new(
        connection: &'c mut Connection<B>,
        method: &Method,
        target: &Uri,
        host: &HeaderValue,
    ) -> Self {
        let mut head = RequestHead::new(method, target);
        head.line(&header::HOST, host);
        Self { connection, head }
    }

    /// Step 1: adds what the gateway logs in with, and the client's `cookies` behind the login cookie.
    pub(crate) fn authenticate(
        mut self,
        login: LoginHeader<'_>,
        cookies: Option<&HeaderValue>,
    ) -> Self {
        let login = match login {
            LoginHeader::None => None,
            LoginHeader::Cookie(value) => Some(value),
            LoginHeader::Authorization(value) => {
                self.head.line(&header::AUTHORIZATION, value);
                None
            }
        };
        // One line: RFC 6265 section 5.4 allows only one `Cookie` header, so the two cannot be two lines.
        let cookies = [login, cookies].into_iter().flatten();
        self.head.joined(&header::COOKIE, "; ", cookies);
        self
    }

    /// Adds the other headers.
    pub(crate) fn headers(mut self, write: impl FnOnce(&mut RequestHead)) -> Self {
        write(&mut self.head);
        self
    }

    /// Step 2: the future sends the request and resolves to the head of the response.
    pub(crate) fn send(self, body: B) -> Exchange<'c, B> {
        self.connection.exchange(self.head, body)
    }
}

/// Step 3: waits for the head of the response until `due`, which is evaluated again when it has passed.
///
/// The time for a response runs from the end of the request, and an upload may take hours: as long
/// as it makes progress, `due` moves on.
pub(crate) async fn await_head<T>(
    mut exchange: Pin<&mut impl Future<Output = T>>,
    due: impl Fn() -> Option<Instant>,
    first: Instant,
) -> Result<T, HeadTimeout> {
    let mut end = due().unwrap_or(first);
    loop {
        match timeout_at(end, exchange.as_mut()).await {
            Ok(head) => return Ok(head),
            Err(_elapsed) => match due() {
                Some(later) if later > Instant::now() => end = later,
                Some(_) | None => return Err(HeadTimeout),
            },
        }
    }
}

/// Reads a body, after the `known` bytes of it, for as long as `wanted` says so.
///
/// Data comes in pieces of any size, so the result may be longer than what was wanted. Nothing of it
/// can be given back to the connection: to forward the response, forward all of it.
pub(crate) async fn read_start<B>(
    connection: &mut Connection<B>,
    known: Option<Bytes>,
    wanted: impl Fn(&[u8]) -> bool,
) -> Result<Bytes, Http1Error>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
{
    let mut start = BytesMut::from(known.unwrap_or_default());
    while wanted(&start) {
        match poll_fn(|cx| connection.poll_data(cx)).await {
            None => break,
            Some(data) => start.extend_from_slice(&data?),
        }
    }
    Ok(start.freeze())
}

/// What of the `start` of a body kinds may see: at most [`PREFIX`] bytes. A kind that saw more would
/// read the same response differently, depending on how the network cut it into pieces.
pub(crate) fn visible(start: &[u8]) -> &[u8] {
    &start[..start.len().min(PREFIX)]
}

// === impl Received ===

impl From<Head> for Received {
    fn from(head: Head) -> Self {
        Self {
            parts: head.parts,
            reason: head.reason,
            start: None,
        }
    }
}

impl Received {
    /// The head, as kinds read it.
    pub(crate) fn info(&self) -> ResponseInfo<'_> {
        ResponseInfo {
            status: self.parts.status,
            reason: &self.reason,
            headers: &self.parts.headers,
        }
    }

    /// Reads as much of the body as kinds may see.
    pub(crate) async fn read_start<B>(
        &mut self,
        connection: &mut Connection<B>,
    ) -> Result<(), Http1Error>
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Unpin,
    {
        let start = read_start(connection, self.start.take(), |start| start.len() < PREFIX);
        self.start = Some(start.await?);
        Ok(())
    }

    /// Step 4: what the response means. `verdict` reads it; `may_upgrade` says whether the request
    /// asked for another protocol.
    pub(crate) fn classify(
        &self,
        may_upgrade: bool,
        verdict: impl FnOnce(&ResponseInfo<'_>, &[u8]) -> Verdict,
    ) -> Result<Verdict, Refusal> {
        if self.parts.status == StatusCode::SWITCHING_PROTOCOLS {
            // What follows an unrequested 101 is not HTTP, but the client would read it as such.
            return may_upgrade
                .then_some(Verdict::Final)
                .ok_or(Refusal::BackendBroken);
        }
        Ok(verdict(
            &self.info(),
            visible(self.start.as_deref().unwrap_or_default()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loop that read the start of a response showed a kind everything that had come with it.
    #[test]
    fn a_kind_sees_no_more_than_the_start_of_a_body() {
        let (parts, ()) = http::Response::new(()).into_parts();
        let received = Received {
            parts,
            reason: Bytes::new(),
            start: Some(vec![b'x'; 3 * PREFIX].into()),
        };
        let seen = received.classify(false, |_, body| {
            assert_eq!(body.len(), PREFIX);
            Verdict::Standby
        });
        assert_eq!(seen, Ok(Verdict::Standby));
        assert_eq!(received.start.map(|start| start.len()), Some(3 * PREFIX));
    }

    #[test]
    fn an_unrequested_change_of_protocol_is_refused() {
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.status = StatusCode::SWITCHING_PROTOCOLS;
        let received = Received {
            parts,
            reason: Bytes::new(),
            start: None,
        };
        let classify = |may_upgrade| received.classify(may_upgrade, |_, _| Verdict::Standby);
        assert_eq!(classify(false), Err(Refusal::BackendBroken));
        assert_eq!(classify(true), Ok(Verdict::Final));
    }
}
