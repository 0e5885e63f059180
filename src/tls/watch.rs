//! Certificates, keys and truststores are read again when their files change; what cannot be used
//! changes nothing.
//!
//! Files are looked at once a second, which works on every file system. A certificate and its key
//! are two files that change one after the other: what does not fit is complained of only when it
//! has not changed since the last look.

use std::{fmt, fs, os::unix::fs::MetadataExt, path::PathBuf, time::Duration};

use super::TlsError;
use crate::telemetry::metrics;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);

type Reload = Box<dyn Fn() -> Result<(), TlsError> + Send>;

/// What changes when a file does: device, inode, size, times; `None` while it is missing.
type Signature = Vec<Option<[i64; 6]>>;

/// Files, and what is to be done when they change.
pub(crate) struct Watch {
    files: Vec<PathBuf>,
    reload: Reload,
    /// What is in use.
    loaded: Signature,
    /// What was there at the last look.
    seen: Signature,
    /// Why that is not in use, until it has been said.
    untold: Option<TlsError>,
    /// What is there cannot be used.
    broken: bool,
}

/// Files as they were before they were read for the first time.
#[derive(Debug)]
pub(crate) struct Begun {
    files: Vec<PathBuf>,
    loaded: Signature,
}

impl Watch {
    /// Notes what the files are; to be called before they are read.
    pub(crate) fn begin(files: Vec<PathBuf>) -> Begun {
        let loaded = signature(&files);
        Begun { files, loaded }
    }

    /// Looks at the files; true if what they hold has been taken over now.
    fn look(&mut self) -> bool {
        let now = signature(&self.files);
        if now == self.loaded {
            self.seen = now;
            self.untold = None;
            self.broken = false;
            return false;
        }
        if now == self.seen {
            if let Some(error) = self.untold.take() {
                tracing::warn!(%error, "changed TLS files cannot be used, those read before stay in use");
                self.broken = true;
            }
            return false;
        }
        self.seen.clone_from(&now);
        match (self.reload)() {
            Ok(()) => {
                tracing::info!(file = %self.name(), "TLS files taken over");
                self.loaded = now;
                self.untold = None;
                self.broken = false;
                true
            }
            Err(error) => {
                self.untold = Some(error);
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

impl Begun {
    /// What is done when they change.
    pub(crate) fn reload(
        self,
        reload: impl Fn() -> Result<(), TlsError> + Send + 'static,
    ) -> Watch {
        Watch {
            files: self.files,
            reload: Box::new(reload),
            seen: self.loaded.clone(),
            loaded: self.loaded,
            untold: None,
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

/// Looks after the files for ever; dropped with its task.
pub(crate) async fn run(mut watches: Vec<Watch>) {
    let valid = metrics::tls_valid();
    loop {
        valid.set(f64::from(u8::from(watches.iter().all(|w| !w.broken))));
        tokio::time::sleep(LOOK).await;
        // reading a keystore takes milliseconds of key derivation
        let looked = tokio::task::spawn_blocking(move || {
            for watch in &mut watches {
                watch.look();
            }
            watches
        });
        match looked.await {
            Ok(back) => watches = back,
            // a panic has said so itself
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
        assert!(!watch.look());
        fs::write(&file, "22").unwrap();
        assert!(watch.look());
        assert!(!watch.look());
        good.store(false, Ordering::Relaxed);
        fs::write(&file, "333").unwrap();
        assert!(!watch.look() && !watch.broken);
        assert!(!watch.look() && watch.broken);
        assert!(!watch.look());
        assert_eq!(reads.load(Ordering::Relaxed), 2);
        good.store(true, Ordering::Relaxed);
        fs::write(&file, "4444").unwrap();
        assert!(watch.look() && !watch.broken);
    }
}
