//! Presto without security, two coordinators: by a stream as HAProxy relays it, and by a console
//! where every link points to the gateway and every query stays with its coordinator.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::{
    collections::BTreeSet,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use lab::{
    CUT_SHORT, Driver, Lab, Load, OWNER_GONE, Server, Stage, Statement, UNDER_WAY, run, wait,
};

/// The stream's address; clients do not know the coordinators' own.
const STREAM: &str = "http://proxy.example.com:9090";
/// The console's, where clients log in.
const CONSOLE: &str = "http://proxy.example.com:9091";
/// A console without login.
const OPEN: &str = "http://proxy.example.com:9092";
const COUNT: &str = "select count(*) from unnest(sequence(1, 1000))";
/// Runs for minutes.
const LONG: &str = "select count(*) from unnest(sequence(1, 10000)) a (x) \
                    cross join unnest(sequence(1, 10000)) b (y) \
                    cross join unnest(sequence(1, 10000)) c (z) where (x * y) % 7 = z % 5";
/// Queries before and after each event.
const QUERIES: u64 = 10;
const GATEWAY: &str = r#"
[[stream]]
name = "common"
listen = "127.0.10.15:9090"
backends = ["presto.example.com:9090", "presto2.example.com:9090"]
balance = "source"

[[console]]
name = "presto"
kind = "presto"
listen = "127.0.10.15:9091"
backends = ["http://presto.example.com:9090", "http://presto2.example.com:9090"]
balance = "roundrobin"
identity = "simple"

[[console]]
name = "open"
kind = "presto"
listen = "127.0.10.15:9092"
backends = ["http://presto.example.com:9090", "http://presto2.example.com:9090"]
balance = "roundrobin"
identity = "none"
"#;

/// One lab for all tests of this file, which use it in turn: some end a coordinator.
fn stage() -> MutexGuard<'static, Option<Stage>> {
    static STAGE: Mutex<Option<Stage>> = Mutex::new(None);
    let mut stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let servers = [Server::Presto, Server::Presto2];
    stage.get_or_insert_with(|| Stage::set(&servers, GATEWAY).unwrap());
    stage
}

/// curl as the user of the tickets; a user named in the request is ignored.
fn curl(lab: &Lab, user: &str) -> anyhow::Result<Command> {
    let mut curl = lab.curl(user)?;
    curl.args(["-H", "X-Presto-User: root", "--max-time", "60"]);
    Ok(curl)
}

fn query(lab: &Lab, user: &str, sql: &str) -> Statement {
    Statement::run(|| curl(lab, user), CONSOLE, sql).unwrap()
}

/// The suffix of a query's id, which identifies its coordinator.
fn coordinator(statement: &Statement) -> String {
    statement.id.rsplit('_').next().unwrap().to_owned()
}

#[test]
fn the_cli_and_jdbc_work_through_a_stream() {
    let stage = stage();
    let Stage { lab, gateway } = stage.as_ref().unwrap();
    let desk = lab.desk();
    let mut cli = desk.presto_cli().unwrap();
    cli.args(["--server", STREAM, "--user", "alice", "--execute"]);
    cli.arg("select current_user, x from unnest(sequence(1000, 1001)) t (x)");
    assert_eq!(
        run(cli).unwrap(),
        "\"alice\",\"1000\"\n\"alice\",\"1001\"\n"
    );
    let url = "jdbc:presto://proxy.example.com:9090/system/runtime";
    // by the client's address: one coordinator for all statements of all connections
    let statements = [
        COUNT,
        "select node_id from nodes",
        "select node_id from nodes",
    ];
    let nodes: BTreeSet<String> = (0..2)
        .map(|_| {
            desk.jdbc(Driver::Presto, url, &[("user", "alice")], &statements)
                .unwrap()
        })
        .collect();
    assert_eq!(nodes.len(), 1, "{nodes:?}");
    let lines: Vec<&str> = nodes.first().unwrap().lines().collect();
    assert_eq!(lines[0], "1000");
    assert_eq!(lines[1], lines[2]);
    let relayed = gateway
        .metric("spnegate_stream_connections_total{stream=\"common\"")
        .unwrap();
    assert!(relayed >= 3.0, "{relayed}");
}

#[test]
fn every_uri_in_a_response_points_to_the_gateway() {
    let stage = stage();
    let Stage { lab, .. } = stage.as_ref().unwrap();
    let statement = query(lab, "alice", "select current_user");
    assert_eq!(
        statement.rows,
        [serde_json::json!(["alice"])],
        "{statement:?}"
    );
    // while it runs there is one more: that of a partial cancel
    let mut long = Statement::begin(curl(lab, "alice").unwrap(), CONSOLE, LONG).unwrap();
    wait::until("the query runs", Duration::from_secs(60), || {
        long.step(curl(lab, "alice")?)?;
        let partial = long.uris.iter().any(|uri| uri.contains("/v1/stage/"));
        Ok(partial.then_some(()))
    })
    .unwrap();
    let uris: Vec<_> = statement.uris.iter().chain(&long.uris).collect();
    let strays: Vec<_> = uris
        .iter()
        .filter(|uri| !uri.starts_with(&format!("{CONSOLE}/")))
        .collect();
    assert!(strays.is_empty(), "{strays:?}");
    cancel(lab, &long);
}

