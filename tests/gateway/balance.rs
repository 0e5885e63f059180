//! Several backends of one console: load balancing, connection limits, and draining by operators.

use std::process::Command;

use spnegate::testing::Refusal;

use crate::{
    backend::{Backend, backend, raw, reply, second, silence},
    proxy::{Gateway, Setup, gateway},
    realm::eventually,
};

fn pair(one: &Backend, two: &Backend, balance: &str) -> Setup {
    gateway()
        .console("generic")
        .backend(one)
        .backend(two)
        .with(&format!("balance = \"{balance}\""))
}

fn both_are_known(gateway: &Gateway) {
    eventually("the probes have seen both", || {
        gateway.admin("/?format=json").matches("\"active\"").count() >= 2
    });
}

fn ask(gateway: &Gateway, times: usize) {
    for _ in 0..times {
        let answer = gateway.ask("GET /x").by("alice").response();
        assert_eq!(answer.status, 200, "{}", answer.all_text());
    }
}

#[test]
fn round_robin_is_shared_by_all_workers() {
    let (one, two) = (backend(), second());
    let gateway = pair(&one, &two, "roundrobin").run();
    both_are_known(&gateway);
    ask(&gateway, 20);
    assert_eq!((one.seen().len(), two.seen().len()), (10, 10));
}

#[test]
fn a_backend_with_weight_zero_receives_no_requests() {
    let (one, two) = (backend(), second());
    let server = |backend: &Backend, weight: u32| {
        format!(
            "{{ url = \"{}\", spn = \"{}\", weight = {weight} }}",
            backend.url(),
            backend.spn()
        )
    };
    let gateway = gateway()
        .console("generic")
        .with(&format!(
            "backends = [{}, {}]",
            server(&one, 0),
            server(&two, 7)
        ))
        .with("balance = \"leastconn\"")
        .run();
    both_are_known(&gateway);
    ask(&gateway, 6);
    assert_eq!((one.seen().len(), two.seen().len()), (0, 6));
}

#[test]
fn a_client_is_pinned_to_a_backend_and_moves_when_the_backend_fails() {
    let (one, two) = (backend(), second());
    let gateway = pair(&one, &two, "source").run();
    both_are_known(&gateway);
    ask(&gateway, 6);
    let (home, other) = if one.seen().is_empty() {
        (two, one)
    } else {
        (one, two)
    };
    assert_eq!((home.seen().len(), other.seen().len()), (6, 0));
    home.kill();
    ask(&gateway, 4);
    assert_eq!(other.seen().len(), 4);
}

#[test]
fn a_broken_get_is_retried_on_another_backend_and_a_post_is_not() {
    let (one, two) = (backend(), second());
    let gateway = pair(&one, &two, "first").run();
    both_are_known(&gateway);
    one.set_response(|_| raw(b"HTTP/1.1 2").then(crate::backend::AfterResponse::Close));
    two.set_response(|_| reply(200).body("two"));
    gateway.ask("GET /x").by("alice").response().is_ok("two");
    one.forget();
    two.forget();
    let answer = gateway.ask("POST /x").by("alice").body("once").response();
    answer.is(Refusal::BackendBroken);
    assert_eq!((one.seen().len(), two.seen().len()), (1, 0));
}

fn one_at_a_time(backend: &Backend, queue: &str) -> Gateway {
    let server = format!(
        "backends = [{{ url = \"{}\", spn = \"{}\", max_connections = 1 }}]",
        backend.url(),
        backend.spn()
    );
    let gateway = gateway()
        .console("generic")
        .with(&server)
        .with(&format!("queue = {queue}"))
        .run();
    ask(&gateway, 1);
    backend.forget();
    gateway
}

