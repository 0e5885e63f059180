//! Only the gateway sends the user name: `doAs` in every spelling, in queries and forms.

use spnegate::testing::Refusal;

use crate::{
    backend::{Backend, Logins, backend, remote_exception, reply},
    client::RawResponse,
    proxy::{Gateway, gateway},
};

fn namenode(backend: &Backend) -> Gateway {
    gateway()
        .console("namenode")
        .identity("doas")
        .backend(backend)
        .run()
}

fn ask(gateway: &Gateway, target: &str) -> RawResponse {
    gateway.ask(&format!("GET {target}")).by("alice").response()
}

#[test]
fn exactly_one_do_as_comes_first_and_all_other_bytes_are_unchanged() {
    let backend = backend();
    let gateway = namenode(&backend);
    for (sent, received) in [
        ("/x", "/x?doas=alice"),
        ("/x?", "/x?doas=alice"),
        ("/x?a=1&b=2", "/x?doas=alice&a=1&b=2"),
        ("/x?doAs=bob", "/x?doas=alice"),
        ("/x?doAs=bob&a=1", "/x?doas=alice&a=1"),
        ("/x?a=1&doAs=bob", "/x?doas=alice&a=1"),
        (
            "/x?a=1&doAs=bob&b=2&doas=carol&c",
            "/x?doas=alice&a=1&b=2&c",
        ),
        ("/x?DOAS=bob", "/x?doas=alice"),
        ("/x?dOaS=bob&user.name=bob&USER.NAME=bob", "/x?doas=alice"),
        ("/x?%64oAs=bob&do%41s=bob&do%61s=bob", "/x?doas=alice"),
        ("/x?user%2ename=bob&user%2Ename=bob", "/x?doas=alice"),
        ("/x?delegation=TOKEN&op=OPEN", "/x?doas=alice&op=OPEN"),
        (
            "/x?op=OPEN&namenoderpcaddress=evil:8020",
            "/x?doas=alice&op=OPEN",
        ),
        ("/x?ugi=bob,staff&UGI=bob", "/x?doas=alice"),
        ("/x?a=1&nnaddr=evil:8020", "/x?doas=alice&a=1"),
        ("/x?doAs", "/x?doas=alice"),
        ("/x?doAs=", "/x?doas=alice"),
        ("/x?doAs=a=b", "/x?doas=alice"),
        // valid queries stay unchanged, byte by byte
        (
            "/x?destination=/a;b&c=%2F%20+d",
            "/x?doas=alice&destination=/a;b&c=%2F%20+d",
        ),
        ("/x?a&&b&", "/x?doas=alice&a&&b&"),
        (
            "/x?xdoAs=1&doAsx=2&a=doAs=3",
            "/x?doas=alice&xdoAs=1&doAsx=2&a=doAs=3",
        ),
        ("/x?q=%25&r=%2525", "/x?doas=alice&q=%25&r=%2525"),
        (
            "/a%20b/%C3%BC;v=1//c?x",
            "/a%20b/%C3%BC;v=1//c?doas=alice&x",
        ),
    ] {
        backend.forget();
        ask(&gateway, sent).is_ok("alice");
        let seen = backend.only();
        let line = format!("GET {received} HTTP/1.1\r\n");
        assert!(
            seen.raw.starts_with(line.as_bytes()),
            "{sent}: {}",
            seen.raw_text()
        );
    }
    assert!(!backend.got("bob") && !backend.got("TOKEN") && !backend.got("evil"));
}

#[test]
fn a_user_parameter_that_parsers_read_differently_is_refused() {
    let backend = backend();
    let gateway = namenode(&backend);
    ask(&gateway, "/x").is_ok("alice");
    backend.forget();
    for query in [
        "a=1;doAs=bob",
        "a;doas=bob",
        ";doAs=bob",
        "a=1;user.name=bob",
        "a=1;delegation=x",
        "a=1;ugi=bob",
        "nn%61ddr+=evil",
        "a=1;%64oAs=bob",
        "%2564oAs=bob",
        "do%2541s=bob",
        "do%252541s=bob",
        "a=1&%3bdoAs=bob",
        "%26doAs=bob",
        "x%26doAs=bob",
        "+doAs=bob",
        "doAs+=bob",
        "doAs%20=bob",
        "%20doAs=bob",
        "doAs%09=bob",
        "doAs%0a=bob",
        "doAs%00=bob",
        "%00doAs=bob",
        "do%c5%bfs=bob&doA%c5%bf=bob",
        "%ef%bd%84oAs=bob",
        "do%e2%80%8bAs=bob",
        "do%c0%c1s=bob",
        "doA%ff=bob",
        "a=%",
        "a=%4",
        "a=%zz",
        "do%u0041s=bob",
        "a=%00",
    ] {
        ask(&gateway, &format!("/x?{query}")).is(Refusal::BadQuery);
        assert_eq!(backend.seen().len(), 0, "{query}");
    }
    assert!(!backend.got("bob"));
}

