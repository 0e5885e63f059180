//! Where clients come from: the PROXY protocol, networks, places of an address.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use ppp::v2;
use rustls::{ClientConnection, StreamOwned};
use spnegate::testing::SourcePolicy;

use crate::{
    harness::{CLOSE, SHORT, Setup, answer, server, to_end, until},
    tls::Certificates,
};

const V1: &str = "PROXY TCP4 192.0.2.7 10.0.0.1 50000 443\r\n";

fn networks(list: &[&str]) -> Arc<[ipnet::IpNet]> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

/// A server that believes those peers.
fn believing(list: &[&str]) -> Setup {
    server().sources(&SourcePolicy {
        accept_proxy: networks(list),
        trusted_proxies: Arc::default(),
        allow: None,
    })
}

#[test]
fn a_listed_peer_says_who_the_client_is() {
    let server = believing(&["127.0.0.0/8"]).run();
    let client: SocketAddr = "[2001:db8::7]:50000".parse().unwrap();
    let here: SocketAddr = "[2001:db8::1]:443".parse().unwrap();
    let v2 = v2::Builder::with_addresses(
        v2::Version::Two | v2::Command::Proxy,
        v2::Protocol::Stream,
        (client, here),
    )
    .write_tlv(v2::Type::UniqueId, &[7; 100])
    .unwrap()
    .build()
    .unwrap();
    for (header, peer) in [
        (V1.as_bytes(), "peer=192.0.2.7:50000 "),
        (&v2, "peer=[2001:db8::7]:50000 "),
    ] {
        // however the bytes are cut
        for cut in [0, 1, 7, header.len() - 1, header.len()] {
            let mut tcp = server.connect();
            tcp.write_all(&header[..cut]).unwrap();
            let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{CLOSE}");
            tcp.write_all(&[&header[cut..], request.as_bytes()].concat())
                .unwrap();
            let said = answer(&mut tcp).1;
            assert!(said.contains(peer), "{said}");
        }
    }
    let health =
        server.say(format!("PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nHost: a\r\n{CLOSE}").as_bytes());
    assert!(health.contains("peer=127.0.0.1:"), "{health}");
}

#[test]
fn the_header_comes_before_tls() {
    let certificates = Certificates::of(&["localhost"]);
    let sources = SourcePolicy {
        accept_proxy: networks(&["127.0.0.1/32"]),
        trusted_proxies: Arc::default(),
        allow: None,
    };
    let server = server()
        .listener("127.0.0.1:0", certificates.role())
        .sources(&sources)
        .run();
    let mut tcp = server.connect_to(1);
    tcp.write_all(V1.as_bytes()).unwrap();
    let name = "localhost".try_into().unwrap();
    let session = ClientConnection::new(certificates.client(rustls::ALL_VERSIONS), name).unwrap();
    let mut tls = StreamOwned::new(session, tcp);
    for _ in 0..2 {
        tls.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let said = answer(&mut tls).1;
        assert!(
            said.contains("peer=192.0.2.7:50000 ") && said.contains("tls=true"),
            "{said}"
        );
    }
}

#[test]
fn without_a_header_a_listed_peer_is_closed_cleanly_and_another_is_not_believed() {
    let server = believing(&["127.0.0.1/32"]).run();
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{CLOSE}");
    for bytes in [
        &request,
        "PROXY TCP4 nonsense\r\n",
        "\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0",
    ] {
        let mut tcp = server.connect();
        tcp.write_all(bytes.as_bytes()).unwrap();
        let mut all = Vec::new();
        // an end, not a reset
        assert_eq!(tcp.read_to_end(&mut all).unwrap(), 0, "{bytes}");
    }
    let stranger = believing(&["10.0.0.0/8"]).run();
    let said = stranger.say(format!("{V1}{request}").as_bytes());
    assert!(said.starts_with("HTTP/1.1 400"), "{said}");
    assert!(stranger.say(request.as_bytes()).contains("peer=127.0.0.1:"));
}

#[test]
fn a_header_that_does_not_end_is_closed_in_time() {
    let server = believing(&["127.0.0.1/32"])
        .timeouts(|t| t.head = SHORT)
        .run();
    let mut tcp = server.connect();
    tcp.write_all(b"PROXY TCP4 ").unwrap();
    assert_eq!(to_end(&mut tcp), "");
}

#[test]
fn networks_are_those_of_the_client_not_of_the_balancer() {
    let sources = SourcePolicy {
        accept_proxy: networks(&["127.0.0.1/32"]),
        trusted_proxies: Arc::default(),
        allow: Some(networks(&["192.0.2.0/24"])),
    };
    let server = server().sources(&sources).run();
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{CLOSE}");
    let said = server.say(format!("{V1}{request}").as_bytes());
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    let other = V1.replace("192.0.2.7", "192.0.3.7");
    assert_eq!(server.say(format!("{other}{request}").as_bytes()), "");
    let closed = self::server()
        .sources(&SourcePolicy {
            accept_proxy: Arc::default(),
            trusted_proxies: Arc::default(),
            allow: Some(networks(&["192.0.2.0/24"])),
        })
        .run();
    assert_eq!(closed.say(request.as_bytes()), "");
    until("the places", || {
        server.server.connections() == 0 && closed.server.connections() == 0
    });
}

#[test]
fn an_address_has_so_many_connections() {
    let server = believing(&["127.0.0.2/32"])
        .max_connections_per_address(2)
        .run();
    let ask = |tcp: &mut TcpStream| {
        tcp.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        answer(tcp)
    };
    let (mut one, mut two) = (server.connect(), server.connect());
    ask(&mut one);
    ask(&mut two);
    assert_eq!(to_end(&mut server.connect()), "");
    drop(two);
    until("a place", || server.server.connections() == 1);
    ask(&mut server.connect());
    ask(&mut one);
}
