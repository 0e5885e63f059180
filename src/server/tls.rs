//! TLS towards clients: PEM files → a rustls configuration that can be swapped.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    version::{TLS12, TLS13},
};
use thiserror::Error;

use crate::config::TlsFiles;

/// Why certificate or key could not be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("{path}: cannot be read")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not PEM.
    #[error("{path}: is not a PEM file")]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// No certificate in the file.
    #[error("{path}: holds no certificate (-----BEGIN CERTIFICATE-----)")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// No key in the file.
    #[error(
        "{path}: holds no private key (-----BEGIN PRIVATE KEY-----); an encrypted key must be decrypted with `openssl pkey`"
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// rustls refuses them; above all where the key is another certificate's.
    #[error("{cert} and {key} cannot be used together")]
    Unusable {
        /// The certificate file.
        cert: PathBuf,
        /// The key file.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// A listener's certificate and key. Clones share them; [`Tls::reload`] swaps them for new
/// connections, while open ones keep what they have.
#[derive(Clone)]
pub struct Tls {
    current: Arc<ArcSwap<ServerConfig>>,
}

impl Tls {
    /// Reads the files: TLS 1.2 and 1.3, ALPN `http/1.1`.
    ///
    /// # Errors
    /// [`TlsError`], naming the file.
    pub fn load(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self {
            current: Arc::new(ArcSwap::new(read(files)?)),
        })
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// [`TlsError`]; the old certificate stays.
    pub fn reload(&self, files: &TlsFiles) -> Result<(), TlsError> {
        self.current.store(read(files)?);
        Ok(())
    }

    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn read(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|source| match source {
        pem::Error::NoItemsFound => TlsError::NoKey {
            path: files.key.clone(),
        },
        source => unreadable(&files.key, source),
    })?;
    let unusable = |source| TlsError::Unusable {
        cert: files.cert.clone(),
        key: files.key.clone(),
        source,
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = ring::Ticketer::new().map_err(unusable)?;
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|source| unreadable(path, source))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate {
            path: path.to_owned(),
        });
    }
    Ok(chain)
}

fn unreadable(path: &Path, source: pem::Error) -> TlsError {
    let path = path.to_owned();
    match source {
        pem::Error::Io(source) => TlsError::Read { path, source },
        source => TlsError::Pem { path, source },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn files(cert: &str, key: &str) -> (tempfile::TempDir, TlsFiles) {
        let dir = tempfile::tempdir().unwrap();
        let files = TlsFiles {
            cert: dir.path().join("cert.pem"),
            key: dir.path().join("key.pem"),
        };
        fs::write(&files.cert, cert).unwrap();
        fs::write(&files.key, key).unwrap();
        (dir, files)
    }

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn certificate_and_key_load_and_reload() {
        let (cert, key) = pair();
        let (_dir, files) = files(&cert, &key);
        let tls = Tls::load(&files).unwrap();
        let before = tls.current();
        tls.reload(&files).unwrap();
        assert!(!Arc::ptr_eq(&before, &tls.current()));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused() {
        let (_dir, files) = files(&pair().0, &pair().1);
        let error = Tls::load(&files).unwrap_err();
        assert!(matches!(error, TlsError::Unusable { .. }), "{error}");
    }

    #[test]
    fn files_without_their_contents_are_named() {
        let (cert, key) = pair();
        let (_dir, swapped) = files(&key, &cert);
        let error = Tls::load(&swapped).unwrap_err();
        assert!(matches!(error, TlsError::NoCertificate { .. }), "{error}");
        let (_dir, keyless) = files(&cert, &cert);
        let error = Tls::load(&keyless).unwrap_err();
        assert!(matches!(error, TlsError::NoKey { .. }), "{error}");
        let missing = TlsFiles {
            cert: "/nonexistent/cert.pem".into(),
            key: "/nonexistent/key.pem".into(),
        };
        let error = Tls::load(&missing).unwrap_err();
        assert_eq!(error.to_string(), "/nonexistent/cert.pem: cannot be read");
    }
}
