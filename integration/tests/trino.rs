//! Trino with TLS and Kerberos through the gateway, on machines with a JDK that it supports.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::{process::Command, sync::OnceLock, time::Duration};

use lab::{
    AWAY, CUT_SHORT, KEYSTORE_PASSWORD, Lab, Load, OWNER_GONE, Server, Stage, Statement, UNDER_WAY,
    home_for_trino, run, wait,
};

const CONSOLE: &str = "https://proxy.example.com:8443";
const SQL: &str = "select current_user, x from unnest(sequence(1, 2)) t (x)";
/// Of a load, before and after each event.
const QUERIES: u64 = 10;

/// trino-cli with the keytab of `principal`, as `user`.
fn cli(lab: &Lab, principal: &str, user: &str, sql: &str) -> anyhow::Result<String> {
    let desk = lab.desk();
    let mut cli = desk.trino_cli()?;
    cli.args(["--server", CONSOLE, "--user", user, "--execute", sql]);
    cli.args(["--krb5-remote-service-name", "trino"]);
    cli.args(["--krb5-principal", principal, "--krb5-keytab-path"]);
    cli.arg(lab.realm().principal_with_keytab(principal)?);
    cli.arg("--krb5-config-path").arg(desk.krb5_conf());
    cli.arg("--truststore-path").arg(lab.tls("trust.jks"));
    cli.args(["--truststore-password", KEYSTORE_PASSWORD]);
    run(cli)
}

/// The coordinator and a gateway in front of it; nothing if no suitable JDK is installed.
fn stage() -> Option<&'static Stage> {
    static STAGE: OnceLock<Option<Stage>> = OnceLock::new();
    let stage = STAGE.get_or_init(|| match home_for_trino() {
        Ok(_) => Some(
            Stage::with(&[Server::Trino], |gateway, lab| {
                let sections = sections(lab);
                gateway
                    .service("trino/proxy.example.com")
                    .sections(&sections)
            })
            .unwrap(),
        ),
        Err(why) => {
            eprintln!("not tested: {why}");
            None
        }
    });
    stage.as_ref()
}

fn sections(lab: &Lab) -> String {
    let tls = lab.folder().join("tls");
    let tls = tls.display();
    format!(
        // no request may wait for a time-out: one of these would outlast the test
        "[timeouts]\nfirst_byte = \"1h\"\nhold = \"1h\"\n\n\
         [[console]]\nname = \"trino\"\nkind = \"trino\"\nlisten = \"127.0.10.15:8443\"\n\
         identity = \"doas\"\n\
         tls = {{ keystore = \"{tls}/proxy.p12\", password_file = \"{tls}/password\" }}\n\
         backend_tls = {{ truststore = \"{tls}/trust.jks\", password_file = \"{tls}/password\" }}\n\
         backends = [{{ url = \"https://trino.example.com:8443\", \
         spn = \"trino/trino.example.com\" }}]\n"
    )
}

/// curl as alice, who trusts the gateway.
fn curl(lab: &Lab) -> anyhow::Result<Command> {
    let mut curl = lab.curl("alice")?;
    curl.args(["--http1.1", "--max-time", "60", "--cacert"])
        .arg(lab.tls("proxy.pem"));
    Ok(curl)
}

/// Several clients, each with one query after the other.
fn load(lab: &'static Lab) -> Load {
    let rows = serde_json::json!([["alice", 1], ["alice", 2]]);
    Load::start([(); 2].map(|()| {
        let rows = rows.clone();
        move || Statement::turn(|| curl(lab), CONSOLE, SQL, &rows)
    }))
}

/// There is one coordinator. While it is down every new query is refused immediately; its running
/// queries are lost, and so is a request in progress that starts one.
#[test]
fn a_slow_hung_or_killed_coordinator_is_reported_immediately_and_used_again() {
    let Some(stage) = stage() else { return };
    let lab = &stage.lab;
    let slow = load(lab).around("a slow Trino", QUERIES, |_| {
        lab.slow(Server::Trino, 5).unwrap();
    });
    assert_eq!(slow.unwrap().failures, [""; 0]);
    let hung = load(lab).around("SIGSTOP of Trino, and SIGCONT", QUERIES, |_| {
        let newcomers = stage.freeze("trino", Server::Trino, || load(lab));
        assert_eq!(newcomers.unwrap().besides(&[AWAY]), [""; 0]);
    });
    assert_eq!(hung.unwrap().besides(&[AWAY, OWNER_GONE]), [""; 0]);
    let died = load(lab).around("kill -9 of Trino, and its restart", QUERIES, |work| {
        stage
            .kill_and_restart("trino", Server::Trino, work)
            .unwrap();
    });
    let died = died.unwrap();
    let allowed = [AWAY, OWNER_GONE, UNDER_WAY, CUT_SHORT];
    assert_eq!(died.besides(&allowed), [""; 0]);
    assert!(died.besides(&[AWAY]).len() <= 2);
}

