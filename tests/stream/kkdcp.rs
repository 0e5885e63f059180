//! MS-KKDCP: Kerberos over HTTPS, only for the listed realm.

use std::{
    fmt::Write as _,
    io::{Read, Write},
    net::SocketAddr,
};

use spnegate::testing::message::{KrbErrorCode, is_error};

use crate::{
    gateway::{Gateway, connect},
    kerberos::{world, write_pem},
    realm::eventually,
    server::nobody,
};

fn proxy(realm: &str, backends: &[SocketAddr], tls: bool) -> (Gateway, std::path::PathBuf) {
    proxy_with(realm, backends, tls, "")
}

/// The same with more timeouts.
fn proxy_with(
    realm: &str,
    backends: &[SocketAddr],
    tls: bool,
    timeouts: &str,
) -> (Gateway, std::path::PathBuf) {
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
    (Gateway::with_timeouts(&text, timeouts), cert)
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
fn an_unlisted_realm_is_not_served() {
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

/// An `AS-REQ` for a realm in a KDC-PROXY-MESSAGE, encoded by hand.
fn body(realm: &str) -> Vec<u8> {
    use spnegate::testing::{element, integer};
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
    // the response may come before the whole body is sent
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
        // the spelling often used in Windows' policy "KDC proxy servers"
        "POST /KdcProxy/ HTTP/1.1\r\nHost: any.example.com\r\nConnection: close",
    ] {
        // without a KDC: an error that the Kerberos client understands
        let (head, answer) = post(&gateway, head, &body("example.com"));
        assert!(
            head.contains(" 200 ") && head.contains("application/kerberos"),
            "{head}"
        );
        let at = answer.iter().position(|byte| *byte == 0x7e).unwrap();
        assert!(is_error(&answer[at..], KrbErrorCode::ServiceUnavailable));
    }
}

#[test]
fn requests_that_are_not_ms_kkdcp_are_refused_with_an_explanation() {
    let (gateway, _) = proxy("EXAMPLE.COM", &[nobody()], false);
    let post = |head: &str, body: &[u8]| post(&gateway, head, body).0;
    assert!(post("GET /KdcProxy HTTP/1.0", b"").contains(" 405 "));
    assert!(post("POST /KdcProxy HTTP/1.0", b"hello").contains(" 400 "));
    assert!(post("POST /KdcProxy HTTP/1.0", &vec![0x30; 200_000]).contains(" 413 "));
    assert!(!post("POST /Other HTTP/1.0", b"").contains(" 200 "));
    assert!(!post("POST /KdcProxy// HTTP/1.0", b"").contains(" 200 "));
    assert!(!post("POST /KdcProxy/x HTTP/1.0", b"").contains(" 200 "));
    eventually("all are counted", || {
        metric(&gateway, "request_malformed") >= 2 && metric(&gateway, "message_too_long") >= 1
    });
}

/// A proxy with this timeout for a body.
fn hasty(time: &str, tls: bool) -> (Gateway, std::path::PathBuf) {
    let (gateway, cert) = proxy_with(
        "EXAMPLE.COM",
        &[nobody()],
        tls,
        &format!("head = \"{time}\"\n"),
    );
    (gateway, cert)
}

#[test]
fn a_body_that_does_not_end_times_out_and_is_counted() {
    let (gateway, _) = hasty("200ms", false);
    let before = metric(&gateway, "request_timeout");
    let mut tcp = connect(gateway.http());
    write!(
        tcp,
        "POST /KdcProxy HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab"
    )
    .unwrap();
    let mut answer = String::new();
    let _ = tcp.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(metric(&gateway, "request_timeout") > before);
}

#[test]
fn bodies_of_http_2_that_never_end_are_given_up_though_their_connection_is_busy() {
    let (gateway, cert) = hasty("300ms", true);
    let before = metric(&gateway, "request_timeout");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (client, mut connection) = http2(&gateway, &cert).await;
        let mut ping = connection.ping_pong().unwrap();
        tokio::spawn(connection);
        let mut client = client.ready().await.unwrap();
        let mut answers = Vec::new();
        let mut bodies = Vec::new();
        for _ in 0..100 {
            client = client.ready().await.unwrap();
            let request = http::Request::post("https://localhost/KdcProxy").body(());
            let (answer, mut body) = client.send_request(request.unwrap(), false).unwrap();
            body.send_data(bytes::Bytes::from(vec![0x30; 1000]), false)
                .unwrap();
            answers.push(answer);
            bodies.push(body);
        }
        // the connection stays open, and a byte of the body arrives now and then
        let drip = async {
            loop {
                for body in &mut bodies {
                    let _ = body.send_data(bytes::Bytes::from_static(b"x"), false);
                    ping.ping(h2::Ping::opaque()).await.unwrap();
                }
            }
        };
        let all = async {
            for answer in answers {
                let answer = answer.await.unwrap();
                assert!([408, 413].contains(&answer.status().as_u16()), "{answer:?}");
            }
        };
        tokio::select! {
            () = all => {}
            () = drip => {}
        }
    });
    eventually("all are counted", || {
        metric(&gateway, "request_timeout") > before
    });
}

