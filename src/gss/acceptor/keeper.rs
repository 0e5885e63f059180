//! The keeper: follows the keytab file, and holds tickets that are newer than it.
//!
//! One thread beside the accept threads, so that holding never blocks a login. It looks at the file
//! four times a second and is told of nothing: that also sees what network file systems and swapped
//! links do not report, and nobody who writes beside the keytab (the replay cache, at every login)
//! wakes it.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    sync::{
        Arc, PoisonError,
        mpsc::{self, RecvTimeoutError},
    },
    time::{Duration, Instant, SystemTime},
};

use tracing::{info, warn};

use super::{AcceptError, GssStartError, Job, KeytabStatus, Shared, error::Cure, keyring::Keyring};
use crate::gss::{Keytab, KeytabError};

/// How long a ticket newer than the keytab waits for its key.
const HOLD: Duration = Duration::from_secs(1);
/// How often the file is looked at while tickets wait.
const HASTE: Duration = Duration::from_millis(20);
/// How often it is looked at otherwise; a look is one `stat`.
const POLL: Duration = Duration::from_millis(250);

/// What the keeper is told.
pub(super) enum Command {
    /// A failed job that a newer keytab may cure.
    Held {
        job: Job,
        error: AcceptError,
        cure: Cure,
        /// The keys that failed it.
        ring: Arc<Keyring>,
    },
    /// The acceptor is gone.
    Stop,
}

impl Command {
    /// Answers a held job with its error.
    pub(super) fn give_up(self, shared: &Shared) {
        match self {
            Self::Held { job, error, .. } => {
                shared.held().give_back(job.source);
                drop(job.reply.send(Err(error)));
            }
            Self::Stop => {}
        }
    }
}

/// What a file was when it was last looked at; a change of any of these is a new content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signature {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

fn signature(path: &Path) -> Option<Signature> {
    let metadata = fs::metadata(path).ok()?;
    Some(Signature {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// What was last loaded; under a lock, for the keeper and [`reload`].
#[derive(Debug)]
pub(super) struct Loader {
    seen: Option<Signature>,
    error: Option<Arc<KeytabError>>,
}

impl Loader {
    /// Loads the file for the first time.
    pub(super) fn start(path: &Path) -> Result<(Self, Keyring), GssStartError> {
        // the signature first: a change between the two is seen as one later
        let seen = signature(path);
        let file = Keytab::load(path)?;
        let ring = Keyring::new(file).map_err(|failure| KeytabError::Library {
            path: path.to_owned(),
            text: failure.text,
        })?;
        Ok((Self { seen, error: None }, ring))
    }
}

/// Loads the file whatever it was.
pub(super) fn reload(shared: &Shared) -> Result<(), Arc<KeytabError>> {
    look(shared, true).map_or(Ok(()), Err)
}

/// Loads the file if it is another than last time; gives the reason if it is broken.
fn look(shared: &Shared, force: bool) -> Option<Arc<KeytabError>> {
    let mut loader = shared.loader.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = signature(&shared.keytab);
    if !force && seen == loader.seen && seen.is_some() {
        return loader.error.clone();
    }
    loader.seen = seen;
    match take_over(shared) {
        Ok(taken) => {
            let healed = loader.error.take().is_some();
            if taken || healed {
                publish(shared, None, taken);
            }
        }
        Err(error) => {
            let text = error.to_string();
            if loader
                .error
                .as_ref()
                .is_none_or(|known| known.to_string() != text)
            {
                warn!(%error, "the keytab cannot be used, the keys loaded before stay in use");
                let error = Arc::new(error);
                loader.error = Some(Arc::clone(&error));
                publish(shared, Some(error), false);
            }
        }
    }
    loader.error.clone()
}

/// Whether a new content is in use now.
fn take_over(shared: &Shared) -> Result<bool, KeytabError> {
    let file = Keytab::load(&shared.keytab)?;
    let ring = shared.ring.load();
    if ring.is_of(&file) {
        return Ok(false);
    }
    let next = ring
        .next(file, Instant::now())
        .map_err(|failure| KeytabError::Library {
            path: shared.keytab.clone(),
            text: failure.text,
        })?;
    info!(
        keytab = %shared.keytab.display(),
        principals = next.principals().len(),
        "keytab taken over"
    );
    shared.ring.store(Arc::new(next));
    Ok(true)
}

fn publish(shared: &Shared, error: Option<Arc<KeytabError>>, taken: bool) {
    shared.status.send_modify(|status| {
        *status = KeytabStatus {
            error,
            since: SystemTime::now(),
            generation: status.generation + u64::from(taken),
            principals: shared.ring.load().principals(),
        };
    });
}

/// Drops keys whose time is over.
fn prune(shared: &Shared, now: Instant) {
    let _alone = shared.loader.lock().unwrap_or_else(PoisonError::into_inner);
    let ring = shared.ring.load();
    if ring.next_end().is_some_and(|end| end <= now) {
        match ring.pruned(now) {
            Ok(next) => shared.ring.store(Arc::new(next)),
            Err(failure) => warn!(reason = failure.text, "old keys could not be dropped"),
        }
    }
}

/// A job that waits for a newer keytab.
struct Held {
    job: Job,
    error: AcceptError,
    until: Instant,
    /// The keys that failed it.
    ring: Arc<Keyring>,
}

pub(super) fn run(shared: &Shared, orders: &mpsc::Receiver<Command>) {
    let mut held: Vec<Held> = Vec::new();
    loop {
        // whether it is broken is told by `status`
        let _error = look(shared, false);
        let now = Instant::now();
        prune(shared, now);
        release(shared, &mut held, now);
        let pause = if held.is_empty() { POLL } else { HASTE };
        let mut order = match orders.recv_timeout(pause) {
            Ok(order) => Some(order),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        while let Some(next) = order {
            match next {
                Command::Stop => return,
                Command::Held {
                    job,
                    error,
                    cure,
                    ring,
                } => held.push(Held {
                    job,
                    error,
                    until: match cure {
                        Cure::Wait => Instant::now() + HOLD,
                        Cure::Look => Instant::now(),
                    },
                    ring,
                }),
            }
            order = orders.try_recv().ok();
        }
    }
}

/// Sends jobs back to the accept threads when there are new keys, and gives up on old ones.
fn release(shared: &Shared, held: &mut Vec<Held>, now: Instant) {
    let ring = shared.ring.load_full();
    for waiting in std::mem::take(held) {
        let changed = !Arc::ptr_eq(&ring, &waiting.ring);
        if !changed && waiting.until > now && !waiting.job.reply.is_closed() {
            held.push(waiting);
            continue;
        }
        let Held { job, error, .. } = waiting;
        shared.held().give_back(job.source);
        if !changed {
            drop(job.reply.send(Err(error)));
            continue;
        }
        shared.queue(job);
    }
}