#[test]
fn requests_above_the_connection_limit_are_queued() {
    let backend = backend();
    let gateway = one_at_a_time(&backend, "{ length = 8, timeout = \"30s\" }");
    // a request whose body has not ended keeps its connection slot
    backend.set_response(|seen| {
        if seen.path().contains("slow") {
            raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
                .then(crate::backend::AfterResponse::Hang)
        } else {
            reply(200).body("done")
        }
    });
    let mut slow = gateway.ask("GET /slow").by("alice").send();
    assert!(slow.head().unwrap().contains("200"));
    let mut waiting: Vec<_> = (0..3)
        .map(|_| gateway.ask("GET /x").by("alice").send())
        .collect();
    eventually("three wait", || {
        gateway.admin("/?format=json").contains("\"queued\": 3")
    });
    assert_eq!(backend.seen().len(), 1);
    // the client disconnects, which ends its request
    slow.disconnect();
    for client in &mut waiting {
        client.response().is_ok("done");
    }
}

#[test]
pub fn a_full_queue_is_reported_as_queue_full() {
    let backend = backend();
    let gateway = one_at_a_time(&backend, "{ length = 1, timeout = \"30s\" }");
    backend.set_response(|_| silence());
    let _busy = gateway.ask("GET /1").by("alice").send();
    eventually("it is there", || backend.seen().len() == 1);
    let _waits = gateway.ask("GET /2").by("alice").send();
    eventually("one waits", || {
        gateway.admin("/?format=json").contains("\"queued\": 1")
    });
    let answer = gateway.ask("GET /3").by("alice").response();
    answer.is(Refusal::QueueFull);
    assert!(answer.header("retry-after").is_some());
}

#[test]
pub fn waiting_too_long_in_the_queue_is_reported_as_queue_timeout() {
    let backend = backend();
    let gateway = one_at_a_time(&backend, "{ length = 8, timeout = \"100ms\" }");
    backend.set_response(|_| silence());
    let _busy = gateway.ask("GET /1").by("alice").send();
    eventually("it is there", || backend.seen().len() == 1);
    let answer = gateway.ask("GET /2").by("alice").response();
    answer.is(Refusal::QueueTimeout);
    assert_eq!(backend.seen().len(), 1);
}

pub fn spnegate(gateway: &Gateway, arguments: &[&str]) -> (bool, String) {
    let admin = gateway.admin_address().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_spnegate"))
        .args(arguments)
        .args(["--admin", &admin])
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn a_backend_is_drained_from_the_command_line() {
    let (one, two) = (backend(), second());
    let gateway = pair(&one, &two, "first").run();
    both_are_known(&gateway);
    ask(&gateway, 1);
    let name = one.address().to_string();
    let (done, text) = spnegate(&gateway, &["backend", "drain", "generic", &name]);
    assert!(done && text.contains("is drain"), "{text}");
    ask(&gateway, 3);
    assert_eq!((one.seen().len(), two.seen().len()), (1, 3));
    let (_, status) = spnegate(&gateway, &["status"]);
    assert!(status.contains("\"duty\": \"drain\""), "{status}");
    assert!(spnegate(&gateway, &["backend", "ready", "generic", &name]).0);
    ask(&gateway, 1);
    assert_eq!((one.seen().len(), two.seen().len()), (2, 3));
}

#[test]
fn an_unknown_backend_name_is_reported_with_the_known_names() {
    let (one, two) = (backend(), second());
    let gateway = pair(&one, &two, "first").run();
    let (done, text) = spnegate(&gateway, &["backend", "drain", "generic", "nn9:1"]);
    assert!(!done && text.contains(&one.address().to_string()), "{text}");
    let (done, text) = spnegate(&gateway, &["backend", "drain", "nope", "nn9:1"]);
    assert!(!done && text.contains("`nope`"), "{text}");
}

#[test]
fn a_backend_in_maintenance_receives_no_requests_and_no_probes() {
    let (one, two) = (backend(), second());
    let gateway = pair(&one, &two, "roundrobin").run();
    both_are_known(&gateway);
    let name = one.address().to_string();
    assert!(spnegate(&gateway, &["backend", "maintenance", "generic", &name]).0);
    ask(&gateway, 4);
    assert_eq!(two.seen().len(), 4);
    one.kill();
    ask(&gateway, 2);
    let (_, status) = spnegate(&gateway, &["status"]);
    assert!(status.contains("\"duty\": \"maintenance\""), "{status}");
}
