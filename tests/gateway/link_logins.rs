//! A signed link is a credential by itself: it is valid for its user, one request and one session,
//! and only for users that the console would accept.

use std::time::Duration;

use spnegate::{
    auth::{secret::Secret, session::unix_now},
    testing::{
        Link, Nodes, Refusal,
        link::{LinkKey, Signer},
        node::{self, NodePolicy},
    },
};

use crate::{
    backend::{Backend, backend, reply},
    client::RawResponse,
    nodes::Cluster,
    proxy::{Gateway, gateway},
    realm::eventually,
    world::world,
};

/// Requests a link without cookie and token.
fn bare(gateway: &Gateway, line: &str) -> RawResponse {
    gateway.ask(line).body("data").response()
}

#[test]
fn a_signed_link_needs_no_second_login() {
    let cluster = Cluster::start_with("", |gateway| gateway);
    let link = cluster.link("alice");
    let answer = bare(&cluster.gateway, &format!("PUT {link}"));
    assert_eq!((answer.status, answer.text().as_str()), (201, "PUT 4"));
    // no session is started
    assert_eq!(answer.all("set-cookie"), Vec::<&str>::new());
    assert_eq!(answer.all("www-authenticate"), Vec::<&str>::new());
    assert_eq!(answer.header("cache-control"), Some("private"));
    assert!(!cluster.datanode.only().raw_text().contains("spnegate"));
    // an invalid cookie is ignored; a session of another user is not
    let with = |cookie: &str| {
        let asking = cluster.gateway.ask(&format!("PUT {link}"));
        asking.header("Cookie", cookie).body("data").response()
    };
    assert_eq!(with("spnegate=forged").status, 201);
    assert_eq!(with(&world().expired_cookie("bob")).status, 201);
    with(&world().cookie("bob")).is(Refusal::NodeLinkUser);
}

#[test]
fn a_login_sent_with_a_signed_link_is_used() {
    let cluster = Cluster::start_with("", |gateway| gateway);
    let link = cluster.link("alice");
    let with = |user: &str| {
        let token = world().authorization(user);
        let asking = cluster.gateway.ask(&format!("PUT {link}"));
        asking
            .header("Authorization", &token)
            .body("data")
            .response()
    };
    let answer = with("alice");
    assert_eq!(answer.status, 201, "{}", answer.all_text());
    assert!(answer.session().is_some());
    assert!(answer.header("www-authenticate").is_some());
    assert_eq!(with("bob").status, 403);
    let broken = cluster.gateway.ask(&format!("PUT {link}"));
    broken
        .header("Authorization", "Negotiate !!!")
        .response()
        .is(Refusal::BadAuthorization);
}

#[test]
fn a_changed_link_is_refused_and_an_unsigned_one_is_challenged() {
    let cluster = Cluster::start_with("", |gateway| gateway);
    let link = cluster.link("alice");
    for changed in [
        link.replace("op=CREATE", "op=APPEND"),
        link.replace("/webhdfs/v1/f", "/webhdfs/v1/g"),
        link.replace(".spnegate=", ".spnegate=9"),
        format!("{link}&.spnegate=1.AA"),
        format!("{link}&doAs=root"),
    ] {
        bare(&cluster.gateway, &format!("PUT {changed}")).is(Refusal::NodeLink);
    }
    let unsigned = link.split("&.spnegate").next().unwrap();
    for line in [
        format!("PUT {unsigned}"),
        "GET /.spnegate/node/http/evil.example.org:80/x?.spnegate=1.AA.AA.AA".to_owned(),
        "GET /.spnegate/node/x?.spnegate=1.AA.AA.AA".to_owned(),
        "GET /.spnegate/link/.spnegate/whoami".to_owned(),
        "GET /.spnegate/whoami?.spnegate=1.AA.AA.AA".to_owned(),
    ] {
        bare(&cluster.gateway, &line).is(Refusal::LoginRequired);
    }
    assert_eq!(cluster.datanode.seen().len(), 0);
    assert_eq!(cluster.namenode.seen().len(), 1);
}

