//! HiveServer2 through the gateway: by HTTP with the JDBC driver and impyla, and its binary port by
//! a stream.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::sync::OnceLock;
use std::time::Duration;

use lab::{Driver, Gateway, Lab, Server, wait};

/// The server holds its port of HTTP on all addresses, so the gateway has another.
const HTTP_PORT: u16 = 10011;
const SECTIONS: &str = r#"
[[console]]
name = "hive"
kind = "hiveserver2"
listen = "127.0.10.15:10011"
backends = ["http://hive.example.com:10001"]
identity = "doas"

[[stream]]
name = "hive-binary"
listen = "127.0.10.15:10000"
backends = ["hive.example.com:10000"]
balance = "source"
"#;

struct World {
    lab: Lab,
    gateway: Gateway,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let lab = Lab::builder()
            .with([Server::Hive])
            .wait_for_turn(Duration::from_secs(600))
            .start()
            .unwrap();
        let gateway = Gateway::builder(&lab)
            .service("hive/proxy.example.com")
            .sections(SECTIONS)
            .start()
            .unwrap();
        World { lab, gateway }
    })
}

/// The URL of the driver's HTTP mode, with the gateway's principal of that service.
fn http_url(service: &str) -> String {
    format!(
        "jdbc:hive2://proxy.example.com:{HTTP_PORT}/default;transportMode=http;\
         httpPath=cliservice;principal={service}/proxy.example.com@EXAMPLE.COM"
    )
}

fn until_it_is(gateway: &Gateway, state: &str) {
    let what = format!("HiveServer2 is {state}");
    wait::until(&what, Duration::from_secs(60), || {
        let states = gateway.backends_of("hive")?;
        Ok((states["http://hive.example.com:10001"] == state).then_some(()))
    })
    .unwrap();
}

/// A call while there is no server: told at once, and counted.
fn refused(lab: &Lab) -> String {
    let url = format!("http://proxy.example.com:{HTTP_PORT}/cliservice");
    let arguments = [
        "-H",
        "Accept: text/plain",
        "-X",
        "POST",
        "--data",
        "x",
        &url,
    ];
    let fetched = lab.fetch("alice", &arguments).unwrap();
    assert_eq!(fetched.status, 503, "{fetched:?}");
    fetched.body
}

fn works(lab: &Lab) {
    let statements = ["select current_user()"];
    let rows = lab
        .desk()
        .jdbc_as("alice", Driver::Hive, &http_url("hive"), &statements);
    assert_eq!(rows.unwrap(), "alice\n");
}

#[test]
fn a_server_that_hangs_dies_or_is_drained_is_told_at_once_and_used_again() {
    let World { lab, gateway } = world();
    works(lab);
    lab.pause(Server::Hive).unwrap();
    until_it_is(gateway, "down");
    assert!(refused(lab).contains("backend_down"));
    lab.resume(Server::Hive).unwrap();
    until_it_is(gateway, "active");
    works(lab);
    lab.kill9(Server::Hive).unwrap();
    until_it_is(gateway, "down");
    assert!(refused(lab).contains("backend_down"));
    // its secret is another one now, and the gateway's cookie worth nothing
    lab.start(Server::Hive).unwrap();
    until_it_is(gateway, "active");
    works(lab);
    let server = "hive.example.com:10001";
    gateway.assign("drain", "hive", server).unwrap();
    assert!(refused(lab).contains("backend_down"));
    gateway.assign("ready", "hive", server).unwrap();
    works(lab);
}

#[test]
fn jdbc_by_http_is_the_user_of_the_ticket() {
    let World { lab, gateway } = world();
    let desk = lab.desk();
    for (user, service) in [("alice", "hive"), ("alice", "HTTP"), ("bob", "hive")] {
        let statements = ["select current_user(), logged_in_user()"];
        let rows = desk.jdbc_as(user, Driver::Hive, &http_url(service), &statements);
        assert_eq!(rows.unwrap(), format!("{user}\t{user}\n"), "{service}");
    }
    let doas = gateway.backends_of("hive").unwrap();
    assert_eq!(doas["http://hive.example.com:10001"], "active");
}

#[test]
fn jdbc_by_http_makes_and_reads_a_table() {
    let desk = world().lab.desk();
    let folder = world().lab.folder().join("people");
    std::fs::create_dir_all(&folder).unwrap();
    let lines: String = (0..50_000).map(|n| format!("{n},name{n}\n")).collect();
    std::fs::write(folder.join("people.csv"), lines).unwrap();
    let create = format!(
        "create external table people (id int, name string) row format delimited \
         fields terminated by ',' location 'file://{}'",
        folder.display()
    );
    let statements = [&create, "select * from people", "drop table people"];
    let rows = desk.jdbc_as("alice", Driver::Hive, &http_url("hive"), &statements);
    let rows = rows.unwrap();
    assert_eq!(rows.lines().count(), 50_000);
    assert_eq!(rows.lines().last(), Some("49999\tname49999"));
}

#[test]
fn impyla_by_http_is_the_user_of_the_ticket() {
    let desk = world().lab.desk();
    for user in ["alice", "bob"] {
        let statements = ["select current_user(), logged_in_user()"];
        let rows = desk.impyla(user, "proxy.example.com", HTTP_PORT, &statements);
        assert_eq!(rows.unwrap(), format!("{user}\t{user}\n"));
    }
}

#[test]
fn a_user_the_server_does_not_let_the_gateway_be_is_refused() {
    let desk = world().lab.desk();
    let statements = ["select current_user()"];
    let rows = desk.jdbc_as("carol", Driver::Hive, &http_url("hive"), &statements);
    let text = rows.unwrap_err().to_string();
    println!("carol: {}", text.lines().next().unwrap_or_default());
    assert!(text.contains("carol"), "{text}");
}

#[test]
fn a_client_cannot_be_another_by_its_own_word() {
    let desk = world().lab.desk();
    let url = http_url("hive") + ";hive.server2.proxy.user=bob";
    let statements = ["select current_user()"];
    let rows = desk.jdbc_as("alice", Driver::Hive, &url, &statements);
    println!("alice asks to be bob: {rows:?}");
    assert!(rows.is_err() || rows.is_ok_and(|rows| rows == "alice\n"));
}

#[test]
fn the_binary_port_is_relayed() {
    let World { lab, gateway } = world();
    let desk = lab.desk();
    let url = "jdbc:hive2://proxy.example.com:10000/default;\
               principal=hive/hive.example.com@EXAMPLE.COM";
    let statements = ["select current_user()"];
    let rows = desk.jdbc_as("alice", Driver::Hive, url, &statements);
    assert_eq!(rows.unwrap(), "alice\n");
    let relayed = gateway
        .metric("spnegate_stream_connections_total{stream=\"hive-binary\"")
        .unwrap();
    assert!(relayed >= 1.0, "{relayed}");
}
