//! DataNodes are reached by signed paths that are valid for one user, one link and a limited time,
//! and carry no credential of the gateway.

use spnegate::testing::Refusal;

use crate::{
    backend::{Backend, Logins, backend, reply},
    client::RawResponse,
    proxy::{Gateway, Setup, gateway},
};

/// A NameNode that redirects every request to a DataNode, and the DataNode.
pub struct Cluster {
    pub datanode: Backend,
    pub namenode: Backend,
    pub gateway: Gateway,
}

impl Cluster {
    fn start() -> Self {
        Self::start_with("", |gateway| gateway)
    }

    /// With additional settings in `nodes` and additional lines of the file.
    pub fn start_with(nodes: &str, more: impl FnOnce(Setup) -> Setup) -> Self {
        let datanode = backend().logins(Logins::Open).responds(|seen| {
            reply(201)
                .with("Set-Cookie", "hadoop.auth=secret; Path=/")
                .with("Content-Type", "text/html")
                .body(format!("{} {}", seen.method, seen.body.len()))
        });
        let place = format!(
            "http://{}/webhdfs/v1/f?op=CREATE&delegation=needle&namenoderpcaddress=nn:8020&user.name=x",
            datanode.address()
        );
        let namenode = backend().responds(move |seen| {
            if seen.query().contains("noredirect=true") {
                return reply(200)
                    .with("Content-Type", "application/json")
                    .body(format!(r#"{{"Location":"{place}"}}"#));
            }
            reply(307).with("Location", &place)
        });
        let (host, port) = (datanode.address().ip(), datanode.address().port());
        let gateway = gateway()
            .console("namenode")
            .identity("doas")
            .backend(&namenode)
            .with(&format!(
                "nodes = {{ hosts = [\"{host}\"], ports = [{port}]{nodes} }}"
            ));
        let gateway = more(gateway).run();
        Self {
            datanode,
            namenode,
            gateway,
        }
    }

    /// The path and query of the link that a user receives.
    pub fn link(&self, user: &str) -> String {
        self.link_in(&self.gateway.world.cookie(user))
    }

    /// The same in this session.
    pub fn link_in(&self, cookie: &str) -> String {
        let answer = self
            .gateway
            .ask("PUT /webhdfs/v1/f?op=CREATE")
            .header("Cookie", cookie)
            .body("")
            .response();
        assert_eq!(answer.status, 307, "{}", answer.all_text());
        self.path_of(answer.header("location").unwrap())
    }

    fn path_of(&self, link: &str) -> String {
        let origin = format!(
            "http://{}:{}",
            self.gateway.world.proxy,
            self.gateway.address().port()
        );
        let path = link
            .strip_prefix(&origin)
            .unwrap_or_else(|| panic!("{link} is not absolute"));
        assert!(path.starts_with("/.spnegate/node/http/"), "{link}");
        path.to_owned()
    }

    fn follow(&self, link: &str, user: &str) -> RawResponse {
        self.gateway
            .ask(&format!("PUT {link}"))
            .by(user)
            .body("data")
            .response()
    }
}

#[test]
fn a_link_leads_to_the_node_without_a_credential_of_the_gateway() {
    let cluster = Cluster::start();
    let link = cluster.link("alice");
    let answer = cluster.follow(&link, "alice");
    assert_eq!((answer.status, answer.text().as_str()), (201, "PUT 4"));
    assert_eq!(answer.all("set-cookie"), Vec::<&str>::new());
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("content-security-policy"), Some("sandbox"));
    let seen = cluster.datanode.only();
    let line = "PUT /webhdfs/v1/f?op=CREATE&delegation=needle&namenoderpcaddress=nn:8020&user.name=x HTTP/1.1\r\n";
    assert!(seen.raw_text().starts_with(line), "{}", seen.raw_text());
    assert_eq!(
        seen.header("host"),
        Some(cluster.datanode.address().to_string().as_str())
    );
    let raw = seen.raw_text().to_lowercase();
    for word in [
        "authorization",
        "cookie",
        "hadoop.auth",
        "doas",
        ".spnegate",
    ] {
        assert!(!raw.contains(word), "{word}: {raw}");
    }
    // the request to the NameNode carries the user
    assert_eq!(cluster.namenode.only().do_as(), Some("alice"));
}

#[test]
fn the_json_of_noredirect_is_signed_too() {
    let cluster = Cluster::start();
    let answer = cluster
        .gateway
        .ask("PUT /webhdfs/v1/f?op=CREATE&noredirect=true")
        .by("alice")
        .response();
    let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let link = cluster.path_of(json["Location"].as_str().unwrap());
    assert_eq!(cluster.follow(&link, "alice").status, 201);
    cluster.follow(&link, "bob").is(Refusal::NodeLinkUser);
}

#[test]
pub fn a_link_is_valid_for_one_user_and_only_unchanged() {
    let cluster = Cluster::start();
    let link = cluster.link("alice");
    cluster.follow(&link, "bob").is(Refusal::NodeLinkUser);
    for (user, link) in [
        ("alice", link.replace("op=CREATE", "op=APPEND")),
        (
            "alice",
            link.replace("delegation=needle", "delegation=needl3"),
        ),
        ("alice", link.replace("/webhdfs/v1/f", "/webhdfs/v1/g")),
        ("alice", link.replace("nn:8020", "evil:8020")),
        ("alice", format!("{link}&a=b")),
        ("alice", format!("{link}&doAs=root")),
        ("alice", format!("{link}&.spnegate=1.AA")),
        ("alice", link.replace(".spnegate=", ".spnegate=9")),
        ("alice", link.split("&.spnegate").next().unwrap().to_owned()),
    ] {
        cluster.follow(&link, user).is(Refusal::NodeLink);
    }
    let (head, tail) = link.split_at(link.find(".spnegate=").unwrap() + 10);
    for at in (0..tail.len()).step_by(7) {
        let other = if &tail[at..=at] == "A" { "B" } else { "A" };
        let changed = format!("{head}{}{other}{}", &tail[..at], &tail[at + 1..]);
        cluster.follow(&changed, "alice").is(Refusal::NodeLink);
    }
    assert_eq!(cluster.datanode.seen().len(), 0);
}

#[test]
fn harmless_changes_by_clients_leave_a_link_valid() {
    let cluster = Cluster::start();
    let link = cluster.link("alice");
    for link in [
        // Hadoop's client adds an offset when it seeks
        format!("{link}&offset=10&length=5"),
        // jQuery adds a parameter against caches: Head and Tail of the NameNode's file browser
        format!("{link}&_=1730000000000"),
        link.replace("needle", "%6eeedle"),
        link.replace("needle", "%6Eeedle"),
        link.replace("nn:8020", "nn%3A8020"),
        link.replace("nn:8020", "nn%3a8020"),
    ] {
        assert_eq!(cluster.follow(&link, "alice").status, 201, "{link}");
    }
}

#[test]
fn only_listed_nodes_are_reached_in_every_spelling() {
    let cluster = Cluster::start();
    let address = cluster.datanode.address();
    let port = address.port();
    for authority in [
        format!("{}:{}", address.ip(), port - 1),
        format!("localhost:{port}"),
        format!("[::1]:{port}"),
        format!("0:{port}"),
        format!("2130706433:{port}"),
        format!("{}.:{port}", address.ip()),
        format!("u@{}:{port}", address.ip()),
        format!("{}:0{port}", address.ip()),
        address.ip().to_string(),
        "169.254.169.254:80".to_owned(),
        "evil.example.org:50075".to_owned(),
    ] {
        let answer = cluster.follow(&format!("/.spnegate/node/http/{authority}/x"), "alice");
        assert!(
            [400, 403, 404].contains(&answer.status),
            "{authority}: {}",
            answer.head
        );
    }
    for path in ["/../x", "/%2e%2e/x", "/a%2fb", "/a\\b"] {
        let answer = cluster.follow(&format!("/.spnegate/node/http/{address}{path}"), "alice");
        answer.is(Refusal::BadPath);
    }
    assert_eq!(cluster.datanode.seen().len(), 0);
}

#[test]
fn a_challenge_of_a_node_is_not_passed_on_to_the_client() {
    let cluster = Cluster::start();
    cluster.datanode.set_logins(Logins::Unauthorized);
    let answer = cluster.follow(&cluster.link("alice"), "alice");
    answer.is(Refusal::BackendLogin);
    assert!(!answer.all_text().contains("secret"));
    assert_eq!(cluster.datanode.seen().len(), 1);
}

#[test]
fn an_unreachable_node_is_reported() {
    let cluster = Cluster::start();
    let link = cluster.link("alice");
    cluster.datanode.kill();
    cluster.follow(&link, "alice").is(Refusal::BackendDown);
}

/// Several consoles on one listener: a link is served by the console that lists the node.
#[test]
fn a_link_works_where_consoles_share_a_listener() {
    let datanode = backend().logins(Logins::Open);
    let place = format!("{}/webhdfs/v1/f?op=OPEN&delegation=needle", datanode.url());
    let namenode = backend().responds(move |_| reply(307).with("Location", &place));
    let oozie = backend();
    let (host, port) = (datanode.address().ip(), datanode.address().port());
    let gateway = gateway()
        .console("generic")
        .with("path = \"/oozie\"")
        .with("allow = { users = [\"carol\"] }")
        .backend(&oozie)
        .console("namenode")
        .identity("doas")
        .backend(&namenode)
        .with(&format!(
            "nodes = {{ hosts = [\"{host}\"], ports = [{port}] }}"
        ))
        .run();
    let answer = gateway
        .ask("GET /webhdfs/v1/f?op=OPEN")
        .by("alice")
        .response();
    let link = answer
        .header("location")
        .unwrap_or_else(|| panic!("{}", answer.all_text()));
    let path = &link[link.find("/.spnegate").unwrap()..];
    let answer = gateway.ask(&format!("GET {path}")).by("alice").response();
    assert_eq!(answer.status, 200, "{}", answer.all_text());
    assert_eq!(datanode.seen().len(), 1);
}
