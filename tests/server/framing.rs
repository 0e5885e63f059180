//! What is refused and tolerated, byte by byte.

use crate::harness::{CLOSE, server};

#[test]
fn what_is_refused_by_raw_bytes() {
    let server = server().run();
    for (what, bytes) in [
        (
            "CL then TE",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "TE then CL",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        ),
        (
            "differing CL",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        ),
        (
            "comma CL",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
        ),
        (
            "signed CL",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
        ),
        (
            "obs-fold",
            "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n",
        ),
        (
            "bare CR in a value",
            "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r2\r\n\r\n",
        ),
        (
            "space before the colon",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc",
        ),
        (
            "NUL in a value",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        ),
        (
            "TE on HTTP/1.0",
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "TE not ending in chunked",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
        ),
        (
            "TE of two codings",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "TE twice",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "TE with a vertical tab",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        ),
        (
            "chunk size with 0x",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
        ),
        (
            "chunk size with a sign",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
        ),
        (
            "chunk size that overflows",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\na\r\n0\r\n\r\n",
        ),
        (
            "chunk longer than its size",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
        ),
        (
            "bare LF after a chunk size",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
        ),
        (
            "a space in the target",
            "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        ),
        ("HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ] {
        let said = server.say(bytes.as_bytes());
        assert!(
            said.starts_with("HTTP/1.1 400") || said.starts_with("HTTP/1.0 400"),
            "{what}: {said}"
        );
        assert_eq!(said.matches("HTTP/1.").count(), 1, "{what}: {said}");
    }
}

#[test]
fn the_preface_of_http_2_is_closed_on() {
    assert_eq!(server().run().say(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "");
}

#[test]
fn what_is_tolerated_reaches_the_service_unambiguous() {
    let server = server().run();
    for (what, bytes, seen) in [
        (
            "bare LF",
            "GET /a HTTP/1.1\nHost: a\nConnection: close\n\n",
            "GET /a \"\"",
        ),
        (
            "equal CL twice",
            "POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
            "POST /b \"abc\"",
        ),
        (
            "no Host",
            "GET /c HTTP/1.1\r\nConnection: close\r\n\r\n",
            "GET /c \"\"",
        ),
        (
            "blank lines first",
            "\r\n\r\nGET /d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "GET /d \"\"",
        ),
        (
            "chunk extension",
            "POST /e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1;a=b\r\nz\r\n0\r\n\r\n",
            "POST /e \"z\"",
        ),
    ] {
        let said = server.say(bytes.as_bytes());
        assert!(said.starts_with("HTTP/1.1 200"), "{what}: {said}");
        assert!(said.contains(seen), "{what}: {said}");
    }
}

#[test]
fn both_framings_are_refused_behind_pipelined_requests_too() {
    let said = server().run().say(
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
          POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n\
          GET /never HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    assert!(said.contains("HTTP/1.1 400"), "{said}");
    assert!(!said.contains("/never"), "{said}");
}

#[test]
fn a_head_that_is_too_large_is_answered_with_431() {
    let head = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(70_000));
    let said = server().run().say(head.as_bytes());
    assert!(said.starts_with("HTTP/1.1 431"), "{said}");
}

#[test]
fn a_head_below_64_kib_passes() {
    let head = format!("GET / HTTP/1.1\r\nX: {}\r\n{CLOSE}", "a".repeat(60_000));
    let said = server().run().say(head.as_bytes());
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}
