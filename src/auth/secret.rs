//! The secret that signs sessions and node links; replicas share it as a file.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use ring::{
    hkdf, hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use zeroize::Zeroizing;

/// The least length of a secret in bytes.
pub const MIN_SECRET: usize = 32;

/// Key material, zeroised when dropped. It is never used as a key itself; [`Secret::key`] derives a key
/// for each purpose.
pub struct Secret(Zeroizing<Vec<u8>>);

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the session secret {path}: create it with `head -c 32 /dev/urandom`", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// Fewer than [`MIN_SECRET`] bytes.
    #[error(
        "the session secret {path} has {len} bytes and needs at least 32: make it with `head -c 32 /dev/urandom`",
        path = path.display()
    )]
    Short {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        len: usize,
    },
    /// Every user of the host may write the file, and so choose the secret.
    #[error("the session secret {path} is writable by everybody: chmod 0640", path = path.display())]
    Writable {
        /// The file.
        path: PathBuf,
    },
    /// The system's random generator failed.
    #[error("the system's random generator failed")]
    Random,
}

// === impl Secret ===

impl Secret {
    /// Reads a file. Every byte counts, a final newline included, as in Hadoop's signature secret file.
    ///
    /// A file that every user may read is accepted with a warning.
    pub fn read(path: &Path) -> Result<Self, SecretError> {
        let failed = |source| SecretError::Read {
            path: path.to_owned(),
            source,
        };
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
        if mode & 0o002 != 0 {
            return Err(SecretError::Writable {
                path: path.to_owned(),
            });
        }
        // Only a warning, because Kubernetes mounts secrets with this mode.
        if mode & 0o004 != 0 {
            tracing::warn!(
                path = %path.display(),
                "every user of this machine can read the session secret and forge sessions: chmod 0640"
            );
        }
        let bytes = Zeroizing::new(fs::read(path).map_err(failed)?);
        if bytes.len() < MIN_SECRET {
            return Err(SecretError::Short {
                path: path.to_owned(),
                len: bytes.len(),
            });
        }
        Ok(Self(bytes))
    }

    /// A random secret: sessions end with the process, and replicas do not share them.
    pub fn random() -> Result<Self, SecretError> {
        let mut bytes = Zeroizing::new(vec![0; MIN_SECRET]);
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| SecretError::Random)?;
        Ok(Self(bytes))
    }

    /// A key for one purpose: HKDF-SHA256 (RFC 5869) with the purpose as info.
    ///
    /// # Panics
    ///
    /// Never: 32 bytes are far below HKDF's limit.
    #[expect(
        clippy::expect_used,
        reason = "32 bytes are far below HKDF's limit of 8,160"
    )]
    pub fn key(&self, purpose: &'static str) -> hmac::Key {
        // A key of its own for each purpose, so that a signed link can never be presented as a session.
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&self.0);
        let info = [purpose.as_bytes()];
        let okm = prk
            .expand(&info, hmac::HMAC_SHA256)
            .expect("one block of HKDF output");
        okm.into()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: &[u8], mode: u32) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        file
    }

    #[test]
    fn a_short_or_missing_secret_is_refused_with_its_path() {
        let short = file(b"too short\n", 0o600);
        let error = Secret::read(short.path()).unwrap_err();
        assert!(matches!(error, SecretError::Short { len: 10, .. }));
        assert!(
            error
                .to_string()
                .contains(&short.path().display().to_string())
        );
        let missing = Secret::read(Path::new("/nonexistent/secret"));
        assert!(matches!(missing, Err(SecretError::Read { .. })));
    }

    #[test]
    fn a_secret_that_everybody_may_write_is_refused() {
        let open = file(&[7; 32], 0o666);
        assert!(matches!(
            Secret::read(open.path()),
            Err(SecretError::Writable { .. })
        ));
        assert!(Secret::read(file(&[7; 32], 0o644).path()).is_ok());
    }

    #[test]
    fn keys_depend_on_every_byte_and_on_the_purpose() {
        let tag = |bytes: &[u8], purpose| {
            let secret = Secret::read(file(bytes, 0o600).path()).unwrap();
            hmac::sign(&secret.key(purpose), b"x").as_ref().to_vec()
        };
        let plain = [7; 32];
        let newline = [&plain[..], b"\n"].concat();
        assert_eq!(tag(&plain, "a"), tag(&plain, "a"));
        assert_ne!(tag(&plain, "a"), tag(&newline, "a"));
        assert_ne!(tag(&plain, "a"), tag(&plain, "b"));
        assert_eq!(format!("{:?}", Secret::random().unwrap()), "Secret(…)");
    }
}