#[test]
fn a_user_name_cannot_end_its_own_parameter() {
    let backend = backend();
    let gateway = namenode(&backend);
    let cookie = gateway.world.cookie("a&doAs=root#%+");
    let answer = gateway
        .ask("GET /x?op=1")
        .header("Cookie", &cookie)
        .response();
    assert_eq!(answer.status, 200, "{}", answer.all_text());
    let seen = backend.only();
    let user = seen.do_as().unwrap();
    assert_eq!(user, "a%26doAs%3Droot%23%25%2B", "{}", seen.target);
    assert!(seen.target.ends_with("&op=1"));
}

#[test]
fn forms_that_name_an_identity_are_refused_and_others_pass() {
    let backend = backend();
    let gateway = gateway()
        .console("oozie")
        .identity("doas")
        .backend(&backend)
        .run();
    let post = |form: &str| {
        gateway
            .ask("POST /oozie/v1/jobs")
            .by("alice")
            .form(form)
            .response()
    };
    post("a=1&b=doAs").is_ok("alice");
    let seen = backend.only();
    assert_eq!(seen.body, b"a=1&b=doAs");
    assert_eq!(seen.target, "/oozie/v1/jobs?doAs=alice");
    backend.forget();
    for form in [
        "doAs=bob",
        "a=1&DOAS=bob",
        "a=1;doas=bob",
        "%64oAs=bob",
        "user.name=bob",
        "a=%",
    ] {
        post(form).is(Refusal::BadForm);
    }
    for (name, value) in [
        (
            "Content-Type",
            "Application/X-WWW-Form-UrlEncoded; charset=utf-16",
        ),
        (
            "Content-Type",
            "text/plain, application/x-www-form-urlencoded",
        ),
    ] {
        let answer = gateway
            .ask("POST /oozie/v1/jobs")
            .by("alice")
            .header(name, value)
            .body("doAs=bob")
            .response();
        answer.is(Refusal::BadForm);
    }
    let compressed = gateway
        .ask("PUT /oozie/v1/jobs")
        .by("alice")
        .header("Content-Encoding", "gzip")
        .form("doAs=bob")
        .response();
    compressed.is(Refusal::BadForm);
    let chunked = "POST /oozie/v1/jobs HTTP/1.1\r\nContent-Type: application/x-www-form-urlencoded\
                   \r\nTransfer-Encoding: chunked\r\n";
    let mut client = gateway.connect();
    let (host, cookie) = (&gateway.world.proxy, gateway.world.cookie("alice"));
    client.send(format!(
        "{chunked}Host: {host}\r\nCookie: {cookie}\r\n\r\n3\r\ndoA\r\n5\r\ns=bob\r\n0\r\n\r\n"
    ));
    client.response().is(Refusal::BadForm);
    assert_eq!(backend.seen().len(), 0);
    assert!(!backend.got("bob"));
}

#[test]
fn a_service_console_sends_no_user_and_refuses_clients_user_parameters() {
    let backend = backend();
    let gateway = gateway()
        .console("namenode")
        .identity("service")
        .backend(&backend)
        .run();
    ask(&gateway, "/x?doAs=bob&a=1&user.name=bob").is_ok("nobody");
    assert_eq!(backend.only().target, "/x?a=1");
    ask(&gateway, "/x;b?c=/d;e").is_ok("nobody");
    assert_eq!(backend.seen()[1].target, "/x;b?c=/d;e");
}

