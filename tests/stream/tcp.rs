//! Relayed TCP connections: bytes, shutdown and reset, failover, balancing.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    time::Duration,
};

use crate::{
    gateway::{Gateway, connect, is_closed, rest, stream, unique},
    realm::eventually,
    server::{Server, nobody},
};

/// The name that an echo server sends first.
fn greeting(tcp: &mut TcpStream) -> String {
    let mut name = [0; 1];
    tcp.read_exact(&mut name).unwrap();
    String::from_utf8(name.to_vec()).unwrap()
}

#[test]
fn bytes_pass_both_ways_and_the_client_may_shut_down_first() {
    let server = Server::count();
    let name = unique("half");
    let gateway = Gateway::start(&stream(&name, &[server.address], ""));
    let mut client = gateway.connect();
    client.write_all(b"hello").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client).unwrap(), b"5");
    let (_, log) = gateway.stop();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0]["stream"], *name);
    assert_eq!(log[0]["protocol"], "tcp");
    assert_eq!(log[0]["backend"], server.address.to_string());
    assert_eq!(
        (&log[0]["bytes_in"], &log[0]["bytes_out"]),
        (&5.into(), &1.into())
    );
    assert!(log[0]["reason"].is_null());
}

#[test]
fn the_server_may_shut_down_first() {
    let server = Server::start(|mut tcp| {
        let _ = tcp.write_all(b"first");
        let _ = tcp.shutdown(Shutdown::Write);
        let mut bytes = Vec::new();
        let _ = tcp.read_to_end(&mut bytes);
    });
    let name = unique("first");
    let gateway = Gateway::start(&stream(&name, &[server.address], ""));
    let mut client = gateway.connect();
    assert_eq!(rest(&mut client).unwrap(), b"first");
    client.write_all(b"after").unwrap();
    drop(client);
    let open = || gateway.status(&name)["connections"] == 0;
    eventually("the connection ends", open);
    assert_eq!(
        gateway.metric(
            "spnegate_stream_bytes_total",
            &[("stream", &name), ("protocol", "tcp"), ("direction", "in")]
        ),
        5
    );
}

#[test]
fn a_slow_reader_gets_all_bytes() {
    const SIZE: usize = 24 << 20;
    let pattern = |at: usize| u8::try_from(at % 251).unwrap();
    let server = Server::start(move |mut tcp| {
        let mut bytes = vec![0; 100_000];
        let mut at = 0;
        while at < SIZE {
            let length = bytes.len().min(SIZE - at);
            for (offset, byte) in bytes.iter_mut().enumerate() {
                *byte = pattern(at + offset);
            }
            if tcp.write_all(&bytes[..length]).is_err() {
                return;
            }
            at += length;
        }
    });
    let gateway = Gateway::start(&stream(&unique("much"), &[server.address], ""));
    let mut client = gateway.connect();
    let mut at = 0;
    // reads of odd sizes, so that the buffer of the other side fills repeatedly
    let mut buffer = vec![0; 70_001];
    loop {
        let read = client.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        for byte in &buffer[..read] {
            assert_eq!(*byte, pattern(at));
            at += 1;
        }
    }
    assert_eq!(at, SIZE);
}

#[test]
fn a_reset_connection_does_not_look_complete() {
    let server = Server::start(|mut tcp| {
        let _ = tcp.write_all(b"half of it");
        let _ = tcp.read(&mut [0; 4]);
        socket2::SockRef::from(&tcp)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    });
    let name = unique("reset");
    let gateway = Gateway::start(&stream(&name, &[server.address], ""));
    let mut client = gateway.connect();
    client.read_exact(&mut [0; 10]).unwrap();
    client.write_all(b"stop").unwrap();
    assert!(rest(&mut client).is_err(), "a reset, not an end");
    eventually("it is counted", || {
        gateway.ends(&name, "backend_reset") == 1
    });
}

#[test]
fn an_idle_connection_is_closed() {
    let name = unique("idle");
    let server = Server::echo("a");
    let gateway = Gateway::start(&stream(&name, &[server.address], "idle = \"150ms\""));
    let mut client = gateway.connect();
    greeting(&mut client);
    assert!(is_closed(client));
    eventually("it is counted", || gateway.ends(&name, "idle_timeout") == 1);
    let (_, log) = gateway.stop();
    assert_eq!(log[0]["reason"], "idle_timeout");
}

