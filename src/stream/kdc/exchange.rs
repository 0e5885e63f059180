//! Sends one request to several KDCs: to the next one when a KDC fails, or is silent for a moment. The
//! first reply counts.

use std::{io, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep_until, timeout},
};

use super::{
    MAX_MESSAGE,
    message::{self, KdcRequest, KrbErrorCode},
};
use crate::stream::{
    Reason, StreamGroup,
    group::{Endpoint, EndpointPermit, health_check::connect as connect_to},
    udp,
};

/// After this time without a reply the request is sent to another KDC as well: three of them within the
/// second that MIT's client waits.
const NEXT_KDC_AFTER: Duration = Duration::from_millis(300);
/// Clients do not wait longer than this.
const DEADLINE: Duration = Duration::from_secs(10);
/// The most KDCs that one request is sent to.
const TRIES: usize = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// A new connection per request.
    Tcp {
        /// Timeout of the connect.
        connect: Duration,
    },
    /// A datagram from a new port.
    Udp,
}

#[derive(Debug)]
pub(crate) struct KdcReply {
    /// The reply without framing, and the KDC that sent it.
    pub reply: Result<(Vec<u8>, Arc<str>), Reason>,
    /// Number of KDCs that the request was sent to.
    pub kdcs: usize,
}

/// Sends a request to the KDCs of a group. `client` is the key for `balance = "source"`.
pub(crate) async fn send(
    group: &StreamGroup,
    client: u64,
    (message, request): (&[u8], KdcRequest<'_>),
    by: Transport,
) -> KdcReply {
    let deadline = Instant::now() + DEADLINE;
    // Shortly after the start the names of the KDCs may not have been looked up yet.
    group.resolved(NEXT_KDC_AFTER).await;
    let mut tried: Vec<Arc<Endpoint>> = Vec::new();
    let mut running = FuturesUnordered::new();
    let mut unavailable = None;
    let mut next = true;
    loop {
        let mut none_left = None;
        if next && tried.len() < TRIES {
            match group.choose(client, &tried) {
                Ok(permit) => {
                    tried.push(Arc::clone(&permit));
                    running.push(attempt(permit, message, by));
                }
                Err(reason) => none_left = Some(reason),
            }
        }
        let exhausted = none_left.is_some() || tried.len() == TRIES || !next;
        next = true;
        let wait = if exhausted {
            deadline
        } else {
            deadline.min(Instant::now() + NEXT_KDC_AFTER)
        };
        let reply = tokio::select! {
            Some(reply) = running.next() => Some(reply),
            () = sleep_until(wait), if !running.is_empty() => None,
            else => {
                let reply = unavailable.ok_or(none_left.unwrap_or(Reason::BackendDown));
                return KdcReply { reply, kdcs: tried.len() };
            }
        };
        match reply {
            Some((permit, Ok(bytes))) => {
                // This KDC is up but cannot serve (its database is locked, for example). Another may; if
                // none does, the client gets this reply, which names the cause.
                if message::is_error(&bytes, KrbErrorCode::ServiceUnavailable) {
                    unavailable = Some((bytes, Arc::clone(&permit.backend)));
                    continue;
                }
                group.succeeded(&permit);
                // The KDCs that got the request earlier and have not replied are suspect.
                for other in tried
                    .iter()
                    .take_while(|other| !Arc::ptr_eq(other, &permit))
                {
                    group.silent(other, &"another KDC replied first");
                }
                let reply = Ok((bytes, Arc::clone(&permit.backend)));
                return KdcReply {
                    reply,
                    kdcs: tried.len(),
                };
            }
            Some((permit, Err(failure))) => {
                let not_received = failure.unsent;
                fail(group, &permit, by, &failure.error);
                // A change of password must not be executed twice, so it goes to another server only if
                // this one cannot have received it.
                next = not_received || matches!(request, KdcRequest::Ticket { .. });
            }
            None if Instant::now() >= deadline => {
                for target in &tried {
                    group.silent(target, &"no reply");
                }
                let reply = unavailable.ok_or(Reason::BackendDown);
                return KdcReply {
                    reply,
                    kdcs: tried.len(),
                };
            }
            None => next = matches!(request, KdcRequest::Ticket { .. }),
        }
    }
}

fn fail(group: &StreamGroup, target: &Endpoint, by: Transport, error: &io::Error) {
    if let Transport::Tcp { .. } = by {
        group.failed(target, error.to_string());
    }
    group.silent(target, error);
}

struct Failure {
    error: io::Error,
    /// The KDC cannot have received the request.
    unsent: bool,
}

async fn attempt(
    permit: EndpointPermit,
    message: &[u8],
    by: Transport,
) -> (EndpointPermit, Result<Vec<u8>, Failure>) {
    let reply = match by {
        Transport::Tcp { connect } => by_tcp(&permit, message, connect).await,
        Transport::Udp => by_udp(&permit, message).await,
    };
    (permit, reply)
}

async fn by_udp(target: &Endpoint, message: &[u8]) -> Result<Vec<u8>, Failure> {
    // An error is an ICMP message: the port is closed, so the KDC did not receive the datagram.
    let failed = |error: io::Error| Failure {
        error,
        unsent: true,
    };
    // A new port for each request, so that a late reply to another one cannot be taken for its reply.
    let socket = udp::connect(target.address).map_err(failed)?;
    socket.send(message).await.map_err(failed)?;
    let mut reply = vec![0; udp::DATAGRAM];
    let length = socket.recv(&mut reply).await.map_err(failed)?;
    reply.truncate(length);
    // 64 KiB would be kept otherwise until the client has the reply.
    reply.shrink_to_fit();
    Ok(reply)
}

async fn by_tcp(target: &Endpoint, message: &[u8], within: Duration) -> Result<Vec<u8>, Failure> {
    let unsent = |error: io::Error| Failure {
        error,
        unsent: true,
    };
    let sent = |error: io::Error| Failure {
        error,
        unsent: false,
    };
    let mut socket = connect_to(target, within).await.map_err(unsent)?;
    let framed = frame(message);
    let written = timeout(DEADLINE, socket.write_all(&framed)).await;
    written
        .map_err(|elapsed| sent(elapsed.into()))?
        .map_err(sent)?;
    let length = socket.read_u32().await.map_err(sent)?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length <= MAX_MESSAGE)
        .ok_or_else(|| {
            let kind = io::ErrorKind::InvalidData;
            sent(io::Error::new(
                kind,
                "the KDC's reply is longer than the limit of 128 KiB",
            ))
        })?;
    let mut reply = vec![0; length];
    socket.read_exact(&mut reply).await.map_err(sent)?;
    Ok(reply)
}

/// A message for TCP: with its length before it (RFC 4120 section 7.2.2).
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), message].concat()
}
