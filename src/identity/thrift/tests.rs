use proptest::prelude::*;

use super::*;

mod server;
mod writer;

use server::Server;
use writer::{Writer, binary, compact, old};

const ENCODINGS: [fn(&str) -> Writer; 3] = [binary, old, compact];

/// The bytes that are passed on of a body that arrives in these pieces.
fn pass<'p>(
    acting_as: ActingAs,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Result<Vec<u8>, ThriftError> {
    let mut call = CallReader::new("alice".into(), acting_as);
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&call.feed(Bytes::copy_from_slice(piece))?);
    }
    out.extend_from_slice(&call.finish()?);
    Ok(out)
}

/// As [`pass`], after comparing every way to cut the body in two, and byte by byte.
#[track_caller]
fn whole(acting_as: ActingAs, body: &[u8]) -> Result<Vec<u8>, ThriftError> {
    let out = pass(acting_as, [body]);
    for cut in 0..=body.len() {
        let (one, two) = body.split_at(cut);
        assert_eq!(pass(acting_as, [one, two]), out, "cut at {cut}");
    }
    assert_eq!(pass(acting_as, body.chunks(1)), out, "byte by byte");
    out
}

/// `OpenSession` with this `username` and these settings.
fn open_session(encoding: fn(&str) -> Writer, user: Option<&str>, map: &[(&str, &str)]) -> Vec<u8> {
    let mut call = encoding("OpenSession").begin(1).number(1, 9);
    if let Some(user) = user {
        call = call.text(2, user);
    }
    call.text(3, "password").map(4, map).end().done()
}

fn statement(encoding: fn(&str) -> Writer, text: &str, map: &[(&str, &str)]) -> Vec<u8> {
    encoding("ExecuteStatement")
        .begin(1)
        .begin(1)
        .begin(1)
        .text(1, "guid")
        .text(2, "secret")
        .end()
        .end()
        .text(2, text)
        .map(3, map)
        .flag(4)
        .end()
        .done()
}

#[test]
fn an_open_session_names_the_user_whatever_the_client_wrote() {
    for encoding in ENCODINGS {
        let long = "x".repeat(300);
        for name in ["root", "bob", "alice", "", &long] {
            let sent = open_session(encoding, Some(name), &[("use:database", "default")]);
            let written = open_session(encoding, Some("alice"), &[("use:database", "default")]);
            for acting_as in [ActingAs::User, ActingAs::Gateway] {
                assert_eq!(whole(acting_as, &sent), Ok(written.clone()), "{name}");
            }
        }
        let sent = open_session(encoding, None, &[("a", "b")]);
        let written = whole(ActingAs::User, &sent).unwrap();
        let server = Server::reads(&written).unwrap();
        assert_eq!(server.user.as_deref(), Some("alice"));
        assert_eq!(server.settings, [("a".to_owned(), "b".to_owned())]);
    }
}

#[test]
fn a_key_that_names_another_user_is_refused_in_any_call_and_case() {
    for encoding in ENCODINGS {
        for key in [
            "impala.doas.user",
            "Impala.DoAs.User",
            "hive.server2.proxy.user",
            "HIVE.SERVER2.PROXY.USER",
            "set:hiveconf:hive.server2.proxy.user",
            " impala.doas.user",
        ] {
            for name in ["bob", "", "Alice", "alice "] {
                let map = [("a", "b"), (key, name)];
                for body in [
                    open_session(encoding, Some("alice"), &map),
                    statement(encoding, "select 1", &map),
                    encoding("SetClientInfo").begin(1).map(2, &map).end().done(),
                    encoding("Unknown").map(77, &map).done(),
                ] {
                    let refused = whole(ActingAs::User, &body);
                    assert_eq!(refused, Err(ThriftError::Identity), "{key} {name}");
                }
            }
            let own = open_session(encoding, Some("alice"), &[(key, "alice")]);
            assert_eq!(whole(ActingAs::User, &own), Ok(own.clone()));
            let refused = whole(ActingAs::Gateway, &own);
            assert_eq!(refused, Err(ThriftError::Identity), "{key}");
        }
    }
}

#[test]
fn no_byte_of_a_call_is_passed_on_before_its_keys_are_checked() {
    for encoding in ENCODINGS {
        let body = statement(encoding, "select 1", &[("impala.doas.user", "bob")]);
        let mut call = CallReader::new("alice".into(), ActingAs::User);
        let mut out = Vec::new();
        let error = body
            .chunks(1)
            .find_map(|byte| match call.feed(Bytes::copy_from_slice(byte)) {
                Ok(piece) => {
                    out.extend_from_slice(&piece);
                    None
                }
                Err(error) => Some(error),
            });
        assert_eq!(error, Some(ThriftError::Identity));
        let text = String::from_utf8_lossy(&out);
        assert!(text.contains("select 1") && !text.contains("impala"));
    }
}

