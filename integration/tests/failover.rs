//! Failover under load: whatever happens to the active server, no request that can be replayed
//! fails.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::io::ErrorKind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lab::{Client, Console, Gateway, Lab, Load, Server, Stage, Tally, Turn, wait};

/// An answer of which the head had gone to the client when its server was killed.
const CUT: &str = "the answer had begun and was cut short";

/// The requests that could have been replayed and were not.
fn lost(tally: &Tally) -> Vec<&String> {
    tally.failures.iter().filter(|why| *why != CUT).collect()
}

/// Threads that read, a console.
const READERS: u64 = 4;

/// Requests wait up to a minute here, so that a busy machine's slow failover is no failed request.
fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| Stage::set(Server::YARN, "[timeouts]\nhold = \"60s\"").unwrap())
}

fn client(console: Console) -> Client {
    let url = Gateway::url(console, "/.spnegate/whoami");
    let session = stage().lab.session("alice", &url).unwrap();
    Gateway::client(console).header("Cookie", &session)
}

/// A turn: one request, which must be answered with 200 and these words.
fn turn(client: &mut Client, method: &str, path: &str, words: &str) -> Turn {
    match client.request(method, path, b"") {
        Ok(reply) if reply.status == 200 && reply.text().contains(words) => Turn::Done,
        Ok(reply) => {
            let text: String = reply.text().chars().take(300).collect();
            Turn::Failed(format!("{method} {path}: {} {text}", reply.status))
        }
        Err(error) if error.kind() == ErrorKind::ConnectionAborted => Turn::Failed(CUT.to_owned()),
        Err(error) => Turn::Failed(format!("{method} {path}: {error}")),
    }
}

fn readers(console: Console, pages: &'static [(&'static str, &'static str)]) -> Load {
    Load::start((0..READERS).map(|_| {
        let mut client = client(console);
        let mut pages = pages.iter().cycle();
        move || {
            let Some((path, words)) = pages.next() else {
                return Turn::Over;
            };
            turn(&mut client, "GET", path, words)
        }
    }))
}

/// Small writes: a PUT that was under way when the server died is not repeated, since it may have
/// been carried out; one that was not sent yet, or was refused by a standby, is.
fn writer(threads: usize) -> Load {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    Load::start((0..threads).map(|_| {
        let mut client = client(Console::NameNode);
        move || {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed) % 100;
            let path = format!("/webhdfs/v1/user/alice/dir{number}?op=MKDIRS");
            turn(&mut client, "PUT", &path, "true")
        }
    }))
}

const HDFS_PAGES: &[(&str, &str)] = &[
    (
        "/webhdfs/v1/user/alice?op=GETFILESTATUS",
        "\"owner\":\"alice\"",
    ),
    ("/webhdfs/v1/user?op=LISTSTATUS", "\"pathSuffix\":\"alice\""),
    ("/webhdfs/v1/?op=GETHOMEDIRECTORY", "/user/alice"),
];
const YARN_PAGES: &[(&str, &str)] = &[
    ("/ws/v1/cluster/metrics", "clusterMetrics"),
    ("/cluster/nodes", "Logged in as: alice"),
];

/// Runs `event` under load; prints what became of the requests, and returns (reads, writes).
fn under_load(what: &str, put_threads: usize, event: impl FnOnce(&Lab)) -> (Tally, Tally) {
    let (reads, writes) = (readers(Console::NameNode, HDFS_PAGES), writer(put_threads));
    reads.wait_more(50).unwrap();
    let begun = Instant::now();
    event(&stage().lab);
    let took = begun.elapsed().as_secs_f64();
    reads.wait_more(100).unwrap();
    if put_threads > 0 {
        writes.wait_more(10).unwrap();
    }
    let (reads, writes) = (reads.stop(), writes.stop());
    println!(
        "{what}: done after {took:.1} s\n  reads:  {}\n  writes: {}",
        reads.line(),
        writes.line()
    );
    (reads, writes)
}

