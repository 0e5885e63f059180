//! Keep-alive, pipelining, parking, limits, addresses.

use std::{io::Write, net::TcpStream, time::Duration};

use spnegate::testing::Role;

use crate::harness::{CLOSE, answer, server, to_end, until};

#[test]
fn http_1_0_closes_unless_asked_to_stay() {
    let server = server().run();
    let said = server.say(b"GET / HTTP/1.0\r\n\r\n");
    assert!(said.starts_with("HTTP/1.0 200"), "{said}");
    let mut tcp = server.connect();
    for _ in 0..2 {
        tcp.write_all(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            .unwrap();
        let (head, _) = answer(&mut tcp);
        assert!(head.contains("connection: keep-alive"), "{head}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = server().run();
    let mut tcp = server.connect();
    let bytes: Vec<_> = (0..50)
        .map(|n| format!("POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab"))
        .collect();
    tcp.write_all(bytes.concat().as_bytes()).unwrap();
    for n in 0..50 {
        assert!(answer(&mut tcp).1.starts_with(&format!("POST /{n} \"ab\"")));
    }
}

/// The kernel's hash alone gives one of two workers all of four connections once in eight times.
#[test]
fn connections_are_shared_among_the_workers() {
    let server = server().run();
    let mut all: Vec<_> = (0..8).map(|_| server.connect()).collect();
    let worker = |tcp: &mut TcpStream| {
        tcp.write_all(b"GET /worker HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        answer(tcp).1
    };
    let mut workers: Vec<_> = all.iter_mut().map(worker).collect();
    workers.sort();
    let expected = [["worker-0"; 4], ["worker-1"; 4]].concat();
    assert_eq!(workers, expected);
    // they stay where they are
    let mut again: Vec<_> = all.iter_mut().map(worker).collect();
    again.sort();
    assert_eq!(again, workers);
}

#[test]
fn a_login_slot_belongs_to_one_connection() {
    let server = server().run();
    let mut tcp = server.connect();
    for _ in 0..3 {
        tcp.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        assert!(answer(&mut tcp).1.ends_with("legs=1"));
    }
}

#[test]
fn one_connection_too_many_is_closed_and_its_place_is_free_again_later() {
    let server = server().max_connections(2).run();
    let mut first = server.connect();
    let second = server.connect();
    until("two connections", || server.server.connections() == 2);
    assert_eq!(to_end(&mut server.connect()), "");
    first
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    answer(&mut first);
    drop(second);
    until("a free place", || server.server.connections() == 1);
    let said = server.say(format!("GET / HTTP/1.1\r\nHost: a\r\n{CLOSE}").as_bytes());
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[test]
fn ipv4_and_ipv6_share_a_port() {
    let v4 = server().run();
    let port = v4.server.addresses()[0].port();
    let v6 = server()
        .listener(&format!("[::]:{port}"), Role::Plain)
        .run();
    let mut tcp = TcpStream::connect(("::1", port)).unwrap();
    tcp.write_all(format!("GET / HTTP/1.1\r\nHost: a\r\n{CLOSE}").as_bytes())
        .unwrap();
    assert!(to_end(&mut tcp).contains("listener=1"));
    drop(v6);
}

#[test]
fn a_second_server_on_the_port_is_told_so() {
    let first = server().run();
    let address = first.server.addresses()[0].to_string();
    let error = server()
        .listener(&address, Role::Plain)
        .try_run()
        .err()
        .unwrap();
    assert_eq!(
        error.to_string(),
        format!("{address}: port in use by another program; `ss -lntup` shows it")
    );
}

#[test]
fn a_parked_connection_resumes_whatever_comes() {
    // ticks of 5 ms: parked after 10 ms
    let server = server()
        .timeouts(|t| t.head = Duration::from_millis(40))
        .run();
    let mut tcp = server.connect();
    for round in 0..3 {
        tcp.write_all(
            b"\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n\r\n\r\n",
        )
        .unwrap();
        assert!(
            answer(&mut tcp).1.starts_with("GET /1 \"\""),
            "round {round}"
        );
        assert!(
            answer(&mut tcp).1.starts_with("POST /2 \"z\""),
            "round {round}"
        );
        // so long does a head take to time out: the connection has been parked for long
        let said = server.say(b"G");
        assert!(said.starts_with("HTTP/1.1 408 "), "{said}");
    }
    until("the others' end", || server.server.connections() == 1);
}
