//! Refusals that are sent before a backend is chosen.

use spnegate::testing::Refusal;

use crate::{
    backend::backend,
    client::Client,
    proxy::gateway,
    world::{negotiate, world},
};

/// Found in nothing but the requests of [`every_refusal_before_the_backend_has_its_page_count_and_status`].
const NEEDLE: &str = "needle-that-no-backend-may-see";

/// A token as `Authorization: Negotiate`.
fn token(bytes: &[u8]) -> String {
    format!("Authorization: {}\r\n", negotiate(bytes))
}

/// Raw requests; `HOST` and `COOKIE` are placeholders for header lines.
fn refused_requests() -> Vec<(Refusal, String)> {
    let get = |lines: &str| format!("GET /x HTTP/1.1\r\nHOST{lines}");
    let alices = |target: &str| format!("GET {target} HTTP/1.1\r\nHOSTCOOKIE");
    let unknown_mechanism: &[u8] = b"\x60\x1b\x06\x06\x2b\x06\x01\x05\x05\x02\xa0\x11\x30\x0f\xa0\
        \x0d\x30\x0b\x06\x09\x2b\x06\x01\x04\x01\x82\x37\x02\x63";
    let form = "Content-Type: application/x-www-form-urlencoded\r\n";
    vec![
        (Refusal::LoginRequired, get("")),
        (Refusal::LoginRequired, get("Authorization: Basic YTpi\r\n")),
        (Refusal::LoginRequired, get("Cookie: spnegate=\r\n")),
        (Refusal::SessionEnded, get("Cookie: spnegate=forged\r\n")),
        (
            Refusal::BadAuthorization,
            get("Authorization: Negotiate\r\n"),
        ),
        (
            Refusal::BadAuthorization,
            get("Authorization: Negotiate !!!\r\n"),
        ),
        (
            Refusal::DuplicateAuthorization,
            get("Authorization: Negotiate YQ==\r\nauthorization: Negotiate YQ==\r\n"),
        ),
        (
            Refusal::Ntlm,
            get(&token(b"NTLMSSP\0\x01\0\0\0\x07\x82\x08\xa2")),
        ),
        (
            Refusal::Ntlm,
            get("Authorization: NTLM TlRMTVNTUAABAAAA\r\n"),
        ),
        (Refusal::TokenMalformed, get(&token(b"\x60\x03abc"))),
        (
            Refusal::TokenMalformed,
            get(&token(b"\x60\x82\xff\xff\x06\x06\x2b")),
        ),
        (Refusal::TokenMalformed, get(&token(b"abc"))),
        (Refusal::TokenMalformed, get(&token(b"\x6a\x02\x30\x00"))),
        (
            Refusal::TokenKrbError,
            get(&token(
                b"\x7e\x0c\x30\x0a\xa1\x03\x02\x01\x1e\xa6\x03\x02\x01\x25",
            )),
        ),
        (
            Refusal::TokenApRep,
            get(&token(
                b"\x60\x0f\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x02\x00\x6f\x00",
            )),
        ),
        (Refusal::TokenRejected, get(&token(unknown_mechanism))),
        (
            Refusal::LoginInterrupted,
            get(&token(b"\xa1\x07\x30\x05\xa0\x03\x0a\x01\x01")),
        ),
        (
            Refusal::CrossSite,
            "POST /x HTTP/1.1\r\nHOSTCOOKIEOrigin: http://evil.example.org\r\n".to_owned(),
        ),
        (
            Refusal::CrossSite,
            "DELETE /x HTTP/1.1\r\nHOSTCOOKIESec-Fetch-Site: cross-site\r\n".to_owned(),
        ),
        (
            Refusal::CrossSite,
            "GET /.spnegate/logout HTTP/1.1\r\nHOSTCOOKIESec-Fetch-Site: cross-site\r\n".to_owned(),
        ),
        (
            Refusal::CrossSite,
            "GET /x HTTP/1.1\r\nHOSTCOOKIEUpgrade: websocket\r\nConnection: upgrade\r\n\
             Origin: http://evil.example.org\r\n"
                .to_owned(),
        ),
        (
            Refusal::UnknownHost,
            "GET /x HTTP/1.1\r\nCOOKIEHost: other.example.org\r\n".to_owned(),
        ),
        (
            Refusal::BadHost,
            "GET /x HTTP/1.1\r\nCOOKIEHost: a@b\r\n".to_owned(),
        ),
        (Refusal::BadHost, "GET /x HTTP/1.1\r\nCOOKIE".to_owned()),
        (
            Refusal::BadHost,
            "GET /x HTTP/1.1\r\nCOOKIEHOSTHOST".to_owned(),
        ),
        (
            Refusal::BadHost,
            "GET http://other.example.org/x HTTP/1.1\r\nCOOKIEHOST".to_owned(),
        ),
        (
            Refusal::BadHost,
            format!(
                "GET ftp://{}/x HTTP/1.1\r\nCOOKIEHost: {}\r\n",
                world().proxy,
                world().proxy
            ),
        ),
        (
            Refusal::BadRequest,
            "POST /x HTTP/1.1\r\nHOSTCOOKIEContent-Length: 9223372036854775808\r\n".to_owned(),
        ),
        (Refusal::BadPath, alices("/a/../b")),
        (Refusal::BadQuery, alices("/x?a=1;doAs=bob")),
        (Refusal::BadQuery, alices("/x?a=%zz")),
        (
            Refusal::BadForm,
            format!("POST /x HTTP/1.1\r\nHOSTCOOKIE{form}Content-Length: 8\r\n"),
        ),
        (
            Refusal::BadMethod,
            "TRACE /x HTTP/1.1\r\nHOSTCOOKIE".to_owned(),
        ),
        (
            Refusal::BadMethod,
            "CONNECT evil.example.org:443 HTTP/1.1\r\nHOSTCOOKIE".to_owned(),
        ),
        (
            Refusal::BadRequest,
            "POST /x HTTP/1.1\r\nHOSTCOOKIEContent-Length: 8\r\nTransfer-Encoding: chunked\r\n"
                .to_owned(),
        ),
        (
            Refusal::BadRequest,
            "POST /x HTTP/1.1\r\nHOSTCOOKIETransfer-Encoding: gzip, chunked\r\n".to_owned(),
        ),
        (Refusal::NotFound, alices("/.spnegate/nothing")),
        (
            Refusal::NotFound,
            alices("/.spnegate/node/ftp/localhost:21/x"),
        ),
        (
            Refusal::NodeDenied,
            alices("/.spnegate/node/http/evil.example.org:80/x"),
        ),
        (
            Refusal::NodeDenied,
            alices("/.spnegate/node/http/localhost:22/x"),
        ),
        (
            Refusal::NodeLink,
            alices("/.spnegate/node/http/localhost:50075/x?a=b"),
        ),
        (
            Refusal::NodeLink,
            alices("/.spnegate/node/http/localhost:50075/x?delegation=AA"),
        ),
        (
            Refusal::NodeLink,
            alices("/.spnegate/node/http/localhost:50075/x?a=b&.spnegate=9999999999.AAAA"),
        ),
    ]
}