#[test]
fn a_large_statement_streams_and_little_of_it_is_held() {
    for encoding in ENCODINGS {
        let text = "impala.doas.user=bob ".repeat(200_000);
        let body = statement(encoding, &text, &[("mem_limit", "1g")]);
        let mut call = CallReader::new("alice".into(), ActingAs::User);
        let mut out = Vec::new();
        for piece in body.chunks(8 * 1024) {
            out.extend_from_slice(&call.feed(Bytes::copy_from_slice(piece)).unwrap());
            assert!(call.held.len() < 1024);
        }
        out.extend_from_slice(&call.finish().unwrap());
        assert!(out == body);
    }
}

#[test]
fn the_last_byte_waits_for_the_bodys_end_and_nothing_may_follow_it() {
    for encoding in ENCODINGS {
        let body = statement(encoding, "select 1", &[]);
        let mut call = CallReader::new("alice".into(), ActingAs::User);
        let out = call.feed(Bytes::copy_from_slice(&body)).unwrap();
        assert_eq!(out, body[..body.len() - 1]);
        assert_eq!(call.feed(Bytes::new()).unwrap(), "");
        let more = call.feed(Bytes::from_static(b"\x80"));
        assert!(matches!(more, Err(ThriftError::Ambiguous(_))));
        let two = [&body[..], &open_session(encoding, Some("bob"), &[])].concat();
        assert!(matches!(
            whole(ActingAs::User, &two),
            Err(ThriftError::Ambiguous(_))
        ));
        for cut in 1..body.len() {
            assert_eq!(
                pass(ActingAs::User, [&body[..cut]]),
                Err(ThriftError::Short)
            );
        }
    }
    assert_eq!(whole(ActingAs::User, b""), Ok(Vec::new()));
}

#[test]
fn tokens_are_for_the_user_and_never_for_the_gateway() {
    for encoding in ENCODINGS {
        let token = |owner| {
            let call = encoding("GetDelegationToken").begin(1).begin(1).end();
            call.text(2, owner).text(3, "yarn").end().done()
        };
        assert_eq!(whole(ActingAs::User, &token("alice")), Ok(token("alice")));
        let refused = whole(ActingAs::User, &token("bob"));
        assert_eq!(refused, Err(ThriftError::Identity));
        for method in [
            "GetDelegationToken",
            "RenewDelegationToken",
            "canceldelegationtoken",
        ] {
            let body = encoding(method).begin(1).text(2, "alice").end().done();
            let refused = whole(ActingAs::Gateway, &body);
            assert_eq!(refused, Err(ThriftError::Credential), "{method}");
        }
        for method in ["ExecutePlannedStatement", "InitQueryContext"] {
            let body = encoding(method).done();
            assert_eq!(whole(ActingAs::User, &body), Err(ThriftError::Identity));
        }
    }
}

#[test]
fn what_two_readers_could_read_in_two_ways_is_refused() {
    let name = b"\x00\x00\x00\x0bOpenSession\x00\x00\x00\x01";
    let strict = |rest: &[u8]| [b"\x80\x01\x00\x01", &name[..], rest].concat();
    let request = |rest: &[u8]| strict(&[b"\x0c\x00\x01", rest].concat());
    for (what, body) in [
        ("two requests", request(b"\x00\x0c\x00\x01\x00\x00")),
        ("no request", strict(b"\x00")),
        (
            "a request that is skipped",
            strict(b"\x0b\x00\x01\x00\x00\x00\x01x\x00"),
        ),
        (
            "two names",
            request(b"\x0b\x00\x02\x00\x00\x00\x01x\x0b\x00\x02\x00\x00\x00\x01x\x00\x00"),
        ),
        (
            "a name that is skipped",
            request(b"\x08\x00\x02\x00\x00\x00\x01\x00\x00"),
        ),
        (
            "a negative length",
            request(b"\x0b\x00\x02\xff\xff\xff\xff\x00\x00"),
        ),
        (
            "a map of other types",
            request(b"\x0d\x00\x04\x08\x08\x00\x00\x00\x00\x00\x00"),
        ),
        (
            "a list of other types",
            request(b"\x0f\x00\x07\x0d\x00\x00\x00\x00\x00\x00"),
        ),
        ("an unknown type", request(b"\x10\x00\x07\x00\x00")),
        ("type 1", request(b"\x01\x00\x07\x00\x00")),
        (
            "an unused byte of the version",
            [b"\x80\x01\x01\x01", &name[..], b"\x00"].concat(),
        ),
        (
            "another version",
            [b"\x80\x02\x00\x01", &name[..], b"\x00"].concat(),
        ),
        (
            "an answer",
            [b"\x80\x01\x00\x02", &name[..], b"\x00"].concat(),
        ),
        (
            "a call one way",
            [b"\x80\x01\x00\x04", &name[..], b"\x00"].concat(),
        ),
        (
            "a multiplexed name",
            b"\x80\x01\x00\x01\x00\x00\x00\x03a:b\x00\x00\x00\x01\x00".to_vec(),
        ),
        ("JSON", b"[1,\"OpenSession\",1,1,{}]".to_vec()),
        ("a form", b"doAs=bob".to_vec()),
        (
            "another version of compact",
            b"\x82\x22\x01\x01x\x00".to_vec(),
        ),
        (
            "a long varint",
            b"\x82\x21\x80\x80\x80\x80\x80\x00\x01x\x00".to_vec(),
        ),
        (
            "a length of 33 bits",
            b"\x82\x21\x01\xff\xff\xff\xff\x1fx\x00".to_vec(),
        ),
        ("a stop with a delta", b"\x82\x21\x01\x01x\x10\x00".to_vec()),
        (
            "a number of 17 bits",
            b"\x82\x21\x01\x01x\x08\xff\xff\x7f\x00\x00".to_vec(),
        ),
        (
            "a compact map of other types",
            b"\x82\x21\x01\x01x\x1b\x01\x55\x00\x00\x00".to_vec(),
        ),
        (
            "UUIDs",
            b"\x82\x21\x01\x01x\x1d0123456789abcdef\x00".to_vec(),
        ),
    ] {
        let read = whole(ActingAs::User, &body);
        assert!(
            matches!(
                read,
                Err(ThriftError::Ambiguous(_) | ThriftError::NotThrift)
            ),
            "{what}: {read:?}"
        );
    }
    let mut deep = binary("x");
    for _ in 0..20 {
        deep = deep.begin(1);
    }
    for _ in 0..20 {
        deep = deep.end();
    }
    let read = whole(ActingAs::User, &deep.done());
    assert!(matches!(read, Err(ThriftError::Ambiguous(_))));
}

