//! Files that the configuration names: whether they can be read and written, and by whom.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::Access;

use super::super::{
    problem::{Concern, ValueFault},
    tree::Node,
};

/// More than any key, certificate or secret has, in bytes.
const LARGEST: u64 = 16 << 20;

/// Reads a file that a value names, or reports why not.
pub(super) fn read(node: &Node<'_>, file: &Path) -> Option<Vec<u8>> {
    match regular(file).and_then(|()| fs::read(file)) {
        Ok(bytes) => Some(bytes),
        Err(source) => {
            node.problem(ValueFault::Unreadable {
                file: file.to_path_buf(),
                source,
            });
            None
        }
    }
}

/// Refuses devices, pipes and directories (`/dev/urandom` as a secret would never end).
pub(super) fn regular(file: &Path) -> io::Result<()> {
    let found = fs::metadata(file)?;
    if !found.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    if found.len() > LARGEST {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(())
}

/// Warns if every user of the machine may read a secret.
pub(super) fn warn_if_world_readable(node: &Node<'_>, file: &Path) {
    let readable = fs::metadata(file).is_ok_and(|m| m.permissions().mode() & 0o004 != 0);
    if readable {
        node.warning(Concern::WorldReadable {
            file: file.to_path_buf(),
        });
    }
}

/// Whether every user of the machine may write a secret, and so choose it.
pub(super) fn is_world_writable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|m| m.permissions().mode() & 0o002 != 0)
}

/// Whether a file could be written; nothing is created, for `check` may run as another user than
/// the gateway.
pub(super) fn writable(file: &Path) -> io::Result<()> {
    match fs::metadata(file) {
        Ok(found) if found.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => Ok(rustix::fs::access(file, Access::WRITE_OK)?),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            let directory = match file.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
                Some(_) | None => PathBuf::from("."),
            };
            Ok(rustix::fs::access(&directory, Access::WRITE_OK)?)
        }
        Err(other) => Err(other),
    }
}
