//! The life of a relayed TCP connection: PROXY header → source → limits → server → bytes.

use std::{net::SocketAddr, rc::Rc, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

mod copy;

use super::{
    Reason,
    group::{Endpoint, EndpointPermit, health_check::connect as connect_to},
    kdc,
    limits::StreamPermit,
    record::StreamRecord,
    relay::Relay,
};
use crate::{
    balance::stable_hash,
    net::{
        proxy_protocol::{self, Progress},
        sources::contains,
    },
    stream::options::StreamKind,
};

/// The most servers that are tried for one connection.
const TRIES: usize = 8;

/// A connection that has passed the checks.
pub(super) struct Client {
    pub(super) tcp: TcpStream,
    /// The address of the client, also behind a load balancer.
    pub(super) source: SocketAddr,
    /// The address that it connected to.
    pub(super) local: SocketAddr,
    _admitted: StreamPermit,
}

/// Serves one connection to its end.
pub(super) async fn serve(relay: Rc<Relay>, tcp: TcpStream, peer: SocketAddr) {
    let record = relay.tcp.begin(peer);
    if let Err(reason) = run(&relay, tcp, peer, &record).await {
        record.end(reason);
    }
}

async fn run(
    relay: &Relay,
    tcp: TcpStream,
    peer: SocketAddr,
    record: &StreamRecord<'_>,
) -> Result<(), Reason> {
    let Some(client) = admit(relay, tcp, peer, record).await? else {
        return Ok(());
    };
    if relay.kind == StreamKind::Kdc {
        return kdc::tcp::serve(relay, client, record).await;
    }
    let (permit, mut backend) = connect(relay, &client).await.inspect_err(|_| {
        // A reset, because an ordinary close looks as if the server had read the client's bytes.
        copy::reset(&client.tcp);
    })?;
    record.served_by(&permit.backend);
    if let Some(version) = permit.send_proxy {
        let header = proxy_protocol::header(version, client.source, client.local);
        let written = backend.write_all(&header).await;
        written.map_err(|_| Reason::BackendReset)?;
    }
    let cut = &relay.live.cut;
    copy::relay(&client.tcp, &backend, relay.idle, cut, record).await
}

/// Determines the client's address and checks it. `None`: a load balancer only checked whether the port is
/// open, which is not an error.
async fn admit(
    relay: &Relay,
    mut tcp: TcpStream,
    peer: SocketAddr,
    record: &StreamRecord<'_>,
) -> Result<Option<Client>, Reason> {
    let local = tcp.local_addr().map_err(|_| Reason::ClientReset)?;
    let announced = relay
        .accept_proxy
        .as_ref()
        .is_some_and(|peers| contains(peers, peer.ip().to_canonical()));
    let source = if announced {
        let mut header = Vec::with_capacity(128);
        let read = timeout(relay.head, read_header(&mut tcp, &mut header)).await;
        match read {
            Ok(Ok(source)) => source.unwrap_or(peer),
            // Closed without a byte: the port check of a balancer (HAProxy's `check` without
            // `check-send-proxy`).
            Ok(Err(_)) | Err(_) if header.is_empty() => return Ok(None),
            Ok(Err(reason)) => return Err(reason),
            Err(_elapsed) => return Err(Reason::ProxyHeader),
        }
    } else {
        peer
    };
    record.client.set(source.ip().to_canonical());
    let admitted = relay.admit(source, &relay.tcp_limits)?;
    Ok(Some(Client {
        tcp,
        source,
        local,
        _admitted: admitted,
    }))
}

/// Reads a PROXY header and not a byte more. Returns the client's address, if the header has one.
async fn read_header(
    tcp: &mut TcpStream,
    header: &mut Vec<u8>,
) -> Result<Option<SocketAddr>, Reason> {
    loop {
        let more = match proxy_protocol::read(header) {
            Ok(Progress::Done(source)) => return Ok(source),
            Ok(Progress::More(more)) => more,
            Err(_) => return Err(Reason::ProxyHeader),
        };
        // Never more than the header: the bytes after it belong to the client.
        let read = (&mut *tcp).take(more as u64).read_buf(header).await;
        if read.map_err(|_| Reason::ClientReset)? == 0 {
            return Err(Reason::ProxyHeader);
        }
    }
}

/// Connects to a server, trying others if it fails.
async fn connect(relay: &Relay, client: &Client) -> Result<(EndpointPermit, TcpStream), Reason> {
    let group = &relay.group;
    group.resolved(relay.connect).await;
    let key = client_key(client.source);
    let mut tried: Vec<Arc<Endpoint>> = Vec::new();
    loop {
        let permit = group.choose(key, &tried)?;
        match connect_to(&permit, relay.connect).await {
            Ok(socket) => {
                group.succeeded(&permit);
                return Ok((permit, socket));
            }
            Err(error) => group.failed(&permit, error.to_string()),
        }
        tried.push(Arc::clone(&permit));
        if tried.len() == TRIES {
            return Err(Reason::BackendDown);
        }
    }
}

/// The key of a client for `balance = "source"`: its address without the port.
pub(crate) fn client_key(source: SocketAddr) -> u64 {
    match source.ip().to_canonical() {
        std::net::IpAddr::V4(ip) => stable_hash(&ip.octets()),
        std::net::IpAddr::V6(ip) => stable_hash(&ip.octets()),
    }
}