/// Lines of the coordinator's log of requests that have this in them.
fn asked(lab: &Lab, what: &str) -> usize {
    let log = lab.folder().join("logs/trino/requests.log");
    let log = std::fs::read_to_string(log).unwrap_or_default();
    log.lines().filter(|line| line.contains(what)).count()
}

/// Real clients fetch results of the real coordinator's spooling protocol: the HTTP client for
/// segments has no Kerberos, and acknowledges them. Only the storage is the lab's own.
#[test]
fn spooled_results_are_fetched_through_the_gateway() {
    let Some(Stage { lab, .. }) = stage() else {
        return;
    };
    let sql = "select x, current_user from unnest(sequence(1, 10000)) t (x)";
    let sum = |rows: &str, end: usize| -> u64 {
        let number = |line: &str| line[..line.len() - end].trim_matches('"').parse::<u64>();
        rows.lines().map(|line| number(line).unwrap()).sum()
    };
    let (downloads, acks) = ("/v1/spooled/download/", "/v1/spooled/ack/");
    let before = (asked(lab, downloads), asked(lab, acks));
    let rows = cli(lab, "alice", "alice", sql).unwrap();
    assert_eq!(sum(&rows, ",\"alice\"".len()), 50_005_000);
    let ca = lab.tls("proxy.pem");
    let python = |user: &str| {
        let desk = lab.desk();
        desk.trino_python((user, user), "trino", (CONSOLE, &ca), &[sql])
    };
    assert_eq!(sum(&python("bob").unwrap(), "\tbob".len()), 50_005_000);
    wait::until(
        "the segments are fetched and acknowledged",
        Duration::from_secs(30),
        || {
            let (fetched, acknowledged) = (
                asked(lab, downloads) - before.0,
                asked(lab, acks) - before.1,
            );
            println!("spooled segments: {fetched} fetched, {acknowledged} acknowledged");
            Ok((fetched > 2 && acknowledged == fetched).then_some(()))
        },
    )
    .unwrap();

    // the coordinator's URIs of the query point to the gateway too
    let statement = Statement::run(|| curl(lab), CONSOLE, SQL).unwrap();
    let mut about = curl(lab).unwrap();
    about.arg(format!("{CONSOLE}/v1/query/{}", statement.id));
    let about: serde_json::Value = serde_json::from_str(&run(about).unwrap()).unwrap();
    let own = format!("{CONSOLE}/v1/query/{}", statement.id);
    assert_eq!(about["self"], own.as_str());
    // and its internal interface is not there
    let mut task = curl(lab).unwrap();
    task.arg(format!("{CONSOLE}/v1/task"));
    assert!(run(task).unwrap().contains("not_published"));
}

#[test]
fn clients_run_as_the_user_of_their_ticket_and_every_uri_is_rewritten() {
    let Some(Stage { lab, .. }) = stage() else {
        return;
    };
    let sql = SQL;
    for user in ["alice", "bob"] {
        let rows = cli(lab, user, user, sql).unwrap();
        assert_eq!(rows, format!("\"{user}\",\"1\"\n\"{user}\",\"2\"\n"));
    }
    let rows = cli(lab, "alice", "bob", "select current_user");
    println!("alice as bob: {rows:?}");
    assert!(rows.is_err() || rows.is_ok_and(|rows| rows == "\"alice\"\n"));
    let error = cli(lab, "carol", "carol", sql).unwrap_err().to_string();
    assert!(error.contains("cannot impersonate user carol"), "{error}");

    let statement = Statement::run(|| curl(lab), CONSOLE, sql).unwrap();
    assert_eq!(statement.error, None);
    let own = format!("{CONSOLE}/");
    assert!(!statement.uris.is_empty());
    assert!(
        statement.uris.iter().all(|uri| uri.starts_with(&own)),
        "{:?}",
        statement.uris
    );

    // the Python client asks without a ticket, then with one, and wants the gateway's proof each time
    let desk = lab.desk();
    let ca = lab.tls("proxy.pem");
    for (user, service) in [("alice", "trino"), ("bob", "trino"), ("alice", "HTTP")] {
        let python = |named, statements: &[&str]| {
            desk.trino_python((user, named), service, (CONSOLE, &ca), statements)
        };
        let many =
            "select count(*) from unnest(sequence(1, 1000)) a (x), unnest(sequence(1, 1000)) b (y)";
        let rows = python(user, &[sql, many]).unwrap();
        assert_eq!(
            rows,
            format!("{user}\t1\n{user}\t2\n1000000\n"),
            "{service}"
        );
        let other = python("root", &["select current_user"]);
        println!("{user} as root by Python: {other:?}");
        assert!(other.is_err() || other.is_ok_and(|rows| rows == format!("{user}\n")));
    }
}
