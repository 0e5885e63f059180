//! A set of named threads that is joined, for a bounded time, when it is dropped.

use std::{
    convert::Infallible,
    io,
    sync::{Mutex, PoisonError, mpsc},
    thread::{Builder, JoinHandle},
    time::Duration,
};

#[derive(Debug)]
pub(crate) struct Threads {
    handles: Vec<JoinHandle<()>>,
    /// Disconnected when every thread has dropped its sender.
    alive: Mutex<mpsc::Receiver<Infallible>>,
    token: Option<mpsc::Sender<Infallible>>,
    join_timeout: Duration,
}

impl Threads {
    /// Threads that call the Kerberos library: its exit functions destroy its locks, so a thread that
    /// still releases credentials while the process exits would abort the process. The wait is
    /// bounded because a call may hang until the KDC responds, and cannot be cancelled.
    pub(crate) fn of_kerberos() -> Self {
        Self::new(Duration::from_millis(500))
    }

    /// Threads that are not waited for: they are joined only if they have all ended already.
    pub(crate) fn detached() -> Self {
        Self::new(Duration::ZERO)
    }

    fn new(join_timeout: Duration) -> Self {
        let (token, alive) = mpsc::channel();
        Self {
            handles: Vec::new(),
            alive: Mutex::new(alive),
            token: Some(token),
            join_timeout,
        }
    }

    /// Starts a thread; `work` must return once its queue is closed.
    pub(crate) fn spawn(
        &mut self,
        name: String,
        work: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let token = self.token.clone();
        let handle = Builder::new().name(name).spawn(move || {
            work();
            drop(token);
        })?;
        self.handles.push(handle);
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.token = None;
        let alive = self.alive.get_mut().unwrap_or_else(PoisonError::into_inner);
        // std has no join with a timeout: the disconnected channel says that `join` will not block.
        if alive.recv_timeout(self.join_timeout) == Err(mpsc::RecvTimeoutError::Disconnected) {
            for handle in self.handles.drain(..) {
                // A panic has been reported by the panic hook already.
                let _ = handle.join();
            }
        }
    }
}