/// Begins long queries until there is one on each coordinator.
fn one_on_each(lab: &Lab) -> Vec<Statement> {
    let mut begun: Vec<Statement> = Vec::new();
    wait::until("each has a query", Duration::from_secs(60), || {
        let mut next = Statement::begin(curl(lab, "alice")?, CONSOLE, LONG)?;
        // asked for once, since Presto answers 500 to a cancel that comes before
        next.step(curl(lab, "alice")?)?;
        if begun
            .iter()
            .any(|known| coordinator(known) == coordinator(&next))
        {
            cancel(lab, &next);
        } else {
            begun.push(next);
        }
        Ok((begun.len() == 2).then_some(()))
    })
    .unwrap();
    begun
}

/// Cancels a query through the gateway.
fn cancel(lab: &Lab, statement: &Statement) {
    let mut cancel = curl(lab, "alice").unwrap();
    cancel.args(["-X", "DELETE", "-w", "%{http_code}"]);
    cancel.arg(statement.next.as_deref().unwrap());
    assert_eq!(run(cancel).unwrap(), "204");
}

#[test]
fn the_user_is_taken_from_the_ticket_and_requests_without_one_are_refused() {
    let stage = stage();
    let Stage { lab, .. } = stage.as_ref().unwrap();
    for user in ["alice", "bob"] {
        let statement = query(lab, user, "select current_user");
        assert_eq!(statement.rows, [serde_json::json!([user])], "{statement:?}");
    }
    let url = format!("{CONSOLE}/v1/statement");
    let refused = lab.fetch_without_ticket(&["-d", "select 1", &url]).unwrap();
    assert_eq!(refused.status, 401, "{refused:?}");
}

/// The pages of the coordinator are served and the interface for its workers is not: with the
/// gateway's login, or without any, a task runs as the user that its body names.
#[test]
fn pages_are_published_and_the_internal_interface_is_not() {
    let stage = stage();
    let Stage { lab, .. } = stage.as_ref().unwrap();
    let statement = query(lab, "alice", COUNT);
    let id = &statement.id;
    let status = |arguments: &[&str], path: &str| {
        let mut curl = curl(lab, "alice").unwrap();
        curl.args(["-o", "/dev/null", "-w", "%{http_code}"]);
        curl.args(arguments).arg(format!("{CONSOLE}{path}"));
        run(curl).unwrap()
    };
    for path in [
        "/ui/",
        "/v1/info",
        "/v1/cluster",
        "/v1/query",
        &format!("/v1/query/{id}"),
        "/v1/queryState?includeAllQueries=true&includeAllQueryProgressStats=true",
    ] {
        assert_eq!(status(&[], path), "200", "{path}");
    }
    let task = format!("/v1/task/{id}.0.0.1.0");
    for (arguments, path) in [
        (
            ["-d", "{\"session\":{\"user\":\"bob\"}}"].as_slice(),
            &*task,
        ),
        (&[], "/v1/task"),
        (&["-X", "PUT", "-d", "{}"], "/v1/announcement/presto"),
        (&[], "/v1/service"),
        (&["-d", "{}"], "/v1/memory"),
        (&[], "/v1/thread"),
        (&["-X", "PUT", "-d", "\"SHUTTING_DOWN\""], "/v1/info/state"),
    ] {
        assert_eq!(status(arguments, path), "403", "{path}");
    }
    // the coordinator's own URI of the query points to the gateway
    let mut about = curl(lab, "alice").unwrap();
    about.arg(format!("{CONSOLE}/v1/query/{id}"));
    let about: serde_json::Value = serde_json::from_str(&run(about).unwrap()).unwrap();
    assert_eq!(about["self"], format!("{CONSOLE}/v1/query/{id}"));
}

#[test]
fn clients_without_kerberos_use_a_console_without_login() {
    let stage = stage();
    let Stage { lab, .. } = stage.as_ref().unwrap();
    let desk = lab.desk();
    let mut cli = desk.presto_cli().unwrap();
    cli.args(["--server", OPEN, "--user", "alice"]);
    cli.args(["--execute", "select current_user"]);
    assert_eq!(run(cli).unwrap(), "\"alice\"\n");
    let url = "jdbc:presto://proxy.example.com:9092/system/runtime";
    let statements = ["select current_user", COUNT];
    let rows = desk.jdbc(Driver::Presto, url, &[("user", "bob")], &statements);
    assert_eq!(rows.unwrap(), "bob\n1000\n");
}

#[test]
fn queries_reach_the_coordinator_that_runs_them() {
    let stage = stage();
    let Stage { lab, .. } = stage.as_ref().unwrap();
    let mut coordinators = BTreeSet::new();
    for _ in 0..6 {
        let statement = query(lab, "alice", COUNT);
        assert_eq!(statement.rows, [serde_json::json!([1000])], "{statement:?}");
        coordinators.insert(coordinator(&statement));
    }
    assert_eq!(coordinators.len(), 2, "in turn: {coordinators:?}");
}

