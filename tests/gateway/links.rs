//! Redirects of a backend are rewritten to addresses that clients can reach.

use spnegate::testing::Refusal;

use crate::{
    backend::{Backend, Role, backend, reply, second},
    proxy::{Gateway, gateway, namenode},
};

/// A backend that redirects to the query parameter `to` (`SELF` is its own address).
fn redirecting() -> Backend {
    let backend = backend();
    let own = backend.address().to_string();
    backend.responds(move |seen| {
        let to = seen
            .query()
            .split('&')
            .find_map(|piece| piece.strip_prefix("to="))
            .unwrap();
        reply(302).with("Location", &to.replace("SELF", &own).replace("|", "&"))
    })
}

fn location(gateway: &Gateway, to: &str) -> Option<String> {
    let answer = gateway
        .ask(&format!("GET /x?to={to}"))
        .by("alice")
        // does not affect the result
        .header("X-Forwarded-Host", "evil.example.org")
        .response();
    assert_eq!(answer.status, 302, "{to}: {}", answer.all_text());
    answer.header("location").map(str::to_owned)
}

#[test]
fn a_redirect_to_the_backend_is_rewritten_to_the_gateway() {
    let (one, two) = (redirecting(), second().role(Role::Sick));
    let gateway = gateway()
        .console("generic")
        .backend(&one)
        .backend(&two)
        .run();
    for (to, place) in [
        ("http://SELF/a?b=c", "/a?b=c"),
        ("HTTP://SELF/a", "/a"),
        ("//SELF/a", "/a"),
        ("http://SELF", "/"),
        ("http://SELF//evil.example.org/x", "/evil.example.org/x"),
        ("http://SELF/a?doAs=alice|b=1", "/a?b=1"),
        ("http://SELF/?user.name=spnegate", "/"),
        (
            &format!("http://{}/of-the-other", two.address()),
            "/of-the-other",
        ),
        ("/relative?x", "/relative?x"),
        ("relative", "relative"),
    ] {
        assert_eq!(location(&gateway, to).as_deref(), Some(place), "{to}");
    }
}

#[test]
fn a_redirect_to_another_host_is_unchanged_except_for_the_users_identity() {
    let one = redirecting();
    let gateway = gateway().console("generic").backend(&one).run();
    for (to, place) in [
        (
            "http://jhs.example.com:19888/job",
            "http://jhs.example.com:19888/job",
        ),
        ("//cdn.example.org/x", "//cdn.example.org/x"),
        (
            "http://SELF.evil.example.org/",
            "http://SELF.evil.example.org/",
        ),
        (
            "http://SELF@evil.example.org/",
            "http://SELF@evil.example.org/",
        ),
        ("hdfs://nn/x", "hdfs://nn/x"),
        ("http://rm2:8088/?doAs=alice|a=1", "http://rm2:8088/?a=1"),
    ] {
        let place = place.replace("SELF", &one.address().to_string());
        assert_eq!(
            location(&gateway, to).as_deref(),
            Some(place.as_str()),
            "{to}"
        );
    }
}

#[test]
fn a_delegation_token_is_not_sent_to_an_unlisted_host() {
    let one = redirecting();
    let webhdfs = namenode(&one);
    let generic = gateway().console("generic").backend(&one).run();
    for to in [
        "http://evil.example.org:50075/webhdfs/v1/x?delegation=needle",
        "http://evil.example.org:50075/webhdfs/v1/x?a=1|DELEGATION=needle",
        "//evil.example.org/x?a=1|%2564elegation=needle",
    ] {
        for (gateway, path, refusal) in [
            (&webhdfs, "/webhdfs/v1/x", Refusal::NodeDenied),
            // under `service` the token is the gateway's own, whatever the link's host is
            (&generic, "/x", Refusal::CredentialDenied),
        ] {
            let answer = gateway
                .ask(&format!("GET {path}?to={to}"))
                .by("alice")
                .response();
            answer.is(refusal);
            assert!(!answer.all_text().contains("needle"), "{to}");
        }
    }
}

#[test]
fn refresh_and_content_location_are_rewritten_too() {
    let backend = backend();
    let own = backend.url();
    let backend = backend.responds(move |_| {
        reply(200)
            .with("Refresh", &format!("3; url={own}/next"))
            .with("Content-Location", &format!("{own}/place"))
            .body("page")
    });
    let gateway = gateway().console("generic").backend(&backend).run();
    let answer = gateway.ask("GET /x").by("alice").response();
    assert_eq!(answer.header("refresh"), Some("3; url=/next"));
    assert_eq!(answer.header("content-location"), Some("/place"));
}