type Http2 = (
    h2::client::SendRequest<bytes::Bytes>,
    h2::client::Connection<tokio_rustls::client::TlsStream<tokio::net::TcpStream>, bytes::Bytes>,
);

async fn http2(gateway: &Gateway, cert: &std::path::Path) -> Http2 {
    let pem = std::fs::read(cert).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    let der = spnegate::testing::certificates(&pem, None).unwrap();
    roots.add(der[0].clone()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = tokio::net::TcpStream::connect(gateway.http())
        .await
        .unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let name = "localhost".try_into().unwrap();
    let tls = connector.connect(name, tcp).await.unwrap();
    h2::client::handshake(tls).await.unwrap()
}

/// Requests that wait for a KDC, or for the rest of their bodies, take slots: at most half of them for
/// one address.
#[test]
fn one_address_gets_at_most_half_of_the_slots() {
    let (gateway, _) = hasty("10s", false);
    let refused = metric(&gateway, "source_limit");
    let begin = || {
        let mut tcp = connect(gateway.http());
        write!(
            tcp,
            "POST /KdcProxy HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab"
        )
        .unwrap();
        tcp
    };
    let held: Vec<_> = (0..256).map(|_| begin()).collect();
    eventually("they are held, and one more has to wait", || {
        let answer = post(&gateway, "POST /KdcProxy HTTP/1.0", b"x").0;
        answer.contains(" 429 ") && answer.contains("retry-after: 2")
    });
    assert!(metric(&gateway, "source_limit") > refused);
    // another address is served
    let mut other = from("127.0.0.2", gateway.http());
    other
        .write_all(b"POST /KdcProxy HTTP/1.0\r\nContent-Length: 1\r\n\r\nx")
        .unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).unwrap();
    assert!(answer.contains(" 400 "), "{answer}");
    drop(held);
    eventually("their places are free again", || {
        post(&gateway, "POST /KdcProxy HTTP/1.0", b"x")
            .0
            .contains(" 400 ")
    });
}

/// A connection from another loopback address.
fn from(source: &str, to: SocketAddr) -> std::net::TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let tcp = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
        socket.connect(to).await.unwrap().into_std().unwrap()
    });
    tcp.set_nonblocking(false).unwrap();
    tcp.set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    tcp
}

#[test]
fn an_unlisted_realm_gets_a_krb_error() {
    let (gateway, _) = proxy("EXAMPLE.COM", &[nobody()], false);
    let (_, answer) = post(
        &gateway,
        "POST /KdcProxy HTTP/1.0",
        &body("EVIL.EXAMPLE.COM"),
    );
    let at = answer.iter().position(|byte| *byte == 0x7e).unwrap();
    assert!(is_error(&answer[at..], KrbErrorCode::Generic));
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("not served by the KDC proxy"), "{text}");
}

#[test]
fn a_realm_is_served_to_its_networks_only() {
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
        ("INNER.EXAMPLE.COM", KrbErrorCode::Generic, "network"),
        (
            "OUTER.EXAMPLE.COM",
            KrbErrorCode::ServiceUnavailable,
            "no KDC",
        ),
    ] {
        let (_, answer) = post(&gateway, "POST /KdcProxy HTTP/1.0", &body(name));
        let at = answer.iter().position(|byte| *byte == 0x7e).unwrap();
        assert!(is_error(&answer[at..], code), "{name}");
        assert!(String::from_utf8_lossy(&answer).contains(said), "{name}");
    }
    eventually("it is counted", || metric(&gateway, "source_denied") >= 1);

    // the listener has nothing for the client's network: no connection
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
    // other paths belong to the console
    let (_, log) = gateway.stop();
    assert!(log.iter().all(|line| line["console"].is_null()), "{log:?}");
}
