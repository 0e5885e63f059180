//! Files that the configuration refers to: whether they can be read or written, and by which users.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::Access;

use super::super::{
    problem::{ValueProblem, WarningKind},
    tree::Value,
};

/// Bytes; no keytab, certificate or secret is larger.
const LARGEST: u64 = 16 << 20;

/// The content of a file; reports at `value` if it cannot be read.
pub(super) fn read(value: &Value<'_>, file: &Path) -> Option<Vec<u8>> {
    match regular(file).and_then(|()| fs::read(file)) {
        Ok(bytes) => Some(bytes),
        Err(source) => {
            value.problem(ValueProblem::Unreadable {
                file: file.to_path_buf(),
                source,
            });
            None
        }
    }
}

/// Refuses devices, pipes and directories: reading `/dev/urandom` as a secret would never end.
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

pub(super) fn warn_if_world_readable(value: &Value<'_>, file: &Path) {
    // The group may read: 0640 and the group of the gateway's user is the recommended mode.
    let readable = fs::metadata(file).is_ok_and(|m| m.permissions().mode() & 0o004 != 0);
    if readable {
        value.warning(WarningKind::WorldReadable {
            file: file.to_path_buf(),
        });
    }
}

pub(super) fn is_world_writable(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|m| m.permissions().mode() & 0o002 != 0)
}

/// Whether a file could be written. Nothing is created, because `check` may run as another user than
/// the gateway, which could then not open the file.
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
