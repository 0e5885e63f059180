//! Makes the gateway's tokens for backends, on threads of its own.
//!
//! In a request's way: the backend login asks for a token. What needs no KDC (a service ticket that
//! is in the cache) is made by the *near* threads; what does (a first ticket, a renewal) by the
//! *far* ones, which a hung KDC can stop for half a minute. Per principal and per SPN one exchange
//! is under way at a time, failures are remembered for a moment, and tickets are renewed before
//! they end while the old ones serve on.

mod account;
mod backoff;
mod error;
mod far;
mod near;
mod state;

use std::{
    fmt, io,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll},
    time::{Duration, Instant, SystemTime},
};

use libgssapi::context::{ClientCtx, SecurityContext};
use tokio::sync::oneshot;

use super::{
    Principal,
    reply::{Lost, Reply},
    threads::Threads,
};

pub use account::Account;
pub use error::InitiateError;
pub use state::ClientStatus;

use state::{Decision, Key, Ready, State};

/// How to initiate.
#[derive(Clone, Debug)]
pub struct InitiatorOptions {
    /// The keytab with the client keys; the same file as the acceptor's will do.
    pub keytab: PathBuf,
    /// Threads that may wait for a KDC, and as many that never do. At least 1.
    pub threads: usize,
    /// Tokens that may wait. At least 1.
    pub queue: usize,
    /// The longest wait for a token.
    pub deadline: Duration,
}

/// Makes tokens; cheap to clone. Threads end when the last clone is dropped.
#[derive(Clone)]
pub struct Initiator(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    near: async_channel::Sender<near::Job>,
    far: async_channel::Sender<far::Job>,
    queue: usize,
    deadline: Duration,
    /// Last: they end when the channels above are closed.
    _threads: Threads,
}

struct Shared {
    keytab: PathBuf,
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Answer = Result<ClientToken, InitiateError>;

/// A token for one request to one backend.
pub struct ClientToken {
    /// The SPNEGO token; to be sent once, in one request.
    pub token: Vec<u8>,
    /// The end of the service ticket that it was made with.
    pub expires: SystemTime,
    context: ClientCtx,
    ticket: Weak<Ready>,
    /// Whether the service ticket was there before the token was asked for.
    cached: bool,
}

// === impl Initiator ===

impl Initiator {
    /// Starts the threads; neither the keytab nor the KDC is needed yet.
    pub fn start(options: InitiatorOptions) -> Result<Self, io::Error> {
        let InitiatorOptions {
            keytab,
            threads,
            queue,
            deadline,
        } = options;
        let shared = Arc::new(Shared {
            keytab,
            state: Mutex::new(State::default()),
        });
        let (near, near_jobs) = async_channel::bounded(queue.max(1));
        // one exchange per principal and SPN at a time: bounded by the configuration
        let (far, far_jobs) = async_channel::unbounded();
        let mut running = Threads::new();
        let started = (0..threads.max(1)).try_for_each(|number| {
            let (jobs, owned) = (near_jobs.clone(), Arc::clone(&shared));
            running.spawn(format!("gss-init-{number}"), move || {
                near::run(&owned, &jobs);
            })?;
            let (jobs, near, again) = (far_jobs.clone(), near.downgrade(), far.downgrade());
            let owned = Arc::clone(&shared);
            running.spawn(format!("gss-kdc-{number}"), move || {
                far::run(&owned, &jobs, &near, &again);
            })
        });
        // in any case: dropping it ends the threads that did start
        let initiator = Self(Arc::new(Inner {
            shared,
            near,
            far,
            queue,
            deadline,
            _threads: running,
        }));
        started.map(|()| initiator)
    }

    /// Makes a token as `principal` for the service `spn`, both with their realms; nothing is
    /// looked up in DNS.
    ///
    /// The future must be polled in a tokio runtime with timers; it resolves to
    /// [`InitiateError::Timeout`] after the deadline.
    pub fn token(&self, principal: &Principal, spn: &Principal) -> Initiating {
        let key = Key {
            client: principal.clone(),
            spn: spn.clone(),
        };
        let inner = &self.0;
        let (reply, answer) = oneshot::channel();
        let decision =
            inner
                .shared
                .state()
                .ask(key, reply, Instant::now(), inner.deadline, inner.queue);
        let refused = match decision {
            Decision::Near { job, renew } => {
                if let Some(work) = renew {
                    // renewal is retried by the next token
                    let _ = inner.far.try_send(work);
                }
                match inner.near.try_send(job) {
                    Ok(()) => None,
                    Err(async_channel::TrySendError::Full(_)) => Some(InitiateError::Busy),
                    Err(async_channel::TrySendError::Closed(_)) => Some(InitiateError::Stopped),
                }
            }
            Decision::Far(work) => inner
                .far
                .try_send(work)
                .is_err()
                .then_some(InitiateError::Stopped),
            Decision::Wait => None,
            Decision::Refuse(error) => Some(error),
        };
        Initiating(match refused {
            Some(error) => Reply::ready(Err(error)),
            None => Reply::waiting(answer, inner.deadline),
        })
    }

    /// The backend has refused the login with this token. If the token came from a service ticket that
    /// was held already, the backend's key may have changed since: the next token is then made with a
    /// new ticket. True where that is so, and another try is worth it; at most every 10 s per service.
    pub fn refused(&self, token: &ClientToken) -> bool {
        token.cached && self.0.shared.state().refused(&token.ticket, Instant::now())
    }

    /// The gateway's principals that tickets were wanted for, by name.
    pub fn clients(&self) -> Vec<ClientStatus> {
        self.0.shared.state().clients(Instant::now())
    }

    /// Forgets failures, and gets new tickets with the keytab as it is now; those held serve until
    /// then.
    pub fn reload(&self) {
        self.0.shared.state().renew_all(Instant::now());
    }
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Initiator")
            .field("keytab", &self.0.shared.keytab)
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.near.close();
        self.far.close();
    }
}

// === impl ClientToken ===

impl ClientToken {
    /// Checks the backend's answer to this token (mutual authentication); no I/O.
    pub fn verify(&mut self, reply: &[u8]) -> Result<(), InitiateError> {
        let rejected = |text: String| InitiateError::Mutual { text };
        match self.context.step(Some(reply), None) {
            Ok(_) if self.context.is_complete() => Ok(()),
            Ok(_) => Err(rejected("the backend wants another leg".to_owned())),
            Err(error) => Err(rejected(error.to_string().trim().to_owned())),
        }
    }
}

impl fmt::Debug for ClientToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientToken")
            .field("bytes", &self.token.len())
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

// === impl Initiating ===

/// The future of [`Initiator::token`].
#[derive(Debug)]
#[must_use = "a token is dropped with its future"]
pub struct Initiating(Reply<Answer>);

impl Future for Initiating {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|answer| match answer {
                Ok(result) => result,
                Err(Lost::Timeout) => Err(InitiateError::Timeout),
                Err(Lost::Stopped) => Err(InitiateError::Stopped),
            })
    }
}
