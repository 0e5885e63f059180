//! `kind = "kdc"`: logins through the gateway, KDCs that are dead, silent or unwilling, and messages
//! that are none.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use spnegate::testing::message::{KrbErrorCode, error, is_error};

use crate::{
    gateway::{Gateway, connect, rest, stream, unique},
    kerberos::{TCP, UDP, World, has_java, world},
    realm::eventually,
    server::nobody,
};

fn kdc(name: &str, backends: &[SocketAddr], lines: &str) -> Gateway {
    Gateway::start(&stream(name, backends, &format!("kind = \"kdc\"\n{lines}")))
}

/// TCP and UDP of one port that never answer.
fn silent() -> (SocketAddr, TcpListener, UdpSocket) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        if let Ok(udp) = UdpSocket::bind(address) {
            return (address, tcp, udp);
        }
    }
}

fn asked(gateway: &Gateway, stream: &str, protocol: &str, kdcs: &str) -> u64 {
    gateway.metric(
        "spnegate_stream_kdc_requests_total",
        &[("stream", stream), ("protocol", protocol), ("kdcs", kdcs)],
    )
}

#[test]
fn mit_logs_in_by_tcp_and_by_udp() {
    let world = world();
    for (protocol, libdefaults) in [("tcp", TCP), ("udp", UDP)] {
        let name = unique("kdc");
        let lines = format!("protocols = [\"{protocol}\"]");
        let gateway = kdc(&name, &[world.realm.address()], &lines);
        let client = world.client(&gateway.address().to_string(), libdefaults, "");
        client.log_in().unwrap();
        assert!(asked(&gateway, &name, protocol, "1") >= 2);
        let (_, log) = gateway.stop();
        assert!(log.iter().all(|line| line["protocol"] == protocol));
        assert_eq!(log[0]["backend"], world.realm.address().to_string());
    }
}

#[test]
fn java_logs_in_by_tcp_and_by_udp() {
    if !has_java() {
        return;
    }
    let world = world();
    for (protocol, libdefaults) in [("tcp", TCP), ("udp", UDP)] {
        let name = unique("java");
        let lines = format!("protocols = [\"{protocol}\"]");
        let gateway = kdc(&name, &[world.realm.address()], &lines);
        let client = world.client(&gateway.address().to_string(), libdefaults, "");
        client.log_in_with_java().unwrap();
        assert!(asked(&gateway, &name, protocol, "1") >= 1);
    }
}

#[test]
fn a_relay_that_knows_nothing_of_kerberos_serves_too() {
    let world = world();
    let lines = "protocols = [\"tcp\", \"udp\"]";
    let gateway = Gateway::start(&stream(&unique("plain"), &[world.realm.address()], lines));
    for libdefaults in [TCP, UDP] {
        let client = world.client(&gateway.address().to_string(), libdefaults, "");
        client.log_in().unwrap();
    }
}

#[test]
fn a_kdc_that_is_gone_or_silent_is_left_for_the_next_within_the_clients_patience() {
    let world = world();
    let (quiet, _tcp, _udp) = silent();
    for first in [nobody(), quiet] {
        for (protocol, libdefaults) in [("tcp", TCP), ("udp", UDP)] {
            let name = unique("failover");
            // nobody's check finds it down before the client comes
            let check = "check = { interval = \"1h\" }";
            let lines = format!("protocols = [\"{protocol}\"]\n{check}");
            let gateway = kdc(&name, &[first, world.realm.address()], &lines);
            let client = world.client(&gateway.address().to_string(), libdefaults, "");
            client.log_in().unwrap();
            // one request found it out, the others did not wait for it again
            assert_eq!(
                asked(&gateway, &name, protocol, "2"),
                1,
                "{first} {protocol}"
            );
            assert!(asked(&gateway, &name, protocol, "1") >= 1);
            assert_eq!(gateway.status(&name)["backends"][0]["state"], "suspect");
        }
    }
}

