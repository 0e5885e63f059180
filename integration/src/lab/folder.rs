//! The lock that allows one lab per machine, and the lab's folder.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions, Permissions},
    io::{Read, Seek, Write},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{FlockOperation, flock};

use crate::{
    machine::{sys, wait},
    server::Server,
};

/// Marks a folder as a lab's, which may therefore be emptied.
const MARKER: &str = ".spnegate-lab";
/// The servers of a lab that was just killed may still be writing.
const DYING: Duration = Duration::from_secs(5);

/// Takes the lock that a lab holds while it runs; the error names its holder.
pub(crate) fn take_turn(folder: &Path, patience: Duration) -> Result<File> {
    let path = std::env::temp_dir().join("spnegate-lab.lock");
    // Opened without O_CREAT first: in a sticky folder that fails for another user's file.
    let open = OpenOptions::new().read(true).write(true).open(&path);
    let mut lock = open
        .or_else(|_| {
            let fresh = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            fresh.set_permissions(Permissions::from_mode(0o666))?;
            Ok::<_, std::io::Error>(fresh)
        })
        .with_context(|| format!("cannot open {}", path.display()))?;
    let taken = wait::until("the other lab has ended", patience, || {
        Ok(flock(&lock, FlockOperation::NonBlockingLockExclusive).ok())
    });
    if taken.is_err() {
        let mut holder = String::new();
        lock.read_to_string(&mut holder)?;
        bail!(
            "a lab is running on this machine already ({}); only one fits",
            holder.trim()
        );
    }
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(
        lock,
        "pid {}, folder {}",
        std::process::id(),
        folder.display()
    )?;
    Ok(lock)
}

fn empty(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Makes the lab's folder, empty unless `keep`; a folder that is not a lab's is never emptied.
pub(crate) fn prepare(folder: &Path, keep: bool, servers: &BTreeSet<Server>) -> Result<PathBuf> {
    if folder.exists() {
        let owner = fs::metadata(folder)?.uid();
        ensure!(
            owner == sys::user_id(),
            "{} belongs to another user",
            folder.display()
        );
        let is_lab = folder.join(MARKER).exists();
        let is_empty = fs::read_dir(folder)?.next().is_none();
        ensure!(
            is_lab || is_empty,
            "{} holds something that is no lab's",
            folder.display()
        );
        if !keep {
            let emptied = wait::until("the folder is empty", DYING, || Ok(empty(folder).ok()));
            if emptied.is_err() {
                empty(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
            }
        }
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    let folder = folder.canonicalize()?;
    let text = folder
        .to_str()
        .context("the lab's folder has a name that is no text")?;
    ensure!(
        !text.contains([' ', '\'', '@']),
        "{text}: no blanks, quotes or at signs, please"
    );
    fs::write(folder.join(MARKER), "")?;
    for name in servers.iter().map(|server| server.name()).chain(["client"]) {
        fs::create_dir_all(folder.join("tmp").join(name))?;
        fs::create_dir_all(folder.join("logs").join(name))?;
    }
    for name in ["data/httpfs", "data/oozie"] {
        fs::create_dir_all(folder.join(name))?;
    }
    Ok(folder)
}
