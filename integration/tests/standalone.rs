//! Servers without a second instance, under a load of reads: while one is down, every read is
//! refused immediately, and after its return it is used again. A read in progress when the server
//! dies or hangs would be sent to another server; there is none, so it is refused too. The only
//! other loss is a response that had started. A slow server fails no request.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::{sync::OnceLock, thread};

use lab::{AWAY, CUT_SHORT, Console, Load, READERS, Server, Stage};

/// Pages of a console, and the words that are in them.
type Pages = &'static [(&'static str, &'static str)];
/// The only server of a console, and what is read there.
type Only = (Server, Console, Pages);

const SERVERS: [Only; 3] = [
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
/// No request may wait for a time-out: one of these would outlast the test.
const SECTIONS: &str = "[timeouts]\nfirst_byte = \"1h\"\nhold = \"1h\"";

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| Stage::set(&SERVERS.map(|(server, ..)| server), SECTIONS).unwrap())
}

/// Runs `event` for each server concurrently, each under a load of its own; reads may fail only for
/// the causes in `allowed`.
fn under_load(what: &str, allowed: &[&str], event: impl Fn(Only, &Load) + Sync) {
    thread::scope(|scope| {
        for only in SERVERS {
            let event = &event;
            scope.spawn(move || {
                let (server, console, pages) = only;
                let reads = stage().readers(console, pages).unwrap();
                let what = format!("{what} of {server}");
                let reads = reads.around(&what, READS, |reads| event(only, reads));
                let reads = reads.unwrap();
                assert_eq!(reads.besides(allowed), [""; 0], "{server}");
                assert!(reads.besides(&[AWAY]).len() <= READERS, "{server}");
            });
        }
    });
}

#[test]
fn a_killed_server_is_reported_immediately_and_used_again() {
    let allowed = [AWAY, CUT_SHORT];
    under_load("kill -9 and restart", &allowed, |only, reads| {
        let (server, console, _) = only;
        let console = console.name();
        stage().kill_and_restart(console, server, reads).unwrap();
    });
}

#[test]
fn a_server_that_hangs_is_reported_immediately_and_used_again() {
    under_load("SIGSTOP and SIGCONT", &[AWAY], |only, _| {
        let (server, console, pages) = only;
        let newcomers = || stage().readers(console, pages).unwrap();
        let newcomers = stage().freeze(console.name(), server, newcomers);
        assert_eq!(newcomers.unwrap().besides(&[AWAY]), [""; 0], "{server}");
    });
}

#[test]
fn no_read_fails_while_a_single_server_is_slow() {
    under_load("slowness", &[], |(server, ..), _| {
        stage().lab.slow(server, 5).unwrap();
    });
}