#[test]
fn a_call_that_is_too_large_to_be_held_is_refused() {
    let large = "x".repeat(MAX_HELD);
    for encoding in ENCODINGS {
        let body = open_session(encoding, Some("alice"), &[("a", &large)]);
        let read = pass(ActingAs::User, body.chunks(1000));
        assert_eq!(read, Err(ThriftError::Large));
    }
}

/// Calls with settings, at times bad ones.
fn calls() -> impl Strategy<Value = Vec<u8>> {
    let key = prop_oneof![
        "[a-z.:]{0,12}",
        Just("impala.doas.user".to_owned()),
        Just("Hive.Server2.Proxy.User".to_owned()),
    ];
    let name = prop_oneof![
        Just("alice".to_owned()),
        Just("bob".to_owned()),
        "[a-z]{0,40}"
    ];
    let map = prop::collection::vec((key, name.clone()), 0..4);
    (0..3_usize, prop::option::of(name), map, any::<bool>()).prop_map(
        |(encoding, user, map, open)| {
            let map: Vec<(&str, &str)> = map.iter().map(|(k, v)| (&k[..], &v[..])).collect();
            let encoding = ENCODINGS[encoding];
            if open {
                open_session(encoding, user.as_deref(), &map)
            } else {
                statement(encoding, user.as_deref().unwrap_or_default(), &map)
            }
        },
    )
}

/// Bytes that pass name no user but alice, as servers read them.
fn check_as_servers_read(body: &[u8], cuts: &[usize]) {
    let mut pieces = Vec::new();
    let mut rest = body;
    for cut in cuts {
        let (piece, more) = rest.split_at((*cut).min(rest.len()));
        pieces.push(piece);
        rest = more;
    }
    pieces.push(rest);
    let out = pass(ActingAs::User, pieces);
    assert_eq!(out, pass(ActingAs::User, [body]));
    let Ok(out) = out else {
        return;
    };
    let Ok(server) = Server::reads(&out) else {
        return;
    };
    let names =
        |(key, _): &&(String, String)| USER_KEYS.iter().any(|own| own.eq_ignore_ascii_case(key));
    for (key, value) in server.settings.iter().filter(names) {
        assert_eq!(value, "alice", "{key}");
    }
    if server.method == "OpenSession" {
        assert_eq!(server.user.as_deref(), Some("alice"));
    }
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_are_read(
        body in prop::collection::vec(any::<u8>(), 0..64),
        cuts in prop::collection::vec(0..8_usize, 0..8),
    ) {
        check_as_servers_read(&body, &cuts);
    }

    #[test]
    fn a_call_with_odd_bytes_is_not_read_in_another_way_by_servers(
        body in calls(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..4),
        cuts in prop::collection::vec(0..40_usize, 0..8),
    ) {
        let mut body = body;
        for (at, byte, how) in edits {
            let at = at.index(body.len());
            match how {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ => {
                    body.remove(at);
                }
            }
            if body.is_empty() {
                body.push(byte);
            }
        }
        check_as_servers_read(&body, &cuts);
    }
}
