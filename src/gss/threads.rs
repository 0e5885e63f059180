//! A set of named threads that is waited for, within bounds, when it is dropped.
//!
//! The Kerberos library's exit functions destroy its locks: a thread that still releases
//! credentials while the process exits would abort it.

use std::{
    convert::Infallible,
    io,
    sync::{Mutex, PoisonError, mpsc},
    thread::{Builder, JoinHandle},
    time::Duration,
};

/// How long an end is waited for. A thread that hangs in a KDC is left to itself.
const END: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Threads {
    handles: Vec<JoinHandle<()>>,
    /// Disconnected when every thread has dropped its end.
    alive: Mutex<mpsc::Receiver<Infallible>>,
    token: Option<mpsc::Sender<Infallible>>,
}

impl Threads {
    pub(super) fn new() -> Self {
        let (token, alive) = mpsc::channel();
        Self {
            handles: Vec::new(),
            alive: Mutex::new(alive),
            token: Some(token),
        }
    }

    /// Starts one; its work must end by itself once its channels are closed.
    pub(super) fn spawn(
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
        if alive.recv_timeout(END) == Err(mpsc::RecvTimeoutError::Disconnected) {
            for handle in self.handles.drain(..) {
                // one that panicked has answered for itself
                let _ = handle.join();
            }
        }
    }
}
