//! Drain: open connections may finish, those that do not are reset.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
};

use crate::{
    gateway::{Gateway, rest, stream, unique},
    realm::eventually,
    server::Server,
};

#[test]
fn a_connection_may_end_normally_during_a_drain() {
    let server = Server::count();
    let gateway = Gateway::start(&stream(&unique("drain"), &[server.address], ""));
    let address = gateway.address();
    let mut client = gateway.connect();
    client.write_all(b"abc").unwrap();
    eventually("it is relayed", || server.served() == 1);
    let stopping = thread::spawn(move || gateway.stop());
    eventually("the port is closed", || {
        TcpStream::connect(address).is_err()
    });
    client.write_all(b"def").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client).unwrap(), b"6");
    let (drained, log) = stopping.join().unwrap();
    assert!(drained.finished >= 1 && drained.cut == 0, "{drained:?}");
    let line = log.iter().find(|line| line["bytes_in"] == 6).unwrap();
    assert!(line["reason"].is_null(), "{log:?}");
}

#[test]
fn a_connection_left_after_the_drain_is_reset() {
    let server = Server::echo("a");
    let gateway = Gateway::start(&stream(&unique("cut"), &[server.address], ""));
    let mut client = gateway.connect();
    client.read_exact(&mut [0; 1]).unwrap();
    let (drained, log) = gateway.stop();
    assert_eq!((drained.finished, drained.cut), (0, 1));
    assert!(rest(&mut client).is_err());
    assert_eq!(log[0]["reason"], "drained");
}
