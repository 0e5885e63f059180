//! Calls of Thrift as no driver writes them, at HiveServer2 itself and through the gateway: what the
//! server takes for another user's never reaches it.

use std::{fs, time::Duration};

use lab::{GATEWAY, Gateway, wait};

use super::{HTTP_PORT, SERVICE_PORT, stage};

const PROTOCOL: &[u8] = b"\x08\x00\x01\x00\x00\x00\x09";
const KEY: &str = "hive.server2.proxy.user";
const STRICT: &[u8] = b"\x80\x01\x00\x01";

fn text(value: &str) -> Vec<u8> {
    let length = u32::try_from(value.len()).unwrap().to_be_bytes();
    [&length, value.as_bytes()].concat()
}

/// A call with these arguments.
fn call(head: &[u8], method: &str, arguments: &[&[u8]]) -> Vec<u8> {
    let arguments = arguments.concat();
    [head, &text(method), b"\0\0\0\x07", &arguments, b"\0"].concat()
}

/// The first argument of a call.
fn request(fields: &[&[u8]]) -> Vec<u8> {
    [b"\x0c\x00\x01", &fields.concat()[..], b"\0"].concat()
}

/// `configuration` with one setting, said to be of these types.
fn settings(types: [u8; 2], key: &str, value: &str) -> Vec<u8> {
    let head = [13, 0, 4, types[0], types[1], 0, 0, 0, 1];
    [&head[..], &text(key), &text(value)].concat()
}

/// Posts to the server itself as the gateway's principal: the answer.
fn post_directly(body: &[u8]) -> Vec<u8> {
    let lab = &stage().lab;
    let (sent, got) = (lab.folder().join("call"), lab.folder().join("answer"));
    fs::write(&sent, body).unwrap();
    let data = format!("@{}", sent.display());
    let url = "http://hive.example.com:10001/cliservice";
    let arguments = ["--data-binary", &data, "-o", got.to_str().unwrap(), url];
    let fetched = lab.fetch(GATEWAY, &arguments).unwrap();
    assert_eq!(fetched.status, 200, "{fetched:?}");
    fs::read(got).unwrap()
}

/// Posts through the gateway as alice: the status, and the page.
fn post(port: u16, body: &[u8]) -> (u16, String) {
    let whoami = format!("http://proxy.example.com:{port}/.spnegate/whoami");
    let session = stage().lab.session("alice", &whoami).unwrap();
    let mut client = Gateway::client_at(port).header("Cookie", &session);
    let reply = client.request("POST", "/cliservice", body).unwrap();
    (reply.status, reply.text())
}

/// Sessions that the server has opened for bob, by its log.
fn opened_by_bob() -> usize {
    let log = stage().lab.folder().join("logs/hive.log");
    let text = fs::read_to_string(log).unwrap();
    text.matches("successful for user : bob").count()
}

#[test]
fn calls_that_the_server_would_run_as_another_user_never_reach_it() {
    let bob = settings([11, 11], KEY, "bob");
    let open = |fields: &[&[u8]]| call(STRICT, "OpenSession", &[&request(fields)]);
    let plain = open(&[PROTOCOL, &bob]);
    let old = {
        let name = text("OpenSession");
        [
            &name[..],
            b"\x01\0\0\0\x07",
            &request(&[PROTOCOL, &bob]),
            b"\0",
        ]
        .concat()
    };
    let answer = call(
        b"\x80\x01\x00\x02",
        "OpenSession",
        &[&request(&[PROTOCOL, &bob])],
    );
    let unused = call(
        b"\x80\x01\x55\x01",
        "OpenSession",
        &[&request(&[PROTOCOL, &bob])],
    );
    let twice = [request(&[PROTOCOL]), request(&[PROTOCOL, &bob])].concat();
    for (what, body, status) in [
        ("a plain call", plain, 403),
        ("a call without a version", old, 403),
        (
            "a map said to be of numbers",
            open(&[PROTOCOL, &settings([8, 8], KEY, "bob")]),
            400,
        ),
        (
            "a map said to be of structs",
            open(&[PROTOCOL, &settings([12, 12], KEY, "bob")]),
            400,
        ),
        ("an answer", answer, 400),
        ("an odd version", unused, 400),
        (
            "two maps",
            open(&[PROTOCOL, &settings([11, 11], "a", "b"), &bob]),
            400,
        ),
        ("two requests", call(STRICT, "OpenSession", &[&twice]), 400),
    ] {
        let before = opened_by_bob();
        post_directly(&body);
        let opened = wait::until("bob's session", Duration::from_secs(30), || {
            Ok((opened_by_bob() > before).then_some(()))
        });
        opened.unwrap_or_else(|error| panic!("{what} at the server itself: {error}"));
        let after = opened_by_bob();
        for port in [HTTP_PORT, SERVICE_PORT] {
            let (refused, page) = post(port, &body);
            assert!(refused == 400 || refused == 403, "{what}: {refused} {page}");
            assert_eq!(refused, status, "{what}: {page}");
        }
        assert_eq!(opened_by_bob(), after, "{what}");
        println!("{what}: bob's session at the server itself, {status} through the gateway");
    }
    // what the gateway writes is read
    let told = open(&[PROTOCOL, &settings([11, 11], KEY, "alice")]);
    let (status, answer) = post(HTTP_PORT, &told);
    assert!(status == 200 && answer.contains("fetch.size"), "{answer}");
}

#[test]
fn no_delegation_token_is_issued_for_the_gateways_session() {
    let opened = post_directly(&call(STRICT, "OpenSession", &[&request(&[PROTOCOL])]));
    let find = |field: &[u8]| {
        let at = opened.windows(field.len()).position(|part| part == field);
        let start = at.expect("a session's handle") + field.len();
        opened[start..start + 16].to_vec()
    };
    let guid = find(b"\x0b\x00\x01\x00\x00\x00\x10");
    let secret = find(b"\x0b\x00\x02\x00\x00\x00\x10");
    let handle = [
        b"\x0c\x00\x01\x0c\x00\x01\x0b\x00\x01\x00\x00\x00\x10",
        &guid[..],
        b"\x0b\x00\x02\x00\x00\x00\x10",
        &secret,
        b"\0\0",
    ]
    .concat();
    let owner = [&b"\x0b\x00\x02"[..], &text("bob")].concat();
    let renewer = [&b"\x0b\x00\x03"[..], &text("alice")].concat();
    let request = request(&[&handle, &owner, &renewer]);
    let body = call(STRICT, "GetDelegationToken", &[&request]);
    let answer = String::from_utf8_lossy(&post_directly(&body)).into_owned();
    let printable: String = answer.chars().filter(|c| !c.is_control()).collect();
    println!("bob's token from the server itself: {printable}");
    assert!(answer.len() > 150, "{printable}");
    let (status, page) = post(SERVICE_PORT, &body);
    assert!(
        status == 403 && page.contains("credential_denied"),
        "{page}"
    );
    let (status, page) = post(HTTP_PORT, &body);
    assert!(status == 403 && page.contains("thrift_identity"), "{page}");
}
