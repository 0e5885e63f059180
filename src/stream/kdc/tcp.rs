//! A client's TCP connection: any number of messages, each with its length before it (RFC 4120 section
//! 7.2.2).

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::{
    MAX_MESSAGE,
    exchange::{self, Transport, frame},
    message::{self, KdcRequest, KrbErrorCode},
};
use crate::stream::{
    Reason,
    record::StreamRecord,
    relay::Relay,
    tcp::{Client, client_key},
};

/// Why a connection ends, and the reply that is sent before.
struct Refused {
    reason: Reason,
    reply: Option<Vec<u8>>,
}

impl From<Reason> for Refused {
    fn from(reason: Reason) -> Self {
        let error = |code, text| Some(message::error(code, "", text));
        let reply = match reason {
            Reason::MessageTooLong => error(
                KrbErrorCode::FieldTooLong,
                "the message is too long for the gateway",
            ),
            Reason::MessageMalformed => error(
                KrbErrorCode::Generic,
                "the gateway cannot read this message",
            ),
            Reason::SourceDenied
            | Reason::ConnectionLimit
            | Reason::SourceLimit
            | Reason::ProxyHeader
            | Reason::BackendDown
            | Reason::BackendFull
            | Reason::BackendUnresolved
            | Reason::IdleTimeout
            | Reason::ClientReset
            | Reason::BackendReset
            | Reason::Drained
            | Reason::OutOfResources
            | Reason::RealmDenied
            | Reason::RequestMalformed
            | Reason::RequestTimeout => None,
        };
        Self { reason, reply }
    }
}

pub(in crate::stream) async fn serve(
    relay: &Relay,
    mut client: Client,
    record: &StreamRecord<'_>,
) -> Result<(), Reason> {
    let live = &relay.live;
    let mut has_replied = false;
    loop {
        let read = tokio::select! {
            read = read(relay, &mut client, record) => read,
            // Between two requests nothing is lost. Before the first one the client has connected in vain.
            () = live.draining(), if has_replied => return Ok(()),
            () = live.cut.notified() => return Err(Reason::Drained),
        };
        let reply = match read {
            Ok(None) => return Ok(()),
            Ok(Some(message)) => tokio::select! {
                reply = reply_to(relay, &client, &message, record) => reply,
                () = live.cut.notified() => return Err(Reason::Drained),
            },
            Err(reason) => Err(reason.into()),
        };
        match reply {
            Ok(bytes) => write(relay, &mut client, &bytes, record).await?,
            Err(Refused { reason, reply }) => {
                if let Some(bytes) = reply {
                    write(relay, &mut client, &bytes, record).await?;
                }
                // The start of the next message may be unknown. And MIT's client ignores "service
                // unavailable", but stops waiting when the connection ends.
                let _best_effort = client.tcp.shutdown().await;
                return Err(reason);
            }
        }
        has_replied = true;
    }
}

async fn write(
    relay: &Relay,
    client: &mut Client,
    message: &[u8],
    record: &StreamRecord<'_>,
) -> Result<(), Reason> {
    let framed = frame(message);
    let written = timeout(relay.idle, client.tcp.write_all(&framed)).await;
    written
        .map_err(|_| Reason::IdleTimeout)?
        .map_err(|_| Reason::ClientReset)?;
    record.sent(framed.len());
    Ok(())
}

/// The next message; `None` at the end of the connection.
async fn read(
    relay: &Relay,
    client: &mut Client,
    record: &StreamRecord<'_>,
) -> Result<Option<Vec<u8>>, Reason> {
    let input = &mut client.tcp;
    let first = timeout(relay.idle, input.read_u8()).await;
    let Ok(first) = first.map_err(|_| Reason::IdleTimeout)? else {
        return Ok(None);
    };
    let rest = async {
        let mut length = [first, 0, 0, 0];
        let [_, rest @ ..] = &mut length;
        input
            .read_exact(rest)
            .await
            .map_err(|_| Reason::ClientReset)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        // A length with the reserved highest bit is too long as well; RFC 4120 section 7.2.2 requires the
        // same error for it.
        if length > MAX_MESSAGE {
            return Err(Reason::MessageTooLong);
        }
        let mut message = vec![0; length];
        let read = input.read_exact(&mut message).await;
        read.map_err(|_| Reason::ClientReset)?;
        record.received(4 + length);
        Ok(Some(message))
    };
    timeout(relay.head, rest)
        .await
        .map_err(|_| Reason::IdleTimeout)?
}

async fn reply_to(
    relay: &Relay,
    client: &Client,
    message: &[u8],
    record: &StreamRecord<'_>,
) -> Result<Vec<u8>, Refused> {
    let Some(request) = message::classify(message) else {
        return Err(Reason::MessageMalformed.into());
    };
    let by = Transport::Tcp {
        connect: relay.connect,
    };
    let key = client_key(client.source);
    let sent = exchange::send(&relay.group, key, (message, request), by).await;
    relay.tcp.metrics.kdc_request(sent.kdcs);
    match sent.reply {
        Ok((bytes, backend)) => {
            record.served_by(&backend);
            Ok(bytes)
        }
        Err(reason) => Err(Refused {
            reason,
            reply: Some(unavailable(request)),
        }),
    }
}

/// The reply if no KDC replied. Clients then try the next KDC of their own list.
pub(in crate::stream) fn unavailable(request: KdcRequest<'_>) -> Vec<u8> {
    let realm = match request {
        KdcRequest::Ticket { realm } => realm,
        KdcRequest::Password => "",
    };
    message::error(
        KrbErrorCode::ServiceUnavailable,
        realm,
        "no KDC behind the gateway replies",
    )
}
