//! The access log records how an incomplete response ended and which side caused it.

use std::io::Read;

use serde_json::Value;

use crate::{
    backend::{AfterResponse, Backend, backend, raw, reply, silence},
    proxy::{Gateway, gateway},
    realm::eventually,
    world::world,
};

struct Logged {
    gateway: Gateway,
    file: std::path::PathBuf,
}

fn logged(backend: &Backend) -> Logged {
    let file = world().file("access");
    let gateway = gateway()
        .console("generic")
        .backend(backend)
        .set(
            "log",
            &format!("access = \"{}\"\nformat = \"json\"", file.display()),
        )
        .set("timeouts", "body_idle = \"300ms\"\nfirst_byte = \"20s\"")
        .run();
    Logged { gateway, file }
}

impl Logged {
    /// The log line of the request for a path, once it is written.
    fn line(&self, path: &str) -> Value {
        let mut found = None;
        eventually("the line is written", || {
            let log = std::fs::read_to_string(&self.file).unwrap_or_default();
            found = log
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .find(|line| line["path"] == path);
            found.is_some()
        });
        found.unwrap()
    }
}

/// More than all buffers between a backend and a client that does not read.
const LARGE: usize = 64 << 20;

#[test]
fn a_complete_response_is_logged_with_both_times_and_no_ending() {
    let backend = backend().responds(|seen| match seen.path() {
        "/empty" => reply(204),
        "/chunks" => {
            raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        }
        "/close" => raw(b"HTTP/1.0 200 OK\r\n\r\nabc").then(AfterResponse::Close),
        _ => reply(200).body("abc"),
    });
    let logged = logged(&backend);
    for (path, bytes) in [("/x", 3), ("/empty", 0), ("/chunks", 3), ("/close", 3)] {
        let request = logged.gateway.ask(&format!("GET {path}")).by("alice");
        assert!(request.response().status < 300);
        let line = logged.line(path);
        assert_eq!(line["end"], Value::Null, "{line}");
        assert_eq!(line["bytes"], bytes, "{line}");
        let times = ["head_ms", "duration_ms"].map(|name| line[name].as_f64().unwrap());
        assert!(0.0 < times[0] && times[0] <= times[1], "{line}");
    }
    let mut client = logged.gateway.ask("HEAD /head").by("alice").send();
    assert_eq!(client.answer_to("HEAD").unwrap().status, 200);
    assert_eq!(logged.line("/head")["end"], Value::Null);
    // the page of a refusal is a complete response as well
    logged.gateway.ask("GET /page").response();
    let line = logged.line("/page");
    assert_eq!(line["reason"], "login_required");
    assert_eq!(line["end"], Value::Null);
}

#[test]
fn a_client_that_disconnects_or_stops_reading_is_logged_as_such() {
    let body = vec![b'x'; LARGE];
    let backend = backend().responds(move |_| reply(200).body(&body));
    let logged = logged(&backend);
    for (path, goes, end) in [
        ("/gone", true, "client_closed"),
        ("/stalls", false, "client_stalled"),
    ] {
        let mut client = logged
            .gateway
            .ask(&format!("GET {path}"))
            .by("alice")
            .send();
        client.stream.read_exact(&mut [0; 1000]).unwrap();
        if goes {
            client.disconnect();
            let line = logged.line(path);
            assert_eq!(line["end"], end, "{line}");
        } else {
            // the connection stays open, but nothing is read from it
            let line = logged.line(path);
            assert_eq!(line["end"], end, "{line}");
            drop(client);
        }
        let line = logged.line(path);
        assert_eq!(line["status"], 200, "{line}");
        let bytes = line["bytes"].as_u64().unwrap();
        assert!(bytes > 0 && bytes < LARGE as u64, "{line}");
        assert_eq!(line["user"], "alice", "{line}");
    }
}

#[test]
fn an_early_end_or_a_stall_of_the_backend_is_logged_as_the_backends() {
    let backend = backend().responds(|seen| match seen.path() {
        "/short" => {
            raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc").then(AfterResponse::Close)
        }
        "/chunk" => {
            // larger than the small responses whose end the gateway waits for
            let begun = format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9000\r\n{}",
                "x".repeat(0x8000)
            );
            raw(begun.as_bytes()).then(AfterResponse::Close)
        }
        _ => raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc").then(AfterResponse::Hang),
    });
    let logged = logged(&backend);
    for (path, end) in [
        ("/short", "backend_broken"),
        ("/chunk", "backend_broken"),
        ("/stalls", "backend_stalled"),
    ] {
        let mut client = logged
            .gateway
            .ask(&format!("GET {path}"))
            .by("alice")
            .send();
        let said = client.to_end();
        assert!(said.starts_with("HTTP/1.1 200 "), "{path}: {said}");
        let line = logged.line(path);
        assert_eq!(line["end"], end, "{line}");
        assert_eq!(line["status"], 200, "{line}");
        assert!(line["bytes"].as_u64().unwrap() <= 0x8000, "{line}");
        assert!(line["backend"].as_str().unwrap().contains(':'), "{line}");
    }
}

#[test]
fn a_request_abandoned_before_its_response_is_logged() {
    let backend = backend().responds(|_| silence());
    let logged = logged(&backend);
    let client = logged.gateway.ask("GET /gone").by("alice").send();
    eventually("it is asked", || !backend.seen().is_empty());
    client.disconnect();
    let line = logged.line("/gone");
    assert_eq!(line["status"], 499, "{line}");
    assert_eq!(line["end"], "client_closed", "{line}");
    assert_eq!(line["reason"], Value::Null, "{line}");
    assert_eq!(line["bytes"], 0, "{line}");
    // a stalled upload
    let mut client = logged
        .gateway
        .ask("PUT /upload")
        .by("alice")
        .header("Content-Length", "10")
        .send();
    assert!(client.to_end().starts_with("HTTP/1.1 408 "));
    let line = logged.line("/upload");
    assert_eq!(line["status"], 408, "{line}");
    assert_eq!(line["reason"], "body_timeout", "{line}");
}

#[test]
fn a_response_cut_by_a_drain_is_logged() {
    let backend = backend().responds(|_| {
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc").then(AfterResponse::Hang)
    });
    let file = world().file("access");
    let gateway = gateway()
        .console("generic")
        .backend(&backend)
        .set(
            "log",
            &format!("access = \"{}\"\nformat = \"json\"", file.display()),
        )
        .set("timeouts", "drain = \"100ms\"")
        .run();
    let mut client = gateway.ask("GET /cut").by("alice").send();
    client.head().unwrap();
    gateway.stop();
    let log = std::fs::read_to_string(file).unwrap();
    let line: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&line["path"], &line["end"]),
        (&"/cut".into(), &"drained".into()),
        "{line}"
    );
}
