//! Request headers that name a user or control forwarding, and response headers that are passed on.

use spnegate::testing::Refusal;

use crate::{
    backend::{Logins, backend, raw, reply},
    client::Client,
    proxy::{gateway, namenode},
    world::world,
};

/// Servers compare `Origin` and `Referer` with `Host` (WebSocket endpoints, CSRF filters).
#[test]
fn origin_and_referer_of_the_consoles_own_pages_name_the_backend() {
    let backend = backend();
    let gateway = namenode(&backend);
    let own = format!("http://{}:{}", world().proxy, gateway.address().port());
    let other = format!("http://{}:1", world().proxy);
    let theirs = backend.url();
    for (origin, referer, got_origin, got_referer) in [
        (
            own.clone(),
            format!("{own}/a/b?c=d"),
            theirs.clone(),
            Some(format!("{theirs}/a/b?c=d")),
        ),
        // a page of another console or another site: the backend decides
        (
            other.clone(),
            format!("{other}/a"),
            other.clone(),
            Some(format!("{other}/a")),
        ),
        (
            "http://wiki.example.org".into(),
            "http://wiki.example.org/x".into(),
            "http://wiki.example.org".into(),
            Some("http://wiki.example.org/x".into()),
        ),
        // the address of a node link contains its signature
        (
            own.clone(),
            format!("{own}/.spnegate/node/http/dn1:9864/f?.spnegate=1.secret"),
            theirs.clone(),
            None,
        ),
    ] {
        backend.forget();
        let asking = gateway.ask("GET /x").by("alice");
        let asking = asking.header("Origin", &origin).header("Referer", &referer);
        asking.response().is_ok("alice");
        let seen = backend.only();
        assert_eq!(seen.header("host"), theirs.strip_prefix("http://"));
        assert_eq!(seen.header("origin"), Some(&*got_origin));
        assert_eq!(seen.header("referer"), got_referer.as_deref());
    }
}

/// A backend that receives the public host name compares `Origin` with that name.
#[test]
fn origin_and_referer_are_unchanged_where_the_backend_receives_the_gateways_host() {
    let backend = backend();
    let gateway = gateway()
        .console("generic")
        .backend(&backend)
        .with("forwarded = \"x-forwarded\"")
        .run();
    let own = format!("http://{}:{}", world().proxy, gateway.address().port());
    let asking = gateway.ask("POST /x").by("alice").header("Origin", &own);
    asking.response().is_ok("nobody");
    let seen = backend.only();
    assert_eq!(seen.header("origin"), Some(&*own));
    assert_eq!(seen.header("x-forwarded-host"), own.strip_prefix("http://"));
}

