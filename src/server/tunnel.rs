//! What an upgraded connection becomes: bytes both ways, until either side ends, nothing passes for
//! too long, or the session is over.

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

use crate::{
    server::{stream::Stream, timers::State, watched::Watched},
    telemetry::metrics,
};

/// What is read ahead of each side, in bytes.
const BUFFER: usize = 16 * 1024;
/// How often it is asked whether the session has been ended.
const LOOK: Duration = Duration::from_secs(1);

/// An extension of a `101` answer: what the connection is joined to.
#[derive(Clone)]
pub(crate) struct Tunnel {
    /// The backend's side.
    pub backend: Far,
    /// How long it may last.
    pub left: Duration,
    /// Whether it has to end before: a logout.
    pub revoked: Arc<dyn Fn() -> bool + Send + Sync>,
    /// Dropped at its end.
    pub held: Arc<dyn Any + Send + Sync>,
}

/// The far side of a tunnel: a socket, and what was read from it already. Whoever takes it first has
/// it; an extension has to be cloneable.
#[derive(Clone)]
pub(crate) struct Far(Arc<Mutex<Option<Heard>>>);

/// A socket, and what was read from it.
type Heard = (Box<dyn Socket>, Bytes);

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

impl Far {
    /// A socket of which `said` has been read.
    pub(crate) fn new(
        socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        said: Bytes,
    ) -> Self {
        Self(Arc::new(Mutex::new(Some((Box::new(socket), said)))))
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// A tunnel under way; nothing on an ordinary request's way, so its future is boxed.
pub(super) struct Tunnelling(Pin<Box<dyn Future<Output = ()>>>);

impl Tunnelling {
    /// Joins a client to its backend; `early` is what the client sent before the backend agreed.
    pub(super) fn new(client: Stream, early: Bytes, tunnel: Tunnel, state: &Rc<State>) -> Self {
        let client = Watched::new(client, Rc::clone(state));
        Self(Box::pin(async move {
            let Tunnel {
                backend,
                left,
                revoked,
                held,
            } = tunnel;
            let open = metrics::tunnels();
            open.increment(1);
            let over = async {
                while !revoked() {
                    sleep(LOOK).await;
                }
            };
            // its end is the tunnel's end, whichever side or reason
            tokio::select! {
                () = over => {}
                _ended = timeout(left, join(client, early, &backend)) => {}
            }
            open.decrement(1);
            drop(held);
        }))
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

async fn join(mut client: Watched, early: Bytes, backend: &Far) -> std::io::Result<()> {
    let taken = backend
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let Some((mut backend, said)) = taken else {
        return Ok(());
    };
    backend.write_all(&early).await?;
    client.write_all(&said).await?;
    copy_bidirectional_with_sizes(&mut client, &mut backend, BUFFER, BUFFER).await?;
    Ok(())
}