fn active() -> (Server, Server) {
    let active = stage().lab.wait_active_namenode().unwrap();
    let other = if active == Server::Nn1 {
        Server::Nn2
    } else {
        Server::Nn1
    };
    (active, other)
}

#[test]
fn a_killed_namenode_costs_no_read() {
    let (first, _) = active();
    let (reads, _) = under_load("kill -9 of the active NameNode", 1, |lab| {
        lab.kill9(first).unwrap();
        lab.wait_active_namenode_other_than(first).unwrap();
    });
    assert_eq!(lost(&reads), [""; 0]);
    let (reads, _) = under_load("its restart as the standby", 1, |lab| {
        lab.start(first).unwrap();
    });
    assert_eq!(lost(&reads), [""; 0]);
}

#[test]
fn a_handover_costs_no_request_at_all() {
    let (first, second) = active();
    for (from, to) in [(first, second), (second, first)] {
        let (reads, writes) = under_load(&format!("haadmin -failover {from} {to}"), 1, |lab| {
            lab.haadmin_failover(from, to).unwrap();
        });
        assert_eq!(lost(&reads), [""; 0]);
        assert_eq!(writes.failures, [""; 0]);
    }
}

#[test]
fn a_frozen_namenode_that_wakes_up_beside_the_new_one() {
    let (first, second) = active();
    // no writes: one that the frozen server has got may have been done, so it waits for its answer
    let (reads, _) = under_load("SIGSTOP of the active NameNode", 0, |lab| {
        lab.pause(first).unwrap();
        lab.wait_active_namenode_other_than(first).unwrap();
    });
    assert_eq!(lost(&reads), [""; 0]);
    // both say that they are active, until the old one is told off by its failover controller or
    // by the JournalNode; it then steps back or ends
    let (reads, _) = under_load("SIGCONT: two claim to be active", 1, |lab| {
        lab.resume(first).unwrap();
        let url = first.url().unwrap();
        wait::until(
            "the woken one has stepped back",
            Duration::from_secs(120),
            || {
                let states = stage().gateway.backends(Console::NameNode)?;
                Ok((states[&url] != "active" || !lab.is_running(first)).then_some(()))
            },
        )
        .unwrap();
    });
    assert_eq!(lost(&reads), [""; 0]);
    let states = stage().gateway.backends(Console::NameNode).unwrap();
    println!("the gateway sees {states:?}");
    assert_eq!(states[&second.url().unwrap()], "active");
    // leave a pair behind, whatever the woken one did
    let lab = &stage().lab;
    let _ = lab.kill9(first);
    lab.start(first).unwrap();
}

#[test]
fn a_killed_resourcemanager_costs_no_read() {
    let Stage { lab, .. } = stage();
    let first = lab.active_rm().unwrap().unwrap();
    let reads = readers(Console::ResourceManager, YARN_PAGES);
    reads.wait_more(50).unwrap();
    let begun = Instant::now();
    lab.kill9(first).unwrap();
    let other = lab.wait_active_rm_other_than(first).unwrap();
    let took = begun.elapsed().as_secs_f64();
    reads.wait_more(100).unwrap();
    let reads = reads.stop();
    println!(
        "kill -9 of the active ResourceManager: {other} is active after {took:.1} s\n  reads:  {}",
        reads.line()
    );
    assert_eq!(lost(&reads), [""; 0]);
    lab.start(first).unwrap();
}

#[test]
fn a_slow_server_costs_no_request_at_all() {
    let (first, _) = active();
    let (reads, writes) = under_load("a slow active NameNode", 2, |lab| {
        lab.slow(first, 5).unwrap();
    });
    assert_eq!(reads.failures, [""; 0]);
    assert_eq!(writes.failures, [""; 0]);
    let Stage { lab, .. } = stage();
    let manager = lab.active_rm().unwrap().unwrap();
    let reads = readers(Console::ResourceManager, YARN_PAGES);
    reads.wait_more(50).unwrap();
    lab.slow(manager, 5).unwrap();
    let reads = reads.stop();
    println!("a slow active ResourceManager\n  reads:  {}", reads.line());
    assert_eq!(reads.failures, [""; 0]);
}
