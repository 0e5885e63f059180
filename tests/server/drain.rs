//! A shutdown that loses nothing.

use std::{io::Write, net::TcpStream};

use crate::harness::{FOREVER, SHORT, answer, server, to_end, until};

#[test]
fn a_drain_loses_no_request_that_waits_in_the_accept_queues_or_in_flight() {
    let server = server().run();
    let mut slow = server.connect();
    slow.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    server.entered.recv().unwrap();
    let mut queued: Vec<_> = (0..200)
        .map(|_| {
            let mut tcp = server.connect();
            tcp.write_all(b"GET /queued HTTP/1.1\r\nHost: a\r\n\r\n")
                .unwrap();
            tcp
        })
        .collect();
    server.server.drain(FOREVER);
    until("the queues' end", || {
        queued.iter().all(|tcp| tcp.peek(&mut [0]).is_ok())
    });
    let address = server.server.addresses()[0];
    until("the listeners' end", || {
        TcpStream::connect(address).is_err()
    });
    server.gate.send_replace(true);
    let (head, _) = answer(&mut slow);
    assert!(head.contains("connection: close"), "{head}");
    assert_eq!(to_end(&mut slow), "");
    for tcp in &mut queued {
        assert!(answer(tcp).1.starts_with("GET /queued"));
    }
    drop(queued);
    assert_eq!(server.server.join().cut, 0);
}

#[test]
fn a_drain_serves_what_races_with_it_and_ends_the_idle() {
    let server = server().workers(1).run();
    let mut racing = server.connect();
    let mut idle = server.connect();
    for tcp in [&mut racing, &mut idle] {
        tcp.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        answer(tcp);
    }
    server.server.drain(FOREVER);
    let address = server.server.addresses()[0];
    until("the listener's end", || {
        TcpStream::connect(address).is_err()
    });
    racing
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    assert!(answer(&mut racing).0.contains("connection: close"));
    assert_eq!(to_end(&mut racing), "");
    assert_eq!(to_end(&mut idle), "");
    let drained = server.server.join();
    assert!(drained.finished >= 2 && drained.cut == 0, "{drained:?}");
}

#[test]
fn what_a_drain_finds_busy_at_its_deadline_is_cut() {
    let server = server().run();
    let mut slow = server.connect();
    slow.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    server.entered.recv().unwrap();
    server.server.drain(SHORT);
    assert_eq!(server.server.join().cut, 1);
    assert_eq!(to_end(&mut slow), "");
}
