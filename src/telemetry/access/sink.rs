//! A bounded buffer of lines, and the thread that writes it to a file or to standard output.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use metrics::Counter;
use thiserror::Error;

use crate::telemetry::metrics as names;

/// `log.access`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// `"off"`
    Off,
    /// `"stdout"`, the default.
    Stdout,
    /// A file, opened for append.
    File(PathBuf),
}

/// Bytes of lines that may wait to be written; further lines are dropped and counted.
pub(super) const MAX_PENDING: usize = 4 << 20;
/// How long lines are collected before they are written: at most twenty writes per second, while the
/// file is still current enough to be watched.
const FLUSH_DELAY: Duration = Duration::from_millis(50);

/// Why the access log could not be opened.
#[derive(Debug, Error)]
pub enum AccessLogError {
    #[error(
        "log.access: {path}: cannot open the file for append; create its directory and let the gateway's user write to it"
    )]
    Open {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("log.access: cannot start the writer thread")]
    Thread(#[source] io::Error),
}

#[derive(Debug, Default)]
struct Pending {
    lines: Vec<u8>,
    reopen: bool,
    closed: bool,
}

/// The end that workers and control handles share.
pub(super) struct Sink {
    pending: Mutex<Pending>,
    filled: Condvar,
    dropped: Counter,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Sink {
    pub(super) fn open(target: &AccessLogTarget) -> Result<Option<Arc<Self>>, AccessLogError> {
        let output = match target {
            AccessLogTarget::Off => return Ok(None),
            AccessLogTarget::Stdout => Output::Stdout,
            AccessLogTarget::File(path) => Output::File {
                file: append(path).map_err(|source| AccessLogError::Open {
                    path: path.clone(),
                    source,
                })?,
                path: path.clone(),
            },
        };
        let sink = Arc::new(Self {
            pending: Mutex::default(),
            filled: Condvar::new(),
            dropped: metrics::counter!(names::ACCESS_LOG_DROPPED),
            thread: Mutex::default(),
        });
        let writer = Arc::clone(&sink);
        let thread = thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || writer.run(output))
            .map_err(AccessLogError::Thread)?;
        *sink.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(Some(sink))
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        // No code panics while it holds this lock.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn append(&self, line: &[u8]) {
        let mut pending = self.lock();
        if pending.closed || pending.lines.len() + line.len() > MAX_PENDING {
            drop(pending);
            self.dropped.increment(1);
            return;
        }
        let first = pending.lines.is_empty();
        pending.lines.extend_from_slice(line);
        drop(pending);
        // The writer takes everything that is pending, so only the first line wakes it; the
        // others cost no system call.
        if first {
            self.filled.notify_one();
        }
    }

    pub(super) fn reopen(&self) {
        self.lock().reopen = true;
        self.filled.notify_one();
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // a panic in it has been reported
            let _ended = thread.join();
        }
    }

    /// The writer thread: swaps the full buffer for its own empty one, so that workers wait for the lock
    /// no longer than a swap.
    fn run(&self, mut output: Output) {
        let mut lines = Vec::new();
        let mut failing = false;
        loop {
            let mut pending = self.lock();
            while pending.lines.is_empty() && !pending.reopen && !pending.closed {
                pending = self
                    .filled
                    .wait(pending)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if !pending.reopen && !pending.closed {
                pending = self
                    .filled
                    .wait_timeout_while(pending, FLUSH_DELAY, |w| !w.reopen && !w.closed)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0;
            }
            std::mem::swap(&mut pending.lines, &mut lines);
            let (reopen, closed) = (std::mem::take(&mut pending.reopen), pending.closed);
            drop(pending);
            if reopen {
                output.reopen();
            }
            // Only the first failure of an outage is logged: one for each write would fill the
            // other log of a full disk as well.
            let written = output.write_all(&lines);
            if let Err(error) = &written
                && !failing
            {
                tracing::error!(%error, "cannot write the access log; its lines are lost");
            }
            failing = written.is_err();
            lines.clear();
            if closed {
                return;
            }
        }
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").finish_non_exhaustive()
    }
}

enum Output {
    Stdout,
    File { file: File, path: PathBuf },
}

impl Output {
    fn reopen(&mut self) {
        if let Self::File { file, path } = self {
            match append(path) {
                Ok(new) => *file = new,
                Err(error) => {
                    tracing::error!(path = %path.display(), %error, "cannot reopen the access log; still writing to the old file");
                }
            }
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Self::File { file, .. } => file.write_all(bytes),
        }
    }
}

fn append(path: &PathBuf) -> io::Result<File> {
    // Not readable by all users: the log has user names and paths.
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .open(path)
}
