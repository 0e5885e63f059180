//! TLS to backends and nodes: trust by truststore and host name, and a distinct message for every
//! failure.

use std::{
    io::{Read, Write},
    net::TcpListener,
    time::{Duration, Instant},
};

use spnegate::testing::{KeySource, Refusal};

use crate::{
    backend::{Logins, backend, reply, second},
    client::FOREVER,
    front::{Ca, Front, ca, run, server},
    proxy::{Gateway, Setup, gateway},
};

/// A console with these backend URLs and this `backend_tls` section.
fn console(urls: &[&str], tls: &str) -> Setup {
    let mut setup = gateway().console("generic");
    for url in urls {
        setup = setup.url(url);
    }
    setup.with(&format!("backend_tls = {tls}"))
}

fn trusting(ca: &Ca) -> String {
    format!("{{ truststore = \"{}\" }}", ca.path("ca.pem").display())
}

/// The URL of a server that answers everything with 400 in plain HTTP, as HTTP servers do on TLS
/// bytes.
fn no_tls() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        }
    });
    url
}

/// Asserts that the console is closed for that reason, and returns the text on the status page.
#[track_caller]
fn closed(gateway: &Gateway) -> String {
    gateway
        .ask("GET /x")
        .by("alice")
        .response()
        .is(Refusal::BackendTls);
    let status = gateway.admin("/?format=json");
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let backend = &status["consoles"][0]["backends"][0];
    assert_eq!(backend["state"], "down");
    backend["last_error"].as_str().unwrap().to_owned()
}

#[test]
fn requests_logins_and_probes_use_pooled_tls_connections() {
    let (ca, backend) = (ca("ours"), backend());
    backend.set_response(|seen| reply(200).body(format!("{} {}", seen.method, seen.body.len())));
    let front = Front::before(&backend, &ca.issue("nn1", &["localhost"]));
    let gateway = console(&[&front.url()], &trusting(&ca)).run();
    let before = front.connections();
    let mut client = gateway.connect();
    for size in [0_usize, 10, 3 << 20] {
        let body = vec![b'x'; size];
        client.send(gateway.ask("PUT /x").by("alice").body(body).bytes());
        client.response().is_ok(&format!("PUT {size}"));
    }
    let seen = &backend.seen()[0];
    let authority = format!("localhost:{}", front.address.port());
    assert_eq!(seen.header("host"), Some(authority.as_str()));
    assert!(backend.login_count() > 0);
    assert!(!backend.own_requests().is_empty());
    let of_clients: Vec<usize> = backend.seen().iter().map(|seen| seen.connection).collect();
    assert!(
        of_clients.windows(2).all(|pair| pair[0] == pair[1]),
        "{of_clients:?}"
    );
    assert!(front.connections() > before);
    assert!(
        front
            .names()
            .iter()
            .all(|name| name.as_deref() == Some("localhost"))
    );
}

#[test]
fn java_truststores_and_certificates_with_a_common_name_only_are_accepted() {
    // the usual procedure: a certificate made by keytool, then exported and imported for the
    // clients
    let (ca, backend) = (ca("unused"), backend());
    let directory = ca.path("");
    let store = ["-storepass", "123456", "-keypass", "123456"];
    let keytool = |arguments: &[&str]| run(&directory, "keytool", arguments);
    keytool(
        &[
            &[
                "-genkeypair",
                "-alias",
                "presto",
                "-keyalg",
                "RSA",
                "-dname",
                "CN=localhost",
            ][..],
            &["-keystore", "server.jks", "-storetype", "JKS"],
            &store,
        ]
        .concat(),
    );
    keytool(&[
        "-exportcert",
        "-alias",
        "presto",
        "-file",
        "presto.cer",
        "-keystore",
        "server.jks",
        "-storepass",
        "123456",
    ]);
    for (out, kind) in [("client.jks", "JKS"), ("client.p12", "PKCS12")] {
        keytool(&[
            "-importcert",
            "-noprompt",
            "-alias",
            "presto",
            "-file",
            "presto.cer",
            "-keystore",
            out,
            "-storetype",
            kind,
            "-storepass",
            "123456",
        ]);
    }
    std::fs::write(ca.path("password"), "123456\n").unwrap();
    let source = KeySource::Keystore {
        file: ca.path("server.jks"),
        password_file: Some(ca.path("password")),
        alias: None,
    };
    let front = Front::before(&backend, &source);
    let password = ca.path("password");
    for trust in ["client.jks", "client.p12"] {
        let tls = format!(
            "{{ truststore = \"{}\", password_file = \"{}\" }}",
            ca.path(trust).display(),
            password.display()
        );
        let gateway = console(&[&front.url()], &tls).run();
        assert_eq!(
            gateway.ask("GET /x").by("alice").response().status,
            200,
            "{trust}"
        );
    }
    std::fs::write(&password, "654321\n").unwrap();
    let tls = format!(
        "{{ truststore = \"{}\", password_file = \"{}\" }}",
        ca.path("client.jks").display(),
        password.display()
    );
    let problems = console(&[&front.url()], &tls).fails();
    assert!(
        problems.contains("cannot be opened with the configured password"),
        "{problems}"
    );
}

