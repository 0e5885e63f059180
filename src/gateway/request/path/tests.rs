use proptest::prelude::*;

use super::*;

#[test]
fn ordinary_paths_pass() {
    for path in [
        "/",
        "/webhdfs/v1/user/alice/a.txt",
        "/webhdfs/v1//tmp",
        "/a/...",
        "/a/..b/c..",
        "/a/.hidden/.spnegate",
        "/x;jsessionid=1/y",
        "/hive/dt=2020-01-01%2000%3A00/a=x%252Fy",
        "/100%25",
        "/100%2525",
        "/%C3%BC/ü/%7Euser/~x",
        "/a%3Bb",
    ] {
        assert_eq!(check(path, AllowedEscapes::NOTHING), Ok(()), "{path}");
    }
}

#[test]
fn what_two_parsers_read_differently_is_refused() {
    for (path, error) in [
        ("", PathFault::Form),
        ("*", PathFault::Form),
        ("a/b", PathFault::Form),
        ("//evil/x", PathFault::DoubleSlash),
        ("/.", PathFault::DotSegment),
        ("/a/../b", PathFault::DotSegment),
        ("/a/./b", PathFault::DotSegment),
        ("/a/..", PathFault::DotSegment),
        ("/a/..;/b", PathFault::DotSegment),
        ("/a/.;x=y/b", PathFault::DotSegment),
        ("/a/%2e%2e/b", PathFault::DotSegment),
        ("/a/.%2E/b", PathFault::DotSegment),
        ("/a%2eb", PathFault::DotSegment),
        ("/a/%252e%252e/b", PathFault::DotSegment),
        ("/a/..%252fb", PathFault::DotSegment),
        ("/a/..%255cb", PathFault::DotSegment),
        ("/a/%25252e./b", PathFault::DotSegment),
        ("/a/..%3B/b", PathFault::DotSegment),
        ("/a\\b", PathFault::Backslash),
        ("/a%5Cb", PathFault::Backslash),
        ("/a%00", PathFault::Control),
        ("/a%0d%0ab", PathFault::Control),
        ("/a%7f", PathFault::Control),
        ("/a\u{7f}", PathFault::Control),
        ("/a b", PathFault::Control),
        ("/a#b", PathFault::Control),
        ("/a%", PathFault::Escape),
        ("/a%4", PathFault::Escape),
        ("/a%u002e", PathFault::Escape),
        ("/a%+1", PathFault::Escape),
        ("/a%c0%ae", PathFault::Encoding),
        ("/a%e9", PathFault::Encoding),
        ("/a%ed%a0%80", PathFault::Encoding),
        ("/a%2Fb", PathFault::Slash),
        ("/%6fozie", PathFault::Needless),
        ("/a%5fb", PathFault::Needless),
        ("/%2525252525", PathFault::Nested),
    ] {
        assert_eq!(
            check(path, AllowedEscapes::NOTHING).map_err(|e| e.fault),
            Err(error),
            "{path}"
        );
    }
}

#[test]
fn a_refusal_names_the_byte() {
    for (path, text) in [
        ("/a\\b", "a backslash at byte 2 of the path (`\\\\`)"),
        ("/ab%5Cc", "a backslash at byte 3 of the path (`%5C`)"),
        ("/a/../b", "a dot segment at byte 3 of the path (`..`)"),
        ("/a%", "an invalid escape at byte 2 of the path (`%`)"),
        (
            "/a\u{7f}",
            "a control byte, blank, `#` or `?` at byte 2 of the path (`\\x7f`)",
        ),
        (
            "/x%2Fy",
            "an escaped slash (allow_encoded_slash) at byte 2 of the path (`%2F`)",
        ),
        (
            "//a",
            "a path that begins with two slashes at byte 0 of the path (`/`)",
        ),
        ("", "not a path at byte 0 of the path (``)"),
    ] {
        assert_eq!(
            check(path, AllowedEscapes::NOTHING)
                .unwrap_err()
                .describe(path),
            text
        );
    }
}

