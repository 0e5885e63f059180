//! Watches the keytab file, and holds logins whose tickets are newer than it.
//!
//! One thread beside the accept threads, so that a held login never blocks another one. It polls the
//! file four times a second instead of using inotify: polling also sees changes that network file
//! systems and swapped symbolic links do not report, and writes to other files of the directory do not
//! wake it. With inotify and the replay cache in the same directory, each login woke two threads, which
//! was 18 % of its CPU time.

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

use super::{
    AcceptError, AcceptJob, AcceptorCore, GssStartError, KeytabStatus, error::KeytabRetry,
    key_set::KeySet,
};
use crate::gss::{Keytab, KeytabError};

/// How long a ticket newer than the keytab waits for its key.
const HOLD: Duration = Duration::from_secs(1);
/// The polling interval while logins are held.
const POLL_WHILE_HELD: Duration = Duration::from_millis(20);
/// The polling interval otherwise; a poll is one `stat`.
const POLL: Duration = Duration::from_millis(250);

pub(super) enum Command {
    /// Hold a failed login that may succeed with a newer keytab.
    Hold {
        job: AcceptJob,
        error: AcceptError,
        retry: KeytabRetry,
        /// The keys that it failed with.
        keys: Arc<KeySet>,
    },
    /// The acceptor was dropped.
    Stop,
}

impl Command {
    /// Replies to the login with its error.
    pub(super) fn give_up(self, core: &AcceptorCore) {
        match self {
            Self::Hold { job, error, .. } => {
                core.held().give_back(job.source);
                drop(job.reply.send(Err(error)));
            }
            Self::Stop => {}
        }
    }
}

/// The file's metadata at the last poll. The file is read again when any of them changes: editors and
/// `kadmin ktadd` write in place, deployment tools rename or swap links.
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

/// The state of the last load, for the watching thread and [`reload`].
#[derive(Debug)]
pub(super) struct Loader {
    seen: Option<Signature>,
    error: Option<Arc<KeytabError>>,
}

impl Loader {
    /// Loads the file for the first time.
    pub(super) fn start(path: &Path) -> Result<(Self, KeySet), GssStartError> {
        // The signature first: a change between the two calls is then seen by the next poll.
        let seen = signature(path);
        let file = Keytab::load(path)?;
        let keys = KeySet::new(file).map_err(|failure| KeytabError::Library {
            path: path.to_owned(),
            text: failure.text,
        })?;
        Ok((Self { seen, error: None }, keys))
    }
}

/// Loads the file, changed or not.
pub(super) fn reload(core: &AcceptorCore) -> Result<(), Arc<KeytabError>> {
    check_file(core, true).map_or(Ok(()), Err)
}

/// Loads the file if it has changed since the last load; returns the reason if it is broken.
fn check_file(core: &AcceptorCore, force: bool) -> Option<Arc<KeytabError>> {
    let mut loader = core.loader.lock().unwrap_or_else(PoisonError::into_inner);
    let seen = signature(&core.keytab);
    if !force && seen == loader.seen && seen.is_some() {
        return loader.error.clone();
    }
    loader.seen = seen;
    // A broken file is an error to report, never a reason to stop accepting: the old keys stay in use.
    match load(core) {
        Ok(changed) => {
            let repaired = loader.error.take().is_some();
            if changed || repaired {
                publish(core, None, changed);
            }
        }
        Err(error) => {
            let text = error.to_string();
            // Reported once for each reason: a broken file is read again at every change of its
            // metadata.
            if loader
                .error
                .as_ref()
                .is_none_or(|known| known.to_string() != text)
            {
                warn!(%error, "the keytab cannot be used, the keys loaded before stay in use");
                let error = Arc::new(error);
                loader.error = Some(Arc::clone(&error));
                publish(core, Some(error), false);
            }
        }
    }
    loader.error.clone()
}

/// Loads the file; `true` if its content is a new one, which is in use now.
fn load(core: &AcceptorCore) -> Result<bool, KeytabError> {
    let file = Keytab::load(&core.keytab)?;
    let keys = core.keys.load();
    // The same content, for example after `touch`: the credentials of the threads stay valid.
    if keys.is_of(&file) {
        return Ok(false);
    }
    let next = keys
        .next(file, Instant::now())
        .map_err(|failure| KeytabError::Library {
            path: core.keytab.clone(),
            text: failure.text,
        })?;
    info!(
        keytab = %core.keytab.display(),
        principals = next.principals().len(),
        "keytab loaded"
    );
    core.keys.store(Arc::new(next));
    Ok(true)
}

fn publish(core: &AcceptorCore, error: Option<Arc<KeytabError>>, changed: bool) {
    core.status.send_modify(|status| {
        *status = KeytabStatus {
            error,
            since: SystemTime::now(),
            generation: status.generation + u64::from(changed),
            principals: core.keys.load().principals(),
        };
    });
}

/// Drops retained keys that have expired.
fn prune(core: &AcceptorCore, now: Instant) {
    // The lock that `load` is called under: both replace the keys by ones made from the present ones.
    let _exclusive = core.loader.lock().unwrap_or_else(PoisonError::into_inner);
    let keys = core.keys.load();
    if keys.next_end().is_some_and(|end| end <= now) {
        match keys.pruned(now) {
            Ok(next) => core.keys.store(Arc::new(next)),
            Err(failure) => warn!(reason = failure.text, "old keys could not be dropped"),
        }
    }
}

/// A login that waits for a newer keytab.
struct HeldLogin {
    job: AcceptJob,
    error: AcceptError,
    until: Instant,
    /// The keys that it failed with.
    keys: Arc<KeySet>,
}

pub(super) fn run(core: &AcceptorCore, commands: &mpsc::Receiver<Command>) {
    let mut held: Vec<HeldLogin> = Vec::new();
    loop {
        // The error is published in `status`.
        let _error = check_file(core, false);
        let now = Instant::now();
        prune(core, now);
        release(core, &mut held, now);
        let pause = if held.is_empty() {
            POLL
        } else {
            POLL_WHILE_HELD
        };
        let mut command = match commands.recv_timeout(pause) {
            Ok(command) => Some(command),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        while let Some(next) = command {
            match next {
                Command::Stop => return,
                Command::Hold {
                    job,
                    error,
                    retry,
                    keys,
                } => held.push(HeldLogin {
                    job,
                    error,
                    until: match retry {
                        KeytabRetry::Wait => Instant::now() + HOLD,
                        KeytabRetry::Once => Instant::now(),
                    },
                    keys,
                }),
            }
            command = commands.try_recv().ok();
        }
    }
}

/// Queues held logins again when the keys have changed, and fails those whose time is over.
fn release(core: &AcceptorCore, held: &mut Vec<HeldLogin>, now: Instant) {
    let keys = core.keys.load_full();
    for waiting in std::mem::take(held) {
        let changed = !Arc::ptr_eq(&keys, &waiting.keys);
        if !changed && waiting.until > now && !waiting.job.reply.is_closed() {
            held.push(waiting);
            continue;
        }
        let HeldLogin { job, error, .. } = waiting;
        core.held().give_back(job.source);
        if !changed {
            // The caller may have gone away; ignore the closed channel.
            let _ = job.reply.send(Err(error));
            continue;
        }
        core.queue(job);
    }
}
