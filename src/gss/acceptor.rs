//! Verifies clients' tokens with `gss_accept_sec_context`, on threads of its own.
//!
//! The SPNEGO layer passes a token in and awaits the result. A fixed set of threads accepts tokens,
//! each with credentials of its own (an accept holds its credential's lock), from a copy of the keytab
//! in memory. One more thread ([`keytab_watch`]) watches the file and holds logins whose tickets are
//! newer than it.
//!
//! GSSAPI verifies every token. Where a token can be read in one way only ([`ap_req`](super::ap_req)),
//! as the tokens of all usual clients can, two parts of its work are done here instead: the name of a
//! client whose ticket has been seen before is cached ([`client_cache`]), and the replay cache is kept
//! open ([`replay_file`]). Together they cost GSSAPI as much as the verification itself.

mod client_cache;
mod error;
mod key_set;
mod keytab_watch;
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
    blocking::{PushError, Queue, Reply, ReplyError, Threads},
    peek::Ticket,
    sys::{AcceptContext, clockskew},
};
use crate::net::source::{Shares, Source};

pub use error::{AcceptError, KeyDetails};
pub use replay_cache::ReplayCache;
pub use status::KeytabStatus;

use client_cache::ClientCache;
use key_set::KeySet;
use replay_file::ReplayFile;

/// The most logins that are held until the keytab changes.
const MAX_HELD: usize = 256;

/// Options of an [`Acceptor`].
#[derive(Clone, Debug)]
pub struct AcceptorOptions {
    /// The keytab with a key for each service that clients may ask for.
    pub keytab: PathBuf,
    /// Where accepted authenticators are remembered.
    pub replay_cache: ReplayCache,
    /// Accept threads; at least 1. An accept is computation, so more than one for each core gains
    /// nothing.
    pub threads: usize,
    /// Logins that may wait for a thread; at least 1. One more is [`AcceptError::Busy`]. One client
    /// address may fill half of it.
    pub queue: usize,
    /// The longest wait for one token, queueing included.
    pub deadline: Duration,
}

/// Why an [`Acceptor`] cannot be started.
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
    /// GSSAPI cannot acquire a credential from the keytab.
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

/// Accepts tokens; cheap to clone. Its threads end when the last clone is dropped.
///
/// ```no_run
/// use std::time::Duration;
///
/// use spnegate::gss::{Acceptor, AcceptorOptions, LoginStep, ReplayCache};
///
/// # async fn login(token: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
/// let acceptor = Acceptor::start(AcceptorOptions {
///     keytab: "/etc/spnegate.keytab".into(),
///     replay_cache: ReplayCache::default(),
///     threads: 2,
///     queue: 1024,
///     deadline: Duration::from_secs(5),
/// })?;
/// match acceptor.accept(token, None, None).await? {
///     LoginStep::Done(accepted) => println!("{} logged in", accepted.client),
///     LoginStep::Continue { .. } => println!("the client has to send another token"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Acceptor(Arc<Inner>);

struct Inner {
    core: Arc<AcceptorCore>,
    commands: mpsc::Sender<keytab_watch::Command>,
    deadline: Duration,
    _threads: Threads,
}

/// What the handles and the threads share.
struct AcceptorCore {
    keytab: PathBuf,
    rcache: std::ffi::CString,
    /// The same file, kept open; `None` if replays are allowed.
    replays: Option<ReplayFile>,
    client_cache: ClientCache,
    /// The largest accepted difference of clocks, in seconds.
    clockskew: u32,
    jobs: Queue<AcceptJob>,
    keys: ArcSwap<KeySet>,
    loader: Mutex<keytab_watch::Loader>,
    status: watch::Sender<KeytabStatus>,
    /// Logins that are held until the keytab changes. Beyond [`MAX_HELD`], and beyond its share of one
    /// address, a ticket newer than the keytab fails immediately.
    held: Mutex<Shares>,
}

/// One token to be accepted.
struct AcceptJob {
    token: Vec<u8>,
    pending: Option<Pending>,
    source: Option<Source>,
    reply: oneshot::Sender<Result<LoginStep, AcceptError>>,
    /// The next failure is final: the job has been held once, or its token cannot be used again.
    is_last_try: bool,
}

/// The result of one token of a login. `P` is the state of a login between two tokens.
#[derive(Debug)]
pub enum LoginStep<P = Pending> {
    /// The login is complete.
    Done(Accepted),
    /// The client has to send another token on the same connection.
    Continue {
        /// For `WWW-Authenticate: Negotiate`.
        token: Vec<u8>,
        /// To be passed in with the client's next token.
        pending: P,
    },
}

/// A completed login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The client.
    pub client: Principal,
    /// The service that its ticket is for, in the ticket's spelling.
    pub service: Principal,
    /// The end of its ticket.
    pub expires: SystemTime,
    /// The mutual authentication token for the final response.
    pub reply: Option<Vec<u8>>,
}

/// A login that needs several tokens, between two of them; dropping it abandons the login.
#[derive(Debug, Default)]
pub struct Pending {
    context: AcceptContext,
    /// The ticket of an earlier token.
    ticket: Option<Ticket>,
}

// === impl Acceptor ===

