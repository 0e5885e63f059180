//! Paths, hosts and methods: the bytes that were checked are forwarded unchanged.

use spnegate::testing::Refusal;

use crate::{
    backend::{Logins, backend, reply},
    proxy::{gateway, generic},
};

#[test]
fn ordinary_paths_are_forwarded_byte_for_byte() {
    let backend = backend();
    let gateway = generic(&backend);
    for path in [
        "/webhdfs/v1//tmp/a%20b",
        "/x;jsessionid=1/y",
        "/a=x%252Fy/100%25",
        "/%C3%BC%7Euser/~x",
        "/.hidden/..b/c...",
        "/a%3Bb%2Cc",
        "/a:b@c!$&'()*+,=",
    ] {
        backend.forget();
        gateway
            .ask(&format!("GET {path}"))
            .by("alice")
            .response()
            .is_ok("nobody");
        let line = format!("GET {path} HTTP/1.1\r\n");
        assert!(backend.only().raw_text().starts_with(&line), "{path}");
    }
}

#[test]
fn paths_that_parsers_read_differently_reach_no_backend() {
    let backend = backend();
    let gateway = generic(&backend);
    for path in [
        "/a/../b",
        "/a/./b",
        "/..",
        "/a/..;/b",
        "/a/..;x=y/b",
        "/a/%2e%2e/b",
        "/a/%2E./b",
        "/a/%252e%252e/b",
        "/a/..%2fb",
        "/a%2fb",
        "/a%2Fb",
        "/a/..%252fb",
        "/a/..%5cb",
        "/a%5cb",
        "/a\\b",
        "/a%00",
        "/a%0d%0aHost:evil",
        "/a%7f",
        "/a%c0%ae%c0%ae/b",
        "/a%e0%80%ae",
        "/a%ff",
        "/a%",
        "/a%4",
        "/a%zz",
        "/%6fozie",
        "//evil.example.org/x",
    ] {
        let answer = gateway.ask(&format!("GET {path}")).by("alice").response();
        assert_eq!(answer.status, 400, "{path}: {}", answer.all_text());
        assert_eq!(backend.seen().len(), 0, "{path}");
    }
}

#[test]
fn the_fault_of_a_refused_path_query_or_host_is_reported() {
    let backend = backend();
    let gateway = generic(&backend);
    for accept in ["text/html", "application/json", "*/*"] {
        let ask = |target: &str, host: Option<&str>| {
            let asking = gateway
                .ask(&format!("GET {target}"))
                .header("Accept", accept);
            match host {
                Some(host) => asking.host(Some(host)).response(),
                None => asking.response(),
            }
        };
        for (target, detail) in [
            ("/a%5Cb", "a backslash at byte 2 of the path (`%5C`)"),
            ("/a/../b", "a dot segment at byte 3 of the path (`..`)"),
            (
                "/a%2Fb",
                "an escaped slash (allow_encoded_slash) at byte 2 of the path (`%2F`)",
            ),
        ] {
            let answer = ask(target, None);
            answer.is(Refusal::BadPath);
            assert!(answer.text().contains(detail), "{}", answer.text());
        }
        let query = gateway.ask("GET /a?x=%zz").by("alice");
        let answer = query.header("Accept", accept).response();
        answer.is(Refusal::BadQuery);
        let said = answer.text();
        assert!(said.contains("an invalid escape in the query"), "{said}");
        let answer = ask("/a", Some("a@b"));
        answer.is(Refusal::BadHost);
        assert!(
            answer.text().contains("a malformed host"),
            "{}",
            answer.text()
        );
    }
}

#[test]
fn an_encoded_slash_passes_where_the_console_allows_it() {
    let backend = backend();
    let gateway = gateway()
        .console("generic")
        .with("allow_encoded_slash = true")
        .backend(&backend)
        .run();
    gateway
        .ask("GET /t/row%2Fkey")
        .by("alice")
        .response()
        .is_ok("nobody");
    assert_eq!(backend.only().target, "/t/row%2Fkey");
    gateway
        .ask("GET /t/..%2Fkey")
        .by("alice")
        .response()
        .is(Refusal::BadPath);
}

