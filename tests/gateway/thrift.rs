//! Calls of `HiveServer2`'s Thrift protocol: only the gateway sends the user name there too.

use spnegate::testing::Refusal;

use crate::{
    backend::{Backend, Logins, backend},
    client::RawResponse,
    proxy::{Gateway, gateway},
};

const KINDS: [&str; 2] = ["hiveserver2", "impala"];

fn console(kind: &'static str, identity: &'static str, backend: &Backend) -> Gateway {
    let setup = gateway().console(kind).identity(identity);
    setup.backend(backend).run()
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// A call in `TBinaryProtocol` with strings and a map in its request.
fn call(method: &str, texts: &[(u8, &str)], map: (u8, &[(&str, &str)])) -> Vec<u8> {
    let mut out = b"\x80\x01\x00\x01".to_vec();
    text(&mut out, method);
    out.extend_from_slice(b"\x00\x00\x00\x01\x0c\x00\x01");
    for (number, value) in texts {
        out.extend_from_slice(&[11, 0, *number]);
        text(&mut out, value);
    }
    let (number, map) = map;
    if !map.is_empty() {
        let size = u8::try_from(map.len()).unwrap();
        out.extend_from_slice(&[13, 0, number, 11, 11, 0, 0, 0, size]);
        for (key, value) in map {
            text(&mut out, key);
            text(&mut out, value);
        }
    }
    out.extend_from_slice(b"\x00\x00");
    out
}

fn open_session(user: &str, map: &[(&str, &str)]) -> Vec<u8> {
    call("OpenSession", &[(2, user), (3, "password")], (4, map))
}

fn statement(statement: &str, map: &[(&str, &str)]) -> Vec<u8> {
    call("ExecuteStatement", &[(2, statement)], (3, map))
}

fn post(gateway: &Gateway, body: &[u8]) -> RawResponse {
    let asking = gateway.ask("POST /cliservice").by("alice");
    asking
        .header("Content-Type", "application/x-thrift")
        .body(body)
        .response()
}

#[test]
fn open_session_reaches_the_server_with_the_authenticated_user() {
    for kind in KINDS {
        let backend = backend();
        for identity in ["doas", "service"] {
            let gateway = console(kind, identity, &backend);
            post(&gateway, &statement("select 1", &[]));
            for name in ["root", "bob", "", "alice"] {
                backend.forget();
                let map = [("use:database", "default")];
                let user = if identity == "doas" {
                    "alice"
                } else {
                    "nobody"
                };
                post(&gateway, &open_session(name, &map)).is_ok(user);
                assert_eq!(backend.only().body, open_session("alice", &map), "{name}");
            }
            backend.forget();
            post(&gateway, &call("OpenSession", &[], (4, &[])));
            let told = call("OpenSession", &[(2, "alice")], (4, &[]));
            assert_eq!(backend.only().body, told);
        }
        assert!(!backend.got("root") && !backend.got("bob"));
    }
}

/// Impala without authentication takes the user from `username`.
#[test]
fn a_simple_impala_receives_the_user_in_the_call() {
    let backend = backend().logins(Logins::Open);
    let gateway = console("impala", "simple", &backend);
    post(&gateway, &open_session("bob", &[]));
    let seen = backend.only();
    assert_eq!(seen.body, open_session("alice", &[]));
    assert_eq!(seen.target, "/cliservice");
    assert_eq!(seen.header("authorization"), None);
    assert!(!backend.got("bob"));
}

#[test]
pub fn a_call_that_names_another_user_never_reaches_the_server() {
    for kind in KINDS {
        let backend = backend();
        for identity in ["doas", "service"] {
            let gateway = console(kind, identity, &backend);
            post(&gateway, &statement("select 1", &[]));
            backend.forget();
            for key in ["impala.doas.user", "Hive.Server2.Proxy.USER"] {
                for body in [
                    open_session("alice", &[("a", "b"), (key, "bob")]),
                    statement("select 1", &[(key, "bob")]),
                    call("SetClientInfo", &[], (2, &[(key, "bob")])),
                ] {
                    post(&gateway, &body).is(Refusal::ThriftIdentity);
                    let mut client = gateway.connect();
                    let chunked = gateway.ask("POST /cliservice").by("alice");
                    client.send(chunked.header("Transfer-Encoding", "chunked").bytes());
                    for piece in body.chunks(10) {
                        client.send(format!("{:x}\r\n", piece.len()));
                        client.send(piece);
                        client.send("\r\n");
                    }
                    client.send("0\r\n\r\n");
                    client.response().is(Refusal::ThriftIdentity);
                    assert!(!backend.got("bob"), "{key}");
                }
                // the user's own name is allowed; under `service` the gateway sends no user
                let own = post(&gateway, &open_session("alice", &[(key, "alice")]));
                if identity == "doas" {
                    own.is_ok("alice");
                } else {
                    own.is(Refusal::ThriftIdentity);
                }
            }
        }
    }
}

#[test]
pub fn an_invalid_thrift_call_never_reaches_the_server() {
    let backend = backend();
    let gateway = console("hiveserver2", "doas", &backend);
    post(&gateway, &statement("select 1", &[])).is_ok("alice");
    backend.forget();
    let twice = [statement("needle", &[]), open_session("bob", &[])].concat();
    for body in [
        &b"doAs=needle"[..],
        b"{\"needle\": 1}",
        b"\x80\x01\x00\x02needle",
        &statement("needle", &[])[..20],
        &twice,
    ] {
        post(&gateway, body).is(Refusal::BadThrift);
        assert!(backend.seen().is_empty());
    }
    for method in ["POST", "PUT", "GET"] {
        let target = format!("{method} /elsewhere");
        let asking = gateway.ask(&target).by("alice").body("needle");
        asking.response().is(Refusal::BadThrift);
        let asking = gateway.ask(&target).by("alice");
        let compressed = asking
            .header("Content-Encoding", "gzip")
            .body(statement("needle", &[]));
        compressed.response().is(Refusal::BadThrift);
    }
    post(
        &gateway,
        &open_session("needle", &[("a", &"x".repeat(70_000))]),
    )
    .is(Refusal::BadThrift);
    assert!(backend.seen().is_empty());
    // the server reports a call without a body; a login is performed before it
    gateway
        .ask("POST /cliservice")
        .by("alice")
        .body("")
        .response()
        .is_ok("alice");
}

#[test]
fn large_statements_are_streamed_and_an_invalid_one_is_cut_before_the_key() {
    let backend = backend();
    let gateway = console("impala", "doas", &backend);
    let long = "select 1 ".repeat(100_000);
    let body = statement(&long, &[("mem_limit", "1g")]);
    post(&gateway, &body).is_ok("alice");
    assert!(backend.only().body == body);
    backend.forget();
    let body = statement(&long, &[("impala.doas.user", "bob")]);
    post(&gateway, &body).is(Refusal::ThriftIdentity);
    assert!(!backend.got("bob") && !backend.got("impala.doas.user"));
    assert!(
        backend.seen().is_empty(),
        "the server has the whole request"
    );
}

#[test]
fn a_call_is_sent_again_with_the_user_after_a_refused_login() {
    let backend = backend();
    let gateway = console("hiveserver2", "doas", &backend);
    post(&gateway, &open_session("root", &[])).is_ok("alice");
    backend.revoke();
    backend.forget();
    post(&gateway, &open_session("root", &[])).is_ok("alice");
    for seen in backend.seen() {
        assert_eq!(seen.body, open_session("alice", &[]));
    }
}

#[test]
fn delegation_tokens_are_issued_for_the_user_and_never_for_the_gateway() {
    let backend = backend();
    let token = |owner| call("GetDelegationToken", &[(2, owner), (3, "yarn")], (9, &[]));
    let doas = console("hiveserver2", "doas", &backend);
    post(&doas, &token("alice")).is_ok("alice");
    post(&doas, &token("bob")).is(Refusal::ThriftIdentity);
    let service = console("hiveserver2", "service", &backend);
    for method in [
        "GetDelegationToken",
        "RenewDelegationToken",
        "CancelDelegationToken",
    ] {
        let body = call(method, &[(2, "alice")], (9, &[]));
        post(&service, &body).is(Refusal::CredentialDenied);
    }
    assert!(!backend.got("bob"));
}

#[test]
fn without_login_calls_are_forwarded_unchanged() {
    let backend = backend().logins(Logins::Open);
    let gateway = console("impala", "none", &backend);
    let body = open_session("bob", &[("impala.doas.user", "carol")]);
    let asking = gateway.ask("POST /cliservice").body(&body);
    assert_eq!(asking.response().status, 200);
    assert_eq!(backend.only().body, body);
}

#[test]
fn a_simple_hiveserver2_is_rejected_with_the_reason() {
    let setup = gateway().console("hiveserver2").identity("simple");
    let why = setup.backend(&backend()).fails();
    assert!(why.contains("HTTP Basic"), "{why}");
}