#[test]
fn a_connection_goes_to_the_next_server_when_the_first_is_gone() {
    let name = unique("failover");
    let server = Server::echo("b");
    let check = "check = { interval = \"50ms\", fall = 2, rise = 1 }";
    let gone = nobody();
    let gateway = Gateway::start(&stream(&name, &[gone, server.address], check));
    assert_eq!(greeting(&mut gateway.connect()), "b");
    let up = |backend: std::net::SocketAddr| {
        let labels = [("stream", &*name), ("backend", &*backend.to_string())];
        gateway.metric("spnegate_stream_backend_up", &labels)
    };
    eventually("it is down", || up(gone) == 0);
    assert_eq!(up(server.address), 1);
    let status = gateway.status(&name);
    assert_eq!(status["backends"][0]["state"], "down");
    assert!(
        status["backends"][0]["last_error"]
            .as_str()
            .unwrap()
            .contains("refused")
    );
    // after it has started, the first in the list is used again
    let _first = Server::at(&gone.to_string(), |mut tcp| {
        let _ = tcp.write_all(b"a");
    });
    eventually("it is up", || up(gone) == 1);
    assert_eq!(greeting(&mut gateway.connect()), "a");
}

#[test]
fn without_a_server_the_client_is_reset_immediately_and_the_reason_logged() {
    let name = unique("none");
    let gateway = Gateway::start(&stream(&name, &[nobody()], ""));
    assert!(is_closed(gateway.connect()));
    eventually("it is counted", || gateway.ends(&name, "backend_down") == 1);
    let name = unique("unresolved");
    let lines = "backends = [\"no-such-name.invalid:88\"]";
    let gateway = Gateway::start(&stream(&name, &[], lines));
    assert!(is_closed(gateway.connect()));
    eventually("it is counted", || {
        gateway.ends(&name, "backend_unresolved") == 1
    });
}

#[test]
fn a_server_may_be_given_by_name() {
    let server = Server::echo("a");
    let lines = format!("backends = [\"localhost:{}\"]", server.address.port());
    let gateway = Gateway::start(&stream(&unique("name"), &[], &lines));
    // localhost may resolve to ::1 too, where nothing listens
    assert_eq!(greeting(&mut gateway.connect()), "a");
}

#[test]
fn round_robin_follows_the_weights_and_source_keeps_the_client() {
    let servers = [Server::echo("a"), Server::echo("b")];
    let [a, b] = servers.clone().map(|server| server.address);
    let weighted = format!(
        "balance = \"roundrobin\"\nbackends = [{{ address = \"{a}\", weight = 3 }}, \"{b}\"]"
    );
    let gateway = Gateway::start(&format!(
        "{}{}",
        stream(&unique("turn"), &[], &weighted),
        stream(&unique("source"), &[a, b], "balance = \"source\"")
    ));
    let [in_turn, by_source] = gateway.addresses()[..] else {
        panic!("two streams");
    };
    let mut counts = BTreeMap::new();
    for _ in 0..16 {
        *counts.entry(greeting(&mut connect(in_turn))).or_insert(0) += 1;
    }
    assert_eq!(
        counts,
        BTreeMap::from([("a".to_owned(), 12), ("b".to_owned(), 4)])
    );
    let first = greeting(&mut connect(by_source));
    for _ in 0..8 {
        assert_eq!(greeting(&mut connect(by_source)), first);
    }
}

#[test]
fn a_port_in_use_is_reported() {
    let server = Server::echo("a");
    let taken = Server::echo("b").address;
    let lines = format!("listen = \"{taken}\"");
    let error = Gateway::try_start(&stream(&unique("taken"), &[server.address], &lines));
    let Err(error) = error else {
        panic!("it started");
    };
    assert!(
        error.starts_with(&format!("{taken}: port in use")),
        "{error}"
    );
}

#[test]
fn a_drained_server_keeps_its_connections_and_gets_no_new_ones() {
    let [a, b] = [Server::echo("a").address, Server::echo("b").address];
    let name = unique("duty");
    let gateway = Gateway::start(&stream(&name, &[a, b], ""));
    let mut before = gateway.connect();
    assert_eq!(greeting(&mut before), "a");
    assert!(gateway.assign(&name, a, "drain").contains(" 200 "));
    assert_eq!(gateway.status(&name)["backends"][0]["state"], "drain");
    assert_eq!(greeting(&mut gateway.connect()), "b");
    before.write_all(b"x").unwrap();
    assert_eq!(greeting(&mut before), "x");
    assert!(gateway.assign(&name, a, "ready").contains(" 200 "));
    assert_eq!(greeting(&mut gateway.connect()), "a");
    assert!(gateway.assign(&name, nobody(), "drain").contains(" 404 "));
    assert!(gateway.assign("no-such", a, "drain").contains(" 404 "));
}
