//! One request, several KDCs: the next is asked when one fails, or is silent for a moment; the first
//! answer counts.

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

/// A KDC that is silent for so long is not waited for alone: three are asked within the second that
/// MIT's client waits.
const PATIENCE: Duration = Duration::from_millis(300);
/// Then nobody waits any more.
const DEADLINE: Duration = Duration::from_secs(10);
/// KDCs that one request goes to.
const TRIES: usize = 6;

/// How KDCs are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    /// A connection for the request.
    Tcp {
        /// How long its beginning may take.
        connect: Duration,
    },
    /// A datagram from a port of its own.
    Udp,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct KdcReply {
    /// The answer without framing, and who gave it.
    pub answer: Result<(Vec<u8>, Arc<str>), Reason>,
    /// KDCs that were asked.
    pub kdcs: usize,
}

/// Asks the KDCs of a group. `client` is what `balance = "source"` knows the client by.
pub(crate) async fn send(
    group: &StreamGroup,
    client: u64,
    (message, request): (&[u8], KdcRequest<'_>),
    by: Transport,
) -> KdcReply {
    let deadline = Instant::now() + DEADLINE;
    group.resolved(PATIENCE).await;
    let mut tried: Vec<Arc<Endpoint>> = Vec::new();
    let mut running = FuturesUnordered::new();
    let mut unwilling = None;
    let mut next = true;
    loop {
        let mut nobody = None;
        if next && tried.len() < TRIES {
            match group.choose(client, &tried) {
                Ok(place) => {
                    tried.push(Arc::clone(&place));
                    running.push(attempt(place, message, by));
                }
                Err(reason) => nobody = Some(reason),
            }
        }
        let exhausted = nobody.is_some() || tried.len() == TRIES || !next;
        next = true;
        let wait = if exhausted {
            deadline
        } else {
            deadline.min(Instant::now() + PATIENCE)
        };
        let answer = tokio::select! {
            Some(answer) = running.next() => Some(answer),
            () = sleep_until(wait), if !running.is_empty() => None,
            else => {
                let answer = unwilling.ok_or(nobody.unwrap_or(Reason::BackendDown));
                return KdcReply { answer, kdcs: tried.len() };
            }
        };
        match answer {
            Some((place, Ok(bytes))) => {
                if message::is_error(&bytes, KrbErrorCode::ServiceUnavailable) {
                    unwilling = Some((bytes, Arc::clone(&place.backend)));
                    continue;
                }
                group.succeeded(&place);
                // those that were asked before and left it to this one
                for other in tried.iter().take_while(|other| !Arc::ptr_eq(other, &place)) {
                    group.silent(other, &"another KDC answered first");
                }
                let answer = Ok((bytes, Arc::clone(&place.backend)));
                return KdcReply {
                    answer,
                    kdcs: tried.len(),
                };
            }
            Some((place, Err(failure))) => {
                let nothing_done = failure.unsent;
                fail(group, &place, by, &failure.error);
                // a password is changed once
                next = nothing_done || matches!(request, KdcRequest::Ticket { .. });
            }
            None if Instant::now() >= deadline => {
                for target in &tried {
                    group.silent(target, &"no answer");
                }
                let answer = unwilling.ok_or(Reason::BackendDown);
                return KdcReply {
                    answer,
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

/// Why a KDC gave no answer.
struct Failure {
    error: io::Error,
    /// It cannot have seen the request.
    unsent: bool,
}

async fn attempt(
    place: EndpointPermit,
    message: &[u8],
    by: Transport,
) -> (EndpointPermit, Result<Vec<u8>, Failure>) {
    let answer = match by {
        Transport::Tcp { connect } => by_tcp(&place, message, connect).await,
        Transport::Udp => by_udp(&place, message).await,
    };
    (place, answer)
}

async fn by_udp(target: &Endpoint, message: &[u8]) -> Result<Vec<u8>, Failure> {
    // a datagram to a closed port comes back as an error and was not seen
    let failed = |error: io::Error| Failure {
        error,
        unsent: true,
    };
    let socket = udp::connect(target.address).map_err(failed)?;
    socket.send(message).await.map_err(failed)?;
    let mut answer = vec![0; udp::DATAGRAM];
    let length = socket.recv(&mut answer).await.map_err(failed)?;
    answer.truncate(length);
    answer.shrink_to_fit();
    Ok(answer)
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
                "the KDC's answer is longer than any may be",
            ))
        })?;
    let mut answer = vec![0; length];
    socket.read_exact(&mut answer).await.map_err(sent)?;
    Ok(answer)
}

/// A message as TCP has it: with its length before it.
pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), message].concat()
}