/// A link as the gateway would have signed it at another time.
fn link_until(cluster: &Cluster, expires: u64) -> String {
    let secret = Secret::read(&world().secret).unwrap();
    let key = LinkKey::new(secret.key(LinkKey::PURPOSE));
    let (host, port) = (
        cluster.datanode.address().ip(),
        cluster.datanode.address().port(),
    );
    let policy = NodePolicy::new(&Nodes {
        hosts: vec![host.to_string().into()],
        ports: vec![port],
    });
    let signer = Signer {
        key: &key,
        user: "alice",
        session: &[1; 16],
        expires,
    };
    let target = format!("http://{host}:{port}/webhdfs/v1/f?op=CREATE");
    node::link(&Link::split(&target).unwrap(), &policy, &signer).unwrap()
}

#[test]
pub fn an_expired_link_is_reported_as_node_link_expired() {
    let cluster = Cluster::start_with("", |gateway| gateway);
    let late = link_until(&cluster, unix_now() - 1);
    bare(&cluster.gateway, &format!("PUT {late}")).is(Refusal::NodeLinkExpired);
    let asking = cluster.gateway.ask(&format!("PUT {late}"));
    asking.by("alice").response().is(Refusal::NodeLinkExpired);
    assert_eq!(cluster.datanode.seen().len(), 0);
    let good = link_until(&cluster, unix_now() + 60);
    assert_eq!(bare(&cluster.gateway, &format!("PUT {good}")).status, 201);
}

#[test]
pub fn a_link_is_valid_until_its_session_ends() {
    let cluster = Cluster::start_with("", |gateway| gateway);
    for minutes in [5, 50] {
        let cookie = world().short_cookie("alice", Duration::from_secs(minutes * 60));
        let link = cluster.link_in(&cookie);
        let (_, signature) = link.split_once(".spnegate=").unwrap();
        let end: u64 = signature.split('.').next().unwrap().parse().unwrap();
        let from_now = end - unix_now();
        assert!(from_now.abs_diff(minutes * 60) < 30, "{from_now} s");
    }
}

#[test]
pub fn a_logout_invalidates_the_links_of_its_session() {
    let cluster = Cluster::start_with("", |gateway| gateway);
    let (cookie, other) = (world().cookie("alice"), world().cookie("alice"));
    let (link, kept) = (cluster.link_in(&cookie), cluster.link_in(&other));
    let out = cluster.gateway.ask("GET /.spnegate/logout");
    assert_eq!(out.header("Cookie", &cookie).response().status, 200);
    bare(&cluster.gateway, &format!("PUT {link}")).is(Refusal::NodeLinkExpired);
    // nor is it valid in another session
    let asking = cluster.gateway.ask(&format!("PUT {link}"));
    asking
        .header("Cookie", &other)
        .response()
        .is(Refusal::NodeLinkExpired);
    assert_eq!(bare(&cluster.gateway, &format!("PUT {kept}")).status, 201);
}

