//! TLS and the way to it.

use std::{io::Write, sync::Arc, time::Duration};

use spnegate::{
    config::TlsFiles,
    server::{Redirect, Role, Tls},
};

use crate::harness::{SHORT, answer, server, to_end};

fn certificate() -> (
    tempfile::TempDir,
    TlsFiles,
    rcgen::CertifiedKey<rcgen::KeyPair>,
) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let files = TlsFiles {
        cert: dir.path().join("cert.pem"),
        key: dir.path().join("key.pem"),
    };
    std::fs::write(&files.cert, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    (dir, files, made)
}

#[test]
fn tls_serves_the_same_service_and_speaks_http_1_1() {
    let (_dir, files, made) = certificate();
    let role = Role::Tls(Tls::load(&files).unwrap());
    let server = server()
        .listener("127.0.0.1:0", role)
        .timeouts(|t| t.head = Duration::from_millis(40))
        .run();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = "localhost".try_into().unwrap();
    let session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut tls = rustls::StreamOwned::new(session, server.connect_to(1));
    for _ in 0..3 {
        tls.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        assert!(answer(&mut tls).1.contains("listener=1 tls=true"));
        // parked meanwhile
        let said = server.say(b"G");
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    }
    assert_eq!(tls.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
}

#[test]
fn a_tls_handshake_that_does_not_end_is_closed() {
    let (_dir, files, _) = certificate();
    let role = Role::Tls(Tls::load(&files).unwrap());
    let server = server()
        .listener("127.0.0.1:0", role)
        .timeouts(|t| t.head = SHORT)
        .run();
    let mut tcp = server.connect_to(1);
    tcp.write_all(&[22, 3, 1, 2]).unwrap();
    assert_eq!(to_end(&mut tcp), "");
}

#[test]
fn a_redirect_listener_leads_to_https() {
    let role = Role::Redirect(Redirect {
        port: 8443,
        is_ours: Arc::new(|host| host == "proxy.example.com"),
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
