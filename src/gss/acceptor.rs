//! Says whose token a client brought, on threads of its own.
//!
//! In a login's way: the SPNEGO layer hands the token here and waits. A fixed set of threads accepts,
//! each with credentials of its own (an accept holds its credential's lock), out of an in-memory
//! copy of the keytab; a further thread, the keeper, follows the file and holds tickets that are
//! newer than it.
//!
//! GSSAPI decides, always. Two things it is spared where the token can be read in one way only
//! ([`ap_req`](super::ap_req)), as all of the usual clients are: to say the name of a client whose
//! ticket it has seen, and to open the replay cache each time. Both cost it as much as the proof.

mod clients;
mod error;
mod keeper;
mod keyring;
mod queue;
mod replay_cache;
mod replay_file;
mod status;
mod thread;

use std::{
    fmt, io,
    net::IpAddr,
    path::PathBuf,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use tokio::sync::{oneshot, watch};

use super::{
    Failure, KeytabError, Principal,
    peek::Ticket,
    reply::{Lost, Reply},
    sys::{AcceptContext, clockskew},
    threads::Threads,
};
use crate::net::source::{Shares, Source};

pub use error::{AcceptError, KeyFacts};
pub use replay_cache::ReplayCache;
pub use status::KeytabStatus;

use clients::Clients;
use keyring::Keyring;
use queue::{Queue, Refused};
use replay_file::ReplayFile;

/// Logins that the keeper holds at most.
const HELD: usize = 256;

/// How to accept.
#[derive(Clone, Debug)]
pub struct AcceptorOptions {
    /// The merged keytab.
    pub keytab: PathBuf,
    /// Where accepted authenticators are remembered.
    pub replay_cache: ReplayCache,
    /// Accept threads; one per core is right. At least 1.
    pub threads: usize,
    /// Logins that may wait for a thread; one more is [`AcceptError::Busy`]. At least 1. One
    /// address gets half of it at most.
    pub queue: usize,
    /// The longest wait for one leg, queueing included.
    pub deadline: Duration,
}

/// Why accepting cannot start.
#[derive(Debug, thiserror::Error)]
pub enum GssStartError {
    /// The keytab cannot be used.
    #[error(transparent)]
    Keytab(#[from] KeytabError),
    /// The replay cache cannot be written, so that every login would fail.
    #[error(
        "replay cache {} cannot be written; make it writable for this user or set \
         kerberos.replay_cache",
        path.display()
    )]
    ReplayCache {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// GSSAPI gives no credential for the keytab.
    #[error("no GSSAPI credential for keytab {}: {}", keytab.display(), failure.text)]
    Credential {
        /// The file.
        keytab: PathBuf,
        /// The library's reason.
        failure: Failure,
    },
    /// A thread cannot be started.
    #[error("a GSSAPI thread cannot be started; raise the limit on processes")]
    Thread(#[source] io::Error),
}

/// Accepts tokens; cheap to clone. Threads end when the last clone is dropped.
#[derive(Clone)]
pub struct Acceptor(Arc<Inner>);

/// What the handles own.
struct Inner {
    shared: Arc<Shared>,
    commands: mpsc::Sender<keeper::Command>,
    deadline: Duration,
    /// Last: they end when the channels above are closed.
    _threads: Threads,
}

/// What handles, accept threads and keeper share.
struct Shared {
    keytab: PathBuf,
    rcache: std::ffi::CString,
    /// The same file; none where replays are allowed.
    replays: Option<ReplayFile>,
    clients: Clients,
    /// How far clocks may be apart, in seconds.
    clockskew: u32,
    jobs: Queue<Job>,
    ring: ArcSwap<Keyring>,
    loader: Mutex<keeper::Loader>,
    status: watch::Sender<KeytabStatus>,
    /// Logins that the keeper holds; tickets newer than the keytab beyond them fail at once.
    held: Mutex<Shares>,
}

/// One leg to be accepted.
struct Job {
    token: Vec<u8>,
    pending: Option<Pending>,
    source: Option<Source>,
    reply: oneshot::Sender<Result<Step, AcceptError>>,
    /// It has been with the keeper; a second failure is final.
    again: bool,
}

/// What one leg gave.
#[derive(Debug)]
pub enum Step {
    /// The client is known.
    Done(Accepted),
    /// The client has to send another token on the same connection.
    Continue {
        /// For `WWW-Authenticate: Negotiate`.
        token: Vec<u8>,
        /// To be handed in with the next token.
        pending: Pending,
    },
}

/// A finished login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The client.
    pub client: Principal,
    /// The service that its ticket is for, as the ticket spells it.
    pub service: Principal,
    /// The end of its ticket.
    pub expires: SystemTime,
    /// The mutual authentication token for the final response.
    pub reply: Option<Vec<u8>>,
}

/// A login of several legs between two of them; dropping it forgets the login.
#[derive(Debug, Default)]
pub struct Pending {
    context: AcceptContext,
    /// The ticket that a leg before has brought.
    ticket: Option<Ticket>,
}

// === impl Acceptor ===

impl Acceptor {
    /// Loads the keytab, tries the replay cache and starts the threads.
    pub fn start(options: AcceptorOptions) -> Result<Self, GssStartError> {
        let AcceptorOptions {
            keytab,
            replay_cache,
            threads: count,
            queue,
            deadline,
        } = options;
        let rcache = replay_cache.prepare()?;
        let no_credential = |failure| GssStartError::Credential {
            keytab: keytab.clone(),
            failure,
        };
        let clockskew = clockskew().map_err(no_credential)?;
        let replays = match &replay_cache {
            ReplayCache::File(path) => Some(ReplayFile::new(path, clockskew)),
            ReplayCache::None => None,
        };
        let (loader, ring) = keeper::Loader::start(&keytab)?;
        thread::probe(&ring, &rcache).map_err(no_credential)?;
        let (status, _) = watch::channel(KeytabStatus::first(&ring));
        let shared = Arc::new(Shared {
            keytab,
            rcache,
            replays,
            clients: Clients::new(),
            clockskew,
            jobs: Queue::new(queue.max(1)),
            ring: ArcSwap::new(Arc::new(ring)),
            loader: Mutex::new(loader),
            status,
            held: Mutex::new(Shares::new(HELD)),
        });
        let (commands, orders) = mpsc::channel();
        let mut threads = Threads::new();
        let acceptor = |threads| {
            Self(Arc::new(Inner {
                shared: Arc::clone(&shared),
                commands: commands.clone(),
                deadline,
                _threads: threads,
            }))
        };
        let started = (|| {
            for number in 0..count.max(1) {
                let (shared, commands) = (Arc::clone(&shared), commands.clone());
                threads.spawn(format!("gss-accept-{number}"), move || {
                    thread::run(&shared, &commands);
                })?;
            }
            let shared = Arc::clone(&shared);
            threads.spawn("gss-keeper".to_owned(), move || {
                keeper::run(&shared, &orders);
            })
        })();
        // in any case: dropping it ends the threads that did start
        let acceptor = acceptor(threads);
        started.map_err(GssStartError::Thread)?;
        Ok(acceptor)
    }

    /// Accepts one leg; `pending` is the login that it continues, `client` where it comes from.
    ///
    /// The future must be polled in a tokio runtime with timers. It resolves at once to
    /// [`AcceptError::Busy`] when the queue is full and to [`AcceptError::Flood`] when `client` has
    /// as many logins waiting as places are left, and to [`AcceptError::Timeout`] after the
    /// deadline; dropping it drops the work unless a thread has begun it.
    pub fn accept(
        &self,
        token: Vec<u8>,
        pending: Option<Pending>,
        client: Option<IpAddr>,
    ) -> Accepting {
        let (reply, answer) = oneshot::channel();
        self.0.shared.queue(Job {
            token,
            pending,
            source: client.map(Source::from),
            reply,
            again: false,
        });
        Accepting(Reply::waiting(answer, self.0.deadline))
    }

    /// The principals of the keytab file as it was last loaded, in file order.
    pub fn principals(&self) -> Arc<[Principal]> {
        self.0.shared.ring.load().principals()
    }

    /// Loads the file again now; a broken one is reported and the old keys stay.
    ///
    /// Not needed in operation: the keeper follows the file by itself.
    pub fn reload(&self) -> Result<(), Arc<KeytabError>> {
        keeper::reload(&self.0.shared)
    }

    /// How the keytab is, with a way to wait for changes.
    pub fn status(&self) -> watch::Receiver<KeytabStatus> {
        self.0.shared.status.subscribe()
    }

    /// Logins that wait for a thread, and those held for a newer keytab.
    pub fn waiting(&self) -> (usize, usize) {
        (self.0.shared.jobs.len(), self.0.shared.held().taken())
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("keytab", &self.0.shared.keytab)
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.jobs.close();
        // the keeper may be gone already, which is as good
        let _ = self.commands.send(keeper::Command::Stop);
    }
}

// === impl Shared ===

impl Shared {
    fn held(&self) -> MutexGuard<'_, Shares> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a job wait for a thread, or answers it at once.
    fn queue(&self, job: Job) {
        let source = job.source;
        let (job, error) = match self.jobs.push(job, source) {
            Ok(()) => return,
            Err(Refused::Full(job)) => (job, AcceptError::Busy),
            Err(Refused::Flood(job)) => (job, AcceptError::Flood),
            Err(Refused::Closed(job)) => (job, AcceptError::Stopped),
        };
        // nobody may wait any more, which is as good
        drop(job.reply.send(Err(error)));
    }
}

// === impl Accepting ===

/// The future of [`Acceptor::accept`].
#[derive(Debug)]
#[must_use = "a login is dropped with its future"]
pub struct Accepting(Reply<Result<Step, AcceptError>>);

impl Future for Accepting {
    type Output = Result<Step, AcceptError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|answer| match answer {
                Ok(result) => result,
                Err(Lost::Timeout) => Err(AcceptError::Timeout),
                Err(Lost::Stopped) => Err(AcceptError::Stopped),
            })
    }
}
