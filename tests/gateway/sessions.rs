//! Sessions: login, whoami, logout, several consoles and schemes.

use std::{io::Write, net::TcpStream, sync::Arc};

use spnegate::{auth::Scheme, testing::Refusal};

use crate::{
    backend::{backend, unreachable_url},
    client::Client,
    proxy::{gateway, namenode},
    world::{block_on, initiator, negotiate, world},
};

#[test]
fn a_login_starts_a_session_that_needs_no_further_token() {
    let backend = backend();
    let gateway = namenode(&backend);
    let token = world().authorization("alice");
    let login = gateway
        .ask("GET /x")
        .header("Authorization", &token)
        .response();
    login.is_ok("alice");
    let mutual = login.header("www-authenticate").unwrap();
    assert!(
        mutual.starts_with("Negotiate ") && mutual.len() > 40,
        "{mutual}"
    );
    let session = login.session().unwrap();
    let next = gateway.ask("GET /y").header("Cookie", &session).response();
    next.is_ok("alice");
    assert_eq!(next.header("www-authenticate"), None);
    assert!(
        world().is_session(&session),
        "replicas of one secret read it"
    );
}

#[test]
fn whoami_returns_user_principal_and_expiry() {
    let gateway = gateway().console("generic").url(&unreachable_url()).run();
    let answer = gateway.ask("GET /.spnegate/whoami").by("alice").response();
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(json["user"], "alice");
    assert_eq!(
        json["principal"],
        world().realm.principal("alice").to_string()
    );
    assert!(json["expires"].as_u64().unwrap() > 1_700_000_000);
}

#[test]
fn the_login_page_redirects_only_within_the_gateway() {
    let gateway = gateway().console("generic").url(&unreachable_url()).run();
    gateway
        .ask("GET /.spnegate/login?to=/a")
        .response()
        .is(Refusal::LoginRequired);
    for (to, place) in [
        ("/explorer.html%3Fa=b", "/explorer.html?a=b"),
        ("//evil.example.org", "/"),
        ("%2F%2Fevil.example.org", "/"),
        ("/%5Cevil.example.org", "/"),
        ("/%09/evil.example.org", "/"),
        ("http://evil.example.org/", "/"),
        ("/a%0d%0aX-Evil:1", "/"),
    ] {
        let answer = gateway
            .ask(&format!("GET /.spnegate/login?to={to}"))
            .by("alice")
            .response();
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, Some(place)),
            "{to}"
        );
    }
}

#[test]
fn a_logout_ends_the_session_for_good() {
    let gateway = gateway().console("generic").url(&unreachable_url()).run();
    let cookie = world().cookie("alice");
    let who = |cookie: &str| {
        gateway
            .ask("GET /.spnegate/whoami")
            .header("Cookie", cookie)
            .response()
    };
    assert_eq!(who(&cookie).status, 200);
    let out = gateway
        .ask("GET /.spnegate/logout")
        .header("Cookie", &cookie)
        .response();
    assert_eq!(out.status, 200);
    let clearing = out.header("set-cookie").unwrap();
    assert!(
        clearing.starts_with("spnegate=;") && clearing.contains("Max-Age=0"),
        "{clearing}"
    );
    who(&cookie).is(Refusal::SessionEnded);
    // another session of the same user stays valid
    assert_eq!(who(&world().cookie("alice")).status, 200);
    // a page of another site cannot log a user out
    let kept = world().cookie("alice");
    let forced = gateway
        .ask("POST /.spnegate/logout")
        .header("Cookie", &kept)
        .header("Origin", "https://evil.example.org")
        .response();
    forced.is(Refusal::CrossSite);
    assert_eq!(who(&kept).status, 200);
}

#[test]
fn one_login_opens_every_console_of_a_host_name() {
    let (one, two) = (backend(), backend());
    let gateway = gateway()
        .console("generic")
        .name("one")
        .backend(&one)
        .console("generic")
        .name("two")
        .listen("127.0.0.2:0")
        .backend(&two)
        .run();
    let [first, second] = gateway.addresses() else {
        panic!("two listeners")
    };
    let token = world().authorization("alice");
    let login = gateway
        .ask_at(*first, "GET /x")
        .header("Authorization", &token)
        .response();
    let session = login.session().unwrap();
    gateway
        .ask_at(*second, "GET /x")
        .header("Cookie", &session)
        .response()
        .is_ok("nobody");
    // a logout at one console closes both
    gateway
        .ask_at(*second, "GET /.spnegate/logout")
        .header("Cookie", &session)
        .response();
    gateway
        .ask_at(*first, "GET /x")
        .header("Cookie", &session)
        .response()
        .is(Refusal::SessionEnded);
}

