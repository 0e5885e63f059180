//! Failover under load: whatever happens to the active server, no request that can be repeated
//! fails. Two losses are allowed: a read whose response had started when its server was killed or
//! frozen, since its head had been sent to the client, and a write that was in progress then, since
//! it may have been executed.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lab::{CUT_SHORT, Console, Lab, Load, READERS, Server, Stage, Tally, UNDER_WAY, wait};

/// Reads before and after each event.
const READS: u64 = 50;

/// Requests wait up to a minute here, so that a slow failover on a busy machine fails no request;
/// the gateway waits less long for the rest of a response that a frozen server has started.
const SECTIONS: &str = "[timeouts]\nhold = \"60s\"\nbody_idle = \"5s\"";

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| Stage::set(Server::YARN, SECTIONS).unwrap())
}

/// Small writes: a PUT in progress when the server dies is not repeated, since it may have been
/// executed; one that was not sent yet, or was refused by a standby, is.
fn writer(threads: usize) -> Load {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    Load::start((0..threads).map(|_| {
        let mut client = stage().client(Console::NameNode).unwrap();
        move || {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed) % 100;
            let path = format!("/webhdfs/v1/user/alice/dir{number}?op=MKDIRS");
            client.turn("PUT", &path, b"", "true")
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

/// Runs `event` under a load on the NameNodes; returns (reads, writes).
fn under_load(what: &str, put_threads: usize, event: impl FnOnce(&Lab)) -> (Tally, Tally) {
    let reads = stage().readers(Console::NameNode, HDFS_PAGES).unwrap();
    let writes = writer(put_threads);
    let reads = reads.around(what, READS, |_| event(&stage().lab)).unwrap();
    if put_threads > 0 {
        writes.wait_more(10).unwrap();
    }
    let writes = writes.stop();
    println!("  and writes: {}", writes.line());
    (reads, writes)
}

/// Runs `event` under a load of reads on the ResourceManagers.
fn under_yarn_load(what: &str, event: impl FnOnce(&Lab)) -> Tally {
    let reads = stage().readers(Console::ResourceManager, YARN_PAGES);
    reads
        .unwrap()
        .around(what, READS, |_| event(&stage().lab))
        .unwrap()
}

fn no_more_than_begun_answers(lost: &Tally) {
    assert_eq!(lost.besides(&[CUT_SHORT]), [""; 0]);
    assert!(lost.failures.len() <= READERS);
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

/// Waits until the gateway sees that a resumed server is no longer active, or the server has ended
/// itself: for a while both claim to be active, until the old one notices.
fn wait_stepped_back(console: Console, woken: Server) {
    let Stage { lab, gateway } = stage();
    let url = woken.url().unwrap();
    let limit = Duration::from_secs(120);
    wait::until("the woken one has stepped back", limit, || {
        let states = gateway.backends(console)?;
        Ok((states[&url] == "standby" || !lab.is_running(woken)).then_some(()))
    })
    .unwrap();
}

/// Restores the pair, whatever the resumed server did.
fn renew(lab: &Lab, woken: Server) {
    let _ = lab.kill9(woken);
    lab.start(woken).unwrap();
}

#[test]
fn no_read_fails_when_the_active_namenode_is_killed() {
    let (first, _) = active();
    let (reads, writes) = under_load("kill -9 of the active NameNode", 1, |lab| {
        lab.kill9(first).unwrap();
        lab.wait_active_namenode_other_than(first).unwrap();
    });
    no_more_than_begun_answers(&reads);
    assert_eq!(writes.besides(&[CUT_SHORT, UNDER_WAY]), [""; 0]);
    let (reads, writes) = under_load("its restart as the standby", 1, |lab| {
        lab.start(first).unwrap();
    });
    assert_eq!(reads.failures, [""; 0]);
    assert_eq!(writes.failures, [""; 0]);
}

#[test]
fn no_request_fails_during_a_graceful_failover() {
    let (first, second) = active();
    for (from, to) in [(first, second), (second, first)] {
        let (reads, writes) = under_load(&format!("haadmin -failover {from} {to}"), 1, |lab| {
            lab.haadmin_failover(from, to).unwrap();
        });
        no_more_than_begun_answers(&reads);
        assert_eq!(writes.failures, [""; 0]);
    }
}

#[test]
fn no_read_fails_when_the_active_namenode_freezes_and_resumes() {
    let (first, second) = active();
    // no writes: the frozen server may have executed one, so the client would wait for its response
    let (reads, _) = under_load("SIGSTOP of the active NameNode", 0, |lab| {
        lab.pause(first).unwrap();
        lab.wait_active_namenode_other_than(first).unwrap();
    });
    no_more_than_begun_answers(&reads);
    // its failover controller or the JournalNode refuses it
    let (reads, writes) = under_load("SIGCONT: two claim to be active", 1, |lab| {
        lab.resume(first).unwrap();
        wait_stepped_back(Console::NameNode, first);
    });
    no_more_than_begun_answers(&reads);
    assert_eq!(writes.failures, [""; 0]);
    let states = stage().gateway.backends(Console::NameNode).unwrap();
    println!("the gateway sees {states:?}");
    assert_eq!(states[&second.url().unwrap()], "active");
    renew(&stage().lab, first);
}

#[test]
fn no_read_fails_when_the_active_resourcemanager_is_killed() {
    let first = stage().lab.active_rm().unwrap().unwrap();
    let reads = under_yarn_load("kill -9 of the active ResourceManager", |lab| {
        lab.kill9(first).unwrap();
        lab.wait_active_rm_other_than(first).unwrap();
    });
    no_more_than_begun_answers(&reads);
    let reads = under_yarn_load("its restart as the standby", |lab| {
        lab.start(first).unwrap();
    });
    assert_eq!(reads.failures, [""; 0]);
}

#[test]
fn no_read_fails_when_the_active_resourcemanager_freezes_and_resumes() {
    let first = stage().lab.active_rm().unwrap().unwrap();
    let reads = under_yarn_load("SIGSTOP of the active ResourceManager", |lab| {
        lab.pause(first).unwrap();
        lab.wait_active_rm_other_than(first).unwrap();
    });
    no_more_than_begun_answers(&reads);
    // its ZooKeeper session has expired, which it notices at its next request there
    let what = "SIGCONT: two ResourceManagers claim to be active";
    let reads = under_yarn_load(what, |lab| {
        lab.resume(first).unwrap();
        wait_stepped_back(Console::ResourceManager, first);
    });
    no_more_than_begun_answers(&reads);
    let states = stage().gateway.backends(Console::ResourceManager).unwrap();
    println!("the gateway sees {states:?}");
    renew(&stage().lab, first);
}

#[test]
fn no_request_fails_while_a_server_is_slow() {
    let (first, _) = active();
    let (reads, writes) = under_load("a slow active NameNode", 2, |lab| {
        lab.slow(first, 5).unwrap();
    });
    assert_eq!(reads.failures, [""; 0]);
    assert_eq!(writes.failures, [""; 0]);
    let manager = stage().lab.active_rm().unwrap().unwrap();
    let reads = under_yarn_load("a slow active ResourceManager", |lab| {
        lab.slow(manager, 5).unwrap();
    });
    assert_eq!(reads.failures, [""; 0]);
}
