//! Retries: which requests are sent again, to which backend, how often, and which ones wait.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use spnegate::testing::Refusal;

use crate::{
    backend::{
        AfterResponse, Backend, Role, backend, raw, remote_exception, reply, second, silence,
        standby_exception, unreachable_url,
    },
    proxy::{Gateway, Setup, gateway},
    realm::eventually,
};

/// Two NameNodes.
pub fn pair(one: &Backend, two: &Backend) -> Setup {
    gateway()
        .console("namenode")
        .identity("doas")
        .backend(one)
        .backend(two)
}

/// Waits until the gateway has this state of a backend.
pub fn knows(gateway: &Gateway, backend: &Backend, active: u8) {
    let address = backend.address();
    eventually("the probe has seen it", || {
        gateway.admin("/metrics").lines().any(|line| {
            line.starts_with("spnegate_backend_active{")
                && line.contains(&address.to_string())
                && line.ends_with(&format!(" {active}"))
        })
    });
}

#[test]
fn a_request_refused_by_a_standby_is_sent_to_the_active_backend_with_its_body() {
    let (one, two) = (backend(), second().role(Role::Standby));
    let gateway = pair(&one, &two).with("probe.interval = \"1h\"").run();
    knows(&gateway, &one, 1);
    // the failover happens while the request arrives, so that no probe can have seen it
    one.set_response({
        let (one, two) = (one.clone(), two.clone());
        move |_| {
            one.set_role(Role::Standby);
            two.set_role(Role::Active);
            standby_exception()
        }
    });
    let answer = gateway
        .ask("POST /webhdfs/v1/x?op=CREATE")
        .by("alice")
        .body("the whole body")
        .response();
    answer.is_ok("alice");
    assert_eq!(one.only().body, b"the whole body");
    assert_eq!(two.only().body, b"the whole body");
    assert_eq!(two.only().do_as(), Some("alice"));
    assert!(!answer.all_text().contains("Standby"));
    // the next request goes to the new active backend directly
    gateway
        .ask("GET /webhdfs/v1/x")
        .by("bob")
        .response()
        .is_ok("bob");
    assert_eq!((one.seen().len(), two.seen().len()), (1, 2));
}

/// A starting NameNode may answer the probe before it serves requests.
#[test]
fn a_request_refused_by_a_starting_namenode_is_sent_to_the_other_one() {
    for message in ["Namenode is in startup mode", "NameNode still not started"] {
        let (one, two) = (backend(), second().role(Role::Standby));
        let gateway = pair(&one, &two).with("probe.interval = \"1h\"").run();
        knows(&gateway, &one, 1);
        one.set_response({
            let (one, two) = (one.clone(), two.clone());
            move |_| {
                one.set_role(Role::Standby);
                two.set_role(Role::Active);
                remote_exception("RetriableException", message)
            }
        });
        let answer = gateway
            .ask("POST /webhdfs/v1/x?op=APPEND")
            .by("alice")
            .body("the whole body")
            .response();
        answer.is_ok("alice");
        assert_eq!(two.only().body, b"the whole body");
    }
}

#[test]
fn a_safe_mode_error_is_passed_on() {
    for exception in ["SafeModeException", "RetriableException"] {
        let (one, two) = (backend(), second().role(Role::Standby));
        let gateway = pair(&one, &two).run();
        knows(&gateway, &one, 1);
        one.set_response(move |_| {
            remote_exception(exception, "Cannot create file. Name node is in safe mode.")
        });
        let asking = gateway.ask("PUT /webhdfs/v1/x?op=MKDIRS");
        let answer = asking.by("alice").response();
        assert_eq!(answer.status, 403);
        assert!(answer.text().contains(exception), "{}", answer.text());
        assert_eq!((one.seen().len(), two.seen().len()), (1, 0));
    }
}

#[test]
pub fn a_large_body_is_not_sent_twice() {
    let (one, two) = (backend(), second().role(Role::Standby));
    let gateway = pair(&one, &two)
        .with("retry.buffer = \"1KiB\"")
        .with("probe.interval = \"1h\"")
        .run();
    knows(&gateway, &one, 1);
    one.set_response(|_| standby_exception());
    let body = vec![b'x'; 5000];
    let answer = gateway
        .ask("PUT /webhdfs/v1/x?op=CREATE")
        .by("alice")
        .body(&body)
        .response();
    answer.is(Refusal::NotReplayable);
    assert_eq!((one.seen().len(), two.seen().len()), (1, 0));
}

/// A response to a large upload that is sent before the body is read leaves the body unused, so it
/// can be sent elsewhere.
#[test]
fn a_large_body_that_was_not_sent_yet_goes_to_the_active_backend() {
    let (one, two) = (backend(), second().role(Role::Standby));
    let gateway = pair(&one, &two).with("retry.buffer = \"1KiB\"").run();
    knows(&gateway, &one, 1);
    one.kill();
    two.set_role(Role::Active);
    let body = vec![b'x'; 500_000];
    let answer = gateway
        .ask("PUT /webhdfs/v1/x?op=CREATE")
        .by("alice")
        .body(&body)
        .response();
    answer.is_ok("alice");
    assert_eq!(two.only().body.len(), body.len());
}