#[test]
fn a_console_with_a_path_receives_only_requests_under_it() {
    let (oozie, rest) = (backend(), backend());
    let gateway = gateway()
        .console("generic")
        .name("sub")
        .with("path = \"/oozie\"")
        .with("allow = { users = [\"alice\"] }")
        .backend(&oozie)
        .console("generic")
        .name("rest")
        .with("allow = { users = [\"bob\"] }")
        .backend(&rest)
        .run();
    for path in ["/oozie", "/oozie/", "/oozie/v1?x=1"] {
        gateway
            .ask(&format!("GET {path}"))
            .by("alice")
            .response()
            .is_ok("nobody");
        gateway
            .ask(&format!("GET {path}"))
            .by("bob")
            .response()
            .is(Refusal::UserDenied);
    }
    for path in ["/oozier", "/Oozie/", "/x/oozie", "/"] {
        gateway
            .ask(&format!("GET {path}"))
            .by("bob")
            .response()
            .is_ok("nobody");
        gateway
            .ask(&format!("GET {path}"))
            .by("alice")
            .response()
            .is(Refusal::UserDenied);
    }
    // no spelling of a path avoids the rule for it
    for path in [
        "/./oozie",
        "/x/../oozie",
        "/%6fozie",
        "/oozie/../x",
        "//oozie",
        "/oozie%2f..%2fx",
    ] {
        for user in ["alice", "bob"] {
            gateway
                .ask(&format!("GET {path}"))
                .by(user)
                .response()
                .is(Refusal::BadPath);
        }
    }
    assert_eq!((oozie.seen().len(), rest.seen().len()), (3, 4));
}

#[test]
fn a_path_outside_every_console_is_not_found() {
    let backend = backend();
    let gateway = gateway()
        .console("generic")
        .with("path = \"/only\"")
        .backend(&backend)
        .run();
    gateway
        .ask("GET /only/x")
        .by("alice")
        .response()
        .is_ok("nobody");
    gateway
        .ask("GET /other")
        .by("alice")
        .response()
        .is(Refusal::NotFound);
}

#[test]
fn hosts_match_exactly_and_the_backend_receives_its_own_host() {
    let backend = backend();
    let gateway = generic(&backend);
    let proxy = &gateway.world.proxy;
    let ask = |host: &str| {
        gateway
            .ask("GET /x")
            .by("alice")
            .host(Some(host))
            .response()
    };
    for host in [
        proxy.clone(),
        proxy.to_uppercase(),
        format!("{proxy}:1"),
        format!("{proxy}:"),
    ] {
        ask(&host).is_ok("nobody");
    }
    for seen in backend.seen() {
        assert_eq!(
            seen.header("host"),
            Some(backend.address().to_string().as_str())
        );
    }
    backend.forget();
    for host in [
        "", "a,b", "a@b", "x y", "proxy/", "[::1", "a:b", "a:0", "a:65536", "a%2eb",
    ] {
        ask(host).is(Refusal::BadHost);
    }
    for host in [
        "localhost",
        "127.0.0.1",
        &format!("{proxy}."),
        &format!("x.{proxy}"),
    ] {
        ask(host).is(Refusal::UnknownHost);
    }
    let listed = format!("{proxy}, evil.example.org");
    ask(&listed).is(Refusal::BadHost);
    gateway
        .ask("GET /x")
        .by("alice")
        .host(None)
        .response()
        .is(Refusal::BadHost);
    let two = gateway
        .ask("GET /x")
        .by("alice")
        .header("Host", proxy)
        .response();
    two.is(Refusal::BadHost);
    assert_eq!(backend.seen().len(), 0);
}

#[test]
fn the_absolute_form_must_agree_with_host_and_becomes_the_origin_form() {
    let backend = backend();
    let gateway = generic(&backend);
    let (proxy, port) = (&gateway.world.proxy, gateway.address().port());
    let target = |authority: &str| format!("GET http://{authority}/x?y");
    gateway
        .ask(&target(&format!("{proxy}:{port}")))
        .by("alice")
        .response()
        .is_ok("nobody");
    assert_eq!(backend.only().target, "/x?y");
    backend.forget();
    for authority in [
        "evil.example.org",
        &format!("{proxy}:1"),
        &format!("u@{proxy}:{port}"),
    ] {
        gateway
            .ask(&target(authority))
            .by("alice")
            .response()
            .is(Refusal::BadHost);
    }
    assert_eq!(backend.seen().len(), 0);
}

