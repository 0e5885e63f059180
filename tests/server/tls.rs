//! TLS and the way to it.

use std::{
    io::Write,
    net::TcpStream,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use spnegate::testing::{KeySource, MinVersion, Redirect, Role, ServerTls, Tls};

use crate::harness::{Running, SHORT, answer, server, to_end};

type Client = StreamOwned<ClientConnection, TcpStream>;

/// Certificates in a directory, and a client's trust in them.
pub(crate) struct Certificates {
    directory: tempfile::TempDir,
    roots: RootCertStore,
    sources: Vec<KeySource>,
}

impl Certificates {
    pub(crate) fn of(names: &[&str]) -> Self {
        let mut all = Self {
            directory: tempfile::tempdir().unwrap(),
            roots: RootCertStore::empty(),
            sources: Vec::new(),
        };
        for name in names {
            let source = KeySource::Pem {
                cert: all.path(&format!("{name}.crt")),
                key: all.path(&format!("{name}.key")),
            };
            all.sources.push(source);
            all.renew(name);
        }
        all
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a new certificate for that name, which is trusted beside the one before.
    fn renew(&mut self, name: &str) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        std::fs::write(self.path(&format!("{name}.crt")), made.cert.pem()).unwrap();
        let key = made.signing_key.serialize_pem();
        std::fs::write(self.path(&format!("{name}.key")), key).unwrap();
        self.roots.add(made.cert.der().clone()).unwrap();
    }

    pub(crate) fn config(&self) -> ServerTls {
        ServerTls {
            certificates: self.sources.clone(),
            min_version: MinVersion::Tls12,
            http2: true,
        }
    }

    pub(crate) fn role(&self) -> Role {
        Role::Tls(Tls::load(&self.config()).unwrap())
    }

    pub(crate) fn client(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // resumption would hide which certificate is in use
        config.resumption = rustls::client::Resumption::disabled();
        Arc::new(config)
    }
}

fn connect(server: &Running, config: Arc<ClientConfig>, name: &'static str) -> Client {
    over(server.connect_to(1), config, name)
}

fn over(tcp: TcpStream, config: Arc<ClientConfig>, name: &'static str) -> Client {
    let session = ClientConnection::new(config, name.try_into().unwrap()).unwrap();
    StreamOwned::new(session, tcp)
}

/// One request; an error where the handshake fails.
fn get(client: &mut Client) -> std::io::Result<String> {
    client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    client.flush()?;
    Ok(answer(client).1)
}

#[test]
fn tls_serves_the_same_service_and_speaks_http_1_1() {
    let certificates = Certificates::of(&["localhost"]);
    let server = server()
        .listener("127.0.0.1:0", certificates.role())
        .timeouts(|t| t.head = Duration::from_millis(40))
        .run();
    let mut tls = connect(
        &server,
        certificates.client(rustls::ALL_VERSIONS),
        "localhost",
    );
    for _ in 0..3 {
        assert!(get(&mut tls).unwrap().contains("listener=1 tls=true"));
        // parked meanwhile
        let said = server.say(b"G");
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    }
    assert_eq!(tls.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn each_name_gets_its_certificate_and_an_unknown_one_the_first() {
    let certificates = Certificates::of(&["a.example.com", "*.example.com", "b.example.com"]);
    let server = server().listener("127.0.0.1:0", certificates.role()).run();
    let client = certificates.client(rustls::ALL_VERSIONS);
    let shown = |name: &'static str| {
        let mut tls = connect(&server, Arc::clone(&client), name);
        let _ = get(&mut tls);
        tls.conn.peer_certificates().map(|chain| chain[0].clone())
    };
    let (a, b, any) = (
        shown("a.example.com"),
        shown("b.example.com"),
        shown("c.example.com"),
    );
    assert!(a.is_some() && b.is_some() && any.is_some());
    assert!(a != b && b != any && a != any);
    // verified, and found wrong, by the client
    assert_eq!(shown("other.example.org"), None);
}

#[test]
fn an_older_version_than_the_least_is_refused() {
    let certificates = Certificates::of(&["localhost"]);
    let mut config = certificates.config();
    config.min_version = MinVersion::Tls13;
    let role = Role::Tls(Tls::load(&config).unwrap());
    let server = server().listener("127.0.0.1:0", role).run();
    let old = certificates.client(&[&rustls::version::TLS12]);
    assert!(get(&mut connect(&server, old, "localhost")).is_err());
    let new = certificates.client(rustls::ALL_VERSIONS);
    assert!(get(&mut connect(&server, new, "localhost")).is_ok());
}

#[test]
fn a_certificate_is_swapped_under_load_without_a_lost_request() {
    let mut certificates = Certificates::of(&["localhost"]);
    let tls = Tls::load(&certificates.config()).unwrap();
    let server = server()
        .listener("127.0.0.1:0", Role::Tls(tls.clone()))
        .run();
    let mut kept = connect(
        &server,
        certificates.client(rustls::ALL_VERSIONS),
        "localhost",
    );
    get(&mut kept).unwrap();
    let first = kept.conn.peer_certificates().unwrap()[0].clone();
    certificates.renew("localhost");
    let client = certificates.client(rustls::ALL_VERSIONS);
    let address = server.server.addresses()[1];
    let (stop, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let load = || {
            let mut both = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                let tcp = TcpStream::connect(address).unwrap();
                let mut tls = over(tcp, Arc::clone(&client), "localhost");
                for _ in 0..3 {
                    get(&mut tls).unwrap();
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                if tls.conn.peer_certificates().unwrap()[0] == first {
                    both.0 += 1;
                } else {
                    both.1 += 1;
                }
            }
            both
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        let more = |count| {
            let aim = asked.load(Ordering::Relaxed) + count;
            while asked.load(Ordering::Relaxed) < aim {
                thread::yield_now();
            }
        };
        more(50);
        tls.reload(&certificates.config()).unwrap();
        more(50);
        stop.store(true, Ordering::Relaxed);
        let counts = clients.into_iter().map(|client| client.join().unwrap());
        let (old, new) = counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        assert!(old > 0 && new > 0, "{old} {new}");
    });
    // an open connection keeps what it has
    get(&mut kept).unwrap();
}

#[test]
fn a_tls_handshake_that_does_not_end_is_closed() {
    let certificates = Certificates::of(&["localhost"]);
    let server = server()
        .listener("127.0.0.1:0", certificates.role())
        .timeouts(|t| t.head = SHORT)
        .run();
    let mut tcp = server.connect_to(1);
    tcp.write_all(&[22, 3, 1, 2]).unwrap();
    assert_eq!(to_end(&mut tcp), "");
}

#[test]
fn a_redirect_listener_leads_to_https() {
    let role = Role::Redirect(Redirect {
        ports: Arc::new([("proxy.example.com".into(), 8443)].into()),
    });
    let server = server().listener("127.0.0.1:0", role).run();
    let mut tcp = server.connect_to(1);
    tcp.write_all(b"GET /a?b HTTP/1.1\r\nHost: proxy.example.com\r\n\r\n")
        .unwrap();
    let (head, _) = answer(&mut tcp);
    assert!(head.starts_with("http/1.1 301"), "{head}");
    assert!(
        head.contains("location: https://proxy.example.com:8443/a?b\r\n"),
        "{head}"
    );
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        .unwrap();
    let (head, _) = answer(&mut tcp);
    assert!(head.starts_with("http/1.1 421"), "{head}");
}
