//! Request bodies.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use spnegate::testing::Refusal;

use crate::{
    backend::{AfterResponse, Role, backend, reply, second, silence},
    proxy::{gateway, namenode},
    realm::eventually,
    world::world,
};

#[test]
fn the_challenge_to_an_upload_is_sent_before_its_body_is_read() {
    let backend = backend();
    let gateway = gateway().console("generic").backend(&backend).run();
    for expect in ["", "Expect: 100-continue\r\n"] {
        let mut client = gateway.connect();
        let host = &world().proxy;
        client.send(format!(
            "PUT /needle HTTP/1.1\r\nHost: {host}\r\n{expect}Content-Length: 1000000000\r\n\r\n"
        ));
        let head = client.head().unwrap();
        assert!(head.starts_with("HTTP/1.1 401 "), "no 100 before: {head}");
        assert!(
            head.to_ascii_lowercase().contains("connection: close"),
            "{head}"
        );
        assert!(client.to_end().contains("login_required"));
    }
    assert!(!backend.got("needle"));
}

#[test]
fn continue_is_sent_once_a_backend_has_been_chosen() {
    let backend = backend().role(Role::Standby);
    let gateway = namenode(&backend);
    let request = gateway
        .ask("POST /other")
        .by("alice")
        .header("Expect", "100-continue")
        .header("Content-Length", "4")
        .bytes();
    let mut client = gateway.connect();
    client.send(&request);
    eventually("it is held", || {
        gateway
            .admin("/metrics")
            .lines()
            .any(|line| line.starts_with("spnegate_held_requests") && !line.ends_with(" 0"))
    });
    assert!(
        client.is_quiet(),
        "no 100 while there is nobody to take the body"
    );
    backend.set_role(Role::Active);
    let head = client.head().unwrap();
    assert_eq!(head, "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body");
    client.response().is_ok("alice");
    let seen = backend.only();
    assert_eq!(
        (seen.header("expect"), &seen.body[..]),
        (None, &b"body"[..])
    );
}

#[test]
fn a_refused_request_with_expect_receives_no_continue() {
    let gateway = gateway()
        .console("generic")
        .url(&crate::backend::unreachable_url())
        .run();
    let request = gateway
        .ask("PUT /x")
        .by("alice")
        .header("Expect", "100-continue")
        .header("Content-Length", "4")
        .bytes();
    let mut client = gateway.connect();
    client.send(&request);
    assert!(client.head().unwrap().starts_with("HTTP/1.1 503 "));
}

#[test]
fn bodies_with_length_and_chunked_bodies_arrive_complete() {
    let backend = backend().responds(|seen| reply(200).body(seen.body.len().to_string()));
    let gateway = gateway().console("generic").backend(&backend).run();
    let body = vec![b'z'; 3_000_000];
    gateway
        .ask("PUT /x")
        .by("alice")
        .body(&body)
        .response()
        .is_ok("3000000");
    let mut client = gateway.connect();
    client.send(
        gateway
            .ask("PUT /x")
            .by("alice")
            .header("Transfer-Encoding", "chunked")
            .bytes(),
    );
    for _ in 0..30 {
        client.send(format!("{:x}\r\n", 100_000));
        client.send(&body[..100_000]);
        client.send("\r\n");
    }
    client.send("0\r\n\r\n");
    client.response().is_ok("3000000");
    for seen in backend.seen() {
        assert!(seen.body == body);
    }
}

#[test]
fn a_client_that_disconnects_during_its_upload_leaves_no_complete_request() {
    let backend = backend();
    let gateway = gateway().console("generic").backend(&backend).run();
    let mut client = gateway.connect();
    client.send(
        gateway
            .ask("PUT /x")
            .by("alice")
            .header("Content-Length", "1000000")
            .bytes(),
    );
    client.send(vec![b'q'; 100_000]);
    eventually("the backend has a part", || backend.got("qqqq"));
    client.disconnect();
    // a truncated body never looks like a complete request, and no part of it precedes the next one
    gateway
        .ask("PUT /y")
        .by("alice")
        .body("y")
        .response()
        .is_ok("nobody");
    let targets: Vec<String> = backend.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(targets, ["/y"]);
}

#[test]
fn a_client_that_disconnects_while_waiting_releases_its_request() {
    let backend = backend().responds(|seen| {
        if seen.path() == "/slow" {
            silence()
        } else {
            reply(200).body("fine")
        }
    });
    let gateway = gateway().console("generic").backend(&backend).run();
    for _ in 0..20 {
        let client = gateway.ask("GET /slow").by("alice").send();
        let before = backend.seen().len();
        eventually("it is asked", || backend.seen().len() >= before.max(1));
        client.disconnect();
    }
    gateway.ask("GET /x").by("alice").response().is_ok("fine");
}

