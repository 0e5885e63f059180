//! fsspec, Python's file systems, by WebHDFS with Kerberos: it asks for one link and appends every
//! piece of a file to it, for as long as the writer takes.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::{
    io::{BufRead, BufReader, Write},
    process::Stdio,
    time::Duration,
};

use lab::{Console, Server, Stage};

const SIZE: usize = 2_500_000;
const MINUTE: Duration = Duration::from_secs(60);
const SCRIPT: &str = include_str!("../python/fsspec_webhdfs.py");

/// The gateway's clock is moved between the pieces instead of waiting. The session lives for ten
/// hours, but an hour without a request ends it.
#[test]
fn a_writer_appends_to_one_link_for_longer_than_ten_minutes() {
    let python = lab::fsspec_python().unwrap();
    let stage = Stage::with(Server::HDFS, |gateway, _| {
        gateway.console(Console::NameNode).own_clock()
    });
    let Stage { lab, gateway } = stage.unwrap();
    let script = lab.folder().join("fsspec_webhdfs.py");
    std::fs::write(&script, SCRIPT).unwrap();
    let mut writer = lab
        .command_as("alice", python.to_str().unwrap())
        .unwrap()
        .arg(&script)
        .arg("proxy.example.com")
        .arg(Console::NameNode.port().to_string())
        .arg("/user/alice/by-fsspec")
        .arg(SIZE.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = writer.stdin.take().unwrap();
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    let mut says = || {
        lines
            .next()
            .unwrap_or_else(|| Ok("nothing".to_owned()))
            .unwrap()
    };
    for (piece, ahead) in [(1, 11 * MINUTE), (2, 45 * MINUTE), (3, 90 * MINUTE)] {
        assert_eq!(says(), format!("piece {piece}"));
        gateway.move_clock(ahead).unwrap();
        input.write_all(b"\n").unwrap();
    }
    assert_eq!(says(), "same");
    assert!(writer.wait().unwrap().success());
    let log = gateway.log_lines().unwrap();
    let by_link = log.iter().filter(|line| line.contains("/.spnegate/node/"));
    println!("{} requests by signed links", by_link.count());
}
