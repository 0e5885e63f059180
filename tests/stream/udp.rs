//! UDP flows: replies only for the sender of the request, and limits.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::mpsc,
    time::Duration,
};

use crate::{
    gateway::{Gateway, stream, unique},
    realm::eventually,
    server::{datagrams, nobody},
};

const UDP: &str = "protocols = [\"udp\"]";

fn client(to: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // the kernel drops datagrams of any other sender
    socket.connect(to).unwrap();
    let patience = Some(Duration::from_secs(5));
    socket.set_read_timeout(patience).unwrap();
    socket
}

fn ask(socket: &UdpSocket, question: &[u8]) -> Vec<u8> {
    socket.send(question).unwrap();
    hear(socket)
}

fn hear(socket: &UdpSocket) -> Vec<u8> {
    let mut answer = vec![0; 65_536];
    let length = socket.recv(&mut answer).unwrap();
    answer.truncate(length);
    answer
}

/// Replies with the datagram and its sender.
fn echo() -> SocketAddr {
    datagrams(|socket, bytes, from| {
        let text = [bytes, b" ", from.port().to_string().as_bytes()].concat();
        socket.send_to(&text, from).unwrap();
    })
}

#[test]
fn each_client_has_its_own_flow() {
    let name = unique("udp");
    let gateway = Gateway::start(&stream(&name, &[echo()], UDP));
    let (alice, bob) = (client(gateway.address()), client(gateway.address()));
    let first = ask(&alice, b"alice");
    let other = ask(&bob, b"bob");
    assert!(first.starts_with(b"alice ") && other.starts_with(b"bob "));
    assert_ne!(first[6..], other[4..], "two sockets");
    assert_eq!(ask(&alice, b"alice"), first, "the same flow");
    let large = vec![7; 30_000];
    assert!(ask(&alice, &large).starts_with(&large));
    assert_eq!(gateway.status(&name)["flows"], 2);
}

#[test]
fn datagrams_of_other_senders_are_dropped() {
    let (sender, hears) = mpsc::channel();
    let server = datagrams(move |socket, bytes, from| {
        sender.send(from).unwrap();
        socket.send_to(bytes, from).unwrap();
    });
    let gateway = Gateway::start(&stream(&unique("stranger"), &[server], UDP));
    let alice = client(gateway.address());
    assert_eq!(ask(&alice, b"one"), b"one");
    let flow = hears.recv().unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let flow = SocketAddr::from(([127, 0, 0, 1], flow.port()));
    stranger.send_to(b"forged", flow).unwrap();
    // the next one is from the server
    assert_eq!(ask(&alice, b"two"), b"two");
}

#[test]
fn an_idle_flow_ends() {
    let name = unique("rest");
    let lines = format!("{UDP}\nudp_idle = \"100ms\"");
    let gateway = Gateway::start(&stream(&name, &[echo()], &lines));
    let alice = client(gateway.address());
    assert!(ask(&alice, b"x").starts_with(b"x "));
    eventually("it is forgotten", || gateway.status(&name)["flows"] == 0);
    assert!(ask(&alice, b"y").starts_with(b"y "));
    let (_, log) = gateway.stop();
    assert_eq!(log[0]["protocol"], "udp");
    assert_eq!(log[0]["bytes_in"], 1);
}

#[test]
fn the_number_of_flows_is_limited() {
    let name = unique("flows");
    let lines = format!("{UDP}\nmax_connections = 1");
    let gateway = Gateway::start(&stream(&name, &[echo()], &lines));
    let alice = client(gateway.address());
    assert!(ask(&alice, b"x").starts_with(b"x "));
    client(gateway.address()).send(b"y").unwrap();
    eventually("it is counted", || {
        gateway.ends(&name, "connection_limit") == 1
    });
    assert!(ask(&alice, b"z").starts_with(b"z "));
}

#[test]
fn replies_beyond_the_limit_are_dropped() {
    let server = datagrams(|socket, bytes, from| {
        for _ in 0..3 {
            socket.send_to(bytes, from).unwrap();
        }
    });
    let name = unique("claim");
    let lines = format!("{UDP}\nudp_responses = 1");
    let gateway = Gateway::start(&stream(&name, &[server], &lines));
    let alice = client(gateway.address());
    assert_eq!(ask(&alice, b"one"), b"one");
    let dropped = || {
        gateway.metric(
            "spnegate_stream_datagrams_dropped_total",
            &[("stream", &name)],
        )
    };
    eventually("two are dropped", || dropped() == 2);
    assert_eq!(ask(&alice, b"two"), b"two");
}

#[test]
fn a_reply_comes_from_the_address_that_was_sent_to() {
    let lines = format!("{UDP}\nlisten = \"0.0.0.0:0\"");
    let gateway = Gateway::start(&stream(&unique("any"), &[echo()], &lines));
    for last in [1, 5, 9] {
        let asked = SocketAddr::from(([127, 0, 0, last], gateway.address().port()));
        assert!(ask(&client(asked), b"x").starts_with(b"x "));
    }
}

#[test]
fn ipv6_is_relayed_to_ipv4() {
    let lines = format!("{UDP}\nlisten = \"[::]:0\"");
    let gateway = Gateway::start(&stream(&unique("six"), &[echo()], &lines));
    let asked = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], gateway.address().port()));
    let socket = UdpSocket::bind("[::1]:0").unwrap();
    socket.connect(asked).unwrap();
    assert!(ask(&socket, b"x").starts_with(b"x "));
}

#[test]
fn a_datagram_goes_to_the_next_server_when_one_is_down() {
    let name = unique("gone");
    let gone = nobody();
    let gateway = Gateway::start(&stream(&name, &[gone, echo()], UDP));
    let alice = client(gateway.address());
    let patience = Some(Duration::from_millis(50));
    alice.set_read_timeout(patience).unwrap();
    // the first datagrams may be lost, as on any network
    eventually("it is answered", || {
        alice.send(b"x").unwrap();
        alice.recv(&mut [0; 64]).is_ok()
    });
    assert_eq!(gateway.status(&name)["backends"][0]["state"], "suspect");
}

#[test]
fn only_listed_networks_are_heard() {
    let name = unique("acl");
    let lines = format!("{UDP}\nallow = [\"192.0.2.0/24\"]");
    let gateway = Gateway::start(&stream(&name, &[echo()], &lines));
    client(gateway.address()).send(b"x").unwrap();
    eventually("it is counted", || {
        gateway.ends(&name, "source_denied") == 1
    });
}
