//! HDFS with failover: what the gateway may do, and the end of the lab when its process dies.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use lab::{GATEWAY, Lab, Server, control, wait};

const TURN: Duration = Duration::from_secs(120);

#[test]
fn hdfs_lets_the_gateway_impersonate_alice_but_not_carol() {
    let folder = std::env::temp_dir().join(format!("lab-hdfs-{}", std::process::id()));
    let lab = Lab::builder()
        .with(Server::HDFS)
        .folder(&folder)
        .wait_for_turn(TURN)
        .start()
        .unwrap();
    let list = |server: Server, user: &str| {
        let base = server.url().unwrap();
        let path = format!("webhdfs/v1/user/alice?op=LISTSTATUS&doAs={user}");
        lab.get(GATEWAY, &format!("{base}/{path}")).unwrap()
    };
    let first = lab.active_namenode().unwrap().unwrap();
    assert_eq!(list(first, "alice").status, 200);
    assert_eq!(list(first, "carol").status, 403);

    lab.kill9(first).unwrap();
    let second = lab.wait_active_namenode_other_than(first).unwrap();
    assert_eq!(list(second, "alice").status, 200);
    lab.start(first).unwrap();
    assert_eq!(list(first, "alice").status, 403, "a standby reads nothing");

    lab.haadmin_failover(second, first).unwrap();
    assert_eq!(lab.active_namenode().unwrap(), Some(first));
    assert!(lab.rss(first).unwrap() > 50 << 20);
    drop(lab);
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn killing_the_labs_process_ends_all_its_servers() {
    let folder = std::env::temp_dir().join(format!("lab-killed-{}", std::process::id()));
    // The other test's lab may be up: try until there is room.
    wait::until("there is room for this lab", TURN, || {
        let mut up = Command::new(env!("CARGO_BIN_EXE_lab"));
        up.args(["up", "--dir"])
            .arg(&folder)
            .args(["zk", "jn"])
            .stderr(Stdio::null());
        Ok(up.status()?.success().then_some(()))
    })
    .unwrap();
    let status = control::request(&folder, &["status"]).unwrap();
    let pids: Vec<_> = status
        .lines()
        .filter_map(|line| line.split_once("pid ")?.1.split_whitespace().next())
        .collect();
    let (supervisor, servers) = pids.split_first().unwrap();
    assert_eq!(servers.len(), 3, "{status}");

    Command::new("kill")
        .args(["-s", "KILL", supervisor])
        .status()
        .unwrap();
    // An orphan's remains may wait for the machine's init: an empty command line is dead enough.
    let is_there = |pid: &&str| {
        let line = std::fs::read(Path::new("/proc").join(pid).join("cmdline"));
        line.is_ok_and(|line| !line.is_empty())
    };
    wait::until("all servers are gone", Duration::from_secs(5), || {
        Ok((!servers.iter().any(is_there)).then_some(()))
    })
    .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::remove_file(format!("{}.log", folder.display())).unwrap();
}
