//! Reloads certificates, keys and truststores when their files change. Files that cannot be used
//! change nothing.
//!
//! Files are checked once a second, because inotify does not report changes that other
//! clients of NFS make. A certificate and its key are two files that change one after the
//! other, so an error is reported only if nothing has changed since the check before.

use std::{fmt, fs, os::unix::fs::MetadataExt, path::PathBuf, time::Duration};

use super::TlsError;
use crate::telemetry::metrics;

/// How often the files are checked.
const INTERVAL: Duration = Duration::from_secs(1);

type Reload = Box<dyn Fn() -> Result<(), TlsError> + Send>;

/// Device, inode, size and times of each file, of which one changes when the file does; `None` while
/// it is missing.
type Signature = Vec<Option<[i64; 6]>>;

/// Files with the function that reloads them.
pub(crate) struct Watch {
    files: Vec<PathBuf>,
    reload: Reload,
    /// The version in use.
    loaded: Signature,
    /// The version at the last check.
    seen: Signature,
    /// Why that version is not in use; until it is logged.
    unreported: Option<TlsError>,
    /// The current version cannot be used.
    broken: bool,
}

/// The version of files before they are read for the first time, so that no change in between is
/// missed.
#[derive(Debug)]
pub(crate) struct BeforeLoad {
    files: Vec<PathBuf>,
    loaded: Signature,
}

impl Watch {
    /// Has to be called before the files are read.
    pub(crate) fn begin(files: Vec<PathBuf>) -> BeforeLoad {
        let loaded = signature(&files);
        BeforeLoad { files, loaded }
    }

    /// Checks the files. True if they were reloaded.
    fn check(&mut self) -> bool {
        let now = signature(&self.files);
        if now == self.loaded {
            self.seen = now;
            self.unreported = None;
            self.broken = false;
            return false;
        }
        if now == self.seen {
            if let Some(error) = self.unreported.take() {
                tracing::warn!(%error, "changed TLS files cannot be used; the certificates loaded before stay in use");
                self.broken = true;
            }
            return false;
        }
        self.seen.clone_from(&now);
        match (self.reload)() {
            Ok(()) => {
                tracing::info!(file = %self.name(), "TLS files reloaded");
                self.loaded = now;
                self.unreported = None;
                self.broken = false;
                true
            }
            Err(error) => {
                self.unreported = Some(error);
                false
            }
        }
    }

    fn name(&self) -> std::path::Display<'_> {
        self.files
            .first()
            .map_or(std::path::Path::new(""), PathBuf::as_path)
            .display()
    }
}

impl BeforeLoad {
    pub(crate) fn reload(
        self,
        reload: impl Fn() -> Result<(), TlsError> + Send + 'static,
    ) -> Watch {
        Watch {
            files: self.files,
            reload: Box::new(reload),
            seen: self.loaded.clone(),
            loaded: self.loaded,
            unreported: None,
            broken: false,
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("files", &self.files)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

/// Checks the files for ever; the task is aborted at the end.
pub(crate) async fn run(mut watches: Vec<Watch>) {
    let valid = metrics::tls_valid();
    loop {
        valid.set(f64::from(u8::from(watches.iter().all(|w| !w.broken))));
        tokio::time::sleep(INTERVAL).await;
        // Deriving the key of a keystore takes milliseconds.
        let checked = tokio::task::spawn_blocking(move || {
            for watch in &mut watches {
                watch.check();
            }
            watches
        });
        match checked.await {
            Ok(back) => watches = back,
            // The panic hook has reported the panic.
            Err(_) => return,
        }
    }
}

fn signature(files: &[PathBuf]) -> Signature {
    let of = |file: &PathBuf| {
        let found = fs::metadata(file).ok()?;
        Some([
            found.dev().cast_signed(),
            found.ino().cast_signed(),
            found.size().cast_signed(),
            found.mtime(),
            found.mtime_nsec(),
            found.ctime_nsec(),
        ])
    };
    files.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    };

    use super::*;
    use crate::tls::{StoreError, StoreFault};

    #[test]
    fn changed_files_are_read_once_and_broken_ones_are_told_of_at_the_second_look() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f");
        fs::write(&file, "1").unwrap();
        let reads = Arc::new(AtomicUsize::new(0));
        let good = Arc::new(AtomicBool::new(true));
        let mut watch = Watch::begin(vec![file.clone()]).reload({
            let (reads, good, path) = (Arc::clone(&reads), Arc::clone(&good), file.clone());
            move || {
                reads.fetch_add(1, Ordering::Relaxed);
                if good.load(Ordering::Relaxed) {
                    return Ok(());
                }
                let (path, fault) = (path.clone(), StoreFault::NoKey);
                Err(StoreError { path, fault }.into())
            }
        });
        assert!(!watch.check());
        fs::write(&file, "22").unwrap();
        assert!(watch.check());
        assert!(!watch.check());
        good.store(false, Ordering::Relaxed);
        fs::write(&file, "333").unwrap();
        assert!(!watch.check() && !watch.broken);
        assert!(!watch.check() && watch.broken);
        assert!(!watch.check());
        assert_eq!(reads.load(Ordering::Relaxed), 2);
        good.store(true, Ordering::Relaxed);
        fs::write(&file, "4444").unwrap();
        assert!(watch.check() && !watch.broken);
    }
}