#[test]
pub fn a_principal_without_a_mapped_name_gets_no_session() {
    let backend = backend();
    let gateway = gateway()
        .console("generic")
        .backend(&backend)
        .set("kerberos", "auth_to_local = [\"RULE:[1:$1](alice)\"]")
        .run();
    let token = world().authorization("bob");
    let answer = gateway
        .ask("GET /x")
        .header("Authorization", &token)
        .response();
    answer.is(Refusal::NameUnmapped);
    assert!(
        answer.text().contains("bob@"),
        "who they are: {}",
        answer.text()
    );
    assert_eq!(answer.session(), None);
    // nor is a cookie accepted that a replica with another rule has signed
    gateway
        .ask("GET /x")
        .by("bob")
        .response()
        .is(Refusal::SessionEnded);
    gateway.ask("GET /x").by("alice").response().is_ok("nobody");
    assert_eq!(backend.seen().len(), 1);
}

/// In a header "alice " would be read as alice.
#[test]
fn a_principal_that_maps_to_an_invalid_name_gets_no_session() {
    let backend = backend();
    let gateway = gateway()
        .console("generic")
        .backend(&backend)
        .set(
            "kerberos",
            "auth_to_local = [\"RULE:[1:$1]\", \"RULE:[2:$2]\"]",
        )
        .run();
    let realm = &world().realm;
    let keytab = realm.path("nobody.keytab");
    for name in ["alice ", "WELLKNOWN/OTHER"] {
        let principal = realm.principal(name);
        realm.admin(&format!("addprinc -randkey \"{principal}\""));
        let ktadd = format!("ktadd -norandkey -k {} \"{principal}\"", keytab.display());
        realm.admin(&ktadd);
        let clients = initiator(&keytab);
        let token = block_on(clients.token(&principal, &realm.spn("proxy"))).unwrap();
        let answer = gateway
            .ask("GET /x")
            .header("Authorization", &negotiate(&token.token))
            .response();
        answer.is(Refusal::NameUnmapped);
        assert_eq!(answer.session(), None);
    }
    assert!(backend.seen().is_empty());
}

#[test]
pub fn a_user_that_is_not_allowed_is_refused_with_user_denied() {
    let backend = backend();
    let gateway = gateway()
        .console("generic")
        .with("allow = { users = [\"alice\"] }")
        .backend(&backend)
        .run();
    gateway.ask("GET /x").by("alice").response().is_ok("nobody");
    backend.forget();
    let answer = gateway.ask("GET /x").by("bob").response();
    answer.is(Refusal::UserDenied);
    assert!(answer.text().contains("bob@"), "{}", answer.text());
    for user in ["Alice", "alice2", "bob"] {
        gateway
            .ask("GET /x")
            .by(user)
            .response()
            .is(Refusal::UserDenied);
    }
    assert_eq!(backend.seen().len(), 0);
}

#[test]
fn the_health_page_needs_no_login_and_no_known_host() {
    let gateway = gateway().console("generic").url(&unreachable_url()).run();
    let answer = gateway
        .ask("GET /.spnegate/health")
        .host(Some("10.0.0.7"))
        .response();
    answer.is_ok("ok\n");
}

#[test]
fn a_drain_completes_requests_in_progress_and_closes() {
    let backend = backend();
    let gateway = gateway().console("generic").backend(&backend).run();
    let mut client = gateway.connect();
    client.send(gateway.ask("GET /x").by("alice").bytes());
    client.response().is_ok("nobody");
    gateway.stop();
    assert_eq!(client.to_end(), "");
}

