//! Makes the gateway's own tokens for backends, on threads of its own.
//!
//! The backend login (`upstream`) asks for a token. There are two groups of threads. The *cached*
//! threads make tokens from service tickets that are held already and never wait. The *kdc* threads do
//! everything that needs a KDC (a first ticket, a renewal) and may be blocked for half a minute by a
//! KDC that does not respond; libkrb5 tries each KDC several times and cannot be interrupted.
//!
//! For each client principal and each SPN one exchange with the KDC is in flight at a time, failures
//! are cached for a short time, and tickets are renewed before they end while the old ones stay in
//! use.

mod account_status;
mod backoff;
mod cached;
mod error;
mod kdc;
mod tickets;

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
    blocking::{PushError, Queue, Reply, ReplyError, Threads},
};

pub use account_status::AccountStatus;
pub use error::InitiateError;
pub use tickets::ClientStatus;

use tickets::{ServiceTicket, TicketKey, Tickets, TokenPlan};

/// Options of an [`Initiator`].
#[derive(Clone, Debug)]
pub struct InitiatorOptions {
    /// The keytab with the client keys; it may be the acceptor's.
    pub keytab: PathBuf,
    /// Threads for exchanges with the KDC, and the same number for tokens from cached tickets. At
    /// least 1.
    pub threads: usize,
    /// Tokens that may wait. At least 1.
    pub queue: usize,
    /// The longest wait for a token.
    pub deadline: Duration,
}

/// Makes tokens; cheap to clone. Its threads end when the last clone is dropped.
///
/// ```no_run
/// use std::time::Duration;
///
/// use spnegate::gss::{Initiator, InitiatorOptions};
///
/// # async fn token() -> Result<(), Box<dyn std::error::Error>> {
/// let initiator = Initiator::start(InitiatorOptions {
///     keytab: "/etc/spnegate.keytab".into(),
///     threads: 2,
///     queue: 64,
///     deadline: Duration::from_secs(5),
/// })?;
/// let client = "spnegate/gw.example.com@EXAMPLE.COM".parse()?;
/// let spn = "HTTP/nn1.example.com@EXAMPLE.COM".parse()?;
/// let mut token = initiator.token(&client, &spn).await?;
/// // send `token.token` in `Authorization: Negotiate`, then check the backend's proof:
/// # let proof = [];
/// token.verify(&proof)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Initiator(Arc<Inner>);

struct Inner {
    core: Arc<InitiatorCore>,
    queue: usize,
    deadline: Duration,
    _threads: Threads,
}

/// What the handles and the threads share.
struct InitiatorCore {
    keytab: PathBuf,
    tickets: Mutex<Tickets>,
    cached: Queue<cached::TokenJob>,
    /// Unbounded: there is at most one job for each principal and SPN of the configuration.
    kdc: Queue<kdc::KdcJob>,
}

impl InitiatorCore {
    fn tickets(&self) -> MutexGuard<'_, Tickets> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type TokenResult = Result<ClientToken, InitiateError>;

/// A token for one request to one backend.
pub struct ClientToken {
    /// The SPNEGO token. It must be sent in one request only: the backend's replay cache refuses it
    /// the second time.
    pub token: Vec<u8>,
    /// The end of the service ticket that it was made with.
    pub expires: SystemTime,
    context: ClientCtx,
    ticket: Weak<ServiceTicket>,
    /// Whether the service ticket was held before the token was requested.
    cached: bool,
}

// === impl Initiator ===

impl Initiator {
    /// Starts the threads. Neither the keytab nor the KDC is needed yet.
    ///
    /// # Errors
    ///
    /// A thread cannot be started.
    pub fn start(options: InitiatorOptions) -> Result<Self, io::Error> {
        let InitiatorOptions {
            keytab,
            threads: count,
            queue,
            deadline,
        } = options;
        let core = Arc::new(InitiatorCore {
            keytab,
            tickets: Mutex::new(Tickets::default()),
            cached: Queue::new(queue.max(1)),
            kdc: Queue::unbounded(),
        });
        let mut threads = Threads::of_kerberos();
        let started = (0..count.max(1)).try_for_each(|number| {
            let shared = Arc::clone(&core);
            threads.spawn(format!("gss-init-{number}"), move || cached::run(&shared))?;
            let shared = Arc::clone(&core);
            threads.spawn(format!("gss-kdc-{number}"), move || kdc::run(&shared))
        });
        // Made before the error is returned: dropping it ends the threads that were started.
        let initiator = Self(Arc::new(Inner {
            core,
            queue,
            deadline,
            _threads: threads,
        }));
        started.map(|()| initiator)
    }

