//! Servers of which there is one, under a load of reads: while it is away every read is refused at
//! once, and when it is back it is used again. That is all that may be lost, but for an answer that
//! had begun when its server was killed. A read that is under way when its server dies or hangs
//! would go to another; there is none, so it is refused too. A slow server costs nothing.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::sync::OnceLock;
use std::thread;

use lab::{AWAY, CUT_SHORT, Console, Lab, Load, Server, Stage};

/// Pages of a console, and the words that are in them.
type Pages = &'static [(&'static str, &'static str)];

const SERVERS: [(Server, Console, Pages); 3] = [
    (
        Server::Jhs,
        Console::JobHistory,
        &[
            ("/ws/v1/history/info", "historyInfo"),
            ("/jobhistory", "Logged in as: alice"),
        ],
    ),
    (
        Server::Httpfs,
        Console::HttpFs,
        &[
            (
                "/webhdfs/v1/user/alice?op=GETFILESTATUS",
                "\"owner\":\"alice\"",
            ),
            ("/webhdfs/v1/user?op=LISTSTATUS", "\"pathSuffix\":\"alice\""),
        ],
    ),
    (
        Server::Oozie,
        Console::Oozie,
        &[
            ("/oozie/v1/admin/status", "NORMAL"),
            ("/oozie/v1/jobs", "workflows"),
        ],
    ),
];
/// Reads of each console before and after an event.
const READS: u64 = 40;
/// Reads that must have been refused while a server is away. Nothing waits for a time-out: one of
/// `SECTIONS` would outlast the test.
const REFUSED: u64 = 20;
const SECTIONS: &str = "[timeouts]\nfirst_byte = \"1h\"\nhold = \"1h\"";

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| Stage::set(&SERVERS.map(|(server, ..)| server), SECTIONS).unwrap())
}

/// Runs `event` for each server at once, each under a load of its own; the reads of all must have
/// failed for no other causes than `allowed`.
fn under_load(what: &str, allowed: &[&str], event: impl Fn(&Lab, Server, &Load) + Sync) {
    let Stage { lab, .. } = stage();
    thread::scope(|scope| {
        for (server, console, pages) in SERVERS {
            let event = &event;
            scope.spawn(move || {
                let reads = stage().readers(console, pages).unwrap();
                let what = format!("{what} of {server}");
                let reads = reads.around(&what, READS, |reads| event(lab, server, reads));
                assert_eq!(reads.unwrap().besides(allowed), [""; 0], "{server}");
            });
        }
    });
}

fn until_it_is(server: Server, state: &str) {
    let (_, console, _) = SERVERS.into_iter().find(|(s, ..)| *s == server).unwrap();
    let url = server.url().unwrap();
    let gateway = &stage().gateway;
    gateway.wait_backend(console.name(), &url, state).unwrap();
}

#[test]
fn a_killed_server_is_told_at_once_and_used_again() {
    let allowed = [AWAY, CUT_SHORT];
    under_load("kill -9 and restart", &allowed, |lab, server, reads| {
        lab.kill9(server).unwrap();
        until_it_is(server, "down");
        reads.wait_failed(REFUSED).unwrap();
        lab.start(server).unwrap();
        until_it_is(server, "active");
    });
}

#[test]
fn a_server_that_hangs_is_told_at_once_and_used_again() {
    under_load("SIGSTOP and SIGCONT", &[AWAY], |lab, server, reads| {
        lab.pause(server).unwrap();
        until_it_is(server, "down");
        reads.wait_failed(REFUSED).unwrap();
        lab.resume(server).unwrap();
        until_it_is(server, "active");
    });
}

#[test]
fn a_slow_server_costs_no_read() {
    under_load("slowness", &[], |lab, server, _| {
        lab.slow(server, 5).unwrap();
    });
}