#[test]
fn the_access_rules_of_a_console_apply_to_links_too() {
    let cluster = Cluster::start_with("", |gateway| {
        gateway.with("allow = { users = [\"alice\"] }")
    });
    let link = cluster.link("alice");
    let put = |origin: &str| {
        let asking = cluster.gateway.ask(&format!("PUT {link}"));
        asking.header("Origin", origin).body("data").response()
    };
    put("https://evil.example.org").is(Refusal::CrossSite);
    assert_eq!(put(&format!("http://{}", world().proxy)).status, 201);

    // another gateway with the same secret and other rules: links of the first one are not accepted
    let (host, port) = (
        cluster.datanode.address().ip(),
        cluster.datanode.address().port(),
    );
    let nodes = format!("nodes = {{ hosts = [\"{host}\"], ports = [{port}] }}");
    let strict = |line: &str| {
        let strict = gateway().console("namenode").identity("doas");
        strict
            .backend(&cluster.namenode)
            .with(&nodes)
            .with(line)
            .run()
    };
    let closed = strict("allow = { users = [\"bob\"] }");
    bare(&closed, &format!("PUT {link}")).is(Refusal::UserDenied);
    // the listener has one console that accepts this address and one that does not
    let elsewhere = gateway()
        .console("namenode")
        .identity("doas")
        .backend(&cluster.namenode)
        .with(&nodes)
        .with("allow_from = [\"192.0.2.0/24\"]")
        .console("generic")
        .name("open")
        .with("path = \"/open\"")
        .backend(&cluster.namenode)
        .run();
    bare(&elsewhere, &format!("PUT {link}")).is(Refusal::SourceDenied);
    assert_eq!(cluster.datanode.seen().len(), 1);
}

#[test]
fn a_login_at_every_node_link_can_be_required() {
    let cluster = Cluster::start_with(", login = \"session\"", |gateway| gateway);
    let link = cluster.link("alice");
    bare(&cluster.gateway, &format!("PUT {link}")).is(Refusal::LoginRequired);
    assert_eq!(cluster.datanode.seen().len(), 0);
    let asking = cluster.gateway.ask(&format!("PUT {link}"));
    assert_eq!(asking.by("alice").body("x").response().status, 201);
}

#[test]
fn the_access_log_names_the_user_of_a_link_and_not_its_signature() {
    let file = world().file("access");
    let cluster = Cluster::start_with("", |gateway| {
        gateway.set(
            "log",
            &format!("access = \"{}\"\nformat = \"json\"", file.display()),
        )
    });
    let link = cluster.link("alice");
    assert_eq!(bare(&cluster.gateway, &format!("PUT {link}")).status, 201);
    bare(
        &cluster.gateway,
        &format!("PUT {}", link.replace("/f?", "/g?")),
    )
    .is(Refusal::NodeLink);
    let mut log = String::new();
    eventually("three lines are written", || {
        log = std::fs::read_to_string(&file).unwrap_or_default();
        log.lines().count() >= 3
    });
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let users: Vec<_> = lines.iter().map(|line| &line["user"]).collect();
    assert_eq!(users[..2], ["alice", "alice"], "{log}");
    assert_eq!(lines[1]["console"], "namenode", "{log}");
    assert_eq!(lines[2]["console"], "namenode", "{log}");
    assert_eq!(lines[2]["reason"], "node_link", "{log}");
    let signature = link.split(".spnegate=").nth(1).unwrap();
    assert!(!log.contains(signature), "{log}");
    assert!(!log.contains("needle"), "{log}");
}

// === HttpFS ===

