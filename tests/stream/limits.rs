//! Limits: allowed networks, and numbers of connections.

use std::{
    io::Read,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use socket2::{Domain, Socket, Type};

use crate::{
    gateway::{Gateway, is_closed, stream, unique},
    realm::eventually,
    server::Server,
};

/// A connection from another address of this machine.
fn connect_from(source: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from((Ipv4Addr::from(source), 0)).into())
        .unwrap();
    socket.connect(&to.into()).unwrap();
    let tcp: TcpStream = socket.into();
    tcp.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    tcp
}

fn is_served(tcp: &mut TcpStream) -> bool {
    tcp.read_exact(&mut [0; 1]).is_ok()
}

#[test]
fn only_listed_networks_may_connect() {
    let name = unique("acl");
    let server = Server::echo("a");
    let allow = "allow = [\"127.0.0.8/29\", \"192.0.2.1\"]";
    let gateway = Gateway::start(&stream(&name, &[server.address], allow));
    assert!(is_closed(connect_from([127, 0, 0, 1], gateway.address())));
    assert!(is_served(&mut connect_from(
        [127, 0, 0, 9],
        gateway.address()
    )));
    eventually("it is counted", || {
        gateway.ends(&name, "source_denied") == 1
    });
}

#[test]
fn the_connection_limit_is_per_address() {
    let name = unique("source");
    let server = Server::echo("a");
    let lines = "max_connections_per_source = 1\nmax_connections = 2";
    let gateway = Gateway::start(&stream(&name, &[server.address], lines));
    let address = gateway.address();
    let mut first = connect_from([127, 0, 0, 2], address);
    assert!(is_served(&mut first));
    assert!(is_closed(connect_from([127, 0, 0, 2], address)));
    let mut second = connect_from([127, 0, 0, 3], address);
    assert!(is_served(&mut second));
    assert!(is_closed(connect_from([127, 0, 0, 4], address)));
    eventually("both are counted", || {
        gateway.ends(&name, "source_limit") == 1 && gateway.ends(&name, "connection_limit") == 1
    });
    drop(first);
    eventually("its place is free", || {
        gateway.status(&name)["connections"] == 1
    });
    assert!(is_served(&mut connect_from([127, 0, 0, 2], address)));
}

#[test]
fn clients_go_to_the_next_server_when_one_is_full_and_are_refused_when_all_are() {
    let name = unique("full");
    let [a, b] = [Server::echo("a").address, Server::echo("b").address];
    let lines = format!(
        "backends = [{{ address = \"{a}\", max_connections = 1 }}, {{ address = \"{b}\", \
         max_connections = 1 }}]"
    );
    let gateway = Gateway::start(&stream(&name, &[], &lines));
    let mut names = Vec::new();
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut client = gateway.connect();
        let mut said = [0; 1];
        client.read_exact(&mut said).unwrap();
        names.push(said[0]);
        kept.push(client);
    }
    assert_eq!(names, *b"ab");
    assert!(is_closed(gateway.connect()));
    eventually("it is counted", || gateway.ends(&name, "backend_full") == 1);
}