/// Writes a certificate for the proxy's name; returns the configuration and a client that trusts
/// it.
fn tls() -> (String, Arc<rustls::ClientConfig>) {
    let proxy = world().proxy.clone();
    let certified = rcgen::generate_simple_self_signed([proxy]).unwrap();
    let (cert, key) = (world().file("crt"), world().file("key"));
    std::fs::write(&cert, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certified.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let line = format!(
        "tls = {{ cert = \"{}\", key = \"{}\" }}",
        cert.display(),
        key.display()
    );
    (line, Arc::new(config))
}

#[test]
fn sessions_over_tls_have_a_cookie_of_their_own() {
    let (line, config) = tls();
    let backend = backend().responds(|_| {
        crate::backend::reply(200)
            .with("Set-Cookie", "id=1; Path=/")
            .body("hello")
    });
    let gateway = gateway()
        .console("generic")
        .with(&line)
        .with("redirect_from = \"127.0.0.3:0\"")
        .backend(&backend)
        .run();
    let address = gateway.address();
    let connect = || {
        let name = world().proxy.clone().try_into().unwrap();
        let session = rustls::ClientConnection::new(Arc::clone(&config), name).unwrap();
        let tcp = TcpStream::connect(address).unwrap();
        tcp.set_read_timeout(Some(crate::client::FOREVER)).unwrap();
        Client::over(rustls::StreamOwned::new(session, tcp))
    };
    let mut client = connect();
    let token = world().authorization("alice");
    client.send(
        gateway
            .ask("GET /x")
            .header("Authorization", &token)
            .bytes(),
    );
    let login = client.response();
    login.is_ok("hello");
    let cookies = login.all("set-cookie");
    let own = cookies
        .iter()
        .find(|c| c.starts_with("__Host-spnegate="))
        .unwrap();
    let attributes: Vec<&str> = own.split("; ").skip(1).collect();
    assert_eq!(attributes, ["Path=/", "Secure", "HttpOnly", "SameSite=Lax"]);
    assert!(
        cookies.contains(&"generic.id=1; Path=/; Secure"),
        "{cookies:?}"
    );
    assert_eq!(login.header("strict-transport-security"), None);

    let session = login.session().unwrap();
    client.send(gateway.ask("GET /x").header("Cookie", &session).bytes());
    client.response().is_ok("hello");
    // the session of a plain listener is not accepted here, under either name
    let plain = world().cookie("alice");
    client.send(gateway.ask("GET /x").header("Cookie", &plain).bytes());
    client.response().is(Refusal::LoginRequired);
    client.send(
        gateway
            .ask("GET /x")
            .header("Cookie", &format!("__Host-{plain}"))
            .bytes(),
    );
    client.response().is(Refusal::SessionEnded);
    let minted = world().cookie_for("alice", Scheme::Tls);
    client.send(gateway.ask("GET /x").header("Cookie", &minted).bytes());
    client.response().is_ok("hello");

    // plain HTTP on the TLS port reaches no backend, and the plain port only redirects to TLS
    backend.forget();
    let mut plain_client = Client::connect(address);
    plain_client.send(gateway.ask("GET /needle").bytes());
    assert!(!plain_client.to_end().contains("200"));
    let redirect = gateway.addresses()[1];
    let answer = gateway
        .ask_at(redirect, "GET /a?b=c")
        .by("alice")
        .response();
    assert_eq!(answer.status, 301);
    let place = answer.header("location").unwrap();
    assert!(
        place.starts_with(&format!("https://{}", world().proxy)) && place.ends_with("/a?b=c"),
        "{place}"
    );
    let foreign = gateway
        .ask_at(redirect, "GET /a")
        .host(Some("evil.example.org"))
        .response();
    assert_eq!(foreign.status, 421);
    assert_eq!(backend.seen().len(), 0);
    let _ = client.stream.flush();
}

#[test]
fn operating_system_groups_are_checked_where_allow_lists_groups() {
    let backend = backend();
    let gateway = gateway()
        .console("generic")
        .with("allow = { users = [\"alice\"], groups = [\"root\"] }")
        .backend(&backend)
        .run();
    for user in ["root", "alice"] {
        gateway.ask("GET /x").by(user).response().is_ok("nobody");
    }
    for user in ["bob", "nobody"] {
        gateway
            .ask("GET /x")
            .by(user)
            .response()
            .is(Refusal::UserDenied);
    }
    assert_eq!(backend.seen().len(), 2);
}

#[test]
fn a_listener_accepts_ipv6() {
    let backend = backend();
    let gateway = gateway()
        .console("generic")
        .listen("[::1]:0")
        .backend(&backend)
        .run();
    gateway.ask("GET /x").by("alice").response().is_ok("nobody");
    let token = world().authorization("alice");
    gateway
        .ask("GET /x")
        .header("Authorization", &token)
        .response()
        .is_ok("nobody");
}
