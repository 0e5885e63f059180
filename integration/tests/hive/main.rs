//! HiveServer2 through the gateway: by HTTP with the JDBC driver and impyla, and its binary port by
//! a stream.
//!
//! Every call of its protocol is a POST, and there is one server. While it is away all calls are
//! lost, each told at once. Calls that are under way when it dies are lost, since they may have been
//! carried out; those under way when it hangs wait for it, and are answered when it wakes up.
//! Sessions live in the server's memory and end with it. A slow server costs nothing.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::sync::OnceLock;

use lab::{AWAY, CUT_SHORT, Driver, Gateway, Load, Server, Session, Stage, Tally, UNDER_WAY};

mod calls;

/// The server holds its port of HTTP on all addresses, so the gateway has another.
const HTTP_PORT: u16 = 10011;
/// There the server sees the gateway alone.
const SERVICE_PORT: u16 = 10012;
/// Nothing is to wait for a time-out: one of these would outlast the test.
const SECTIONS: &str = r#"
[timeouts]
first_byte = "1h"
hold = "1h"

[[console]]
name = "hive"
kind = "hiveserver2"
listen = "127.0.10.15:10011"
backends = ["http://hive.example.com:10001"]
identity = "doas"

[[console]]
name = "hive-service"
kind = "hiveserver2"
listen = "127.0.10.15:10012"
backends = ["http://hive.example.com:10001"]
identity = "service"

[[stream]]
name = "hive-binary"
listen = "127.0.10.15:10000"
backends = ["hive.example.com:10000"]
balance = "source"
"#;

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        Stage::with(&[Server::Hive], |gateway, _| {
            gateway.service("hive/proxy.example.com").sections(SECTIONS)
        })
        .unwrap()
    })
}

/// The URL of the driver's HTTP mode, with the gateway's principal of that service.
fn http_url(service: &str) -> String {
    format!(
        "jdbc:hive2://proxy.example.com:{HTTP_PORT}/default;transportMode=http;\
         httpPath=cliservice;principal={service}/proxy.example.com@EXAMPLE.COM"
    )
}

/// A Thrift call of a method that no server has, which it answers by saying so.
const CALL: &[u8] = b"\x80\x01\x00\x01\x00\x00\x00\x04ping\x00\x00\x00\x00\x00";
const NO_SUCH: &str = "Invalid method name: 'ping'";
/// Threads that post calls.
const CALLERS: usize = 4;
/// Real clients, and what they run.
const CLIENTS: usize = 2;
const STATEMENT: &str = "select current_user()";
/// Calls before and after each event.
const CALLS: u64 = 50;
/// What drivers show of [`AWAY`].
const STATUS_AWAY: &str = "503";

/// Calls, one after the other on kept connections. A call is a POST, so none is sent twice.
fn calls() -> Load {
    let whoami = format!("http://proxy.example.com:{HTTP_PORT}/.spnegate/whoami");
    let session = stage().lab.session("alice", &whoami).unwrap();
    Load::start((0..CALLERS).map(|_| {
        let mut client = Gateway::client_at(HTTP_PORT).header("Cookie", &session);
        move || client.turn("POST", "/cliservice", CALL, NO_SUCH)
    }))
}

/// JDBC and impyla, each with one statement after the other in one session, which has begun.
fn sessions() -> [Session; CLIENTS] {
    let desk = stage().lab.desk();
    let jdbc = desk.jdbc_session("alice", Driver::Hive, &http_url("hive"), &[]);
    let impyla = desk.impyla_session("alice", "proxy.example.com", HTTP_PORT);
    let mut sessions = [jdbc.unwrap(), impyla.unwrap()];
    for session in &mut sessions {
        session.run(STATEMENT).unwrap();
    }
    sessions
}

/// Runs `event` under a load of calls and of real clients: (calls, statements).
fn under_load(what: &str, event: impl FnOnce(&Load)) -> (Tally, Tally) {
    let turn = |mut session: Session| move || session.turn(STATEMENT, "alice\n");
    let statements = Load::start(sessions().map(turn));
    let calls = calls().around(what, CALLS, event);
    statements.wait_more(4).unwrap();
    let statements = statements.stop();
    println!("  and statements: {}", statements.line());
    (calls.unwrap(), statements)
}

#[test]
fn a_killed_server_is_reported_immediately_and_used_again() {
    let what = "kill -9 of HiveServer2, and its restart";
    // its secret is then another one, and the gateway's cookie worth nothing
    let (calls, statements) = under_load(what, |calls| {
        stage()
            .kill_and_restart("hive", Server::Hive, calls)
            .unwrap();
    });
    assert_eq!(calls.besides(&[AWAY, UNDER_WAY, CUT_SHORT]), [""; 0]);
    assert!(calls.besides(&[AWAY]).len() <= CALLERS);
    // what a driver says of a cut answer is its own
    assert!(statements.besides(&[STATUS_AWAY]).len() <= CLIENTS);
}