#[test]
pub fn a_post_reaches_one_backend_once() {
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let (one, two) = (backend(), second().role(Role::Standby));
        let gateway = pair(&one, &two).run();
        knows(&gateway, &one, 1);
        // the backend closes the connection after it has read the request
        one.set_response(|_| raw(b"").then(AfterResponse::Close));
        let answer = gateway
            .ask(&format!("{method} /webhdfs/v1/x"))
            .by("alice")
            .body("x")
            .response();
        answer.is(Refusal::BackendBroken);
        assert_eq!((one.seen().len(), two.seen().len()), (1, 0), "{method}");
        assert!(gateway.refusals(Refusal::BackendBroken) > 0);
    }
}

#[test]
fn a_get_whose_connection_broke_is_retried_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let backend = backend().responds(move |_| {
        if count.fetch_add(1, Ordering::AcqRel) == 0 {
            raw(b"").then(AfterResponse::Close)
        } else {
            reply(200).body("again")
        }
    });
    let gateway = gateway().console("generic").backend(&backend).run();
    gateway.ask("GET /x").by("alice").response().is_ok("again");
    assert_eq!(asked.load(Ordering::Acquire), 2);
    // a second failure ends the retries
    backend.set_response(|_| raw(b"").then(AfterResponse::Close));
    backend.forget();
    gateway
        .ask("GET /x")
        .by("alice")
        .response()
        .is(Refusal::BackendBroken);
    assert_eq!(backend.seen().len(), 2);
}

#[test]
fn a_closed_pooled_connection_fails_no_request() {
    let backend = backend();
    let gateway = gateway().console("generic").backend(&backend).run();
    for round in 0..20 {
        // the backend closes after every second response without announcing it
        backend.set_response(move |_| {
            let then = if round % 2 == 0 {
                AfterResponse::Close
            } else {
                AfterResponse::Keep
            };
            reply(200).body("fine").then(then)
        });
        gateway.ask("GET /x").by("alice").response().is_ok("fine");
    }
    assert_eq!(backend.seen().len(), 20);
}

#[test]
pub fn an_unreachable_backend_is_reported_as_backend_down() {
    let gateway = gateway().console("generic").url(&unreachable_url()).run();
    let answer = gateway.ask("GET /x").by("alice").response();
    answer.is(Refusal::BackendDown);
    assert!(gateway.refusals(Refusal::BackendDown) > 0);
    let post = gateway.ask("POST /x").by("alice").body("x").response();
    post.is(Refusal::BackendDown);
}

#[test]
fn requests_go_to_the_first_healthy_backend_in_configuration_order() {
    let (one, two) = (backend(), second());
    let gateway = gateway()
        .console("generic")
        .backend(&one)
        .backend(&two)
        .run();
    gateway.ask("GET /x").by("alice").response();
    eventually("the first is preferred", || {
        gateway.ask("GET /x").by("alice").response();
        one.seen().len() > two.seen().len()
    });
    one.kill();
    for _ in 0..5 {
        gateway
            .ask("GET /after")
            .by("alice")
            .response()
            .is_ok("nobody");
    }
    assert!(
        two.seen()
            .iter()
            .filter(|seen| seen.target == "/after")
            .count()
            == 5
    );
}

#[test]
pub fn a_response_that_does_not_start_is_reported_as_backend_timeout() {
    let backend = backend().responds(|_| silence());
    let gateway = gateway()
        .console("generic")
        .backend(&backend)
        .set("timeouts", "first_byte = \"300ms\"")
        .run();
    for (method, body) in [
        ("GET", ""),
        ("POST", ""),
        ("POST", "a body"),
        ("PUT", "a body"),
    ] {
        backend.forget();
        let answer = gateway
            .ask(&format!("{method} /x"))
            .by("alice")
            .body(body)
            .response();
        answer.is(Refusal::BackendTimeout);
        assert_eq!(backend.seen().len(), 1, "{method}: it may have been done");
    }
}

#[test]
pub fn a_response_that_stalls_is_reported_as_backend_stalled() {
    let backend = backend().responds(|_| {
        let head = "HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\nContent-Length: 90\r\n\r\n{";
        raw(head.as_bytes()).then(AfterResponse::Hang)
    });
    let gateway = gateway()
        .console("namenode")
        .backend(&backend)
        .set("timeouts", "body_idle = \"300ms\"")
        .run();
    let answer = gateway.ask("GET /webhdfs/v1/x").by("alice").response();
    answer.is(Refusal::BackendStalled);
    assert!(
        answer.text().contains("timeouts.body_idle"),
        "{}",
        answer.text()
    );
}