#[test]
fn all_methods_except_connect_and_trace_are_forwarded() {
    let backend = backend();
    let gateway = generic(&backend);
    for method in [
        "GET", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "PROPFIND",
    ] {
        gateway
            .ask(&format!("{method} /x"))
            .by("alice")
            .response()
            .is_ok("nobody");
    }
    let methods: Vec<String> = backend.seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(
        methods,
        [
            "GET", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "PROPFIND"
        ]
    );
    backend.forget();
    for line in ["TRACE /x", "CONNECT evil.example.org:443", "CONNECT /x"] {
        let answer = gateway.ask(line).by("alice").response();
        assert!(
            [400, 405].contains(&answer.status),
            "{line}: {}",
            answer.head
        );
    }
    assert_eq!(backend.seen().len(), 0);
}

#[test]
fn options_for_the_whole_server_is_authenticated_and_answered() {
    let backend = backend();
    let gateway = generic(&backend);
    gateway
        .ask("OPTIONS *")
        .response()
        .is(Refusal::LoginRequired);
    gateway
        .ask("OPTIONS *")
        .by("alice")
        .response()
        .is_ok("nobody");
    assert_eq!(backend.only().target, "*");
}

/// Only the exact path needs no login; other spellings and headers do not open it.
#[test]
fn only_the_health_page_needs_no_login() {
    let backend = backend();
    let gateway = generic(&backend);
    for target in [
        "/.spnegate/health/",
        "/.spnegate/health/x",
        "/x?/.spnegate/health",
        "/.spnegate/Health",
        "/.spnegate/health;x",
        "/.spnegate/whoami",
    ] {
        let answer = gateway
            .ask(&format!("GET {target}"))
            .header("User-Agent", "kube-probe/1.0")
            .header("X-Original-URL", "/.spnegate/health")
            .response();
        answer.is(Refusal::LoginRequired);
    }
    for target in [
        "/.spnegate/%68ealth",
        "/x/../.spnegate/health",
        "/.spnegate//../health",
    ] {
        gateway
            .ask(&format!("GET {target}"))
            .response()
            .is(Refusal::BadPath);
    }
    assert_eq!(backend.seen().len(), 0);
}

/// HDFS allows such file names (`a\b`); every other console might read a slash.
#[test]
fn an_escaped_backslash_in_a_name_is_forwarded() {
    let datanode = backend().logins(Logins::Open);
    let place = datanode.url();
    let hdfs = backend().responds(move |seen| {
        let to = format!("{place}{}", seen.target);
        reply(307).with("Location", &to)
    });
    let (host, port) = (datanode.address().ip(), datanode.address().port());
    let other = backend();
    let gateway = gateway()
        .console("namenode")
        .identity("doas")
        .with("path = \"/webhdfs\"")
        .with(&format!(
            "nodes = {{ hosts = [\"{host}\"], ports = [{port}] }}"
        ))
        .backend(&hdfs)
        .console("generic")
        .backend(&other)
        .run();
    let target = "/webhdfs/v1/a%5Cb%5cc?op=OPEN";
    let answer = gateway.ask(&format!("GET {target}")).by("alice").response();
    assert_eq!(answer.status, 307, "{}", answer.all_text());
    assert_eq!(
        hdfs.only().target,
        "/webhdfs/v1/a%5Cb%5cc?doas=alice&op=OPEN"
    );
    let link = answer.header("location").unwrap();
    let link = &link[link.find("/.spnegate").unwrap()..];
    let answer = gateway.ask(&format!("GET {link}")).response();
    assert_eq!(answer.status, 200, "{}", answer.all_text());
    assert_eq!(datanode.only().path(), "/webhdfs/v1/a%5Cb%5cc");
    for path in [
        "/x/a%5Cb",
        "/webhdfsx/a%5Cb",
        "/.spnegate/a%5Cb",
        "/.spnegate/node/http/dn:1/a%5Cb",
        "/webhdfs/v1/a\\b",
        "/webhdfs/v1/a%5C..%5Cb",
        "/webhdfs/v1/..%5Cb",
        "/webhdfs/..%5C..%5Cconf",
    ] {
        let answer = gateway.ask(&format!("GET {path}")).by("alice").response();
        answer.is(Refusal::BadPath);
    }
    assert_eq!((hdfs.seen().len(), other.seen().len()), (1, 0));
}