#[test]
pub fn an_untrusted_backend_certificate_closes_the_console_and_the_cure_is_reported() {
    let (ours, theirs) = (ca("ours"), ca("theirs"));
    let backend = backend();
    for (source, expected) in [
        (
            theirs.issue("a", &["localhost"]),
            "signed by CN=theirs, a CA that is not in",
        ),
        (
            ours.issue("b", &["nn1.example.com"]),
            "names nn1.example.com, not localhost",
        ),
        (
            ours.issue_until("c", &["localhost"], 2001),
            "has expired: Jan  1 00:00:00 2001",
        ),
    ] {
        let front = Front::before(&backend, &source);
        let gateway = console(&[&front.url()], &trusting(&ours)).run();
        let error = closed(&gateway);
        assert!(error.contains(expected), "{error}");
        assert_eq!(front.connections(), 0);
    }
    assert!(backend.seen().is_empty() && backend.own_requests().is_empty());
}

#[test]
fn a_plain_port_an_old_tls_version_and_a_missing_client_certificate_are_distinguished() {
    let (ca, backend) = (ca("ours"), backend());
    let error = closed(&console(&[&no_tls()], &trusting(&ca)).run());
    assert!(error.contains("does not speak TLS on this port"), "{error}");

    let source = ca.issue("nn1", &["localhost"]);
    let front = Front::with(&backend, server(&source, &[&rustls::version::TLS12]));
    let store = ca.path("ca.pem").display().to_string();
    let tls = format!("{{ truststore = \"{store}\", min_version = \"1.3\" }}");
    let error = closed(&console(&[&front.url()], &tls).run());
    assert!(error.contains("min_version"), "{error}");

    let front = Front::with(&backend, ca.demanding(&source));
    let error = closed(&console(&[&front.url()], &trusting(&ca)).run());
    assert!(error.contains("client_cert"), "{error}");
    let client = ca.issue("gateway", &["gateway"]).files();
    let tls = format!(
        "{{ truststore = \"{store}\", client_cert = \"{}\", client_key = \"{}\" }}",
        client[0].display(),
        client[1].display()
    );
    let gateway = console(&[&front.url()], &tls).run();
    assert_eq!(gateway.ask("GET /x").by("alice").response().status, 200);
}

/// As a server that is killed during a handshake.
#[test]
fn a_server_that_closes_during_the_handshake_is_down_rather_than_untrusted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().read(&mut [0; 4096]);
        }
    });
    let gateway = console(&[&url], &trusting(&ca("ours"))).run();
    let answer = gateway.ask("GET /x").by("alice").response();
    answer.is(Refusal::BackendDown);
    let status = gateway.admin("/?format=json");
    assert!(
        status.contains("closed the connection during the TLS handshake"),
        "{status}"
    );
}

