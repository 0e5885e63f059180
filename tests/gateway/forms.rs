//! Forms above the replay buffer: they are streamed, and one that names an identity is cut before
//! its end.

use spnegate::testing::Refusal;

use crate::{
    backend::{Backend, backend},
    proxy::{Gateway, gateway},
};

/// Far larger than the replay buffer.
const LARGE: usize = 4_000_000;

fn oozie(backend: &Backend) -> Gateway {
    let gateway = gateway().console("oozie").identity("doas");
    gateway.backend(backend).run()
}

#[test]
fn a_large_form_is_streamed_to_the_server_unchanged() {
    let backend = backend();
    let gateway = oozie(&backend);
    for unit in ["a=1&b=%20+&", "{\"json\": [1, 2, 3]},\n", "value="] {
        backend.forget();
        let form = unit.repeat(LARGE / unit.len());
        let post = gateway.ask("POST /oozie/v1/jobs").by("alice").form(&form);
        post.response().is_ok("alice");
        assert!(backend.only().body == form.as_bytes(), "{unit}");
    }
    // a body without Content-Length
    backend.forget();
    let mut client = gateway.connect();
    let chunked = gateway
        .ask("POST /oozie/v1/jobs")
        .by("alice")
        .header("Content-Type", "application/x-www-form-urlencoded")
        .header("Transfer-Encoding", "chunked");
    client.send(chunked.bytes());
    let chunk = "a=1&b=2&".repeat(10_000);
    for _ in 0..50 {
        client.send(format!("{:x}\r\n{chunk}\r\n", chunk.len()));
    }
    client.send("0\r\n\r\n");
    client.response().is_ok("alice");
    assert!(backend.only().body == chunk.repeat(50).as_bytes());
}

#[test]
fn a_large_form_that_names_an_identity_never_reaches_the_server_complete() {
    let backend = backend();
    let gateway = oozie(&backend);
    let ready = gateway.ask("GET /oozie/v1/admin/status").by("alice");
    ready.response().is_ok("alice");
    backend.forget();
    for unit in ["a=1&b=2&", "{\"json\": 1},"] {
        for end in ["&doAs=bob", ";user.name=bob", "&%64oAs=bob", "&a=%zz"] {
            let form = unit.repeat(100_000) + end;
            let post = gateway.ask("POST /oozie/v1/jobs").by("alice").form(&form);
            post.response().is(Refusal::BadForm);
            assert!(backend.seen().is_empty(), "{unit} {end}");
        }
    }
    for needle in ["doAs=bob", "user.name", "bob"] {
        assert!(!backend.got(needle), "{needle}");
    }
}
