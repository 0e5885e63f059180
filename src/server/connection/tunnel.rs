//! An upgraded connection: bytes are copied both ways until either side closes, no byte passes for
//! `timeouts.tunnel`, or the session ends.

use std::{
    any::Any,
    fmt,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional_with_sizes},
    time::{sleep, timeout},
};

use super::{observed::ObservedStream, state::ConnectionState, stream::Stream};
use crate::telemetry::metrics;

/// The buffer of each direction, in bytes.
const BUFFER: usize = 16 * 1024;
/// How often a tunnel checks whether its session has been revoked.
const REVOCATION_CHECK: Duration = Duration::from_secs(1);

/// An extension of a `101` response: the server connects the client to `backend`.
#[derive(Clone)]
pub(crate) struct Tunnel {
    pub backend: TunnelBackend,
    /// What is left of the session's lifetime.
    pub left: Duration,
    /// Whether the session was revoked by a logout.
    pub revoked: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Dropped at the end of the tunnel, such as the permit of the backend's connection.
    pub held: Arc<dyn Any + Send + Sync>,
}

/// The backend's socket, with the bytes that were already read from it.
///
/// Extensions of a response have to be cloneable; the first clone that is used gets the socket.
#[derive(Clone)]
pub(crate) struct TunnelBackend(Arc<Mutex<Option<BackendSocket>>>);

type BackendSocket = (Box<dyn Duplex>, Bytes);

trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

impl TunnelBackend {
    /// `read`: what has already been read from the socket.
    pub(crate) fn new(
        socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        read: Bytes,
    ) -> Self {
        Self(Arc::new(Mutex::new(Some((Box::new(socket), read)))))
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// A tunnel in progress. Its future is boxed, because tunnels are not on the path of ordinary
/// requests and must not make every connection's task larger.
pub(super) struct RunningTunnel(Pin<Box<dyn Future<Output = ()>>>);

impl RunningTunnel {
    /// `early`: what the client sent before the backend agreed to the upgrade.
    pub(super) fn new(
        client: Stream,
        early: Bytes,
        tunnel: Tunnel,
        state: &Rc<ConnectionState>,
    ) -> Self {
        let client = ObservedStream::new(client, Rc::clone(state));
        Self(Box::pin(async move {
            let Tunnel {
                backend,
                left,
                revoked,
                held,
            } = tunnel;
            let open = metrics::tunnels();
            open.increment(1);
            let revocation = async {
                while !revoked() {
                    sleep(REVOCATION_CHECK).await;
                }
            };
            // The tunnel ends for whichever reason comes first; none is reported to the client.
            tokio::select! {
                () = revocation => {}
                _ended = timeout(left, copy(client, early, &backend)) => {}
            }
            open.decrement(1);
            drop(held);
        }))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

async fn copy(
    mut client: ObservedStream,
    early: Bytes,
    backend: &TunnelBackend,
) -> std::io::Result<()> {
    let taken = backend
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some((mut backend, read)) = taken else {
        return Ok(());
    };
    backend.write_all(&early).await?;
    client.write_all(&read).await?;
    copy_bidirectional_with_sizes(&mut client, &mut backend, BUFFER, BUFFER).await?;
    Ok(())
}