#[test]
fn a_server_that_hangs_is_reported_immediately_and_used_again() {
    let what = "SIGSTOP of HiveServer2, and SIGCONT";
    let (calls, statements) = under_load(what, |_| {
        let newcomers = stage().freeze("hive", Server::Hive, calls).unwrap();
        assert_eq!(newcomers.besides(&[AWAY]), [""; 0]);
    });
    assert_eq!(calls.besides(&[AWAY]), [""; 0]);
    assert_eq!(statements.besides(&[STATUS_AWAY]), [""; 0]);
}

#[test]
fn no_call_fails_while_a_server_is_slow() {
    let (calls, statements) = under_load("a slow HiveServer2", |_| {
        stage().lab.slow(Server::Hive, 5).unwrap();
    });
    assert_eq!(calls.failures, [""; 0]);
    assert_eq!(statements.failures, [""; 0]);
}

#[test]
fn a_drained_server_receives_no_new_sessions() {
    let assign = |duty: &str| {
        let server = "hive.example.com:10001";
        stage().gateway.assign(duty, "hive", server).unwrap();
    };
    let what = "drain of HiveServer2, and ready again";
    let (calls, statements) = under_load(what, |calls| {
        assign("drain");
        calls.wait_failed(20).unwrap();
        assign("ready");
    });
    assert_eq!(calls.besides(&[AWAY]), [""; 0]);
    assert_eq!(statements.besides(&[STATUS_AWAY]), [""; 0]);
}

#[test]
fn jdbc_over_http_runs_as_the_user_of_the_ticket() {
    let Stage { lab, gateway } = stage();
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
fn jdbc_over_http_creates_and_reads_a_table() {
    let desk = stage().lab.desk();
    let folder = stage().lab.folder().join("people");
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
fn impyla_over_http_runs_as_the_user_of_the_ticket() {
    let desk = stage().lab.desk();
    for user in ["alice", "bob"] {
        let statements = ["select current_user(), logged_in_user()"];
        let rows = desk.impyla(user, "proxy.example.com", HTTP_PORT, &statements);
        assert_eq!(rows.unwrap(), format!("{user}\t{user}\n"));
    }
}

#[test]
fn a_user_the_gateway_may_not_impersonate_is_refused() {
    let desk = stage().lab.desk();
    let statements = ["select current_user()"];
    let rows = desk.jdbc_as("carol", Driver::Hive, &http_url("hive"), &statements);
    let text = rows.unwrap_err().to_string();
    println!("carol: {}", text.lines().next().unwrap_or_default());
    assert!(text.contains("carol"), "{text}");
}

/// The driver puts `hive.server2.proxy.user` into the settings of its session, which decide where
/// the server is told nobody (`service`).
#[test]
fn a_client_cannot_name_another_user() {
    let desk = stage().lab.desk();
    let statements = ["select current_user()"];
    let run = |port: u16, settings: &str| {
        let url = http_url("hive").replace(&HTTP_PORT.to_string(), &port.to_string());
        desk.jdbc_as("alice", Driver::Hive, &(url + settings), &statements)
    };
    for port in [HTTP_PORT, SERVICE_PORT] {
        let rows = run(port, ";hive.server2.proxy.user=bob");
        println!("alice asks port {port} to be bob: {rows:?}");
        assert!(rows.unwrap_err().to_string().contains("403"), "{port}");
    }
    let own = run(HTTP_PORT, ";hive.server2.proxy.user=alice");
    assert_eq!(own.unwrap(), "alice\n");
    assert_eq!(run(SERVICE_PORT, "").unwrap(), "spnegate\n");
    let refused = "spnegate_refusals_total{reason=\"thrift_identity\"";
    assert!(stage().gateway.metric(refused).unwrap() >= 2.0);
}

/// What a call does that nobody has read: the gateway's principal at the server itself.
#[test]
fn without_the_gateway_the_server_accepts_the_user_in_the_settings() {
    let desk = stage().lab.desk();
    let url = "jdbc:hive2://hive.example.com:10001/default;transportMode=http;httpPath=cliservice;\
               principal=hive/hive.example.com@EXAMPLE.COM;hive.server2.proxy.user=bob";
    let gateway = "spnegate/proxy.example.com";
    let rows = desk.jdbc_as(gateway, Driver::Hive, url, &["select current_user()"]);
    assert_eq!(rows.unwrap(), "bob\n");
}

#[test]
fn a_statement_of_megabytes_is_streamed() {
    let desk = stage().lab.desk();
    let statement = format!("select length('{}')", "x".repeat(1_000_000));
    let mut jdbc = desk
        .jdbc_session("alice", Driver::Hive, &http_url("hive"), &[])
        .unwrap();
    assert_eq!(jdbc.run(&statement).unwrap(), "1000000\n");
}

#[test]
fn the_binary_port_is_relayed() {
    let Stage { lab, gateway } = stage();
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