impl Acceptor {
    /// Loads the keytab, tests the replay cache and starts the threads.
    ///
    /// # Errors
    ///
    /// See [`GssStartError`]. A replay cache that cannot be written is an error here, because it would
    /// fail every login.
    pub fn start(options: AcceptorOptions) -> Result<Self, GssStartError> {
        let AcceptorOptions {
            keytab,
            replay_cache,
            threads: count,
            queue,
            deadline,
        } = options;
        // Opened before anything else: without it every login would fail, and that must show at the
        // start.
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
        let (loader, keys) = keytab_watch::Loader::start(&keytab)?;
        thread::probe(&keys, &rcache).map_err(no_credential)?;
        let (status, _) = watch::channel(KeytabStatus::first(&keys));
        let core = Arc::new(AcceptorCore {
            keytab,
            rcache,
            replays,
            client_cache: ClientCache::new(),
            clockskew,
            jobs: Queue::new(queue.max(1)),
            keys: ArcSwap::new(Arc::new(keys)),
            loader: Mutex::new(loader),
            status,
            held: Mutex::new(Shares::new(MAX_HELD)),
        });
        let (commands, received) = mpsc::channel();
        let mut threads = Threads::of_kerberos();
        let started = (|| {
            for number in 0..count.max(1) {
                let (core, commands) = (Arc::clone(&core), commands.clone());
                threads.spawn(format!("gss-accept-{number}"), move || {
                    thread::run(&core, &commands);
                })?;
            }
            let core = Arc::clone(&core);
            threads.spawn("gss-keytab".to_owned(), move || {
                keytab_watch::run(&core, &received);
            })
        })();
        // Made before the error is returned: dropping it ends the threads that were started.
        let acceptor = Self(Arc::new(Inner {
            core,
            commands,
            deadline,
            _threads: threads,
        }));
        started.map_err(GssStartError::Thread)?;
        Ok(acceptor)
    }

    /// Accepts one token. `pending` is the login that it continues, `client` the address that it was
    /// received from.
    ///
    /// The future must be polled in a tokio runtime with timers. It resolves immediately to
    /// [`AcceptError::Busy`] when the queue is full and to [`AcceptError::Flood`] when `client` has as
    /// many logins waiting as there is room left, and to [`AcceptError::Timeout`] after the deadline.
    /// Dropping it drops the work unless a thread has begun it: a GSSAPI call cannot be cancelled.
    pub fn accept(
        &self,
        token: Vec<u8>,
        pending: Option<Pending>,
        client: Option<IpAddr>,
    ) -> Accepting {
        let (reply, result) = oneshot::channel();
        self.0.core.queue(AcceptJob {
            token,
            pending,
            source: client.map(Source::from),
            reply,
            is_last_try: false,
        });
        Accepting(Reply::waiting(result, self.0.deadline))
    }

    /// The principals of the keytab file as it was last loaded, in file order.
    pub fn principals(&self) -> Arc<[Principal]> {
        self.0.core.keys.load().principals()
    }

    /// Loads the keytab file again now. A broken file is reported, and the old keys stay in use.
    ///
    /// Not needed in operation: the file is watched.
    pub fn reload(&self) -> Result<(), Arc<KeytabError>> {
        keytab_watch::reload(&self.0.core)
    }

    /// The state of the keytab file; the receiver can await changes.
    pub fn status(&self) -> watch::Receiver<KeytabStatus> {
        self.0.core.status.subscribe()
    }

    /// The number of logins that wait for a thread, and of those held for a newer keytab.
    pub fn waiting(&self) -> (usize, usize) {
        (self.0.core.jobs.len(), self.0.core.held().taken())
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("keytab", &self.0.core.keytab)
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The threads end when their queues are closed; `_threads` is dropped after this.
        self.core.jobs.close();
        // The watching thread may have ended already; ignore the closed channel.
        let _ = self.commands.send(keytab_watch::Command::Stop);
    }
}

// === impl AcceptorCore ===

impl AcceptorCore {
    fn held(&self) -> MutexGuard<'_, Shares> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a job for the accept threads, or replies to it with the reason why not.
    fn queue(&self, job: AcceptJob) {
        let source = job.source;
        let (job, error) = match self.jobs.push(job, source) {
            Ok(()) => return,
            Err(PushError::Full(job)) => (job, AcceptError::Busy),
            Err(PushError::Flood(job)) => (job, AcceptError::Flood),
            Err(PushError::Closed(job)) => (job, AcceptError::Stopped),
        };
        // The caller may have gone away; ignore the closed channel.
        let _ = job.reply.send(Err(error));
    }
}

// === impl Accepting ===

/// The future of [`Acceptor::accept`].
#[derive(Debug)]
#[must_use = "dropping the future drops the login"]
pub struct Accepting(Reply<Result<LoginStep, AcceptError>>);

impl Future for Accepting {
    type Output = Result<LoginStep, AcceptError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(context)
            .map(|reply| match reply {
                Ok(result) => result,
                Err(ReplyError::Timeout) => Err(AcceptError::Timeout),
                Err(ReplyError::Stopped) => Err(AcceptError::Stopped),
            })
    }
}