/// Several clients, each with one query after the other.
fn load(lab: &Lab) -> Load {
    let tickets = lab.tickets("alice").unwrap();
    let world = lab.world().with_tickets(&tickets);
    Load::start((0..3).map(|_| {
        let world = world.clone();
        move || {
            let curl = || {
                let mut curl = world.command("curl");
                curl.args(["-sS", "--max-time", "60", "--negotiate", "-u", ":"]);
                Ok(curl)
            };
            Statement::turn(curl, CONSOLE, COUNT, &serde_json::json!([[1000]]))
        }
    }))
}

#[test]
fn a_killed_coordinator_loses_only_its_own_queries() {
    let stage = stage();
    let Stage { lab, gateway } = stage.as_ref().unwrap();
    let mut long = one_on_each(lab);
    let mut other = None;
    let what = "kill -9 of one of two coordinators, and its restart";
    let queries = load(lab).around(what, QUERIES, |work| {
        lab.kill9(Server::Presto).unwrap();
        work.wait_more(QUERIES).unwrap();

        let fates: Vec<_> = long
            .iter()
            .map(|statement| {
                let next = statement.next.as_deref().unwrap();
                let fetched = lab.fetch("alice", &["-H", "Accept: application/json", next]);
                fetched.unwrap()
            })
            .collect();
        let gone: Vec<_> = fates
            .iter()
            .filter(|fate| fate.status == 503 && fate.body.contains(OWNER_GONE))
            .collect();
        assert_eq!(gone.len(), 1, "{fates:?}");
        other = fates.iter().position(|fate| fate.status == 200);
        assert!(other.is_some(), "{fates:?}");

        lab.start(Server::Presto).unwrap();
        let url = Server::Presto.url().unwrap();
        gateway.wait_backend("presto", &url, "active").unwrap();
    });
    // its own queries, and requests to it that were in progress
    let allowed = [OWNER_GONE, UNDER_WAY, CUT_SHORT];
    assert_eq!(queries.unwrap().besides(&allowed), [""; 0]);
    let other = &mut long[other.unwrap()];
    other.step(curl(lab, "alice").unwrap()).unwrap();
    cancel(lab, other);
}

#[test]
fn a_coordinator_that_hangs_receives_no_new_queries() {
    let stage = stage();
    let Stage { lab, gateway } = stage.as_ref().unwrap();
    let frozen = Server::Presto2.url().unwrap();
    let what = "SIGSTOP of one of two coordinators, and SIGCONT";
    let queries = load(lab).around(what, QUERIES, |_| {
        thread::scope(|scope| {
            // the driver repeats what is answered with 503, until the coordinator goes on
            let driver = scope.spawn(|| {
                let url = "jdbc:presto://proxy.example.com:9092/system/runtime";
                let user = [("user", "alice")];
                lab.desk().jdbc(Driver::Presto, url, &user, &[COUNT; 60])
            });
            lab.pause(Server::Presto2).unwrap();
            gateway.wait_backend("presto", &frozen, "down").unwrap();
            // others may wait, each with a query that the frozen one may have begun
            let newcomers = load(lab);
            newcomers.wait_more(2 * QUERIES).unwrap();
            lab.resume(Server::Presto2).unwrap();
            let newcomers = newcomers.stop();
            println!("who came meanwhile: {}", newcomers.line());
            assert_eq!(newcomers.failures, [""; 0]);
            let rows = driver.join().unwrap().unwrap();
            assert_eq!(rows, "1000\n".repeat(60));
        });
    });
    assert_eq!(queries.unwrap().besides(&[OWNER_GONE]), [""; 0]);
}

#[test]
fn no_query_fails_while_a_coordinator_is_slow() {
    let stage = stage();
    let Stage { lab, .. } = stage.as_ref().unwrap();
    let queries = load(lab).around("one of two coordinators is slow", QUERIES, |_| {
        lab.slow(Server::Presto, 5).unwrap();
    });
    assert_eq!(queries.unwrap().failures, [""; 0]);
}

#[test]
fn a_drained_coordinator_completes_its_queries_and_receives_no_new_ones() {
    let stage = stage();
    let Stage { lab, gateway } = stage.as_ref().unwrap();
    let assign = |duty: &str| {
        let server = "presto.example.com:9090";
        gateway.assign(duty, "presto", server).unwrap();
    };
    let what = "drain of one of two coordinators, and ready again";
    let queries = load(lab).around(what, QUERIES, |_| {
        let mut long = one_on_each(lab);
        assign("drain");
        let fresh: BTreeSet<_> = (0..4)
            .map(|_| coordinator(&query(lab, "alice", COUNT)))
            .collect();
        assert_eq!(fresh.len(), 1, "{fresh:?}");
        // both are still answered for
        for statement in &mut long {
            assert!(statement.step(curl(lab, "alice").unwrap()).unwrap());
            assert_eq!(statement.error, None);
        }
        assign("ready");
        for statement in long {
            cancel(lab, &statement);
        }
    });
    assert_eq!(queries.unwrap().failures, [""; 0]);
}