/// One of two KDCs is slow, hangs, dies and comes back while users log in: none of them sees an error.
#[test]
fn a_kdc_that_is_slow_hangs_dies_or_comes_back_costs_no_login() {
    let world = World::start();
    let kdcs = [world.realm.second_address(), world.realm.address()];
    for (protocol, libdefaults) in [("tcp", TCP), ("udp", UDP)] {
        let first = world.realm.start_second_kdc();
        let lines = format!("protocols = [\"{protocol}\"]\ncheck = {{ interval = \"500ms\" }}");
        let gateway = kdc(&unique("load"), &kdcs, &lines);
        let (done, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let more = |count: usize| {
            let goal = done.load(Ordering::Relaxed) + count;
            let what = format!("{count} more logins");
            eventually(&what, || done.load(Ordering::Relaxed) >= goal);
        };
        let users = || {
            let client = world.client(&gateway.address().to_string(), libdefaults, "");
            let mut failed = Vec::new();
            while !over.load(Ordering::Relaxed) {
                failed.extend(client.log_in().err());
                done.fetch_add(1, Ordering::Relaxed);
            }
            failed
        };
        let failed: Vec<String> = thread::scope(|scope| {
            let threads = [(); 3].map(|()| scope.spawn(users));
            more(10);
            // slow: it stands still for as long as others take for a few logins, again and again
            for _ in 0..5 {
                first.freeze();
                more(3);
                first.thaw();
                more(3);
            }
            first.freeze();
            more(20);
            first.thaw();
            more(10);
            drop(first);
            more(20);
            let _again = world.realm.start_second_kdc();
            more(10);
            over.store(true, Ordering::Relaxed);
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        eprintln!(
            "a KDC was slow, hung, died and came back under logins by {protocol}: {} done, {} failed",
            done.load(Ordering::Relaxed),
            failed.len()
        );
        assert_eq!(failed, [""; 0]);
    }
}

#[test]
fn an_answer_that_is_too_big_for_udp_makes_the_client_turn_to_tcp() {
    let world = world();
    let (address, tcp, udp) = silent();
    let real = world.realm.address();
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok((_, from)) = udp.recv_from(&mut buffer) {
            let answer = response_too_big();
            let _ = udp.send_to(&answer, from);
        }
    });
    thread::spawn(move || {
        for client in tcp.incoming() {
            let mut client = client.unwrap();
            let Some(request) = read_frame(&mut client) else {
                continue;
            };
            let mut kdc = connect(real);
            kdc.write_all(&request).unwrap();
            let answer = read_frame(&mut kdc).unwrap();
            let _ = client.write_all(&answer);
        }
    });
    let name = unique("big");
    let gateway = kdc(&name, &[address], "");
    let client = world.client(&gateway.address().to_string(), UDP, "");
    client.log_in().unwrap();
    assert!(asked(&gateway, &name, "udp", "1") >= 1);
    assert!(asked(&gateway, &name, "tcp", "1") >= 1);
}

/// `KRB_ERR_RESPONSE_TOO_BIG` (52).
fn response_too_big() -> Vec<u8> {
    let mut answer = error(KrbErrorCode::Generic, "R0.EXAMPLE.COM", "");
    let code = [0xa6, 3, 2, 1, 60];
    let at = answer.windows(5).position(|w| w == code).unwrap();
    answer[at + 4] = 52;
    answer
}

/// A message with its length before it.
fn read_frame(tcp: &mut TcpStream) -> Option<Vec<u8>> {
    let mut frame = vec![0; 4];
    tcp.read_exact(&mut frame).ok()?;
    let length = u32::from_be_bytes(frame[..].try_into().unwrap());
    frame.resize(4 + usize::try_from(length).unwrap(), 0);
    tcp.read_exact(&mut frame[4..]).ok()?;
    Some(frame)
}

#[test]
fn with_no_kdc_the_client_is_told_in_its_own_language() {
    let world = world();
    let name = unique("none");
    // by UDP MIT's client passes over the answer and waits for others
    let alone = kdc(&unique("tcp"), &[nobody()], "protocols = [\"tcp\"]");
    let client = world.client(&alone.address().to_string(), TCP, "");
    let error = client.log_in().unwrap_err();
    assert!(
        error.contains("service is not available") || error.contains("Cannot contact any KDC"),
        "{error}"
    );
    let gateway = kdc(&name, &[nobody()], "");
    let asking = UdpSocket::bind("127.0.0.1:0").unwrap();
    asking.connect(gateway.address()).unwrap();
    asking
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    asking.send(PASSWORD).unwrap();
    let mut answer = vec![0; 1000];
    let length = asking.recv(&mut answer).unwrap();
    assert!(is_error(
        &answer[..length],
        KrbErrorCode::ServiceUnavailable
    ));
    eventually("it is counted", || gateway.ends(&name, "backend_down") == 1);
}

#[test]
fn a_message_that_is_too_long_or_none_gets_a_krb_error_by_tcp() {
    let name = unique("bad");
    let gateway = kdc(&name, &[world().realm.address()], "");
    let answered = |bytes: &[u8]| {
        let mut client = gateway.connect();
        client.write_all(bytes).unwrap();
        rest(&mut client).unwrap()
    };
    for length in [200_000_u32, 0x8000_0010, u32::MAX] {
        let answer = answered(&length.to_be_bytes());
        assert!(
            is_error(&answer[4..], KrbErrorCode::FieldTooLong),
            "{length}"
        );
    }
    let garbage = answered(b"\0\0\0\x05GET /");
    assert!(is_error(&garbage[4..], KrbErrorCode::Generic));
    eventually("all are counted", || {
        gateway.ends(&name, "message_too_long") == 3
            && gateway.ends(&name, "message_malformed") == 1
    });
}

#[test]
fn a_datagram_that_is_no_request_gets_no_answer_at_all() {
    let name = unique("noise");
    let gateway = kdc(&name, &[world().realm.address()], "");
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(gateway.address()).unwrap();
    client.send(b"any bytes").unwrap();
    eventually("it is counted", || {
        gateway.ends(&name, "message_malformed") == 1
    });
    client.set_nonblocking(true).unwrap();
    assert!(client.recv(&mut [0; 64]).is_err());
}

/// As much of a change of a password as is looked at (RFC 3244).
const PASSWORD: &[u8] = &[0, 10, 0, 1, 0, 2, 0x6e, 0x00, 0x55, 0x55];

#[test]
fn a_change_of_a_password_is_asked_of_one_server_only() {
    let (first, tcp, _udp) = silent();
    let (second, other, _udp) = silent();
    let (told, hears) = mpsc::channel();
    thread::spawn(move || {
        for client in tcp.incoming() {
            let mut client = client.unwrap();
            if let Some(message) = read_frame(&mut client) {
                told.send(message).unwrap();
                // no answer, a broken connection
            }
        }
    });
    let gateway = kdc(&unique("kpasswd"), &[first, second], "");
    let mut client = gateway.connect();
    let framed = [&[0, 0, 0, 10][..], PASSWORD].concat();
    client.write_all(&framed).unwrap();
    let answer = read_frame(&mut client).unwrap();
    assert!(is_error(&answer[4..], KrbErrorCode::ServiceUnavailable));
    assert_eq!(hears.recv_timeout(Duration::from_secs(20)).unwrap(), framed);
    other.set_nonblocking(true).unwrap();
    while let Ok((mut client, _)) = other.accept() {
        // connect checks say nothing
        client.set_nonblocking(false).unwrap();
        assert!(read_frame(&mut client).is_none());
    }
}

#[test]
fn several_messages_of_one_connection_are_answered_in_turn() {
    let (address, tcp, _udp) = silent();
    thread::spawn(move || {
        for client in tcp.incoming() {
            let mut client = client.unwrap();
            if let Some(message) = read_frame(&mut client) {
                let _ = client.write_all(&message);
            }
        }
    });
    let gateway = kdc(&unique("several"), &[address], "");
    let mut client = gateway.connect();
    let framed = [&[0, 0, 0, 10][..], PASSWORD].concat();
    client
        .write_all(&[&framed[..], &framed[..7]].concat())
        .unwrap();
    assert_eq!(read_frame(&mut client).unwrap(), framed);
    client.write_all(&framed[7..]).unwrap();
    assert_eq!(read_frame(&mut client).unwrap(), framed);
}
