//! What is refused and tolerated, byte by byte.

use std::io::Write;

use spnegate::testing::{AccessLog, AccessLogTarget, LogFormat};

use crate::harness::{CLOSE, SHORT, answer, server, to_end};

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

/// hyper answers these by itself, with a bare head and nothing in any log.
#[test]
fn what_is_no_request_has_a_page_and_a_line_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("access.log");
    let target = AccessLogTarget::File(file.clone());
    let log = AccessLog::open(&target, LogFormat::Json).unwrap();
    let server = server()
        .access(log.clone())
        .timeouts(|t| t.head = SHORT)
        .run();
    let large = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(70_000));
    let forms: &[(&[u8], u16, &str)] = &[
        (b"hello\r\n\r\n", 400, "bad_request"),
        (b"\r\n\0\r\n\r\n", 400, "bad_request"),
        (
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
            400,
            "bad_request",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 400, "bad_request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad_request"),
        (b"GET /\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", 400, "bad_request"),
        (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nX: 1\r\n 2\r\n\r\n", 400, "bad_request"),
        (
            b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
            400,
            "bad_request",
        ),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\na",
            400,
            "bad_request",
        ),
        (
            b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "bad_request",
        ),
        (large.as_bytes(), 431, "head_too_large"),
        (b"GET / HTTP/1.1\r\nHost", 408, "head_timeout"),
    ];
    for (bytes, status, reason) in forms {
        let said = server.say(bytes);
        let shown = bytes.escape_ascii().take(60).map(char::from);
        let shown: String = shown.collect();
        assert!(
            said.starts_with(&format!("HTTP/1.1 {status} ")),
            "{shown}: {said}"
        );
        assert_eq!(said.matches("HTTP/1.").count(), 1, "{shown}: {said}");
        assert!(said.contains("connection: close\r\n"), "{shown}: {said}");
        assert!(said.trim_end().ends_with(reason), "{shown}: {said}");
    }
    log.control().close();
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), forms.len(), "{text}");
    for (line, (_, status, reason)) in lines.iter().zip(forms) {
        assert_eq!(line["status"], *status, "{line}");
        assert_eq!(line["reason"], *reason, "{line}");
        assert_eq!(line["client"], "127.0.0.1", "{line}");
        assert_eq!(line["method"], serde_json::Value::Null, "{line}");
        assert!(line["bytes"].as_u64().unwrap() > 0, "{line}");
    }
}

#[test]
fn what_is_no_request_behind_one_has_a_page_too() {
    let server = server().run();
    let said = server.say(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\nno request\r\n\r\n");
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    assert!(said.contains("GET /first"), "{said}");
    assert!(said.contains("HTTP/1.1 400 Bad Request"), "{said}");
    assert!(said.trim_end().ends_with("bad_request"), "{said}");
    // and on a connection that was used before
    let mut tcp = server.connect();
    tcp.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    answer(&mut tcp);
    tcp.write_all(b"no request\r\n\r\n").unwrap();
    assert!(to_end(&mut tcp).contains("bad_request"));
}

#[test]
fn a_length_beyond_what_servers_can_count_is_refused() {
    let server = server().run();
    for length in [
        "9223372036854775808",
        "18446744073709551613",
        "18446744073709551614",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999999999999999",
    ] {
        for method in ["POST", "PUT", "GET", "DELETE"] {
            let said = server.say(
                format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\nab")
                    .as_bytes(),
            );
            let refused = said.starts_with("HTTP/1.1 400 ") && said.contains("bad_request");
            assert!(refused, "{method} {length}: {said}");
        }
    }
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
    assert!(said.contains("head_too_large"), "{said}");
}

#[test]
fn a_head_below_64_kib_passes() {
    let head = format!("GET / HTTP/1.1\r\nX: {}\r\n{CLOSE}", "a".repeat(60_000));
    let said = server().run().say(head.as_bytes());
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}
