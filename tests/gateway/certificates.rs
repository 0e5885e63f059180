//! The gateway's own certificates: loaded from a keystore and replaced under load.

use std::{
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use spnegate::{auth::Scheme, testing::Refusal};

use crate::{
    backend::backend,
    client::Client,
    front::{Ca, ca, run},
    proxy::gateway,
    realm::eventually,
    world::world,
};

fn client(ca: &Ca) -> Arc<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    let certificates = spnegate::testing::certificates(ca.pem().as_bytes(), None).unwrap();
    roots.add_parsable_certificates(certificates);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    // a certificate is presented on each connection, without resumption
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// Replaces the keystore by one with a new certificate as operators do: by OpenSSL and an atomic
/// rename.
fn renew(ca: &Ca, name: &str) {
    ca.issue(name, &[&world().proxy]);
    let (key, cert) = (format!("{name}.key"), format!("{name}.crt"));
    let export = ["-inkey", &key, "-in", &cert, "-passout", "pass:changeit"];
    let pkcs12 = ["pkcs12", "-export", "-name", "proxy", "-out", "new.p12"];
    run(&ca.path(""), "openssl", &[&pkcs12[..], &export].concat());
    std::fs::rename(ca.path("new.p12"), ca.path("server.p12")).unwrap();
}

#[test]
fn a_renewed_keystore_is_loaded_under_load_without_a_failed_request() {
    let (ca, backend) = (ca("ours"), backend());
    std::fs::write(ca.path("password"), "changeit\n").unwrap();
    renew(&ca, "first");
    let gateway = gateway()
        .console("generic")
        .with(&format!(
            "tls = {{ keystore = \"{}\", password_file = \"{}\" }}",
            ca.path("server.p12").display(),
            ca.path("password").display()
        ))
        .backend(&backend)
        .run();
    let config = client(&ca);
    let address = gateway.address();
    let cookie = world().cookie_for("alice", Scheme::Tls);
    let request = gateway.ask("GET /x").header("Cookie", &cookie).bytes();
    let shown_end = || {
        let metrics = gateway.admin("/metrics");
        let file = ca.path("server.p12").display().to_string();
        let line = format!("spnegate_certificate_end_seconds{{file=\"{file}\"}} ");
        let line = metrics.lines().find_map(|l| l.strip_prefix(&line));
        line.map(str::to_owned)
    };
    assert!(
        shown_end().unwrap().starts_with("6406"),
        "{:?}",
        shown_end()
    );
    let (stop, asked, new) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    let first = ca.issued("first");
    thread::scope(|scope| {
        let load = || {
            while !stop.load(Ordering::Relaxed) {
                let name = world().proxy.clone().try_into().unwrap();
                let session = ClientConnection::new(Arc::clone(&config), name).unwrap();
                let tcp = TcpStream::connect(address).unwrap();
                let mut client = Client::over(StreamOwned::new(session, tcp));
                for _ in 0..5 {
                    client.send(&request);
                    assert_eq!(client.response().status, 200);
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                let shown = client.stream.conn.peer_certificates().unwrap();
                if *shown[0] != *first {
                    new.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let clients: Vec<_> = (0..2).map(|_| scope.spawn(load)).collect();
        eventually("load", || asked.load(Ordering::Relaxed) > 50);
        // a file that cannot be used leaves the old certificate in use and is reported
        std::fs::write(ca.path("server.p12"), "nothing").unwrap();
        eventually("the complaint", || {
            gateway.admin("/metrics").contains("spnegate_tls_valid 0")
        });
        assert_eq!(new.load(Ordering::Relaxed), 0);
        renew(&ca, "second");
        eventually("the new certificate", || new.load(Ordering::Relaxed) > 3);
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap();
        }
    });
}

#[test]
fn consoles_on_one_address_share_their_plain_http_port() {
    let (ca, backend) = (ca("ours"), backend());
    let files = ca.issue("proxy", &[&world().proxy]).files();
    let lines = format!(
        "tls = {{ cert = \"{}\", key = \"{}\" }}\nredirect_from = \"127.0.7.2:47113\"",
        files[0].display(),
        files[1].display()
    );
    let alias = format!("hosts = [\"alias.{}\"]", world().realm.domain());
    let gateway = gateway()
        .console("generic")
        .name("one")
        .listen("127.0.7.2:47112")
        .with(&lines)
        .backend(&backend)
        .console("generic")
        .name("two")
        .listen("127.0.7.2:47112")
        .with(&lines)
        .with(&alias)
        .backend(&backend)
        .run();
    let plain = "127.0.7.2:47113".parse().unwrap();
    for host in ["proxy", "alias"] {
        let host = format!("{host}.{}", world().realm.domain());
        let answer = gateway.ask_at(plain, "GET /x").host(Some(&host)).response();
        let place = format!("https://{host}:47112/x");
        assert_eq!(answer.header("location"), Some(place.as_str()));
    }
}

#[test]
pub(crate) fn plain_http_on_the_tls_port_receives_the_https_address() {
    let (ca, backend) = (ca("ours"), backend());
    let files = ca.issue("proxy", &[&world().proxy]).files();
    let gateway = gateway()
        .console("generic")
        .with(&format!(
            "tls = {{ cert = \"{}\", key = \"{}\" }}",
            files[0].display(),
            files[1].display()
        ))
        .backend(&backend)
        .run();
    let host = format!("{}:7778", world().proxy);
    for pieces in [
        &["GET /x HTTP/1.1\r\nHost: ", "\r\n\r\n"][..],
        &["G", "ET / HTTP/1.0\r\nHost:", "\r\nA: b\r\n", "\r\n"],
    ] {
        let mut client = gateway.connect();
        for piece in pieces {
            client.send(piece);
            if piece.ends_with("Host: ") || piece.ends_with("Host:") {
                client.send(&host);
            }
        }
        let answer = client.response();
        answer.is(Refusal::PlainHttp);
        assert!(
            answer.text().contains(&format!("https://{host}/")),
            "{}",
            answer.text()
        );
    }
    assert_eq!(gateway.refusals(Refusal::PlainHttp), 2);
}