#[test]
fn a_configured_server_name_applies_to_tls_host_and_redirects() {
    let (ca, backend) = (ca("ours"), backend().logins(Logins::Open));
    let front = Front::before(&backend, &ca.issue("c", &["presto.example.com"]));
    let port = front.address.port();
    backend.set_response(move |_| {
        let place = format!("https://presto.example.com:{port}/ui/");
        reply(302).with("Location", &place)
    });
    let gateway = gateway()
        .console("generic")
        .identity("simple")
        .with(&format!(
            "backends = [{{ url = \"{}\", tls = {{ truststore = \"{}\", server_name = \"Presto.example.com\" }} }}]",
            front.url(),
            ca.path("ca.pem").display()
        ))
        .run();
    let answer = gateway.ask("GET /").by("alice").response();
    assert_eq!(answer.header("location"), Some("/ui/"));
    let host = format!("presto.example.com:{port}");
    assert_eq!(backend.only().header("host"), Some(host.as_str()));
    assert_eq!(front.names()[0].as_deref(), Some("presto.example.com"));
}

#[test]
fn requests_go_to_the_backend_whose_certificate_is_trusted() {
    let (ours, theirs) = (ca("ours"), ca("theirs"));
    let (bad, good) = (backend(), second());
    let bad_front = Front::before(&bad, &theirs.issue("a", &["localhost"]));
    let good_front = Front::before(&good, &ours.issue("b", &["localhost"]));
    let gateway = gateway()
        .console("generic")
        .url(&bad_front.url())
        .backend_at(&good, &good_front.url())
        .with(&format!("backend_tls = {}", trusting(&ours)))
        .run();
    assert_eq!(gateway.ask("GET /x").by("alice").response().status, 200);
    assert_eq!(good.seen().len(), 1);
}

#[test]
fn a_changed_truststore_is_reloaded_without_a_restart() {
    let (old, new) = (ca("old"), ca("new"));
    let backend = backend();
    let front = Front::before(&backend, &new.issue("a", &["localhost"]));
    let gateway = console(&[&front.url()], &trusting(&old)).run();
    closed(&gateway);
    // an unreadable file leaves the old truststore in use and is reported
    std::fs::write(old.path("ca.pem"), "nothing").unwrap();
    let deadline = Instant::now() + FOREVER;
    let wait = |what: &str, condition: &dyn Fn() -> bool| {
        while !condition() {
            assert!(Instant::now() < deadline, "{what} did not come");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait("the complaint", &|| {
        gateway.admin("/metrics").contains("spnegate_tls_valid 0")
    });
    std::fs::write(old.path("ca.pem"), old.pem() + &new.pem()).unwrap();
    wait("trust", &|| {
        gateway.ask("GET /x").by("alice").response().status == 200
    });
}

#[test]
fn a_node_is_reached_over_tls_where_the_console_configures_trust() {
    let ca = ca("ours");
    let datanode = backend()
        .logins(Logins::Open)
        .responds(|seen| reply(201).body(seen.body.len().to_string()));
    let front = Front::before(&datanode, &ca.issue("dn", &["localhost"]));
    let port = front.address.port();
    let place = format!("https://localhost:{port}/webhdfs/v1/f?op=CREATE&delegation=needle");
    let namenode = backend().responds(move |_| reply(307).with("Location", &place));
    let setup = || {
        gateway()
            .console("namenode")
            .identity("doas")
            .backend(&namenode)
            .with(&format!(
                "nodes = {{ hosts = [\"localhost\"], ports = [{port}] }}"
            ))
    };
    let follow = |gateway: &Gateway| {
        let answer = gateway
            .ask("PUT /webhdfs/v1/f?op=CREATE")
            .by("alice")
            .body("")
            .response();
        let link = answer.header("location").unwrap().to_owned();
        let at = link.find("/.spnegate/node/https/").unwrap();
        gateway
            .ask(&format!("PUT {}", &link[at..]))
            .by("alice")
            .body("data")
            .response()
    };
    follow(&setup().run()).is(Refusal::NodeDenied);
    let other = self::ca("other");
    let stranger = setup()
        .with(&format!("backend_tls = {}", trusting(&other)))
        .run();
    follow(&stranger).is(Refusal::BackendTls);
    assert!(datanode.seen().is_empty());
    let gateway = setup()
        .with(&format!("backend_tls = {}", trusting(&ca)))
        .run();
    let answer = follow(&gateway);
    assert_eq!((answer.status, answer.text().as_str()), (201, "4"));
    assert!(datanode.only().raw_text().contains("delegation=needle"));
}