#[test]
fn a_simple_backend_receives_user_name_without_a_backend_login() {
    let backend = backend().logins(Logins::Open);
    let gateway = gateway()
        .console("namenode")
        .identity("simple")
        .backend(&backend)
        .run();
    ask(&gateway, "/x?user.name=bob&doAs=carol&a=1");
    let seen = backend.only();
    assert_eq!(seen.target, "/x?user.name=alice&a=1");
    assert_eq!(seen.header("authorization"), None);
    assert_eq!(backend.login_count(), 0);
}

/// Each client receives the error in the form that it reads; the lines for the administrator are in
/// all of them.
#[test]
pub fn users_the_gateway_may_not_impersonate_are_reported_as_impersonation_denied() {
    const CURE: &str = "hadoop.proxyuser.spnegate.users must name carol";
    let denied = || {
        let message = "User: spnegate is not allowed to impersonate carol";
        remote_exception("AuthorizationException", message)
    };
    for kind in ["namenode", "resourcemanager"] {
        let backend = backend().responds(move |_| denied());
        let gateway = gateway()
            .console(kind)
            .identity("doas")
            .backend(&backend)
            .run();
        // a browser
        let asking = gateway.ask("GET /webapp/page").by("carol");
        let page = asking.header("Accept", "text/html,*/*").response();
        page.is(Refusal::ImpersonationDenied);
        assert!(
            page.text().starts_with("<!DOCTYPE html>"),
            "{}",
            page.text()
        );
        assert!(page.text().contains(CURE), "{}", page.text());
        // curl
        let text = gateway.ask("GET /webapp/page").by("carol").response();
        text.is(Refusal::ImpersonationDenied);
        assert!(text.text().contains(CURE), "{}", text.text());
        // Java's default Accept lists HTML first
        for accept in [
            "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
            "*/*",
        ] {
            let asking = gateway.ask("GET /webhdfs/v1/x?op=LISTSTATUS").by("carol");
            let answer = asking.header("Accept", accept).response();
            answer.is(Refusal::ImpersonationDenied);
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(
                answer.header("x-spnegate-reason"),
                Some("impersonation_denied")
            );
            let value: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
            let exception = &value["RemoteException"];
            assert_eq!(exception["exception"], "AuthorizationException");
            let message = exception["message"].as_str().unwrap();
            assert!(
                message.starts_with("User: spnegate is not allowed"),
                "{message}"
            );
            assert!(message.contains(CURE), "{message}");
        }
        assert!(gateway.refusals(Refusal::ImpersonationDenied) >= 4);
        assert_eq!(backend.login_count(), 1, "no login is renewed for it");
    }
}

/// Oozie's clients read two headers. A 401 in response to a valid token would make other clients
/// log in for ever.
#[test]
fn an_impersonation_refusal_by_oozie_is_explained_in_the_headers_its_clients_read() {
    let backend = backend().responds(|_| {
        let message =
            "E1400: doAs (impersonation) failure, User [spnegate] not defined as proxyuser";
        reply(401)
            .with("WWW-Authenticate", "Negotiate secret")
            .with("oozie-error-code", "E1400")
            .with("oozie-error-message", message)
    });
    let gateway = gateway()
        .console("oozie")
        .identity("doas")
        .backend(&backend)
        .run();
    let answer = gateway.ask("GET /oozie/v1/jobs").by("carol").response();
    answer.is(Refusal::ImpersonationDenied);
    assert_eq!(answer.header("oozie-error-code"), Some("E1400"));
    let message = answer.header("oozie-error-message").unwrap();
    let line =
        "oozie.service.ProxyUserService.proxyuser.spnegate.groups must name a group of carol";
    assert!(
        message.contains(line) && message.contains("restart Oozie"),
        "{message}"
    );
    assert_eq!(backend.seen().len(), 1);
}

/// If the console sends no user, an error about a user is not caused by the gateway.
#[test]
fn a_service_console_passes_on_an_impersonation_refusal() {
    let message = "User: x is not allowed to impersonate y";
    let backend = backend().responds(move |_| remote_exception("AuthorizationException", message));
    let setup = gateway().console("namenode").identity("service");
    let gateway = setup.backend(&backend).run();
    let answer = ask(&gateway, "/webhdfs/v1/x?op=LISTSTATUS");
    assert_eq!(answer.status, 403);
    assert!(
        answer.text().ends_with("impersonate y\"}}"),
        "{}",
        answer.text()
    );
}