/// Pages in HTML, JSON and text, counter and status; nothing reaches the backend.
#[test]
pub fn every_refusal_before_the_backend_has_its_page_count_and_status() {
    let backend = backend();
    let gateway = gateway()
        .console("generic")
        .backend(&backend)
        .with("nodes = { hosts = [\"localhost\"], ports = [50075] }")
        .run();
    gateway.ask("GET /x").by("alice").response().is_ok("nobody");
    let host = format!(
        "Host: {}:{}\r\n",
        gateway.world.proxy,
        gateway.address().port()
    );
    let cookie = format!("Cookie: {}\r\n", gateway.world.cookie("alice"));
    for (refusal, request) in refused_requests() {
        let before = gateway.refusals(refusal);
        for (accept, form) in [
            ("text/html,*/*;q=0.8", "text/html; charset=utf-8"),
            ("application/json", "application/json"),
            ("*/*", "text/plain; charset=utf-8"),
        ] {
            let request = request.replace("HOST", &host).replace("COOKIE", &cookie);
            let request =
                format!("{request}Accept: {accept}\r\nX-Needle: {NEEDLE}\r\n\r\ndoAs=bob");
            let mut client = Client::connect(gateway.address());
            client.send(&request);
            let answer = client.response();
            answer.is(refusal);
            assert_eq!(answer.header("content-type"), Some(form), "{request}");
            if accept == "application/json" {
                let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                assert_eq!(json["refusal"]["reason"], refusal.reason());
            }
        }
        assert!(
            gateway.refusals(refusal) >= before + 3,
            "{refusal:?} is not counted"
        );
        assert!(
            !backend.got(NEEDLE),
            "{refusal:?} let something through: {request}"
        );
        assert_eq!(backend.seen().len(), 1, "{request}");
    }
}

