//! Hadoop's own client, `hdfs dfs`, by `webhdfs://` with nothing but the gateway's address: through
//! the NameNode console, whose redirects lead to a DataNode, and through HttpFS, whose redirects lead
//! to itself. It streams the body of a write to the redirect's target and can answer no challenge
//! there.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::{fs, path::PathBuf, sync::OnceLock};

use lab::{Console, Server, Stage};

/// Larger than one chunk, buffer and packet of every program involved.
const SIZE: usize = 3 << 20;

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let servers = [Server::HDFS, &[Server::Httpfs]].concat();
        Stage::set(&servers, "").unwrap()
    })
}

/// The client's output; the client has to succeed.
fn dfs(user: &str, arguments: &[&str]) -> Vec<u8> {
    let mut fs = stage().lab.hadoop(user, "fs").unwrap();
    let output = fs.args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "hdfs dfs {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

fn local(name: &str, content: &[u8]) -> PathBuf {
    let file = stage().lab.folder().join(name);
    fs::write(&file, content).unwrap();
    file
}

fn works_by(console: Console) {
    let base = format!("webhdfs://proxy.example.com:{}", console.port());
    let folder = format!("{base}/user/alice/by-{}", console.name());
    let (file, empty) = (format!("{folder}/a b~'c"), format!("{folder}/empty"));
    let bytes = (0..=250_u8).cycle();
    let content: Vec<u8> = bytes.take(SIZE).collect();
    let (first, rest) = content.split_at(SIZE - 1000);
    let up = local(&format!("{}-up", console.name()), first);
    let more = local(&format!("{}-more", console.name()), rest);
    let down = stage()
        .lab
        .folder()
        .join(format!("{}-down", console.name()));
    let path = |path: &PathBuf| path.display().to_string();

    dfs("alice", &["-mkdir", &folder]);
    dfs("alice", &["-put", &path(&up), &file]);
    dfs("alice", &["-appendToFile", &path(&more), &file]);
    dfs("alice", &["-touchz", &empty]);
    dfs("alice", &["-get", &file, &path(&down)]);
    assert!(
        fs::read(&down).unwrap() == content,
        "another file came back"
    );
    let tail = dfs("alice", &["-tail", &file]);
    assert!(content.ends_with(&tail) && !tail.is_empty());
    let listed = String::from_utf8(dfs("alice", &["-ls", &folder])).unwrap();
    assert!(
        listed.contains("a b~'c") && listed.contains("/empty"),
        "{listed}"
    );
    assert!(listed.contains("alice"), "{listed}");
    dfs("alice", &["-rm", "-r", "-skipTrash", &folder]);
    let left = String::from_utf8(dfs("alice", &["-ls", &format!("{base}/user/alice")])).unwrap();
    assert!(!left.contains(&format!("by-{}", console.name())), "{left}");
}

#[test]
fn hadoops_client_reads_and_writes_through_the_namenodes_console() {
    works_by(Console::NameNode);
}

#[test]
fn hadoops_client_reads_and_writes_through_httpfs() {
    works_by(Console::HttpFs);
}
