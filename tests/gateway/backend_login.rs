//! The gateway's login at a backend: it is renewed once, never in a loop, and nothing of it reaches
//! a client.

use spnegate::testing::Refusal;

use crate::{
    backend::{Backend, Impersonation, Logins, backend, reply},
    client::RawResponse,
    proxy::{Gateway, gateway, gateway_in, namenode},
    realm::eventually,
    world::World,
};

fn generic(backend: &Backend) -> Gateway {
    gateway().console("generic").backend(backend).run()
}

fn shows_no_secret(answer: &RawResponse) {
    assert!(
        !answer.all_text().contains("secret"),
        "{}",
        answer.all_text()
    );
    assert!(
        !answer.all_text().contains("hadoop.auth"),
        "{}",
        answer.all_text()
    );
}

#[test]
fn one_backend_login_is_shared_by_all_requests_workers_and_users() {
    let backend = backend();
    let gateway = namenode(&backend);
    std::thread::scope(|scope| {
        for user in ["alice", "bob", "carol", "dave"] {
            let gateway = &gateway;
            scope.spawn(move || {
                for _ in 0..10 {
                    gateway.ask("GET /x").by(user).response().is_ok(user);
                }
            });
        }
    });
    assert_eq!(backend.seen().len(), 40);
    assert_eq!(backend.login_count(), 1);
    for seen in backend.seen() {
        assert_eq!(seen.header("authorization"), None);
    }
}

#[test]
fn an_expired_backend_cookie_is_renewed_once_within_the_request() {
    let backend = backend();
    let gateway = generic(&backend);
    gateway.ask("GET /x").by("alice").response().is_ok("nobody");
    for round in 1..4 {
        backend.revoke();
        std::thread::scope(|scope| {
            for user in ["alice", "bob", "carol", "dave", "erin", "frank"] {
                let gateway = &gateway;
                scope.spawn(move || {
                    let post = gateway.ask("POST /x").by(user).body("payload").response();
                    post.is_ok("nobody");
                    shows_no_secret(&post);
                });
            }
        });
        // the probe may have renewed the login first; there must not be two logins at the same time
        assert!(
            backend.login_count() <= 1 + 2 * round,
            "{}",
            backend.login_count()
        );
    }
    for seen in backend.seen().iter().filter(|seen| seen.method == "POST") {
        assert_eq!(seen.body, b"payload");
    }
}

#[test]
pub fn a_backend_that_refuses_the_login_is_reported_as_backend_login() {
    for logins in [Logins::Unauthorized, Logins::GssException] {
        let backend = backend();
        let gateway = gateway()
            .console("generic")
            .backend(&backend)
            .with("retry.buffer = \"1KiB\"")
            .run();
        gateway.ask("GET /x").by("alice").response().is_ok("nobody");
        backend.set_logins(logins);
        for _ in 0..3 {
            let answer = gateway.ask("GET /x").by("alice").response();
            answer.is(Refusal::BackendLogin);
            shows_no_secret(&answer);
        }
        assert!(gateway.refusals(Refusal::BackendLogin) >= 3);
        // there is no loop: a request is sent once, logs in once and then fails
        backend.forget();
        let own_requests = backend.own_requests().len();
        gateway
            .ask("GET /x")
            .by("alice")
            .response()
            .is(Refusal::BackendLogin);
        assert!(backend.seen().len() <= 1, "{:?}", backend.seen());
        assert!(backend.own_requests().len() <= own_requests + 6);
        // the gateway recovers without a restart
        backend.set_logins(Logins::Cookie);
        eventually("the login works again", || {
            gateway.ask("GET /x").by("alice").response().status == 200
        });
    }
}

/// The refusal reaches the request itself rather than a probe before it.
#[test]
fn a_refused_backend_login_is_retried_once() {
    let backend = backend();
    let gateway = gateway()
        .console("generic")
        .backend(&backend)
        .with("probe.interval = \"1h\"");
    let gateway = gateway.run();
    gateway.ask("GET /x").by("alice").response().is_ok("nobody");
    for (logins, word) in [(Logins::Unauthorized, "401"), (Logins::GssException, "403")] {
        backend.set_logins(logins);
        backend.forget();
        let before = backend.own_requests().len();
        let answer = gateway.ask("GET /needle").by("alice").response();
        answer.is(Refusal::BackendLogin);
        shows_no_secret(&answer);
        assert_eq!(backend.seen().len(), 1, "{word}");
        // one login by the request, and at most one more by a probe
        assert!(backend.own_requests().len() <= before + 3, "{word}");
        backend.set_logins(Logins::Cookie);
        eventually("the failure is forgotten", || {
            gateway.ask("GET /x").by("alice").response().status == 200
        });
    }
}