#[test]
fn an_unreadable_redirect_or_one_with_control_bytes_is_not_passed_on() {
    let backend = backend().responds(|_| {
        crate::backend::raw(
            b"HTTP/1.1 302 Found\r\nLocation: http://a/\xff\xfe\r\nContent-Length: 0\r\n\r\n",
        )
    });
    let gateway = gateway().console("generic").backend(&backend).run();
    gateway
        .ask("GET /x")
        .by("alice")
        .response()
        .is(Refusal::BackendBroken);
}

/// `History` of the ResourceManager points to the JobHistoryServer: to another console if there is
/// one, and never to a link that the gateway would refuse.
#[test]
fn a_link_to_another_consoles_server_points_to_that_console() {
    let (rm, jhs) = (redirecting(), second());
    let gateway = gateway()
        .console("generic")
        .name("rm")
        .backend(&rm)
        // an earlier README recommended this; none of these is a node that accepts a link
        .with(&format!(
            "nodes = {{ hosts = [\"{}\"], ports = [{}, 8042] }}",
            jhs.address().ip(),
            jhs.address().port()
        ))
        .with("path = \"/x\"")
        .console("generic")
        .name("jhs")
        .backend(&jhs)
        .run();
    let origin = format!(
        "http://{}:{}",
        gateway.world.proxy,
        gateway.address().port()
    );
    let history = format!("{}/jobhistory/job/1?doAs=alice|a=b", jhs.url());
    let to = location(&gateway, &history).unwrap();
    assert_eq!(to, format!("{origin}/jobhistory/job/1?a=b"));
    let path = to.strip_prefix(&origin).unwrap();
    let page = gateway.ask(&format!("GET {path}")).by("alice").response();
    page.is_ok("nobody");
    assert_eq!(jhs.only().target, "/jobhistory/job/1?a=b");
    // the link of a node that belongs to no console is unchanged
    let node = "http://nm1.example.com:8042/node";
    assert_eq!(location(&gateway, node).as_deref(), Some(node));
}

#[test]
fn a_link_to_a_console_on_another_port_names_that_port() {
    let (rm, jhs) = (redirecting(), second());
    let free = std::net::TcpListener::bind("127.0.0.3:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let gateway = gateway()
        .console("generic")
        .name("rm")
        .backend(&rm)
        .console("generic")
        .name("jhs")
        .listen(&address.to_string())
        .backend(&jhs)
        .run();
    let to = location(&gateway, &format!("{}/jobhistory", jhs.url()));
    let proxy = &gateway.world.proxy;
    let wanted = format!("http://{proxy}:{}/jobhistory", address.port());
    assert_eq!(to, Some(wanted));
}

/// As a ResourceManager writes its list of applications: full addresses, in a script.
#[test]
fn links_in_resourcemanager_pages_point_to_consoles() {
    let (rm, jhs) = (backend(), second());
    let page = |rm: &str, jhs: &str| {
        format!(
            "<script>var a=[[\"<a href='{rm}/proxy/application_1/'>History</a>\"]];</script>\
             <a href=\"{jhs}/jobhistory\">jobs</a> <a href='//nm1.example.com:8042'>nm1</a> {rm}/x"
        )
    };
    let (own, other) = (rm.url(), jhs.url());
    let sent = page(&own, &other);
    let rm = rm.responds(move |seen| {
        let kind = match seen.path() {
            "/cluster/apps" => "text/html;charset=utf-8",
            _ => "text/plain",
        };
        reply(200).with("Content-Type", kind).body(sent.clone())
    });
    let gateway = gateway()
        .console("resourcemanager")
        .with("path = \"/cluster\"")
        .with("balance = \"first\"")
        .backend(&rm)
        .console("generic")
        .backend(&jhs)
        .run();
    let text = |path: &str| {
        let answer = gateway.ask(&format!("GET {path}")).by("alice").response();
        assert_eq!(answer.status, 200, "{}", answer.all_text());
        answer.text()
    };
    let proxy = &gateway.world.proxy;
    let origin = format!("http://{proxy}:{}", gateway.address().port());
    let wanted = page("", &origin).replace(" /x", &format!(" {own}/x"));
    assert_eq!(text("/cluster/apps"), wanted);
    assert_eq!(text("/cluster/plain"), page(&own, &other));
}