#[test]
fn identity_headers_are_removed_in_every_spelling_and_other_headers_pass() {
    let backend = backend();
    let gateway = namenode(&backend);
    let mut request = gateway.ask("GET /x").by("alice");
    for name in [
        "X-Forwarded-For",
        "x_forwarded_for",
        "X.Forwarded.For",
        "X-Forwarded-User",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "Forwarded",
        "X-Real-IP",
        "x_real_ip",
        "X-Remote-User",
        "X_Remote_User",
        "x.remote.user",
        "x~remote~user",
        "REMOTE_USER",
        "Remote-User",
        "Proxy-Authorization",
        "Proxy-Connection",
        "SM_USER",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Client-Cert",
        "TE",
        "Trailer",
        "HTTP2-Settings",
        "content_length",
        "transfer_encoding",
    ] {
        request = request.header(name, "needle");
    }
    request = request
        .header("Accept", "a/b;q=1, */*")
        .header("X-Requested-By", "me")
        .header("X-XSRF-HEADER", "\"\"")
        .header("If-None-Match", "\"tag\"")
        .header("Range", "bytes=1-2");
    request.response().is_ok("alice");
    assert!(!backend.got("needle"), "{}", backend.only().raw_text());
    let seen = backend.only();
    let names: Vec<&str> = seen.headers.iter().map(|(name, _)| name.as_str()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(
        sorted,
        [
            "accept",
            "cookie",
            "host",
            "if-none-match",
            "range",
            "x-request-id",
            "x-requested-by",
            "x-xsrf-header"
        ]
    );
    assert_eq!(seen.header("accept"), Some("a/b;q=1, */*"));
    assert_eq!(
        seen.header("host"),
        Some(backend.address().to_string().as_str())
    );
}

/// The server behind a console may be another one than its `kind` says.
#[test]
fn the_identity_headers_of_every_kind_are_removed_on_every_console() {
    let names = [
        "X-Presto-User",
        "X-Presto-Prefix-Url",
        "X-Presto-Internal-Bearer",
        "X-Presto-Original-User",
        "X-Trino-User",
        "x_trino_user",
        "X-Trino-Original-User",
        "X-Trino-Original-Roles",
        "X-Trino-Internal-Bearer",
        "X-Hadoop-Delegation-Token",
        "Hadoop-YARN-Auth-Delegation-Token",
        "hadoop_yarn_auth_delegation_token",
        "X-Hive-Delegation-Token",
        "Cookie2",
        "X-Authorization",
        "X-Access-Token",
        "X-Knox-Actor-ID",
        "iv-user",
        "OIDC_CLAIM_sub",
        "X-Trusted-Proxy-Auth-Header",
    ];
    for kind in [
        "generic",
        "namenode",
        "resourcemanager",
        "oozie",
        "presto",
        "trino",
        "hiveserver2",
        "impala",
    ] {
        let coordinator = matches!(kind, "presto" | "trino");
        let (identity, logins, path) = if coordinator {
            ("doas", Logins::EveryRequest, "GET /v1/query")
        } else {
            ("service", Logins::Cookie, "GET /x")
        };
        let backend = backend().logins(logins);
        let setup = gateway().console(kind).identity(identity);
        let gateway = setup.backend(&backend).run();
        let mut request = gateway.ask(path).by("alice");
        for name in names {
            request = request.header(name, "needle");
        }
        let answer = request
            .header("X-Trino-Session", "a=b")
            .header("X-Presto-Source", "me")
            .response();
        let seen = backend.only();
        assert!(
            !backend.got("needle"),
            "{kind}: {} {}",
            seen.raw_text(),
            answer.all_text()
        );
        assert_eq!(seen.header("x-trino-session"), Some("a=b"));
        assert_eq!(seen.header("x-presto-source"), Some("me"));
    }
}

#[test]
fn without_login_the_identity_headers_of_every_kind_pass() {
    let backend = backend().logins(Logins::Open);
    let gateway = gateway()
        .console("generic")
        .identity("none")
        .backend(&backend)
        .run();
    gateway
        .ask("GET /x")
        .header("X-Trino-User", "carol")
        .header("X-Hadoop-Delegation-Token", "token")
        .header("Cookie2", "needle")
        .response();
    let seen = backend.only();
    assert_eq!(seen.header("x-trino-user"), Some("carol"));
    assert_eq!(seen.header("x-hadoop-delegation-token"), Some("token"));
    assert!(!backend.got("needle"));
}

#[test]
fn hop_by_hop_headers_are_removed_and_connection_cannot_remove_the_gateways_own() {
    let backend = backend();
    let gateway = namenode(&backend);
    let answer = gateway
        .ask("GET /x")
        .by("alice")
        .header(
            "Connection",
            "X-Remote-User, Cookie, Host, Keep-Alive, X-Odd",
        )
        .header("X-Odd", "needle")
        .header("Keep-Alive", "needle")
        .response();
    answer.is_ok("alice");
    let seen = backend.only();
    assert!(
        !backend.got("needle") && !backend.got("x-odd"),
        "{}",
        seen.raw_text()
    );
    assert!(seen.header("cookie").unwrap().starts_with("hadoop.auth="));
    assert_eq!(seen.do_as(), Some("alice"));
}

#[test]
fn the_clients_token_never_reaches_a_backend() {
    let backend = backend();
    let gateway = gateway().console("generic").backend(&backend).run();
    let token = world().authorization("alice");
    let encoded = token.strip_prefix("Negotiate ").unwrap();
    let login = gateway
        .ask("GET /x")
        .header("Authorization", &token)
        .response();
    login.is_ok("nobody");
    let cookie = login.session().unwrap();
    // some clients repeat the token beside the cookie
    let again = gateway
        .ask("GET /y")
        .header("Authorization", &token)
        .header("Cookie", &cookie)
        .response();
    again.is_ok("nobody");
    gateway
        .ask("GET /z")
        .by("alice")
        .header("Authorization", "Basic bmVlZGxl")
        .header("Proxy-Authorization", "Basic bmVlZGxl")
        .response()
        .is_ok("nobody");
    assert!(!backend.got(encoded) && !backend.got("bmVlZGxl"));
    for seen in backend.seen() {
        assert_eq!(seen.header("authorization"), None, "{}", seen.raw_text());
    }
}

#[test]
fn the_negotiate_scheme_is_accepted_in_every_spelling() {
    let backend = backend();
    let gateway = gateway().console("generic").backend(&backend).run();
    for spelling in [
        "Negotiate ",
        "negotiate ",
        "NEGOTIATE  ",
        "Negotiate : ",
        "Negotiate: ",
    ] {
        let token = world()
            .authorization("alice")
            .replace("Negotiate ", spelling);
        let answer = gateway
            .ask("GET /x")
            .header("Authorization", &token)
            .response();
        answer.is_ok("nobody");
        let reply = answer.header("www-authenticate").unwrap();
        assert!(
            reply.starts_with("Negotiate o") || reply.starts_with("Negotiate Y"),
            "{reply}"
        );
    }
}

#[test]
fn an_invalid_token_never_causes_an_internal_error() {
    let gateway = gateway()
        .console("generic")
        .url(&crate::backend::unreachable_url())
        .run();
    let good = world().authorization("alice");
    let good = good.strip_prefix("Negotiate ").unwrap();
    let mut tokens: Vec<String> = [
        "", "=", "A", "AA", "YII=", "\"abc\"", "a b", "%41", "////", "oYIB", "YA==", "bg==", "oA==",
    ]
    .map(str::to_owned)
    .to_vec();
    // truncated tokens, and tokens with changed bytes
    for at in (4..good.len()).step_by(good.len() / 12) {
        tokens.push(good[..at].to_owned());
        let changed = if &good[at..=at] == "A" { "B" } else { "A" };
        tokens.push(format!("{}{changed}{}", &good[..at], &good[at + 1..]));
    }
    for token in tokens {
        let answer = gateway
            .ask("GET /x")
            .header("Authorization", &format!("Negotiate {token}"))
            .response();
        // a change outside every checksum may still log in, but the token reaches no backend
        assert!(
            [400, 401, 403, 431, 503].contains(&answer.status),
            "{token}: {}",
            answer.head
        );
        if answer.status == 503 {
            answer.is(Refusal::BackendDown);
        }
    }
}

#[test]
fn hop_by_hop_headers_and_trailers_of_a_response_are_removed() {
    let backend = backend().responds(|_| {
        raw(
            b"HTTP/1.1 200 Fine (secret)\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\
              Connection: X-Hop\r\nX-Hop: secret\r\nKeep-Alive: timeout=5\r\nServer: Jetty\r\n\
              Authentication-Info: secret\r\nWWW-Authenticate: Negotiate secret\r\nX-Own: kept\r\n\
              \r\n5\r\nhello\r\n0\r\nX-T: secret\r\n\r\n",
        )
    });
    let gateway = gateway().console("generic").backend(&backend).run();
    let mut client = gateway.ask("GET /x").by("alice").send();
    let answer = client.response();
    answer.is_ok("hello");
    assert_eq!(answer.header("x-own"), Some("kept"));
    assert_eq!(answer.header("server"), Some("Jetty"));
    assert!(!answer.all_text().contains("secret"), "{}", answer.head);
    // nothing followed the body
    client.send(gateway.ask("GET /x").by("alice").bytes());
    client.response().is_ok("hello");
}

#[test]
fn a_backend_cannot_switch_protocols_without_a_request_for_it() {
    let backend = backend().responds(|_| {
        raw(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nsecret")
    });
    let gateway = gateway().console("generic").backend(&backend).run();
    // an upgrade without a request for it, or to a protocol that is never forwarded (see
    // tests/gateway/upgrades.rs)
    for lines in ["", "Connection: Upgrade\r\nUpgrade: h2c\r\n"] {
        let plain = gateway.ask("GET /x").by("alice").bytes();
        let mut request = plain[..plain.len() - 2].to_vec();
        request.extend_from_slice(lines.as_bytes());
        request.extend_from_slice(b"\r\n");
        let mut client = gateway.connect();
        client.send(&request);
        let head = client.head().unwrap();
        assert!(head.starts_with("HTTP/1.1 502"), "{head}");
        assert!(!backend.only().raw_text().to_lowercase().contains("upgrade"));
        backend.forget();
    }
}

#[test]
fn h2c_is_never_forwarded() {
    let backend = backend();
    let gateway = gateway().console("generic").backend(&backend).run();
    let answer = gateway
        .ask("GET /x")
        .by("alice")
        .header("Connection", "Upgrade, HTTP2-Settings")
        .header("Upgrade", "h2c")
        .header("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")
        .response();
    answer.is_ok("nobody");
    let raw = backend.only().raw_text().to_lowercase();
    assert!(
        !raw.contains("h2c") && !raw.contains("http2-settings"),
        "{raw}"
    );
}

#[test]
fn a_request_by_http_1_0_reaches_the_backend_by_http_1_1() {
    let backend = backend();
    let gateway = gateway().console("generic").backend(&backend).run();
    let mut client = Client::connect(gateway.address());
    let (host, cookie) = (&gateway.world.proxy, gateway.world.cookie("alice"));
    client.send(format!(
        "GET /x HTTP/1.0\r\nHost: {host}\r\nCookie: {cookie}\r\n\r\n"
    ));
    let answer = client.to_end();
    assert!(
        answer.contains(" 200 ") && answer.ends_with("nobody"),
        "{answer}"
    );
    assert!(backend.only().raw_text().starts_with("GET /x HTTP/1.1\r\n"));
}

#[test]
fn responses_of_the_gateway_are_not_stored_by_shared_caches() {
    let backend = backend().responds(|_| reply(200).with("Cache-Control", "max-age=60"));
    let gateway = gateway().console("generic").backend(&backend).run();
    let own = gateway.ask("GET /.spnegate/whoami").by("alice").response();
    assert_eq!(own.header("cache-control"), Some("no-store"));
    let token = world().authorization("alice");
    let login = gateway
        .ask("GET /x")
        .header("Authorization", &token)
        .response();
    // a response that sets a session cookie must not be stored for another client
    let control = login.all("cache-control").join(",");
    assert!(login.session().is_some());
    assert!(
        control.contains("private") || control.contains("no-store"),
        "{control}"
    );
}

#[test]
fn a_valid_request_id_of_a_balancer_is_kept_and_any_other_text_is_replaced() {
    let backend = backend();
    let gateway = namenode(&backend);
    let given = |id: &str| {
        backend.forget();
        let asked = gateway.ask("GET /x").by("alice").header("X-Request-Id", id);
        asked.response().is_ok("alice");
        backend.only().header("x-request-id").unwrap().to_owned()
    };
    let uuid = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
    assert_eq!(given(uuid), uuid);
    for id in [&"x".repeat(8192), "a b", "<script>", "a\";b"] {
        let ours = given(id);
        assert_eq!(ours.len(), 20, "{ours}");
        assert!(ours.bytes().all(|byte| byte.is_ascii_hexdigit()), "{ours}");
    }
}