#[test]
fn an_escaped_slash_passes_where_allowed_but_hides_no_dots() {
    let allowed = AllowedEscapes {
        slash: true,
        backslash: false,
    };
    assert_eq!(check("/t/row%2Fkey", allowed), Ok(()));
    assert_eq!(
        check("/t/..%2Fkey", allowed).unwrap_err().fault,
        PathFault::DotSegment
    );
    assert_eq!(
        check("/t/a%2F..", allowed).unwrap_err().fault,
        PathFault::DotSegment
    );
    assert_eq!(
        check("/t/a%5Cb", allowed).unwrap_err().fault,
        PathFault::Backslash
    );
}

#[test]
fn an_escaped_backslash_passes_where_allowed_but_hides_no_dots() {
    let allowed = AllowedEscapes {
        slash: false,
        backslash: true,
    };
    for path in ["/v1/a%5Cb", "/v1/%5c", "/v1/a%255Cb", "/v1/...%5C..a"] {
        assert_eq!(check(path, allowed), Ok(()), "{path}");
    }
    for (path, error) in [
        ("/v1/a\\b", PathFault::Backslash),
        ("/v1/..%5Cb", PathFault::DotSegment),
        ("/v1/a%5C..", PathFault::DotSegment),
        ("/v1/a%5C.%5Cb", PathFault::DotSegment),
        ("/v1/a%5C..;x%5Cb", PathFault::DotSegment),
        ("/v1/a%5C%2e%2e", PathFault::DotSegment),
        ("/v1/a%5C%252e%252e", PathFault::DotSegment),
        ("/v1/a%5C%2Fb", PathFault::Slash),
    ] {
        let found = check(path, allowed).map_err(|e| e.fault);
        assert_eq!(found, Err(error), "{path}");
    }
}

#[test]
fn every_form_of_a_target_is_read() {
    let uri: Uri = "http://gw:50070/a?b".parse().unwrap();
    let path = RequestTarget::Path {
        path: "/a",
        query: Some("b"),
    };
    assert_eq!(
        target(&Method::GET, &uri, AllowedEscapes::NOTHING),
        Ok(path)
    );
    let uri: Uri = "*".parse().unwrap();
    let nothing = AllowedEscapes::NOTHING;
    let form = Err(PathError {
        fault: PathFault::Form,
        at: 0,
    });
    assert_eq!(
        target(&Method::OPTIONS, &uri, nothing),
        Ok(RequestTarget::Server)
    );
    assert_eq!(target(&Method::GET, &uri, nothing), form);
    let uri: Uri = "gw:443".parse().unwrap();
    assert_eq!(target(&Method::CONNECT, &uri, nothing), form);
}

#[test]
fn a_prefix_ends_at_a_slash() {
    assert!(is_under("/oozie", "/oozie") && is_under("/oozie/v1", "/oozie"));
    assert!(!is_under("/oozier", "/oozie") && !is_under("/Oozie/", "/oozie"));
    assert!(is_under("/x", ""));
}

/// A server that decodes `times` and then walks the segments: how deep it ends below the root.
fn climbs(path: &str, times: usize) -> bool {
    let mut bytes = path.as_bytes().to_vec();
    for _ in 0..times {
        bytes = percent_encoding::percent_decode(&bytes).collect();
    }
    let text = String::from_utf8_lossy(&bytes).replace('\\', "/");
    text.split('/')
        .any(|segment| segment.split(';').next() == Some(".."))
}

proptest! {
    #[test]
    fn no_server_climbs(parts in prop::collection::vec(
        prop_oneof![
            Just("/"), Just(".."), Just("."), Just("%2e"), Just("%25"), Just("2e"), Just("%2f"),
            Just("5c"), Just("\\"), Just(";"), Just("a"), Just("%c0%ae"), Just("2f"),
            Just("%5c"),
        ], 0..10), slash: bool, backslash: bool) {
        let path = format!("/{}", parts.concat());
        if check(&path, AllowedEscapes { slash, backslash }).is_ok() {
            for times in 0..6 {
                prop_assert!(!climbs(&path, times), "{path}");
            }
        }
    }

    #[test]
    fn any_text_is_checked(path in ".*") {
        for allowed in [AllowedEscapes::NOTHING, AllowedEscapes { slash: true, backslash: true }] {
            if let Err(error) = check(&path, allowed) {
                let text = error.describe(&path);
                prop_assert!(error.at <= path.len() && text.len() < 160, "{text}");
                prop_assert!(text.bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{text}");
            }
        }
    }
}
