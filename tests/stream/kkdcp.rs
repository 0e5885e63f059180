//! MS-KKDCP: Kerberos through HTTPS, for the listed realm and no other.

use std::{
    fmt::Write as _,
    io::{Read, Write},
    net::SocketAddr,
};

use spnegate::stream::kdc::message::{ErrorCode, is_error};

use crate::{
    gateway::{Gateway, connect},
    kerberos::{world, write_pem},
    realm::eventually,
    server::nobody,
};

fn proxy(realm: &str, backends: &[SocketAddr], tls: bool) -> (Gateway, std::path::PathBuf) {
    let (cert, key) = write_pem(&world().realm.path(""), &["localhost"]);
    let backends: Vec<String> = backends.iter().map(|b| format!("\"{b}\"")).collect();
    let mut text = format!(
        "[[kdc_proxy]]\nlisten = \"127.0.0.1:0\"\nrealm = \"{realm}\"\nbackends = [{}]\n",
        backends.join(", ")
    );
    if tls {
        let (cert, key) = (cert.display(), key.display());
        let _ = writeln!(text, "tls = {{ cert = \"{cert}\", key = \"{key}\" }}");
    }
    (Gateway::start(&text), cert)
}

fn metric(gateway: &Gateway, reason: &str) -> u64 {
    gateway.ends("kdc_proxy", reason)
}

#[test]
fn mit_logs_in_through_https() {
    let world = world();
    let (gateway, cert) = proxy(world.realm.name(), &[nobody(), world.realm.address()], true);
    let kdc = format!("https://localhost:{}/KdcProxy", gateway.http().port());
    let anchors = format!("http_anchors = FILE:{}", cert.display());
    let client = world.client(&kdc, "", &anchors);
    client.log_in().unwrap();
    let (_, log) = gateway.stop();
    assert!(
        log.iter()
            .all(|line| line["path"] == "/KdcProxy" && line["status"] == 200)
    );
}

#[test]
fn a_realm_that_is_not_listed_is_not_served() {
    let world = world();
    let (gateway, cert) = proxy("OTHER.EXAMPLE.COM", &[world.realm.address()], true);
    let kdc = format!("https://localhost:{}/KdcProxy", gateway.http().port());
    let anchors = format!("http_anchors = FILE:{}", cert.display());
    let client = world.client(&kdc, "", &anchors);
    let error = client.log_in().unwrap_err();
    assert!(
        error.contains("Generic error") || error.contains("not served"),
        "{error}"
    );
    eventually("it is counted", || metric(&gateway, "realm_denied") >= 1);
}

/// An `AS-REQ` of a realm in a KDC-PROXY-MESSAGE, by hand.
fn body(realm: &str) -> Vec<u8> {
    use spnegate::der::{element, integer};
    let string = |text: &str| element(0x1b, &[text.as_bytes()]);
    let request_body = element(0x30, &[&element(0xa2, &[&string(realm)])]);
    let request = element(
        0x6a,
        &[&element(
            0x30,
            &[
                &element(0xa1, &[&integer(5)]),
                &element(0xa4, &[&request_body]),
            ],
        )],
    );
    let length = u32::try_from(request.len()).unwrap().to_be_bytes();
    element(
        0x30,
        &[
            &element(0xa0, &[&element(0x04, &[&length, &request])]),
            &element(0xa1, &[&string(realm)]),
        ],
    )
}

fn post(gateway: &Gateway, head: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut tcp = connect(gateway.http());
    let length = body.len();
    write!(tcp, "{head}\r\nContent-Length: {length}\r\n\r\n").unwrap();
    // an answer may come before all of it is taken
    let _ = tcp.write_all(body);
    let mut answer = Vec::new();
    let _ = tcp.read_to_end(&mut answer);
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    (head, answer[end + 4..].to_vec())
}

#[test]
fn clients_of_http_1_0_need_no_host() {
    let (gateway, _) = proxy("EXAMPLE.COM", &[nobody()], false);
    for head in [
        "POST /KdcProxy HTTP/1.0\r\nContent-Type: application/kerberos",
        "POST /kdcproxy HTTP/1.1\r\nHost: any.example.com\r\nConnection: close",
    ] {
        // no KDC: an error that the Kerberos client understands
        let (head, answer) = post(&gateway, head, &body("example.com"));
        assert!(
            head.contains(" 200 ") && head.contains("application/kerberos"),
            "{head}"
        );
        let at = answer.iter().position(|byte| *byte == 0x7e).unwrap();
        assert!(is_error(&answer[at..], ErrorCode::ServiceUnavailable));
    }
}