#[test]
fn a_head_request_gets_the_status_without_a_page() {
    let backend = backend();
    let gateway = gateway().console("generic").backend(&backend).run();
    let mut client = gateway.connect();
    client.send(gateway.ask("HEAD /x").bytes());
    let answer = client.answer_to("HEAD").unwrap();
    assert_eq!(
        (answer.status, answer.header("www-authenticate")),
        (401, Some("Negotiate"))
    );
    // the connection stays open
    client.send(gateway.ask("HEAD /x").by("alice").bytes());
    assert_eq!(client.answer_to("HEAD").unwrap().status, 200);
    client.send(gateway.ask("GET /x").bytes());
    client.response().is(Refusal::LoginRequired);
}

#[test]
fn a_page_escapes_everything_that_a_client_sent() {
    let gateway = gateway()
        .console("generic")
        .url(&crate::backend::unreachable_url())
        .run();
    let answer = gateway
        .ask("GET /x")
        .host(Some("<script>alert(2)</script>"))
        .header("Accept", "text/html")
        .header("X-Request-Id", "<script>alert(3)</script>")
        .response();
    assert!(!answer.text().contains("<script>"), "{}", answer.text());
    assert!(
        answer
            .header("content-security-policy")
            .unwrap()
            .contains("default-src 'none'")
    );
}

/// The page of a 401 shows the settings for this host.
#[test]
fn a_challenge_names_this_host_and_the_settings_of_each_browser() {
    let gateway = gateway()
        .console("generic")
        .url(&crate::backend::unreachable_url())
        .run();
    let page = gateway
        .ask("GET /x")
        .header("Accept", "text/html")
        .response();
    page.is(Refusal::LoginRequired);
    for word in [
        world().proxy.as_str(),
        "AuthServerAllowlist",
        "network.negotiate-auth.trusted-uris",
        "Safari",
        "curl --negotiate -u :",
    ] {
        assert!(page.text().contains(word), "{word}");
    }
}

#[test]
fn requests_by_short_name_or_address_receive_the_full_host_name() {
    let backend = backend();
    let gateway = gateway()
        .console("generic")
        .name("one")
        .backend(&backend)
        .run();
    let works = format!("http://{}:50070/", world().proxy);
    for host in ["proxy:50070", "192.0.2.7:50070", "[2001:db8::1]:50070"] {
        let answer = gateway.ask("GET /x").host(Some(host)).response();
        answer.is(Refusal::UnknownHost);
        assert!(answer.text().contains(&works), "{host}: {}", answer.text());
        assert!(
            answer.text().contains("one unknown_host"),
            "{}",
            answer.text()
        );
    }
    let foreign = gateway
        .ask("GET /x")
        .host(Some("evil.example.org"))
        .response();
    foreign.is(Refusal::UnknownHost);
    assert!(
        !foreign.text().contains(&world().proxy),
        "{}",
        foreign.text()
    );
    let page = gateway.ask("GET /a/../b").response();
    assert!(page.text().contains("one bad_path"), "{}", page.text());
}
