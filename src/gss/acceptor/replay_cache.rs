//! The place where accepted authenticators are recorded. It is always passed to GSSAPI by name, because
//! the environment (`KRB5RCACHENAME`) could change MIT's default, even to none.

use std::{ffi::CString, io, os::unix::ffi::OsStrExt, path::PathBuf};

use rustix::process::geteuid;

use super::{GssStartError, replay_file};

/// Where accepted authenticators are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplayCache {
    /// A file (`file2:` of MIT krb5), shared by all processes of this host that use it.
    File(PathBuf),
    /// No replay cache: a token that is sent again within the clock skew is accepted. Only for networks
    /// where nobody can read the traffic.
    None,
}

impl Default for ReplayCache {
    /// MIT's default file, `/var/tmp/krb5_<uid>.rcache2` (`rc_dfl.c`), but without regard to
    /// `KRB5RCACHEDIR` and `TMPDIR`, which would move it.
    fn default() -> Self {
        Self::File(format!("/var/tmp/krb5_{}.rcache2", geteuid().as_raw()).into())
    }
}

impl ReplayCache {
    /// Its name for a credential store. A file is opened first, because one that cannot be written
    /// would fail every login.
    pub(super) fn prepare(&self) -> Result<CString, GssStartError> {
        match self {
            Self::None => Ok(c"none:".to_owned()),
            Self::File(path) => {
                let failed = |source| GssStartError::ReplayCache {
                    path: path.clone(),
                    source,
                };
                replay_file::open(path).map_err(failed)?;
                let name = [b"file2:", path.as_os_str().as_bytes()].concat();
                CString::new(name).map_err(|_| failed(io::ErrorKind::InvalidFilename.into()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_an_unwritable_file_names_the_configuration_key() {
        let dir = tempfile::tempdir().unwrap();
        let cache = ReplayCache::File(dir.path().join("none/rcache2"));
        let text = cache.prepare().unwrap_err().to_string();
        assert!(text.contains("none/rcache2 cannot be written"), "{text}");
        assert!(text.contains("kerberos.replay_cache"), "{text}");
    }

    #[test]
    fn a_symbolic_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("rcache2");
        std::os::unix::fs::symlink(dir.path().join("target"), &link).unwrap();
        assert!(ReplayCache::File(link).prepare().is_err());
    }

    #[test]
    fn file_and_none_have_mit_s_names() {
        let dir = tempfile::tempdir().unwrap();
        let name = ReplayCache::File(dir.path().join("r")).prepare().unwrap();
        assert!(name.to_bytes().starts_with(b"file2:/"));
        assert_eq!(ReplayCache::None.prepare().unwrap().as_c_str(), c"none:");
    }
}