#[test]
fn what_no_kerberos_client_sends_is_refused_with_words() {
    let (gateway, _) = proxy("EXAMPLE.COM", &[nobody()], false);
    let post = |head: &str, body: &[u8]| post(&gateway, head, body).0;
    assert!(post("GET /KdcProxy HTTP/1.0", b"").contains(" 405 "));
    assert!(post("POST /KdcProxy HTTP/1.0", b"hello").contains(" 400 "));
    assert!(post("POST /KdcProxy HTTP/1.0", &vec![0x30; 200_000]).contains(" 413 "));
    assert!(!post("POST /Other HTTP/1.0", b"").contains(" 200 "));
    eventually("all are counted", || {
        metric(&gateway, "request_malformed") >= 2 && metric(&gateway, "message_too_long") >= 1
    });
}

#[test]
fn an_unlisted_realm_is_told_so_in_a_krb_error() {
    let (gateway, _) = proxy("EXAMPLE.COM", &[nobody()], false);
    let (_, answer) = post(
        &gateway,
        "POST /KdcProxy HTTP/1.0",
        &body("EVIL.EXAMPLE.COM"),
    );
    let at = answer.iter().position(|byte| *byte == 0x7e).unwrap();
    assert!(is_error(&answer[at..], ErrorCode::Generic));
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("not served by the KDC proxy"), "{text}");
}

#[test]
fn a_realm_is_open_to_its_networks_only() {
    let realm = |name: &str, networks: &str| {
        let kdc = nobody();
        format!(
            "[[kdc_proxy]]\nlisten = \"127.0.0.1:0\"\nrealm = \"{name}\"\n\
             backends = [\"{kdc}\"]\nallow_from = {networks}\n"
        )
    };
    let inner = realm("INNER.EXAMPLE.COM", "[\"10.0.0.0/8\"]");
    let outer = realm("OUTER.EXAMPLE.COM", "\"127.0.0.1\"");
    let gateway = Gateway::start(&format!("{inner}{outer}"));
    for (name, code, said) in [
        ("INNER.EXAMPLE.COM", ErrorCode::Generic, "network"),
        ("OUTER.EXAMPLE.COM", ErrorCode::ServiceUnavailable, "no KDC"),
    ] {
        let (_, answer) = post(&gateway, "POST /KdcProxy HTTP/1.0", &body(name));
        let at = answer.iter().position(|byte| *byte == 0x7e).unwrap();
        assert!(is_error(&answer[at..], code), "{name}");
        assert!(String::from_utf8_lossy(&answer).contains(said), "{name}");
    }
    eventually("it is counted", || metric(&gateway, "source_denied") >= 1);

    // nobody of the address is open to the client: no connection
    let gateway = Gateway::start(&inner);
    let before = gateway.metric("spnegate_refusals_total", &[("reason", "source_denied")]);
    let mut tcp = connect(gateway.http());
    let _ = write!(tcp, "POST /KdcProxy HTTP/1.0\r\n\r\n");
    let mut answer = Vec::new();
    let _ = tcp.read_to_end(&mut answer);
    assert!(answer.is_empty());
    assert!(gateway.metric("spnegate_refusals_total", &[("reason", "source_denied")]) > before);
}

#[test]
fn a_console_and_the_kdc_proxy_share_a_listener() {
    let world = world();
    let (cert, key) = write_pem(&world.realm.path(""), &["localhost"]);
    let (realm, host) = (
        world.realm.name(),
        format!("proxy.{}", world.realm.domain()),
    );
    let gateway = Gateway::start(&format!(
        "[kerberos]\nkeytab = \"{}\"\ndefault_realm = \"{realm}\"\nreplay_cache = \"none\"\n\
         [[console]]\nname = \"files\"\nkind = \"generic\"\nlisten = \"127.0.0.1:0\"\n\
         identity = \"simple\"\nbackends = [\"http://{}\"]\nhosts = [\"{host}\"]\n\
         tls = {{ cert = \"{}\", key = \"{}\" }}\n\
         [[kdc_proxy]]\nlisten = \"127.0.0.1:0\"\nrealm = \"{realm}\"\nbackends = [\"{}\"]\n",
        world.keytab.display(),
        nobody(),
        cert.display(),
        key.display(),
        world.realm.address(),
    ));
    let kdc = format!("https://localhost:{}/KdcProxy", gateway.http().port());
    let anchors = format!("http_anchors = FILE:{}", cert.display());
    world.client(&kdc, "", &anchors).log_in().unwrap();
    // what is not for the proxy is the console's
    let (_, log) = gateway.stop();
    assert!(log.iter().all(|line| line["console"].is_null()), "{log:?}");
}