    /// Makes a token as `principal` for the service `spn`. Both have their realms, and nothing is
    /// resolved in DNS: canonicalisation by DNS would let an attacker who controls DNS choose the
    /// service.
    ///
    /// The future must be polled in a tokio runtime with timers; it resolves to
    /// [`InitiateError::Timeout`] after the deadline.
    pub fn token(&self, principal: &Principal, spn: &Principal) -> Initiating {
        let key = TicketKey {
            client: principal.clone(),
            spn: spn.clone(),
        };
        let Inner {
            core,
            queue,
            deadline,
            ..
        } = &*self.0;
        let (reply, result) = oneshot::channel();
        let plan = core
            .tickets()
            .plan(key, reply, Instant::now(), *deadline, *queue);
        let refused = match plan {
            TokenPlan::Cached { job, renew } => {
                if let Some(renewal) = renew {
                    // It fails only when the initiator is dropped.
                    let _ = core.kdc.push(renewal, None);
                }
                let queued = core.cached.push(job, None);
                queued.err().map(|error| refusal(error).1)
            }
            TokenPlan::Kdc(job) => core
                .kdc
                .push(job, None)
                .is_err()
                .then_some(InitiateError::Stopped),
            TokenPlan::Wait => None,
            TokenPlan::Refuse(error) => Some(error),
        };
        Initiating(match refused {
            Some(error) => Reply::ready(Err(error)),
            None => Reply::waiting(result, *deadline),
        })
    }

    /// Reports that the backend has refused the login with this token.
    ///
    /// If the service ticket was held before the token was made, the backend's key may have changed
    /// since: the next token is then made with a new ticket. Returns whether that is so and another
    /// try makes sense; at most every 10 s for each service, so that a backend that refuses every
    /// login does not cost a request to the KDC each time.
    pub fn refused(&self, token: &ClientToken) -> bool {
        let tickets = || self.0.core.tickets();
        token.cached && tickets().refused(&token.ticket, Instant::now())
    }

    /// The gateway's principals that tickets were requested for, by name.
    pub fn clients(&self) -> Vec<ClientStatus> {
        self.0.core.tickets().clients(Instant::now())
    }

    /// Forgets failures and gets new tickets with the present keytab; the old ones stay in use until
    /// then.
    pub fn reload(&self) {
        self.0.core.tickets().renew_all(Instant::now());
    }
}

/// The job that was not queued, and the error for its caller.
fn refusal<T>(error: PushError<T>) -> (T, InitiateError) {
    match error {
        PushError::Full(job) | PushError::Flood(job) => (job, InitiateError::Busy),
        PushError::Closed(job) => (job, InitiateError::Stopped),
    }
}

impl fmt::Debug for Initiator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Initiator")
            .field("keytab", &self.0.core.keytab)
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The threads end when their queues are closed; `_threads` is dropped after this.
        self.core.cached.close();
        self.core.kdc.close();
    }
}

// === impl ClientToken ===

impl ClientToken {
    /// Checks the backend's mutual authentication token for this token; no I/O.
    ///
    /// # Errors
    ///
    /// [`InitiateError::Mutual`]: the backend did not prove that it has the key of its SPN.
    pub fn verify(&mut self, reply: &[u8]) -> Result<(), InitiateError> {
        let rejected = |text: String| InitiateError::Mutual { text };
        match self.context.step(Some(reply), None) {
            Ok(_) if self.context.is_complete() => Ok(()),
            Ok(_) => Err(rejected("the backend asks for another token".to_owned())),
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
#[must_use = "dropping the future drops the request for a token"]
pub struct Initiating(Reply<TokenResult>);

impl Future for Initiating {
    type Output = TokenResult;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|reply| match reply {
                Ok(result) => result,
                Err(ReplyError::Timeout) => Err(InitiateError::Timeout),
                Err(ReplyError::Stopped) => Err(InitiateError::Stopped),
            })
    }
}
