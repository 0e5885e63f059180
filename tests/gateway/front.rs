//! A TLS server in front of a plain backend.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::{RootCertStore, ServerConfig, server::WebPkiClientVerifier};
use spnegate::testing::KeySource;
use tokio::{io::copy_bidirectional, net::TcpListener, net::TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::{backend::Backend, world::world};

/// A CA and its files.
pub struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: PathBuf,
}

/// A TLS server in front of a plain one; it stops when dropped.
pub struct Front {
    runtime: Option<tokio::runtime::Runtime>,
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    names: Arc<Mutex<Vec<Option<String>>>>,
}

pub fn ca(name: &str) -> Ca {
    let directory = world().file("tls");
    std::fs::create_dir(&directory).unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(directory.join("ca.pem"), issuer.pem()).unwrap();
    Ca { issuer, directory }
}

impl Ca {
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Issues a certificate for these names with its key, as files `<file>.crt` and `<file>.key`.
    pub fn issue(&self, file: &str, names: &[&str]) -> KeySource {
        self.issue_until(file, names, 4000)
    }

    pub fn issue_until(&self, file: &str, names: &[&str], year: i32) -> KeySource {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, file);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let source = KeySource::Pem {
            cert: self.path(&format!("{file}.crt")),
            key: self.path(&format!("{file}.key")),
        };
        std::fs::write(&source.files()[0], cert.pem()).unwrap();
        std::fs::write(&source.files()[1], key.serialize_pem()).unwrap();
        source
    }

    /// The certificate that was issued under that name.
    pub fn issued(&self, file: &str) -> Vec<u8> {
        let pem = std::fs::read(self.path(&format!("{file}.crt"))).unwrap();
        spnegate::testing::certificates(&pem, None).unwrap()[0].to_vec()
    }

    /// A server that requires a client certificate of this CA.
    pub fn demanding(&self, source: &KeySource) -> ServerConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .unwrap();
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let resolver = rustls::sign::SingleCertAndKey::from(source.load().unwrap().certified);
        builder
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(resolver))
    }
}

/// A server that accepts these TLS versions.
pub fn server(
    source: &KeySource,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let resolver = rustls::sign::SingleCertAndKey::from(source.load().unwrap().certified);
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver))
}

impl Front {
    /// Starts in front of that backend with that certificate.
    pub fn before(backend: &Backend, source: &KeySource) -> Self {
        Self::with(backend, server(source, rustls::ALL_VERSIONS))
    }

    pub fn with(backend: &Backend, config: ServerConfig) -> Self {
        Self::at(backend.address(), config)
    }

    /// Starts in front of that address.
    pub fn at(backend: SocketAddr, config: ServerConfig) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let front = Self {
            address: listener.local_addr().unwrap(),
            runtime: Some(runtime),
            connections: Arc::default(),
            names: Arc::default(),
        };
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let connections = Arc::clone(&front.connections);
        let names = Arc::clone(&front.names);
        let serve = async move {
            loop {
                let Ok((tcp, _)) = listener.accept().await else {
                    continue;
                };
                let (acceptor, connections) = (acceptor.clone(), Arc::clone(&connections));
                let names = Arc::clone(&names);
                tokio::spawn(async move {
                    let Ok(mut tls) = acceptor.accept(tcp).await else {
                        return;
                    };
                    connections.fetch_add(1, Ordering::AcqRel);
                    let name = tls.get_ref().1.server_name().map(str::to_owned);
                    names.lock().unwrap().push(name);
                    if let Ok(mut plain) = TcpStream::connect(backend).await {
                        let _ = copy_bidirectional(&mut tls, &mut plain).await;
                    }
                });
            }
        };
        front.runtime.as_ref().unwrap().spawn(serve);
        front
    }

    /// `https://localhost:<port>`
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Number of successful handshakes.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    /// The server names (SNI) that clients sent.
    pub fn names(&self) -> Vec<Option<String>> {
        self.names.lock().unwrap().clone()
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Runs a program that makes keystores in that directory.
pub fn run(directory: &Path, program: &str, arguments: &[&str]) {
    let output = std::process::Command::new(program)
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
