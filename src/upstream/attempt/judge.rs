//! What a backend's answer means for the attempt loop.

use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use http::{StatusCode, header, response::Parts};
use tokio::time::timeout;

use super::{Outgoing, Upstream};
use crate::{
    kinds::{PREFIX, ResponseInfo, Verdict},
    refusal::Refusal,
    upstream::{
        backend::Backend,
        http1::{Connection, Http1Error},
        next::AttemptOutcome,
        upload::SendBody,
    },
};

impl Upstream {
    /// Reads as much of the body as the kind has to see; `Err`: there is no answer to be judged.
    pub(super) async fn prefix(
        &self,
        connection: &mut Connection<SendBody>,
    ) -> Result<Bytes, Unread> {
        match timeout(self.timeouts.body_idle, read_prefix(connection)).await {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(_)) => Err(Unread::Broken),
            Err(_) => Err(Unread::TimedOut),
        }
    }

    /// Reads what the answer means. A refusal ends the request, whatever could be tried.
    pub(super) fn judge(
        &self,
        backend: &Backend,
        out: &Outgoing,
        parts: &Parts,
        reason: &[u8],
        prefix: &[u8],
    ) -> Result<AttemptOutcome, Refusal> {
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            // where nobody asked for another protocol, what follows would be no HTTP to the client
            let asked = out.headers.contains_key(header::UPGRADE);
            return asked
                .then_some(AttemptOutcome::Response)
                .ok_or(Refusal::BackendBroken);
        }
        let head = ResponseInfo {
            status: parts.status,
            reason,
            headers: &parts.headers,
        };
        let backends = &self.group.authorities;
        match backend.kind.verdict(&out.asked(), &head, prefix, backends) {
            Verdict::Final => Ok(AttemptOutcome::Response),
            Verdict::Standby => Ok(AttemptOutcome::Standby),
            Verdict::NotOwner => Ok(AttemptOutcome::NotOwner),
            Verdict::LoginFailed => {
                tracing::debug!(
                    backend = %backend.key.authority,
                    "an answer that reads like a refusal of the gateway's login: {} {}",
                    parts.status.as_u16(),
                    String::from_utf8_lossy(reason)
                );
                // a console without login that wants one: its 401 is not the client's
                if self.initiator.is_none() {
                    return Err(Refusal::BackendLogin);
                }
                Ok(AttemptOutcome::LoginFailed)
            }
        }
    }
}

/// Why the start of a body is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    Broken,
    TimedOut,
}

async fn read_prefix(connection: &mut Connection<SendBody>) -> Result<Bytes, Http1Error> {
    let mut read = BytesMut::new();
    while read.len() < PREFIX {
        match poll_fn(|cx| connection.poll_data(cx)).await {
            None => break,
            Some(data) => read.extend_from_slice(&data?),
        }
    }
    Ok(read.freeze())
}
