//! Which cookies are forwarded: the gateway's session, its login at the backend, and each console's
//! cookies.

use spnegate::{auth::Scheme, testing::Refusal};

use crate::{
    backend::{Backend, Logins, backend, reply},
    proxy::{Gateway, gateway},
    world::world,
};

fn generic(backend: &Backend) -> Gateway {
    gateway().console("generic").backend(backend).run()
}

#[test]
fn a_backend_receives_its_own_cookies_after_the_gateways_login_cookie() {
    let backend = backend();
    let gateway = generic(&backend);
    let session = world().cookie("alice");
    let line = format!(
        "needle=1; generic.JSESSIONID=abc; {session}; hadoop.auth=needle; other.JSESSIONID=needle; \
         generic.hadoop.auth=needle; generic.q=\"v\"; GENERIC.x=needle; generic.a=needle,b"
    );
    gateway
        .ask("GET /x")
        .header("Cookie", &line)
        .response()
        .is_ok("nobody");
    let seen = backend.only();
    let cookies: Vec<&str> = seen.header("cookie").unwrap().split("; ").collect();
    assert!(
        cookies[0].starts_with("hadoop.auth=\"u=spnegate&"),
        "{cookies:?}"
    );
    assert_eq!(cookies[1..], ["JSESSIONID=abc", "q=\"v\""]);
    assert!(!backend.got("needle"));
    assert!(!backend.got(&session) && !backend.got("spnegate=A"));
}

#[test]
fn several_cookie_headers_are_read_as_one_list() {
    let backend = backend();
    let gateway = generic(&backend);
    let answer = gateway
        .ask("GET /x")
        .header("Cookie", "generic.a=1")
        .header("Cookie", &world().cookie("alice"))
        .header("Cookie", "generic.b=2; x=3")
        .response();
    answer.is_ok("nobody");
    assert!(
        backend
            .only()
            .header("cookie")
            .unwrap()
            .ends_with("; a=1; b=2")
    );
}

#[test]
fn backend_cookies_are_renamed_and_the_login_cookie_is_not_passed_on() {
    let backend = backend().responds(|_| {
        reply(200)
            .with(
                "Set-Cookie",
                "JSESSIONID=abc; Path=/; Domain=example.org; Secure; HttpOnly",
            )
            .with("Set-Cookie", "hadoop.auth=\"u=spnegate&secret\"; Path=/")
            .with(
                "Set-Cookie",
                "hadoop.auth=; Path=/; Expires=Thu, 01-Jan-1970 00:00:00 GMT",
            )
            .with("Set-Cookie", "HADOOP.AUTH=secret")
            .with("Set-Cookie", "spnegate=forged; Path=/")
            .with("Set-Cookie", "__Host-spnegate=forged; Path=/")
            .with("Set-Cookie", "=secret")
    });
    let gateway = generic(&backend);
    let answer = gateway.ask("GET /x").by("alice").response();
    assert_eq!(
        answer.all("set-cookie"),
        [
            "generic.JSESSIONID=abc; Path=/; HttpOnly",
            "generic.spnegate=forged; Path=/",
            "generic.__Host-spnegate=forged; Path=/",
        ]
    );
    assert!(!answer.head.contains("secret"));
    // the client sends it back, and the backend receives it under its own name
    let cookie = format!("{}; generic.JSESSIONID=abc", world().cookie("alice"));
    gateway.ask("GET /y").header("Cookie", &cookie).response();
    assert!(
        backend.seen()[1]
            .header("cookie")
            .unwrap()
            .ends_with("; JSESSIONID=abc")
    );
}

/// A session of `mod_auth_gssapi` or of a servlet container: its holder acts as the gateway at that
/// server.
#[test]
fn a_cookie_set_on_the_gateways_login_is_passed_on_only_if_listed() {
    let backend = backend().logins(Logins::EveryRequest).responds(|_| {
        reply(200)
            .with("Set-Cookie", "gssapi_session=secret; Path=/; HttpOnly")
            .with("Set-Cookie", "JSESSIONID=secret; Path=/")
            .with("Set-Cookie", "lang=en; Path=/")
            // a container writes the session id into the path until its cookie comes back
            .with("Content-Location", "/x;jsessionid=secret?a=b")
    });
    let gateway = gateway()
        .console("generic")
        .backend(&backend)
        .with("pass_cookies = [\"lang\"]")
        .run();
    let answer = gateway.ask("GET /x").by("alice").response();
    assert_eq!(answer.all("set-cookie"), ["generic.lang=en; Path=/"]);
    assert_eq!(answer.header("content-location"), Some("/x?a=b"));
    assert!(!answer.head.contains("secret"));
    // a client that obtained such a cookie elsewhere or earlier cannot use it through the gateway
    // either
    backend.forget();
    let cookies = format!(
        "{}; generic.JSESSIONID=copied; generic.lang=de; generic.gssapi_session=copied",
        world().cookie("alice")
    );
    gateway.ask("GET /y").header("Cookie", &cookies).response();
    let seen = backend.only();
    assert!(seen.header("authorization").is_some());
    assert_eq!(seen.header("cookie"), Some("lang=de"));
}