/// An application below `/proxy/` may send a 401 with the same text as Hadoop's filter.
#[test]
fn a_401_from_an_application_is_passed_on_without_a_retry() {
    let backend = backend().responds(|_| {
        reply(401)
            .with("WWW-Authenticate", "Negotiate secret")
            .with("Set-Cookie", "hadoop.auth=; Path=/; HttpOnly")
            .with("X-Own", "kept")
            .body("the application says no")
    });
    for (kind, target) in [
        ("resourcemanager", "/proxy/application_1_1/api"),
        ("httpfs", "/webhdfs/v1/x"),
        ("generic", "/api"),
    ] {
        backend.forget();
        let setup = gateway().console(kind).backend(&backend);
        let gateway = setup.with("probe.interval = \"1h\"").run();
        let logins = backend.login_count();
        for method in ["POST", "GET"] {
            backend.forget();
            let asking = gateway.ask(&format!("{method} {target}"));
            let answer = asking.by("alice").body("once").response();
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (403, "the application says no"),
                "{kind}"
            );
            assert_eq!(answer.all("www-authenticate"), Vec::<&str>::new());
            assert_eq!(answer.header("x-own"), Some("kept"));
            shows_no_secret(&answer);
            assert_eq!(backend.only().body, b"once", "{kind} {method}");
        }
        assert!(backend.login_count() <= logins + 1, "{kind}");
        // a login that has really expired is renewed, and the request is then repeated
        backend.forget();
        backend.revoke();
        let answer = gateway
            .ask(&format!("POST {target}"))
            .by("alice")
            .response();
        assert_eq!(answer.status, 403);
        assert_eq!(backend.seen().len(), 2, "{kind}");
    }
}

/// The mutual token shows that the login was accepted, whatever the status is.
#[test]
fn a_401_in_response_to_an_accepted_token_is_passed_on() {
    let backend = backend()
        .logins(Logins::EveryRequest)
        .responds(|_| reply(401).body("the application says no"));
    let gateway = generic(&backend);
    let answer = gateway.ask("POST /api").by("alice").body("once").response();
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (403, "the application says no")
    );
    assert_eq!(answer.all("www-authenticate"), Vec::<&str>::new());
    assert_eq!(backend.only().body, b"once");
}

#[test]
fn an_error_about_the_user_is_not_taken_for_a_failed_login() {
    let backend = backend().responds(|seen| match seen.path() {
        "/oozie/denied" => reply(401)
            .reason("User [alice] not defined as proxyuser")
            .with("WWW-Authenticate", "Negotiate secret")
            .with("Set-Cookie", "hadoop.auth=secret; Path=/")
            .with("oozie-error-code", "E1400")
            .with("oozie-error-message", "not a proxyuser")
            .body("E1400 not a proxyuser"),
        _ => reply(403).reason("Forbidden").body("not for alice"),
    });
    let gateway = gateway()
        .console("oozie")
        .identity("doas")
        .backend(&backend)
        .run();
    let denied = gateway.ask("GET /oozie/denied").by("alice").response();
    denied.is(Refusal::ImpersonationDenied);
    assert_eq!(denied.header("oozie-error-code"), Some("E1400"));
    shows_no_secret(&denied);
    let forbidden = gateway.ask("GET /oozie/other").by("alice").response();
    assert_eq!(
        (forbidden.status, forbidden.text().as_str()),
        (403, "not for alice")
    );
    assert_eq!(backend.seen().len(), 2, "asked once each");
    assert_eq!(backend.login_count(), 1);
}

#[test]
pub fn a_backend_without_mutual_authentication_is_reported_as_backend_mutual() {
    let backend = backend().logins(Logins::WrongMutual);
    let gateway = generic(&backend);
    let answer = gateway.ask("GET /x").by("alice").response();
    answer.is(Refusal::BackendMutual);
    assert_eq!(backend.seen().len(), 0, "no user's request goes there");
    assert!(gateway.refusals(Refusal::BackendMutual) > 0);
}

#[test]
fn a_backend_that_sets_no_cookie_receives_a_token_with_every_request() {
    let backend = backend().logins(Logins::EveryRequest);
    let gateway = generic(&backend);
    for _ in 0..3 {
        let answer = gateway.ask("GET /x").by("alice").response();
        answer.is_ok("nobody");
        assert_eq!(answer.all("www-authenticate"), Vec::<&str>::new());
    }
    let tokens: Vec<String> = backend
        .seen()
        .iter()
        .map(|s| s.header("authorization").unwrap().to_owned())
        .collect();
    assert!(
        tokens[0] != tokens[1] && tokens[1] != tokens[2],
        "each is fresh"
    );
}

