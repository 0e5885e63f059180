//! Framing of responses: a response reaches the client unambiguously or not at all.

use spnegate::testing::Refusal;

use crate::{
    backend::{AfterResponse, backend, raw, reply},
    proxy::before,
};

#[test]
fn invalid_framing_in_a_response_is_refused() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nabcd",
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: a\rSet-Cookie: b\r\n\r\n",
    ] {
        let backend =
            backend().responds(move |_| raw(answer.as_bytes()).then(AfterResponse::Close));
        let gateway = before(&backend);
        gateway
            .ask("POST /x")
            .by("alice")
            .response()
            .is(Refusal::BackendBroken);
        assert_eq!(backend.seen().len(), 1);
    }
}

/// A response with Content-Length and Transfer-Encoding (RFC 9112, section 6.3): the client
/// receives one of them, and the backend connection is not reused.
#[test]
fn a_response_with_two_framings_reaches_the_client_with_one() {
    let backend = backend().responds(|_| {
        raw(
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
        )
    });
    let gateway = before(&backend);
    let answer = gateway.ask("GET /x").by("alice").response();
    if answer.status == 200 {
        assert_eq!(answer.text(), "abcd");
        assert!(
            answer.header("content-length").is_none()
                || answer.header("transfer-encoding").is_none()
        );
    } else {
        answer.is(Refusal::BackendBroken);
    }
}

#[test]
fn interim_responses_and_responses_ended_by_the_connection_are_read_correctly() {
    let backend = backend().responds(|seen| match seen.path() {
        "/hints" => raw(
            b"HTTP/1.1 103 Early Hints\r\nLink: secret\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
              HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ),
        _ => raw(b"HTTP/1.0 200 OK\r\nX-Old: yes\r\n\r\nuntil the end").then(AfterResponse::Close),
    });
    let gateway = before(&backend);
    let mut client = gateway.ask("GET /hints").by("alice").send();
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200 "));
    for _ in 0..2 {
        let mut client = gateway.ask("GET /old").by("alice").send();
        let answer = client.response();
        answer.is_ok("until the end");
        assert_eq!(answer.header("x-old"), Some("yes"));
    }
}

/// Below `/proxy/` of a ResourceManager, responses are written by any user's application.
#[test]
fn response_headers_that_apply_to_the_whole_host_are_removed() {
    let headers = [
        ("Service-Worker-Allowed", "/"),
        ("Strict-Transport-Security", "max-age=31536000"),
        ("Clear-Site-Data", "\"*\""),
        ("Alt-Svc", "h3=\":443\""),
        ("Public-Key-Pins", "pin-sha256=\"x\""),
        ("NEL", "{}"),
        ("Report-To", "{}"),
        ("Set-Cookie2", "hadoop.auth=x"),
        ("X-Accel-Redirect", "/secret"),
    ];
    let backend = backend().responds(move |_| {
        let with = |reply: crate::backend::Reply, (name, value)| reply.with(name, value);
        headers
            .into_iter()
            .fold(reply(200).with("X-Own", "kept").body("page"), with)
    });
    let gateway = crate::proxy::gateway()
        .console("resourcemanager")
        .identity("doas")
        .backend(&backend)
        .run();
    let answer = gateway
        .ask("GET /proxy/application_1_1/sw.js")
        .by("alice")
        .response();
    answer.is_ok("page");
    for (name, _) in headers {
        assert_eq!(answer.header(name), None, "{name}");
    }
    assert_eq!(answer.header("x-own"), Some("kept"));
}

#[test]
fn bytes_after_a_response_are_not_used_as_the_next_response() {
    let backend = backend().responds(|_| {
        raw(
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmineHTTP/1.1 200 OK\r\n\
              Content-Length: 6\r\n\r\nforged",
        )
    });
    let gateway = before(&backend);
    for _ in 0..20 {
        gateway.ask("GET /x").by("alice").response().is_ok("mine");
    }
}

#[test]
fn a_head_response_has_a_content_length_and_no_body() {
    let backend = backend().responds(|_| reply(200).body("12345"));
    let gateway = before(&backend);
    let mut client = gateway.connect();
    for _ in 0..3 {
        client.send(gateway.ask("HEAD /x").by("alice").bytes());
        let answer = client.answer_to("HEAD").unwrap();
        assert_eq!(
            (answer.status, answer.header("content-length")),
            (200, Some("5"))
        );
    }
    client.send(gateway.ask("GET /x").by("alice").bytes());
    client.response().is_ok("12345");
}

/// Chunked responses of Hadoop are small and arrive in one segment: their last chunk needs no write
/// of its own.
#[test]
fn a_small_chunked_response_gets_a_content_length() {
    let backend = backend().responds(|_| {
        raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nall \r\n5\r\nof it\r\n\
              0\r\n\r\n",
        )
    });
    let gateway = before(&backend);
    let mut client = gateway.connect();
    for _ in 0..3 {
        client.send(gateway.ask("GET /x").by("alice").bytes());
        let answer = client.response();
        answer.is_ok("all of it");
        assert_eq!(answer.header("content-length"), Some("9"));
        assert_eq!(answer.header("transfer-encoding"), None);
    }
    client.send(gateway.ask("HEAD /x").by("alice").bytes());
    let answer = client.answer_to("HEAD").unwrap();
    assert_eq!(
        (answer.status, answer.header("content-length")),
        (200, None)
    );
}

/// Hadoop's servers send the last chunk in a segment of its own.
#[test]
fn the_gateway_waits_briefly_for_the_last_chunk_of_a_small_response() {
    let begun = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmost\r\n";
    let backend = backend().responds(|_| raw(begun).then(AfterResponse::End));
    let gateway = before(&backend);
    // on a busy machine the last chunk may sometimes come too late
    let with_length = (0..30).filter(|_| {
        let answer = gateway.ask("GET /x").by("alice").response();
        answer.is_ok("most");
        answer.header("content-length") == Some("4")
    });
    assert!(with_length.count() > 0);

    let backend = backend.responds(|_| raw(begun).then(AfterResponse::Hang));
    let mut client = gateway.ask("GET /x").by("alice").send();
    assert!(client.head().unwrap().contains("transfer-encoding"));
    assert_eq!(client.exactly(9), b"4\r\nmost\r\n");
    drop(backend);
}

#[test]
fn a_response_cut_by_the_backend_is_cut_for_the_client_too() {
    let backend = backend().responds(|_| {
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this").then(AfterResponse::Close)
    });
    let gateway = before(&backend);
    let mut client = gateway.ask("GET /x").by("alice").send();
    let all = client.to_end();
    assert!(all.ends_with("only this"), "{all}");
    assert_eq!(backend.seen().len(), 1, "what has begun is not asked again");
    let backend = backend.responds(|_| {
        raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            .then(AfterResponse::Close)
    });
    let asking = gateway.ask("GET /x").by("alice");
    let mut client = asking.header("Connection", "close").send();
    let all = client.to_end();
    // nothing of the response may have been sent when the backend closes the connection
    let refused = all.starts_with("HTTP/1.1 502 ") && all.contains("backend_broken");
    assert!(
        refused || (all.contains("hello") && !all.ends_with("0\r\n\r\n")),
        "{all}"
    );
    drop(backend);
}