/// After a freeze both backends claim to be active; the one that became active later is used.
#[test]
fn of_two_active_backends_the_one_that_became_active_later_is_used() {
    let (one, two) = (backend(), second().role(Role::Standby));
    let gateway = pair(&one, &two).run();
    knows(&gateway, &one, 1);
    gateway
        .ask("GET /webhdfs/v1/x")
        .by("alice")
        .response()
        .is_ok("alice");
    two.set_role(Role::Active);
    knows(&gateway, &two, 1);
    one.forget();
    for _ in 0..10 {
        gateway
            .ask("GET /webhdfs/v1/x")
            .by("alice")
            .response()
            .is_ok("alice");
    }
    assert_eq!((one.seen().len(), two.seen().len()), (0, 10));
}

#[test]
fn a_failover_under_load_fails_no_request() {
    let (one, two) = (backend(), second().role(Role::Standby));
    let gateway = pair(&one, &two).run();
    let standby_or_echo = |backend: &Backend, standby: bool| {
        if standby {
            backend.set_response(|_| standby_exception());
            backend.set_role(Role::Standby);
        } else {
            backend.set_response(|seen| reply(200).body(seen.do_as().unwrap()));
            backend.set_role(Role::Active);
        }
    };
    standby_or_echo(&two, true);
    let failed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for user in ["alice", "bob", "carol"] {
            let (gateway, failed) = (&gateway, &failed);
            scope.spawn(move || {
                let mut client = gateway.connect();
                let get = gateway.ask("GET /webhdfs/v1/x?op=OPEN").by(user).bytes();
                let put = gateway
                    .ask("PUT /webhdfs/v1/x")
                    .by(user)
                    .body("small")
                    .bytes();
                for round in 0..150 {
                    client.send(if round % 2 == 0 { &get } else { &put });
                    let answer = client.response();
                    if answer.status != 200 || answer.text() != user {
                        failed.fetch_add(1, Ordering::AcqRel);
                    }
                }
            });
        }
        for _ in 0..4 {
            for (down, up) in [(&one, &two), (&two, &one)] {
                let before = up.seen().len();
                standby_or_echo(down, true);
                standby_or_echo(up, false);
                eventually("the other one serves, or the load is over", || {
                    up.seen().len() > before || up.seen().len() + down.seen().len() >= 450
                });
            }
        }
    });
    assert_eq!(failed.load(Ordering::Acquire), 0);
}

#[test]
fn redirects_of_a_standby_resourcemanager_are_never_passed_on() {
    let (one, two) = (backend(), second().role(Role::Standby));
    let gateway = gateway()
        .console("resourcemanager")
        .identity("service")
        .backend(&one)
        .backend(&two)
        .with("probe.interval = \"1h\"")
        .run();
    knows(&gateway, &one, 1);
    let url = two.url();
    one.set_response(move |seen| {
        reply(307)
            .with("Location", &format!("{url}{}", seen.target))
            .body("This is standby RM. The redirect url is: /cluster\n")
    });
    one.set_role(Role::Standby);
    two.set_role(Role::Active);
    gateway
        .ask("GET /cluster?x=1")
        .by("alice")
        .response()
        .is_ok("nobody");
    assert_eq!(two.only().target, "/cluster?x=1");
}

/// A frozen server accepts connections and sends nothing, and the other one takes over. After it
/// resumes it still claims to be active.
#[test]
fn reads_move_from_a_frozen_active_backend_to_the_other_and_stay_there() {
    let (one, two) = (backend(), second().role(Role::Standby));
    let gateway = pair(&one, &two).run();
    knows(&gateway, &one, 1);
    one.freeze();
    let mut reading = gateway.ask("GET /webhdfs/v1/x?op=OPEN").by("alice").send();
    let mut writing = gateway
        .ask("POST /webhdfs/v1/x?op=APPEND")
        .by("bob")
        .body("once")
        .send();
    eventually("both are under way", || {
        gateway.admin("/?format=json").contains("\"in_flight\": 2")
    });
    two.set_role(Role::Active);
    reading.response().is_ok("alice");
    // new requests with any method go to the other backend
    gateway
        .ask("POST /webhdfs/v1/y")
        .by("carol")
        .body("new")
        .response()
        .is_ok("carol");
    assert!(
        two.seen().iter().all(|seen| seen.body != b"once"),
        "a POST is sent once"
    );
    assert!(writing.is_quiet());
    one.thaw();
    writing.response().is_ok("bob");
    knows(&gateway, &one, 1);
    let before = two.seen().len();
    for _ in 0..10 {
        gateway
            .ask("GET /webhdfs/v1/z")
            .by("alice")
            .response()
            .is_ok("alice");
    }
    assert_eq!(two.seen().len(), before + 10);
}