/// An HttpFS that redirects writers to itself.
fn httpfs() -> Backend {
    let httpfs = backend();
    let own = httpfs.url();
    httpfs.responds(move |seen| {
        if seen.query().contains("data=true") {
            let user = seen.do_as().unwrap_or("nobody");
            return reply(201).body(format!("{user} {}", seen.body.len()));
        }
        if seen.query().contains("done") {
            return reply(201)
                .with("Content-Type", "application/json")
                .body(format!(r#"{{"Location":"{own}/webhdfs/v1/a"}}"#));
        }
        let to = format!("{own}{}&data=true", seen.target);
        if seen.query().contains("noredirect=true") {
            return reply(200)
                .with("Content-Type", "application/json")
                .body(format!(r#"{{"Location":"{to}"}}"#));
        }
        reply(307).with("Location", &to)
    })
}

fn httpfs_console(httpfs: &Backend, line: &str) -> Gateway {
    let console = gateway().console("httpfs").identity("doas");
    console.backend(httpfs).with(line).run()
}

/// The link that alice receives for a write, without the origin.
fn step(gateway: &Gateway, query: &str) -> String {
    let asking = gateway.ask(&format!("PUT /webhdfs/v1/a%5Cb?{query}"));
    let answer = asking.by("alice").body("").response();
    let location = answer.header("location").map(str::to_owned);
    let location = location.unwrap_or_else(|| {
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        json["Location"].as_str().unwrap().to_owned()
    });
    let origin = format!("http://{}:{}", world().proxy, gateway.address().port());
    let path = location.strip_prefix(&origin);
    path.unwrap_or_else(|| panic!("{location}")).to_owned()
}

#[test]
fn the_second_step_at_httpfs_needs_no_second_login() {
    let httpfs = httpfs();
    let gateway = httpfs_console(&httpfs, "");
    for query in ["op=CREATE", "op=CREATE&noredirect=true"] {
        let link = step(&gateway, query);
        let start = "/.spnegate/link/webhdfs/v1/a%5Cb?op=CREATE";
        assert!(link.starts_with(start), "{link}");
        httpfs.forget();
        let answer = bare(&gateway, &format!("PUT {link}"));
        assert_eq!((answer.status, answer.text().as_str()), (201, "alice 4"));
        let seen = httpfs.only();
        let target = format!("/webhdfs/v1/a%5Cb?doAs=alice&{query}&data=true");
        assert_eq!(seen.target, target);
        assert!(!seen.raw_text().contains(".spnegate"));
        // the link is valid for alice and this request only
        let bobs = gateway.ask(&format!("PUT {link}")).by("bob").response();
        bobs.is(Refusal::NodeLinkUser);
        let alices = gateway.ask(&format!("PUT {link}")).by("alice");
        assert_eq!(alices.body("x").response().status, 201);
        for (from, to) in [("CREATE", "APPEND"), ("a%5Cb?", "other?")] {
            let changed = link.replacen(from, to, 1);
            bare(&gateway, &format!("PUT {changed}")).is(Refusal::NodeLink);
        }
        let without = link.replacen("/.spnegate/link", "", 1);
        bare(&gateway, &format!("PUT {without}")).is(Refusal::LoginRequired);
    }
}

#[test]
fn a_link_is_valid_for_its_own_console_and_path_only() {
    let httpfs = httpfs();
    let gateway = gateway()
        .console("httpfs")
        .identity("doas")
        .with("path = \"/webhdfs\"")
        .backend(&httpfs)
        .console("generic")
        .backend(&httpfs)
        .console("httpfs")
        .name("twin")
        .listen("127.0.0.2:0")
        .identity("doas")
        .backend(&httpfs)
        .run();
    let link = step(&gateway, "op=CREATE");
    assert_eq!(bare(&gateway, &format!("PUT {link}")).status, 201);
    let twin = gateway.ask_at(gateway.addresses()[1], &format!("PUT {link}"));
    twin.body("x").response().is(Refusal::NodeLink);
}

#[test]
fn a_login_at_the_second_step_of_httpfs_can_be_required() {
    let httpfs = httpfs();
    let gateway = httpfs_console(&httpfs, "nodes = { login = \"session\" }");
    let plain = step(&gateway, "op=CREATE");
    assert_eq!(plain, "/webhdfs/v1/a%5Cb?op=CREATE&data=true");
    bare(&gateway, &format!("PUT {plain}")).is(Refusal::LoginRequired);
}

#[test]
fn the_location_of_a_new_file_at_httpfs_names_the_gateway() {
    let httpfs = httpfs();
    let gateway = httpfs_console(&httpfs, "");
    let asking = gateway.ask("PUT /webhdfs/v1/a?done").by("alice").body("x");
    let answer = asking.response();
    let origin = format!("http://{}:{}", world().proxy, gateway.address().port());
    let wanted = format!(r#"{{"Location":"{origin}/webhdfs/v1/a"}}"#);
    assert_eq!((answer.status, answer.text()), (201, wanted));
}
