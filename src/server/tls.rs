//! TLS of listeners: builds a rustls configuration from keys and certificates, and swaps it when the
//! files change.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwap;
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::{
    telemetry::metrics,
    tls::{KeySource, MinVersion, TlsError, certificate::CertificateInfo},
};

/// `console.tls`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerTls {
    /// Certificates with their keys, selected by the server name that a client sends (SNI); never
    /// empty. Clients that send no name get the first.
    pub certificates: Vec<KeySource>,
    /// `min_version`: the oldest TLS version.
    pub min_version: MinVersion,
    /// `http2`: whether HTTP/2 is offered (ALPN) beside HTTP/1.1.
    pub http2: bool,
}

/// A listener's certificates and keys. Clones share them; [`Tls::reload`] swaps them for new
/// connections, open ones keep theirs.
#[derive(Clone)]
pub struct Tls {
    current: Arc<ArcSwap<ServerConfig>>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// `TlsError`, naming the file.
    pub fn load(config: &ServerTls) -> Result<Self, TlsError> {
        Ok(Self {
            current: Arc::new(ArcSwap::new(read(config)?)),
        })
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// `TlsError`; the old certificates stay in use.
    pub fn reload(&self, config: &ServerTls) -> Result<(), TlsError> {
        self.current.store(read(config)?);
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

fn read(config: &ServerTls) -> Result<Arc<ServerConfig>, TlsError> {
    let mut by_name = ByName::default();
    let mut ends = Vec::new();
    for source in &config.certificates {
        let pair = source.load()?;
        if let Some(info) = pair
            .chain
            .first()
            .and_then(|leaf| CertificateInfo::of(leaf))
        {
            ends.push((source.file(), info.not_after.timestamp()));
        }
        by_name.add(pair.certified);
    }
    let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(config.min_version.versions())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(by_name));
    if config.http2 {
        server.alpn_protocols.push(b"h2".to_vec());
    }
    server.alpn_protocols.push(b"http/1.1".to_vec());
    server.ticketer = ring::Ticketer::new()?;
    // The metrics are set only here, when all certificates can be used.
    for (file, end) in ends {
        #[expect(
            clippy::cast_precision_loss,
            reason = "seconds until far beyond any certificate"
        )]
        metrics::certificate_end(&file.display().to_string()).set(end as f64);
    }
    Ok(Arc::new(server))
}

/// Selects a certificate by the server name that the client sends (SNI): the first that contains it
/// exactly, then the first with a matching wildcard, then the first of all; of each only those whose
/// signature scheme the client supports.
#[derive(Debug, Default)]
struct ByName(Vec<(Vec<String>, Arc<CertifiedKey>)>);

impl ByName {
    fn add(&mut self, certified: CertifiedKey) {
        let info = certified
            .cert
            .first()
            .and_then(|leaf| CertificateInfo::of(leaf));
        let names = info.map_or_else(Vec::new, |info| {
            info.dns.into_iter().chain(info.common_name).collect()
        });
        self.0.push((names, Arc::new(certified)));
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits = |key: &CertifiedKey| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let first = |wanted: &dyn Fn(&str) -> bool| {
            let named = |(names, key): &&(Vec<String>, Arc<CertifiedKey>)| {
                names.iter().any(|name| wanted(name)) && fits(key)
            };
            self.0.iter().find(named)
        };
        let by_name = hello.server_name().and_then(|asked| {
            let asked = asked.to_ascii_lowercase();
            first(&|name| name == asked)
                .or_else(|| first(&|name| crate::tls::certificate::covers(name, &asked)))
        });
        by_name
            .or_else(|| self.0.iter().find(|(_, key)| fits(key)))
            .or_else(|| self.0.first())
            .map(|(_, key)| Arc::clone(key))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::tls::{KeySource, MinVersion, StoreFault};

    fn files(cert: &str, key: &str) -> (tempfile::TempDir, ServerTls) {
        let dir = tempfile::tempdir().unwrap();
        let source = KeySource::Pem {
            cert: dir.path().join("cert.pem"),
            key: dir.path().join("key.pem"),
        };
        let names = source.files();
        fs::write(&names[0], cert).unwrap();
        fs::write(&names[1], key).unwrap();
        let tls = ServerTls {
            certificates: vec![source],
            min_version: MinVersion::Tls12,
            http2: true,
        };
        (dir, tls)
    }

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_reload_affects_new_connections_and_a_failed_one_changes_nothing() {
        let (cert, key) = pair();
        let (_dir, config) = files(&cert, &key);
        let tls = Tls::load(&config).unwrap();
        let before = tls.current();
        tls.reload(&config).unwrap();
        let after = tls.current();
        assert!(!Arc::ptr_eq(&before, &after));
        fs::write(&config.certificates[0].files()[1], pair().1).unwrap();
        let TlsError::Store(error) = tls.reload(&config).unwrap_err() else {
            panic!()
        };
        assert!(
            matches!(error.fault, StoreFault::Unusable { .. }),
            "{error}"
        );
        assert!(Arc::ptr_eq(&after, &tls.current()));
    }
}
