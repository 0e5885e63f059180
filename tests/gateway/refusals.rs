//! Every reason word has a test that shows it, and what a refusal before the backend looks like.

use std::collections::HashSet;

use spnegate::refusal::Refusal;

use crate::{
    backend::backend,
    backend_login,
    client::Client,
    failover, faults, framing, impersonation,
    proxy::gateway,
    sessions, tickets, uploads,
    world::{negotiate, world},
};

/// Where a reason word is proven.
enum Proof {
    /// By this test of this program.
    Here(fn()),
    /// Elsewhere, for this reason.
    Elsewhere(&'static str),
}

use Proof::{Elsewhere, Here};

const CLAIMS: &[(Refusal, Proof)] = &[
    (
        Refusal::LoginRequired,
        Here(what_is_refused_before_any_backend),
    ),
    (
        Refusal::SessionEnded,
        Here(what_is_refused_before_any_backend),
    ),
    (
        Refusal::BadAuthorization,
        Here(what_is_refused_before_any_backend),
    ),
    (
        Refusal::DuplicateAuthorization,
        Here(what_is_refused_before_any_backend),
    ),
    (
        Refusal::TokenTooLarge,
        Elsewhere(
            "a token above 48 KiB does not fit into a head of HTTP/1.1 (64 KiB, head_too_large); \
             auth::negotiate's unit tests, for HTTP/2 and other servers behind the layer",
        ),
    ),
    (Refusal::Ntlm, Here(what_is_refused_before_any_backend)),
    (
        Refusal::TokenMalformed,
        Here(what_is_refused_before_any_backend),
    ),
    (Refusal::TokenReplayed, Here(tickets::a_token_opens_once)),
    (
        Refusal::TicketExpired,
        Here(tickets::expired_tickets_and_skewed_clocks),
    ),
    (
        Refusal::ClockSkew,
        Here(tickets::expired_tickets_and_skewed_clocks),
    ),
    (
        Refusal::KeytabOutOfDate,
        Here(tickets::a_ticket_newer_than_the_keytab),
    ),
    (
        Refusal::TicketOutOfDate,
        Here(tickets::a_ticket_older_than_the_keytab),
    ),
    (Refusal::WrongKey, Here(tickets::a_key_that_is_not_the_kdcs)),
    (
        Refusal::TokenRejected,
        Here(what_is_refused_before_any_backend),
    ),
    (
        Refusal::WrongService,
        Here(tickets::a_ticket_for_another_service_or_host),
    ),
    (
        Refusal::LoginInterrupted,
        Here(what_is_refused_before_any_backend),
    ),
    (
        Refusal::LoginBusy,
        Elsewhere(
            "1,024 logins would have to wait at one instant; tests/gss.rs fills a shorter queue, \
             and gss::AcceptError names the word",
        ),
    ),
    (
        Refusal::LoginFlood,
        Elsewhere(
            "one address would need 512 connections; tests/gss.rs fills half of a shorter queue, \
             and auth::spnego's tests see the answer",
        ),
    ),
    (
        Refusal::LoginTimeout,
        Here(tickets::a_login_that_takes_too_long),
    ),
    (
        Refusal::NameUnmapped,
        Here(sessions::who_has_no_name_has_no_session),
    ),
    (
        Refusal::UserDenied,
        Here(sessions::who_is_not_allowed_is_told_so),
    ),
    (
        Refusal::GroupsUnavailable,
        Elsewhere("the operating system's groups cannot be made to fail; auth::acl's unit tests"),
    ),
    (Refusal::CrossSite, Here(what_is_refused_before_any_backend)),
    (
        Refusal::UnknownHost,
        Here(what_is_refused_before_any_backend),
    ),
    (Refusal::BadHost, Here(what_is_refused_before_any_backend)),
    (Refusal::BadPath, Here(what_is_refused_before_any_backend)),
    (Refusal::BadQuery, Here(what_is_refused_before_any_backend)),
    (Refusal::BadForm, Here(what_is_refused_before_any_backend)),
    (Refusal::BadMethod, Here(what_is_refused_before_any_backend)),
    (
        Refusal::BadRequest,
        Here(what_is_refused_before_any_backend),
    ),
    (
        Refusal::HeadTooLarge,
        Here(framing::a_head_that_is_too_large),
    ),
    (
        Refusal::HeadTimeout,
        Here(framing::a_head_that_does_not_end),
    ),
    (Refusal::BodyTimeout, Here(uploads::an_upload_that_stalls)),
    (Refusal::NotFound, Here(what_is_refused_before_any_backend)),
    (
        Refusal::CredentialDenied,
        Here(impersonation::a_service_console_gives_no_credential_of_its_own),
    ),
    (
        Refusal::NodeDenied,
        Here(what_is_refused_before_any_backend),
    ),
    (Refusal::NodeLink, Here(what_is_refused_before_any_backend)),
    (
        Refusal::BackendDown,
        Here(failover::a_backend_that_is_not_there),
    ),
    (
        Refusal::NoActive,
        Here(failover::waiting_for_an_active_one_ends),
    ),
    (Refusal::HoldFull, Here(failover::waiting_has_a_limit)),
    (
        Refusal::NotReplayable,
        Here(failover::a_large_body_is_not_sent_twice),
    ),
    (
        Refusal::BackendBroken,
        Here(failover::a_post_reaches_one_backend_once),
    ),
    (
        Refusal::BackendTimeout,
        Here(failover::an_answer_that_does_not_come),
    ),
    (
        Refusal::BackendLogin,
        Here(backend_login::a_backend_that_refuses_the_login),
    ),
    (
        Refusal::BackendMutual,
        Here(backend_login::a_backend_that_does_not_prove_itself),
    ),
    (
        Refusal::KdcUnavailable,
        Here(faults::a_kdc_that_hangs_from_the_start),
    ),
    (
        Refusal::IdentityIgnored,
        Here(backend_login::a_backend_that_ignores_the_user),
    ),
    (
        Refusal::IdentityUnproven,
        Here(backend_login::a_backend_that_has_not_proven_to_obey),
    ),
    (
        Refusal::Draining,
        Elsewhere(
            "only requests that are cut while the threads end under them get it, and nobody is \
             left to read it; the drain itself is in tests/server.rs, its word on the health page \
             in src/gateway/health.rs",
        ),
    ),
];

#[test]
fn every_reason_word_has_its_test() {
    let claimed: HashSet<Refusal> = CLAIMS.iter().map(|(refusal, _)| *refusal).collect();
    assert_eq!(claimed.len(), CLAIMS.len(), "a word is claimed twice");
    for refusal in Refusal::ALL {
        assert!(
            claimed.contains(refusal),
            "no test claims {}",
            refusal.reason()
        );
    }
    let words: HashSet<_> = Refusal::ALL
        .iter()
        .map(|refusal| refusal.reason())
        .collect();
    assert_eq!(words.len(), Refusal::ALL.len());
    for (refusal, proof) in CLAIMS {
        match proof {
            // that it exists is the compiler's word; that it asserts is its own
            Here(_test) => {}
            Elsewhere(why) => assert!(why.len() > 40, "{}: argue", refusal.reason()),
        }
    }
}

/// Found in nothing but the requests of [`what_is_refused_before_any_backend`].
const NEEDLE: &str = "needle-that-no-backend-may-see";

/// A token as `Authorization: Negotiate`.
fn token(bytes: &[u8]) -> String {
    format!("Authorization: {}\r\n", negotiate(bytes))
}

/// Raw requests; `HOST` and `COOKIE` stand for whole header lines.
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

/// Pages in HTML, JSON and text, the count, the status; and nothing at the backend.
#[test]
pub fn what_is_refused_before_any_backend() {
    let backend = backend();
    let gateway = gateway()
        .console("generic")
        .backend(&backend)
        .with("nodes = { hosts = [\"localhost\"], ports = [50075] }")
        .run();
    gateway.ask("GET /x").by("alice").answer().is_ok("nobody");
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
            let answer = client.answer();
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
    // and the connection goes on
    client.send(gateway.ask("HEAD /x").by("alice").bytes());
    assert_eq!(client.answer_to("HEAD").unwrap().status, 200);
    client.send(gateway.ask("GET /x").bytes());
    client.answer().is(Refusal::LoginRequired);
}

#[test]
fn a_page_shows_nothing_that_a_client_wrote_unescaped() {
    let gateway = gateway()
        .console("generic")
        .url(&crate::backend::nowhere())
        .run();
    let answer = gateway
        .ask("GET /x")
        .host(Some("<script>alert(2)</script>"))
        .header("Accept", "text/html")
        .header("X-Request-Id", "<script>alert(3)</script>")
        .answer();
    assert!(!answer.text().contains("<script>"), "{}", answer.text());
    assert!(
        answer
            .header("content-security-policy")
            .unwrap()
            .contains("default-src 'none'")
    );
}

/// The page of a 401 helps *this* host's users.
#[test]
fn a_challenge_names_this_host_and_the_settings_of_each_browser() {
    let gateway = gateway()
        .console("generic")
        .url(&crate::backend::nowhere())
        .run();
    let page = gateway.ask("GET /x").header("Accept", "text/html").answer();
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