/// Browsers drop a cookie with `SameSite=None` or `Partitioned` that is not `Secure`.
#[test]
fn a_cookie_that_loses_secure_also_loses_the_attributes_that_require_it() {
    let backend = backend().responds(|_| {
        let cookie = "id=1; Path=/; Secure; SameSite=None; Partitioned";
        reply(200).with("Set-Cookie", cookie)
    });
    let gateway = generic(&backend);
    let answer = gateway.ask("GET /x").by("alice").response();
    assert_eq!(answer.all("set-cookie"), ["generic.id=1; Path=/"]);
}

#[test]
fn two_consoles_on_one_host_name_do_not_share_backend_cookies() {
    let (one, two) = (backend(), backend());
    let gateway = gateway()
        .console("generic")
        .name("one")
        .with("path = \"/one\"")
        .backend(&one)
        .console("generic")
        .name("two")
        .backend(&two)
        .run();
    let cookie = format!("{}; one.id=1; two.id=2; id=3", world().cookie("alice"));
    for target in ["GET /one/x", "GET /x"] {
        gateway
            .ask(target)
            .header("Cookie", &cookie)
            .response()
            .is_ok("nobody");
    }
    assert!(one.only().header("cookie").unwrap().ends_with("; id=1"));
    assert!(two.only().header("cookie").unwrap().ends_with("; id=2"));
}

#[test]
fn every_session_cookie_of_a_request_is_tried() {
    let backend = backend();
    let gateway = generic(&backend);
    let good = world().cookie("alice");
    let expired = world().expired_cookie("alice");
    for line in [
        format!("spnegate=forged; {good}"),
        format!("{good}; spnegate=forged"),
        format!("spnegate=; {expired}; spnegate=\"\"; {good}"),
    ] {
        gateway
            .ask("GET /x")
            .header("Cookie", &line)
            .response()
            .is_ok("nobody");
    }
}

#[test]
fn a_forged_expired_or_truncated_cookie_requires_a_new_login() {
    let backend = backend();
    let gateway = generic(&backend);
    gateway.ask("GET /x").by("alice").response().is_ok("nobody");
    backend.forget();
    let good = world().cookie("alice");
    let value = good.strip_prefix("spnegate=").unwrap();
    let mut bad = vec![
        world().expired_cookie("alice"),
        format!("spnegate={value}A"),
    ];
    for at in (0..value.len()).step_by(value.len() / 16) {
        bad.push(format!("spnegate={}", &value[..at.max(1)]));
        let other = if &value[at..=at] == "A" { "B" } else { "A" };
        bad.push(format!(
            "spnegate={}{other}{}",
            &value[..at],
            &value[at + 1..]
        ));
    }
    // the cookie of the other scheme, under either name
    let tls = world().cookie_for("alice", Scheme::Tls);
    bad.push(tls.replace("__Host-", ""));
    for cookie in bad {
        let answer = gateway.ask("GET /x").header("Cookie", &cookie).response();
        answer.is(Refusal::SessionEnded);
    }
    gateway
        .ask("GET /x")
        .header("Cookie", &tls)
        .response()
        .is(Refusal::LoginRequired);
    gateway
        .ask("GET /x")
        .header("Cookie", "SPNEGATE=x")
        .response()
        .is(Refusal::LoginRequired);
    assert_eq!(backend.seen().len(), 0);
    // a token beside the invalid cookie starts a new session
    let token = world().authorization("alice");
    let again = gateway
        .ask("GET /x")
        .header("Cookie", "spnegate=forged")
        .header("Authorization", &token)
        .response();
    again.is_ok("nobody");
    assert!(again.session().is_some());
}

#[test]
fn a_session_cookie_is_host_only_http_only_and_lax() {
    let gateway = generic(&backend());
    let token = world().authorization("alice");
    let login = gateway
        .ask("GET /x")
        .header("Authorization", &token)
        .response();
    let cookies = login.all("set-cookie");
    assert_eq!(cookies.len(), 1);
    let attributes: Vec<&str> = cookies[0].split("; ").skip(1).collect();
    assert_eq!(attributes, ["Path=/", "HttpOnly", "SameSite=Lax"]);
}
