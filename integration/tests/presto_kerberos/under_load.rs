//! The coordinator under load: killed, restarted, frozen and slow, and the gateway's certificate
//! swapped.
//!
//! There is one coordinator. While it is away every new query is lost, each told at once. The queries
//! that it ran are lost when it dies, and so are requests that were under way to begin one, since it
//! may have begun. While it hangs, asking for a query's rows is refused, which JDBC repeats until it
//! goes on. A slow one costs nothing.

use std::path::Path;

use lab::{AWAY, CUT_SHORT, Driver, Load, OWNER_GONE, Server, Stage, Statement, Tally, UNDER_WAY};

use super::{ANSWER, CONSOLE, desk, jdbc_url, properties, stage};

/// Clients of a load, and their queries before and after each event.
const CLIENTS: usize = 2;
const QUERIES: u64 = 10;

/// Several clients that trust these certificates, each with one query after the other.
fn load(trust: &Path) -> Load {
    Load::start((0..CLIENTS).map(|_| {
        let trust = trust.to_owned();
        move || {
            let curl = || {
                let mut curl = stage().lab.curl("alice")?;
                // by HTTP/1.1, as Presto's clients speak: curl 7.88 gives up an upload whose stream
                // ends early
                curl.args(["--http1.1", "--max-time", "60", "--cacert"])
                    .arg(&trust);
                Ok(curl)
            };
            let rows = serde_json::json!([["alice", 1], ["alice", 2]]);
            Statement::turn(curl, CONSOLE, ANSWER, &rows)
        }
    }))
}

/// A JDBC client with one statement after the other on its connection, which has begun.
fn session() -> Load {
    let desk = desk();
    let properties = properties(&desk, "alice", "alice");
    let properties = properties
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let url = jdbc_url("proxy.example.com:7778");
    let mut session = desk
        .jdbc_session("alice", Driver::Presto, &url, &properties)
        .unwrap();
    session.run(ANSWER).unwrap();
    Load::start([move || session.turn(ANSWER, "alice\t1\nalice\t2\n")])
}

/// Runs `event` under a load of queries by hand and by JDBC: (by hand, by JDBC).
fn under_load(what: &str, event: impl FnOnce(&Load)) -> (Tally, Tally) {
    let session = session();
    let queries = load(&stage().lab.tls("proxy.pem"));
    let queries = queries.around(what, QUERIES, event);
    session.wait_more(4).unwrap();
    let session = session.stop();
    println!("  and by JDBC: {}", session.line());
    (queries.unwrap(), session)
}

#[test]
fn a_killed_coordinator_is_reported_immediately_and_used_again() {
    let what = "kill -9 of the coordinator, and its restart";
    let (queries, session) = under_load(what, |work| {
        stage()
            .kill_and_restart("presto", Server::PrestoTls, work)
            .unwrap();
    });
    let allowed = [AWAY, OWNER_GONE, UNDER_WAY, CUT_SHORT];
    assert_eq!(queries.besides(&allowed), [""; 0]);
    assert!(queries.besides(&[AWAY]).len() <= CLIENTS);
    // the driver asks for its query until the new coordinator says that it has no such one
    let allowed = ["503", "502", "404"];
    assert_eq!(session.besides(&allowed), [""; 0]);
    assert!(session.besides(&["503"]).len() <= 1);
}

#[test]
fn a_coordinator_that_hangs_is_reported_immediately_and_used_again() {
    let what = "SIGSTOP of the coordinator, and SIGCONT";
    let (queries, session) = under_load(what, |_| {
        let newcomers = || load(&stage().lab.tls("proxy.pem"));
        let newcomers = stage().freeze("presto", Server::PrestoTls, newcomers);
        assert_eq!(newcomers.unwrap().besides(&[AWAY]), [""; 0]);
    });
    assert_eq!(queries.besides(&[AWAY, OWNER_GONE]), [""; 0]);
    // the driver asks for its query until the coordinator goes on
    assert_eq!(session.failures, [""; 0]);
}

#[test]
fn no_query_fails_while_a_coordinator_is_slow() {
    let (queries, session) = under_load("a slow coordinator", |_| {
        stage().lab.slow(Server::PrestoTls, 5).unwrap();
    });
    assert_eq!(queries.failures, [""; 0]);
    assert_eq!(session.failures, [""; 0]);
}

/// Runs last, as this file's name and its own make it: the truststores of the others know the first
/// certificate alone.
#[test]
fn zz_a_certificate_is_replaced_under_load() {
    let Stage { lab, .. } = stage();
    let old = std::fs::read_to_string(lab.tls("proxy.pem")).unwrap();
    let both = lab.tls("both.pem");
    std::fs::write(&both, &old).unwrap();
    let queries = load(&both).around("a certificate is swapped", QUERIES, |_| {
        lab.renew_certificate("proxy", |renewed| {
            let apart = lab.tls("both.new");
            std::fs::write(&apart, format!("{old}{renewed}")).unwrap();
            std::fs::rename(apart, &both).unwrap();
        })
        .unwrap();
        // who knows the new one alone
        let new = load(&lab.tls("proxy-renewed.pem"));
        new.wait_more(1).unwrap();
        new.stop();
    });
    assert_eq!(queries.unwrap().failures, [""; 0]);
}