#[test]
pub fn a_stalled_upload_is_reported_as_body_timeout() {
    let backend = backend();
    let gateway = gateway()
        .console("generic")
        .backend(&backend)
        .set("timeouts", "body_idle = \"400ms\"")
        .run();
    let before = gateway.refusals(Refusal::BodyTimeout);
    let mut client = gateway.connect();
    client.send(
        gateway
            .ask("PUT /x")
            .by("alice")
            .header("Content-Length", "10")
            .bytes(),
    );
    client.send("half");
    let answer = client.to_end();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(gateway.refusals(Refusal::BodyTimeout) > before);
    assert_eq!(backend.seen().len(), 0);
}

#[test]
fn an_upload_that_the_backend_does_not_read_is_reported_as_the_backends_fault() {
    let backend = backend().responds_early(|seen| (seen.method == "PUT").then(silence));
    let gateway = gateway()
        .console("generic")
        .backend(&backend)
        .set("timeouts", "body_idle = \"400ms\"")
        .run();
    let mut client = gateway.connect();
    client.send(
        gateway
            .ask("PUT /x")
            .by("alice")
            .header("Content-Length", "1000000000")
            .bytes(),
    );
    let mut sending = client.stream.try_clone().unwrap();
    // more than all buffers between client and backend; the end of the connection stops it
    let sender = std::thread::spawn(move || while sending.write_all(&[b'x'; 1 << 16]).is_ok() {});
    client.response().is(Refusal::BackendStalled);
    client.disconnect();
    sender.join().unwrap();
}

/// `first_byte` starts at the *end* of a request: a slow upload is not a slow backend.
#[test]
fn the_first_byte_timeout_does_not_include_the_upload() {
    let backend = backend();
    let gateway = gateway()
        .console("generic")
        .backend(&backend)
        .set("timeouts", "first_byte = \"400ms\"")
        .run();
    let mut client = gateway.connect();
    client.send(
        gateway
            .ask("PUT /x")
            .by("alice")
            .header("Transfer-Encoding", "chunked")
            .bytes(),
    );
    let start = Instant::now();
    let mut number = 0;
    while start.elapsed() < Duration::from_millis(1600) {
        number += 1;
        let piece = format!("piece-{number}-");
        client.send(format!("{:x}\r\n{piece}\r\n", piece.len()));
        eventually("the piece is through, or the gateway gave up", || {
            backend.got(&piece) || !client.is_quiet()
        });
    }
    client.send("0\r\n\r\n");
    client.response().is_ok("nobody");
}

#[test]
fn a_response_sent_before_the_end_of_the_upload_is_passed_on() {
    let backend = backend().responds_early(|seen| {
        (seen.method == "PUT").then(|| {
            reply(507)
                .with("Connection", "close")
                .body("disk full")
                .then(AfterResponse::Hang)
        })
    });
    let gateway = gateway().console("generic").backend(&backend).run();
    let mut client = gateway.connect();
    client.send(
        gateway
            .ask("PUT /x")
            .by("alice")
            .header("Content-Length", "100000000")
            .bytes(),
    );
    client.send(vec![b'x'; 10_000]);
    let answer = client.response();
    assert_eq!((answer.status, answer.text().as_str()), (507, "disk full"));
}

#[test]
fn a_failed_backend_login_during_a_large_upload_is_reported_and_not_retried() {
    let backend = backend();
    let gateway = gateway()
        .console("generic")
        .with("retry.buffer = \"1KiB\"")
        .backend(&backend)
        .run();
    gateway.ask("GET /x").by("alice").response().is_ok("nobody");
    backend.forget();
    backend.revoke();
    let body = vec![b'x'; 5000];
    let answer = gateway.ask("PUT /x").by("alice").body(&body).response();
    // the probe may have renewed the login before
    if answer.status == 200 {
        assert_eq!(backend.seen().len(), 1);
    } else {
        answer.is(Refusal::NotReplayable);
        assert!(!answer.all_text().contains("secret"));
    }
    drop(second());
}

/// The first step of a WebHDFS write is answered by a redirect; a body sent there is discarded.
#[test]
fn a_client_that_sends_expect_is_not_asked_for_a_body_the_namenode_ignores() {
    let backend = backend().responds(|_| reply(307).with("Location", "/elsewhere"));
    let gateway = namenode(&backend);
    let request = gateway
        .ask("PUT /webhdfs/v1/x?op=CREATE")
        .by("alice")
        .header("Expect", "100-continue")
        .header("Content-Length", "1000000000");
    let mut client = gateway.connect();
    client.send(request.bytes());
    let head = client.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 307 "), "{head}");
    assert!(
        head.to_ascii_lowercase().contains("connection: close"),
        "{head}"
    );
    assert_eq!(backend.only().body, b"");
}
