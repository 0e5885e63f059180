//! What ends a connection that makes no progress.

use std::io::{Read, Write};

use crate::harness::{SHORT, answer, server, to_end, until};

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let server = server().timeouts(|t| t.idle = SHORT).run();
    let mut tcp = server.connect();
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    answer(&mut tcp);
    assert_eq!(to_end(&mut tcp), "");
    assert_eq!(to_end(&mut server.connect()), "");
}

#[test]
fn a_connection_that_never_asks_has_the_time_of_a_head_and_is_closed_without_a_word() {
    let server = server().timeouts(|t| t.head = SHORT).run();
    let mut asked = server.connect();
    asked
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    answer(&mut asked);
    assert_eq!(to_end(&mut server.connect()), "");
    // blank lines are no request
    assert_eq!(server.say(b"\r\n\r\n"), "");
    // between requests there is the idle time
    asked
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    answer(&mut asked);
}

#[test]
fn an_upload_below_the_least_rate_is_answered_with_408_and_one_above_it_goes_on() {
    for (rate, status) in [(1 << 20, "408 "), (0, "200 ")] {
        let server = server()
            .timeouts(|t| (t.body_idle, t.min_upload_rate) = (SHORT, rate))
            .run();
        let mut tcp = server.connect();
        tcp.set_read_timeout(Some(SHORT / 10)).unwrap();
        tcp.write_all(
            b"PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 40\r\n\r\n",
        )
        .unwrap();
        let mut said = Vec::new();
        let mut chunk = [0; 1024];
        for _ in 0..40 {
            // waits a tenth of `body_idle` for an answer
            if let Ok(read @ 1..) = tcp.read(&mut chunk) {
                said.extend_from_slice(&chunk[..read]);
                break;
            }
            // the server may have answered and hung up meanwhile
            let _ = tcp.write_all(b"x");
        }
        tcp.set_read_timeout(Some(crate::harness::FOREVER)).unwrap();
        said.extend_from_slice(to_end(&mut tcp).as_bytes());
        let said = String::from_utf8(said).unwrap();
        assert!(
            said.starts_with(&format!("HTTP/1.1 {status}")),
            "{rate}: {said}"
        );
    }
}

#[test]
fn a_head_that_does_not_end_is_answered_with_408() {
    let server = server().timeouts(|t| t.head = SHORT).run();
    for start in [
        "G",
        "GET / HTTP/1.1\r\nHost",
        "GET / HTTP/1.1\r\nHost: a\r\n",
    ] {
        let said = server.say(start.as_bytes());
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
        assert!(said.contains("connection: close"), "{said}");
        assert!(said.contains("head_timeout"), "{said}");
    }
    until("an empty server", || server.server.connections() == 0);
}

#[test]
fn an_upload_that_stalls_is_answered_with_408() {
    let server = server().timeouts(|t| t.body_idle = SHORT).run();
    for start in [
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab",
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    ] {
        let said = server.say(start.as_bytes());
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
        assert!(said.contains("body_timeout"), "{said}");
    }
}

#[test]
fn a_download_that_stalls_is_cut() {
    let server = server().timeouts(|t| t.body_idle = SHORT).run();
    let mut tcp = server.connect();
    tcp.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    tcp.read_exact(&mut [0]).unwrap();
    until("the end of it", || server.server.connections() == 0);
}

#[test]
fn waiting_for_an_answer_is_not_timed() {
    let server = server()
        .timeouts(|t| (t.head, t.idle, t.body_idle) = (SHORT, SHORT, SHORT))
        .run();
    let mut slow = server.connect();
    slow.write_all(b"POST /wait HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab")
        .unwrap();
    server.entered.recv().unwrap();
    // another connection lives through all limits meanwhile
    assert_eq!(to_end(&mut server.connect()), "");
    assert_eq!(to_end(&mut server.connect()), "");
    server.gate.send_replace(true);
    assert!(answer(&mut slow).1.starts_with("POST /wait \"ab\""));
}

#[test]
fn a_client_that_vanishes_frees_its_connection_at_once() {
    let server = server().run();
    let mut tcp = server.connect();
    tcp.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    server.entered.recv().unwrap();
    drop(tcp);
    until("an empty server", || server.server.connections() == 0);
}
