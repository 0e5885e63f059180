//! PROXY headers from load balancers in front of the gateway, and to servers behind it.

use std::io::{Read, Write};

use spnegate::testing::proxy_protocol::{Progress, Version, header, read};

use crate::{
    gateway::{Gateway, is_closed, rest, stream, unique},
    realm::eventually,
    server::Server,
};

/// Echoes all bytes.
fn mirror() -> Server {
    Server::counting(|mut tcp| {
        let mut bytes = Vec::new();
        let _ = tcp.read_to_end(&mut bytes);
        let _ = tcp.write_all(&bytes);
    })
}

fn sent(gateway: &Gateway, bytes: &[u8]) -> Vec<u8> {
    let mut client = gateway.connect();
    client.write_all(bytes).unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    rest(&mut client).unwrap()
}

#[test]
fn the_server_learns_the_client_behind_two_balancers() {
    let server = mirror();
    for version in ["v1", "v2"] {
        let name = unique("proxy");
        let lines = format!(
            "accept_proxy = [\"127.0.0.0/8\"]\nallow = [\"192.0.2.0/24\"]\n\
             backends = [{{ address = \"{}\", send_proxy = \"{version}\" }}]",
            server.address
        );
        let gateway = Gateway::start(&stream(&name, &[], &lines));
        let source = "192.0.2.7:5000".parse().unwrap();
        for incoming in [Version::V1, Version::V2] {
            let incoming = header(incoming, source, "198.51.100.1:88".parse().unwrap());
            let heard = sent(&gateway, &[&incoming[..], b"payload"].concat());
            let length = heard.len() - b"payload".len();
            assert_eq!(read(&heard[..length]), Ok(Progress::Done(Some(source))));
            assert_eq!(
                heard[..length],
                header(
                    if version == "v1" {
                        Version::V1
                    } else {
                        Version::V2
                    },
                    source,
                    gateway.address(),
                )
            );
            assert_eq!(&heard[length..], b"payload");
        }
        // `allow` is about clients, not load balancers
        let denied = header(Version::V2, "203.0.113.1:1".parse().unwrap(), source);
        let mut client = gateway.connect();
        client.write_all(&denied).unwrap();
        assert!(is_closed(client));
        eventually("it is counted", || {
            gateway.ends(&name, "source_denied") == 1
        });
        let (_, log) = gateway.stop();
        assert_eq!(log[0]["client"], "192.0.2.7");
    }
}

#[test]
fn a_listed_peer_without_a_header_is_refused() {
    let server = mirror();
    let name = unique("malformed");
    let lines = "accept_proxy = [\"127.0.0.1\"]";
    let gateway = Gateway::start(&stream(&name, &[server.address], lines));
    let malformed: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"PROXY TCP4 1.2.3.4\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        b"PROXY TCP4 999.0.0.1 1.2.3.4 1 2\r\n",
    ];
    for bytes in malformed {
        let mut client = gateway.connect();
        client.write_all(bytes).unwrap();
        assert!(is_closed(client), "{bytes:?}");
    }
    eventually("all are counted", || {
        gateway.ends(&name, "proxy_header") == 4
    });
    assert_eq!(server.served(), 0);
}

#[test]
fn a_port_check_of_a_balancer_is_not_an_error() {
    let server = mirror();
    let name = unique("checked");
    let lines = "accept_proxy = [\"127.0.0.1\"]";
    let gateway = Gateway::start(&stream(&name, &[server.address], lines));
    drop(gateway.connect());
    let client = gateway.connect();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(is_closed(client));
    let mut broken = gateway.connect();
    broken.write_all(b"no header\r\n").unwrap();
    assert!(is_closed(broken));
    eventually("the last one is counted", || {
        gateway.ends(&name, "proxy_header") == 1
    });
    let (_, log) = gateway.stop();
    assert_eq!(log.len(), 3, "{log:?}");
    let refused = log.iter().filter(|line| !line["reason"].is_null());
    assert_eq!(refused.count(), 1, "{log:?}");
}

#[test]
fn a_header_of_an_unlisted_peer_is_relayed_as_bytes() {
    let server = mirror();
    let lines = "accept_proxy = [\"192.0.2.1\"]";
    let gateway = Gateway::start(&stream(&unique("unlisted"), &[server.address], lines));
    let forged = b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\nx";
    assert_eq!(sent(&gateway, forged), forged);
}