/// New keys while the gateway holds tickets for the old ones, as by Ambari's "regenerate keytabs"
/// or `ktadd` into a new file: no request fails.
#[test]
fn requests_succeed_after_a_backend_has_changed_its_key() {
    let world: &'static World = Box::leak(Box::new(World::start()));
    let mut kinds = Vec::new();
    for logins in [Logins::Cookie, Logins::EveryRequest] {
        let backend = Backend::start(world, "nn1").logins(logins);
        let gateway = gateway_in(world).console("generic").backend(&backend);
        // requests reach the backend with the new key before the probe does
        let gateway = gateway.with("probe.interval = \"1h\"").run();
        for _ in 0..2 {
            gateway.ask("GET /x").by("alice").response().is_ok("nobody");
        }
        kinds.push((backend, gateway));
    }
    world.renew_backends();
    for (backend, gateway) in &kinds {
        backend.revoke();
        std::thread::scope(|scope| {
            for user in ["alice", "bob", "carol", "dave"] {
                scope.spawn(move || {
                    for _ in 0..5 {
                        let post = gateway.ask("POST /x").by(user).body("payload").response();
                        post.is_ok("nobody");
                        shows_no_secret(&post);
                    }
                });
            }
        });
        for seen in backend.seen().iter().filter(|seen| seen.method == "POST") {
            assert_eq!(seen.body, b"payload");
        }
    }
}

/// The same as above, where the probe is the first to reach the new key.
#[test]
fn a_probe_succeeds_after_a_backend_has_changed_its_key() {
    let world: &'static World = Box::leak(Box::new(World::start()));
    for logins in [Logins::Cookie, Logins::EveryRequest] {
        let backend = Backend::start(world, "nn1").logins(logins);
        let gateway = gateway_in(world).console("generic").backend(&backend).run();
        gateway.ask("GET /x").by("alice").response().is_ok("nobody");
        world.renew_backends();
        backend.revoke();
        let asked = backend.own_requests().len();
        eventually("the probe has asked", || {
            backend.own_requests().len() > asked + 4
        });
        gateway.ask("GET /x").by("alice").response().is_ok("nobody");
        assert!(!gateway.admin("/?format=json").contains("refused the login"));
    }
}

#[test]
fn a_backend_challenge_is_not_passed_on_by_a_console_without_backend_login() {
    let backend = backend().logins(Logins::Unauthorized);
    let gateway = gateway()
        .console("generic")
        .identity("simple")
        .backend(&backend)
        .run();
    let answer = gateway.ask("GET /x").by("alice").response();
    answer.is(Refusal::BackendLogin);
    shows_no_secret(&answer);
}

#[test]
pub fn a_backend_that_ignores_impersonation_closes_the_console() {
    for (kind, target) in [
        ("namenode", "GET /webhdfs/v1/x?op=OPEN"),
        ("oozie", "GET /oozie/v1/x"),
    ] {
        let backend = backend().impersonation(Impersonation::No);
        let gateway = gateway()
            .console(kind)
            .identity("doas")
            .backend(&backend)
            .run();
        gateway
            .ask(target)
            .by("alice")
            .response()
            .is(Refusal::IdentityIgnored);
        assert_eq!(backend.seen().len(), 0, "{kind}");
        assert!(gateway.refusals(Refusal::IdentityIgnored) > 0);
    }
}

#[test]
pub fn a_console_stays_closed_until_impersonation_is_verified() {
    let backend = backend().impersonation(Impersonation::Later);
    let gateway = gateway()
        .console("namenode")
        .identity("doas")
        .backend(&backend)
        .set("timeouts", "hold = \"300ms\"")
        .run();
    // the backend has been seen active, so that only the impersonation check is missing
    eventually("the probe has been answered", || {
        backend
            .own_requests()
            .iter()
            .any(|seen| seen.do_as().is_some())
    });
    gateway
        .ask("GET /x")
        .by("alice")
        .response()
        .is(Refusal::IdentityUnproven);
    assert_eq!(backend.seen().len(), 0);
    backend.set_impersonation(Impersonation::Yes);
    eventually("it is proven", || {
        gateway.ask("GET /x").by("alice").response().status == 200
    });
    assert_eq!(backend.seen().last().unwrap().do_as(), Some("alice"));
}
