//! The realm and the KDC alone: tickets, key rotation, keytabs, names.

use std::{fs, process::Command, time::Duration};

use lab::{GATEWAY, Lab, Server};

fn said(mut command: Command) -> String {
    let output = command.output().expect("the command runs");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The key versions of a keytab's entries.
fn versions(lab: &Lab, keytab: &std::path::Path) -> Vec<u32> {
    let mut klist = lab.command("klist");
    klist.arg("-k").arg(keytab);
    let first = |line: &str| line.split_whitespace().next()?.parse().ok();
    let mut versions: Vec<u32> = said(klist).lines().filter_map(first).collect();
    versions.dedup();
    versions
}

#[test]
fn a_lab_without_servers_is_a_realm() {
    let folder = std::env::temp_dir().join(format!("lab-realm-{}", std::process::id()));
    let lab = Lab::builder()
        .folder(&folder)
        .host("console.example.com", [127, 0, 10, 40].into())
        .wait_for_turn(Duration::from_secs(120))
        .start()
        .unwrap();
    let realm = lab.realm();

    // Users by password, services by keytab.
    let tickets = realm.kinit("alice").unwrap();
    let mut klist = lab.command("klist");
    klist.arg("-c").arg(&tickets);
    assert!(said(klist).contains("Default principal: alice@EXAMPLE.COM"));
    realm.kinit(GATEWAY).unwrap();
    realm.user("dave", "secret").unwrap();
    realm.kinit("dave").unwrap();
    assert!(realm.kinit("nobody").is_err());

    // A rotated key lies in the keytab beside the old one.
    let service = "HTTP/proxy.example.com";
    let keytab = realm.keytab(service);
    assert_eq!(versions(&lab, &keytab), [1]);
    assert_eq!(realm.rotate_key(service).unwrap(), 2);
    assert_eq!(versions(&lab, &keytab), [1, 2]);

    // A changed key does not, until it is appended.
    assert_eq!(realm.change_key(service).unwrap(), 3);
    assert_eq!(versions(&lab, &keytab), [1, 2]);
    assert_eq!(realm.append_key(service).unwrap(), 3);
    assert_eq!(versions(&lab, &keytab), [1, 2, 3]);
    realm.replace_keytab(service).unwrap();
    assert_eq!(versions(&lab, &keytab), [3]);

    // One file for several principals.
    let merged = folder.join("merged.keytab");
    realm.merged_keytab(&[service, GATEWAY], &merged).unwrap();
    let mut klist = lab.command("klist");
    klist.arg("-k").arg(&merged);
    let text = said(klist);
    assert!(text.contains(service) && text.contains(GATEWAY), "{text}");

    // Names resolve for programs in the lab's world only.
    let mut getent = lab.command("getent");
    getent.args(["ahostsv4", "console.example.com"]);
    assert!(said(getent).starts_with("127.0.10.40"));

    // The KDC is stopped and started again.
    lab.kill9(Server::Kdc).unwrap();
    assert!(!lab.is_running(Server::Kdc));
    assert!(realm.kinit("bob").is_err());
    lab.start(Server::Kdc).unwrap();
    realm.kinit("bob").unwrap();

    // No process or folder is left when the lab is dropped.
    let pid = lab.pid(Server::Kdc).unwrap();
    drop(lab);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
    fs::remove_dir_all(folder).unwrap();
}
