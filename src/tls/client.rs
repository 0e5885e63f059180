//! TLS to backends and nodes: builds a rustls configuration from a truststore, and swaps it when the
//! files change.

use std::{fmt, io, path::PathBuf, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, OtherError, crypto::ring,
    pki_types::ServerName, sign::SingleCertAndKey,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    KeySource, MinVersion, TlsError, store,
    verify::{CertificateRejected, Verifier},
};

/// Settings of TLS to servers: the trusted certificates, and the gateway's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct TrustSource {
    /// `truststore`: CAs, or the servers' own certificates; `None`: the operating system's CAs.
    pub truststore: Option<PathBuf>,
    /// `password_file` of the truststore.
    pub password_file: Option<PathBuf>,
    /// The gateway's own certificate, for servers that require one.
    pub client: Option<KeySource>,
    pub min_version: MinVersion,
}

impl TrustSource {
    /// All files, for `watch`.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let own = self.truststore.iter().chain(&self.password_file).cloned();
        let client = self.client.iter().flat_map(KeySource::files);
        own.chain(client).collect()
    }
}

/// A loaded [`TrustSource`]. Clones share it; [`Trust::reload`] swaps it for new connections.
#[derive(Clone)]
pub(crate) struct Trust(Arc<ArcSwap<ClientConfig>>);

/// Connects to one server, whose certificate has to be trusted and to have this name.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    trust: Trust,
    name: ServerName<'static>,
}

/// Why a TLS connection to a server failed. Each text continues a sentence that begins with the
/// server's name.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TlsFault {
    /// The server's certificate is not trusted.
    #[error(transparent)]
    CertificateRejected(#[from] Arc<CertificateRejected>),
    /// The server ended the handshake with an alert.
    #[error(
        "it refused the TLS handshake ({0:?}); it may require a client certificate \
         (client_cert), another name (server_name) or another TLS version (min_version)"
    )]
    Alert(AlertDescription),
    /// The server sent bytes that are not TLS.
    #[error("it does not speak TLS on this port; use http:// if this is its port for plain HTTP")]
    NotTls,
    /// The server closed the connection.
    #[error("it closed the connection during the TLS handshake")]
    Closed,
    /// For example no common version or cipher.
    #[error("the TLS handshake failed: {0}")]
    Other(rustls::Error),
}

// === impl Trust ===

impl Trust {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], naming the file.
    pub(crate) fn load(source: &TrustSource) -> Result<Self, TlsError> {
        Ok(Self(Arc::new(ArcSwap::new(read(source)?))))
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// [`TlsError`]; the old configuration stays in use.
    pub(crate) fn reload(&self, source: &TrustSource) -> Result<(), TlsError> {
        self.0.store(read(source)?);
        Ok(())
    }

    /// `host`: a host name, or an address with or without brackets. `None` if it is neither.
    pub(crate) fn to(&self, host: &str) -> Option<Connector> {
        Some(Connector {
            trust: self.clone(),
            name: server_name(host)?,
        })
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust").finish_non_exhaustive()
    }
}

/// `None` if `host` is neither a host name nor an address.
pub(crate) fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).ok()
}

fn read(source: &TrustSource) -> Result<Arc<ClientConfig>, TlsError> {
    let (certificates, name) = match &source.truststore {
        Some(file) => (
            store::trusted(file, source.password_file.as_deref())?,
            file.display().to_string(),
        ),
        None => (system()?, "the system's truststore".to_owned()),
    };
    let verifier = Verifier::new(certificates, name.into());
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(source.min_version.versions())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &source.client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let certified = client.load()?.certified;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
        }
    };
    // Only HTTP/1.1 is offered, because the client for backends does not speak HTTP/2.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The CAs that the operating system trusts.
///
/// # Errors
/// [`TlsError::NoSystemRoots`]
pub(crate) fn system() -> Result<Vec<rustls::pki_types::CertificateDer<'static>>, TlsError> {
    // One unreadable certificate among many must not disable all others.
    let found = rustls_native_certs::load_native_certs().certs;
    if found.is_empty() {
        return Err(TlsError::NoSystemRoots);
    }
    Ok(found)
}

// === impl Connector ===

impl Connector {
    /// # Errors
    /// [`TlsFault`]
    pub(crate) async fn connect(&self, tcp: TcpStream) -> Result<TlsStream<TcpStream>, TlsFault> {
        TlsConnector::from(self.trust.0.load_full())
            .connect(self.name.clone(), tcp)
            .await
            .map_err(|error| fault(&error))
    }
}

impl TlsFault {
    /// The server's alert behind an error of an open connection: in TLS 1.3 a server rejects a client
    /// certificate only after the client has finished the handshake.
    pub fn alert(error: &io::Error) -> Option<Self> {
        match fault(error) {
            Self::Alert(alert) => Some(Self::Alert(alert)),
            Self::CertificateRejected(_) | Self::NotTls | Self::Closed | Self::Other(_) => None,
        }
    }
}

fn fault(error: &io::Error) -> TlsFault {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner)))) => {
            match inner.downcast_ref::<CertificateRejected>() {
                Some(rejected) => TlsFault::CertificateRejected(Arc::new(rejected.clone())),
                None => TlsFault::Closed,
            }
        }
        Some(rustls::Error::AlertReceived(alert)) => TlsFault::Alert(*alert),
        Some(rustls::Error::InvalidMessage(_)) => TlsFault::NotTls,
        Some(other) => TlsFault::Other(other.clone()),
        None => TlsFault::Closed,
    }
}