/// Under `service` a delegation token would be issued to the gateway and carry the gateway's
/// rights.
#[test]
pub fn a_service_console_gives_out_no_credential_of_the_gateway() {
    let backend = backend();
    let gateway = gateway()
        .console("namenode")
        .identity("service")
        .backend(&backend)
        .run();
    ask(&gateway, "/webhdfs/v1/?op=LISTSTATUS").is_ok("nobody");
    backend.forget();
    for query in [
        "op=GETDELEGATIONTOKEN",
        "op=getdelegationtoken&renewer=alice",
        "OP=GetDelegationToken",
        "a=1&op=GETDELEGATIONTOKEN",
        "%6fp=GETDELEGATIONTOKEN",
        "op=GETDELEGATION%54OKEN",
        "op=LISTSTATUS&op=GETDELEGATIONTOKEN",
        "op=GETDELEGATIONTOKENS",
    ] {
        ask(&gateway, &format!("/webhdfs/v1/?{query}")).is(Refusal::CredentialDenied);
        assert_eq!(backend.seen().len(), 0, "{query}");
    }
    // where the user is sent, the token is the user's own
    let doas = namenode(&backend);
    ask(&doas, "/webhdfs/v1/?op=GETDELEGATIONTOKEN").is_ok("alice");
}

/// Hadoop's `DelegationTokenAuthenticationHandler` handles `op=GETDELEGATIONTOKEN` on any path.
#[test]
fn a_service_console_of_any_kind_requests_no_delegation_token() {
    for kind in [
        "generic",
        "namenode",
        "resourcemanager",
        "jobhistory",
        "httpfs",
        "oozie",
    ] {
        let backend = backend();
        let gateway = gateway()
            .console(kind)
            .identity("service")
            .backend(&backend)
            .run();
        ask(&gateway, "/x?op=STATUS").is_ok("nobody");
        backend.forget();
        for request in [
            "GET /cluster?op=GETDELEGATIONTOKEN",
            "GET /?a=1&op=getDelegat%69ontoken",
            "GET /x?op=getdelegat%C4%B1ontoken",
            "PUT /kms/v1/?op=RENEWDELEGATIONTOKEN&token=T",
            "PUT /ws/v1/timeline/?op=CANCELDELEGATIONTOKEN&token=T",
            "GET /webhdfs/v1/f?op=GET_BLOCK_LOCATIONS",
            "GET /getDelegationToken?renewer=alice",
            "GET /renewDelegationToken;x=y",
            "POST /ws/v1/cluster/delegation-token",
            "POST /ws/v1/cluster/Delegation-Token/expiration",
            "DELETE /ws/v1/cluster/delegation-token/",
        ] {
            let answer = gateway.ask(request).by("alice").response();
            answer.is(Refusal::CredentialDenied);
            assert_eq!(backend.seen().len(), 0, "{kind}: {request}");
        }
        ask(&gateway, "/x?op=GETFILEBLOCKLOCATIONS").is_ok("nobody");
    }
}

/// A redirect link in JSON may contain a token, so the body has to be read even if it is
/// compressed.
#[test]
fn a_service_console_gives_out_no_link_with_a_token_compressed_or_not() {
    const LINK: &str =
        r#"{"Location":"http://dn1.example.com:9864/webhdfs/v1/f?op=OPEN&delegation=secret"}"#;
    for kind in ["generic", "namenode", "httpfs"] {
        for coding in [None, Some("gzip"), Some("identity")] {
            let backend = backend().responds(move |_| {
                let answer = reply(200).with("Content-Type", "Application/JSON");
                match coding {
                    Some(coding) => answer.with("Content-Encoding", coding).body(LINK),
                    None => answer.body(LINK),
                }
            });
            let gateway = gateway()
                .console(kind)
                .identity("service")
                .backend(&backend)
                .run();
            let answer = gateway
                .ask("GET /webhdfs/v1/f?op=OPEN&no%72edirect=true")
                .by("alice")
                .header("Accept-Encoding", "gzip")
                .response();
            answer.is(match coding {
                None => Refusal::CredentialDenied,
                Some(_) => Refusal::BackendBroken,
            });
            assert!(!answer.all_text().contains("secret"));
            assert_eq!(backend.only().header("accept-encoding"), None);
        }
    }
}
