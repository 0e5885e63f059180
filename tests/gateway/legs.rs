//! Login legs sent beside a session cookie: which of them are requests of the session, and which
//! ones a client sends while it withholds its body until it is authenticated.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::{
    backend::{Backend, backend},
    client::{RawResponse, RequestBuilder},
    proxy::{Gateway, generic},
    tickets::{first_of_two, second_of_two},
    world::{negotiate, world},
};

/// First legs of unfinished logins, each with a name for failure messages.
fn first_legs() -> Vec<(&'static str, String)> {
    let spnego = |mechanisms: &[u8]| {
        let length = |more: usize| u8::try_from(mechanisms.len() + more).unwrap();
        let frame = [
            &[0x60, length(16)],
            &b"\x06\x06\x2b\x06\x01\x05\x05\x02"[..],
        ]
        .concat();
        let list = [
            0xa0,
            length(6),
            0x30,
            length(4),
            0xa0,
            length(2),
            0x30,
            length(0),
        ];
        [&frame[..], &list, mechanisms].concat()
    };
    let negoex = b"\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x1e";
    let krb5 = b"\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
    let ntlm = b"NTLMSSP\0\x01\0\0\0\x07\x82\x08\xa2";
    vec![
        ("NTLM", negotiate(ntlm)),
        (
            "the scheme NTLM",
            format!("NTLM {}", BASE64_STANDARD.encode(ntlm)),
        ),
        ("NegoEx alone", negotiate(&spnego(negoex))),
        (
            "NegoEx and Kerberos",
            negotiate(&spnego(&[&negoex[..], krb5].concat())),
        ),
        ("Kerberos without a token", negotiate(&spnego(krb5))),
        ("NTLM and Kerberos", first_of_two()),
    ]
}

fn write<'g>(gateway: &'g Gateway, line: &str, token: &str) -> RequestBuilder<'g> {
    gateway.ask(line).by("alice").header("Authorization", token)
}

fn is_challenged(answer: &RawResponse, what: &str) {
    assert_eq!(answer.status, 401, "{what}: {}", answer.all_text());
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert!(
        challenge.starts_with("Negotiate"),
        "{what}: {}",
        answer.head
    );
    assert_eq!(answer.session(), None);
}

fn passes(backend: &Backend, asking: RequestBuilder<'_>, what: &str) {
    backend.forget();
    let answer = asking.response();
    assert_eq!(answer.status, 200, "{what}: {}", answer.all_text());
    assert_eq!(backend.seen().len(), 1, "{what}");
}

#[test]
fn an_empty_write_with_a_first_leg_is_challenged_and_nothing_is_forwarded() {
    let backend = backend();
    let gateway = generic(&backend);
    for (what, token) in first_legs() {
        for line in ["PUT /x", "POST /x", "PATCH /x"] {
            is_challenged(&write(&gateway, line, &token).body("").response(), what);
            // without a length there is no body (RFC 9112, section 6.3)
            is_challenged(&write(&gateway, line, &token).response(), what);
        }
        is_challenged(
            &write(&gateway, "DELETE /x", &token).body("").response(),
            what,
        );
    }
    assert_eq!(backend.seen().len(), 0);
    // the connection and the session stay open
    let mut client = gateway.connect();
    client.send(write(&gateway, "PUT /x", &first_of_two()).body("").bytes());
    let answer = client.response();
    is_challenged(&answer, "NTLM and Kerberos");
    assert_eq!(answer.header("connection"), None);
    client.send(gateway.ask("PUT /x").by("alice").body("written").bytes());
    client.response().is_ok("nobody");
    assert_eq!(backend.only().body, b"written");
}

#[test]
fn a_later_leg_is_not_served_as_a_request_of_the_session() {
    let backend = backend();
    let gateway = generic(&backend);
    // its first leg is unknown, so the client starts the login again
    let lost = write(&gateway, "PUT /x", &second_of_two())
        .body("")
        .response();
    is_challenged(&lost, "an unknown login");
    // the first leg is known and an invalid token follows: the login fails even with a valid cookie
    let mut client = gateway.connect();
    client.send(write(&gateway, "PUT /x", &first_of_two()).body("").bytes());
    is_challenged(&client.response(), "the first leg");
    client.send(
        write(&gateway, "PUT /x", &second_of_two())
            .body("written")
            .bytes(),
    );
    is_challenged(&client.response(), "the second leg");
    assert_eq!(backend.seen().len(), 0);
}

#[test]
fn a_complete_token_beside_a_session_cookie_leaves_the_session_in_force() {
    let backend = backend();
    let gateway = generic(&backend);
    // PyHive repeats the token of its login with every request
    let token = world().authorization("bob");
    for _ in 0..2 {
        passes(
            &backend,
            write(&gateway, "PUT /x?op=MKDIRS", &token).body(""),
            "a whole token",
        );
        passes(
            &backend,
            write(&gateway, "POST /x", &token).body("a body"),
            "a whole token",
        );
    }
    passes(
        &backend,
        write(&gateway, "PUT /x", "Basic YTpi").body(""),
        "another scheme",
    );
    // a request without a body loses no data
    for (what, token) in first_legs() {
        passes(&backend, write(&gateway, "GET /x", &token), what);
        passes(
            &backend,
            write(&gateway, "PUT /x", &token).body("a body"),
            what,
        );
    }
}
