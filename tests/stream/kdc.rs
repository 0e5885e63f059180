//! `kind = "kdc"`: logins through the gateway, KDCs that are down, silent or unavailable, and malformed
//! messages.

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

/// TCP and UDP sockets on one port that never reply.
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
fn mit_logs_in_over_tcp_and_udp() {
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
fn java_logs_in_over_tcp_and_udp() {
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
fn a_plain_relay_serves_a_kdc_too() {
    let world = world();
    let lines = "protocols = [\"tcp\", \"udp\"]";
    let gateway = Gateway::start(&stream(&unique("plain"), &[world.realm.address()], lines));
    for libdefaults in [TCP, UDP] {
        let client = world.client(&gateway.address().to_string(), libdefaults, "");
        client.log_in().unwrap();
    }
}

#[test]
fn the_next_kdc_is_used_before_the_client_times_out() {
    let world = world();
    let (quiet, _tcp, _udp) = silent();
    for first in [nobody(), quiet] {
        for (protocol, libdefaults) in [("tcp", TCP), ("udp", UDP)] {
            let name = unique("failover");
            // no health check finds it down before the client connects
            let check = "check = { interval = \"1h\" }";
            let lines = format!("protocols = [\"{protocol}\"]\n{check}");
            let gateway = kdc(&name, &[first, world.realm.address()], &lines);
            let client = world.client(&gateway.address().to_string(), libdefaults, "");
            client.log_in().unwrap();
            // only the first request waited for it
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

/// One of two KDCs is slow, hangs, stops and restarts while users log in: no login fails.
#[test]
fn no_login_fails_while_one_of_two_kdcs_is_slow_hangs_or_restarts() {
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
            // slow: it is suspended for the time of a few logins, repeatedly
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
fn a_client_uses_tcp_after_response_too_big() {
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

/// A message with its length in front.
fn read_frame(tcp: &mut TcpStream) -> Option<Vec<u8>> {
    let mut frame = vec![0; 4];
    tcp.read_exact(&mut frame).ok()?;
    let length = u32::from_be_bytes(frame[..].try_into().unwrap());
    frame.resize(4 + usize::try_from(length).unwrap(), 0);
    tcp.read_exact(&mut frame[4..]).ok()?;
    Some(frame)
}

#[test]
fn without_a_kdc_the_client_gets_a_krb_error() {
    let world = world();
    let name = unique("none");
    // over UDP MIT's client ignores the reply and waits for others
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
fn an_oversized_or_malformed_message_gets_a_krb_error_over_tcp() {
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
fn a_datagram_that_is_not_a_request_gets_no_reply() {
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

/// The part of a change of password (RFC 3244) that the gateway reads.
const PASSWORD: &[u8] = &[0, 10, 0, 1, 0, 2, 0x6e, 0x00, 0x55, 0x55];

#[test]
fn a_change_of_password_is_sent_to_one_server_only() {
    let (first, tcp, _udp) = silent();
    let (second, other, _udp) = silent();
    let (sender, hears) = mpsc::channel();
    thread::spawn(move || {
        for client in tcp.incoming() {
            let mut client = client.unwrap();
            if let Some(message) = read_frame(&mut client) {
                sender.send(message).unwrap();
                // no reply, a closed connection
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
        // health checks send nothing
        client.set_nonblocking(false).unwrap();
        assert!(read_frame(&mut client).is_none());
    }
}

#[test]
fn several_messages_on_one_connection_get_replies_in_order() {
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
