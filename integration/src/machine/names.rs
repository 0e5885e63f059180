//! The lab's host names below `example.com`, each with its own loopback address.
//!
//! `/etc/hosts` is left alone. JVMs get a hosts file by `jdk.net.hosts.file`; everything that
//! resolves through the C library (curl, the gateway) gets one by a small
//! preloaded library, `shim/hosts.c`.

use std::{fmt::Write as _, fs, net::Ipv4Addr, path::Path};

use anyhow::{Context, Result};

/// The Kerberos realm.
pub const REALM: &str = "EXAMPLE.COM";
const DOMAIN: &str = "example.com";
/// The name, in a lab's folder, of the library that programs are preloaded with.
pub(crate) const LIBRARY: &str = "hosts.so";
/// The name, in a lab's folder, of the hosts file of JVMs that are clients.
pub(crate) const JVM_HOSTS: &str = "jvm-hosts";

/// The hosts by their short names, and the last byte of their addresses 127.0.10.x.
const HOSTS: &[(&str, u8)] = &[
    ("nn1", 1),
    ("nn2", 2),
    ("rm1", 3),
    ("rm2", 4),
    ("dn1", 5),
    ("nm1", 6),
    ("jhs", 7),
    ("httpfs", 8),
    ("oozie", 9),
    ("presto", 11),
    ("presto2", 12),
    ("hive", 13),
    ("kdc", 14),
    // The address of the gateway.
    ("proxy", 15),
    ("proxy2", 16),
    ("zk", 17),
    ("trino", 18),
    // Samba's domain controller, which runs without a lab.
    ("dc1", 20),
    ("jn", 21),
    // Addresses for a program that acts as a console, a client or a load generator.
    ("backend", 30),
    ("client", 31),
];

/// The full name of a host.
pub fn full(host: &str) -> String {
    format!("{host}.{DOMAIN}")
}

/// The address of one of the lab's hosts by its short name.
pub fn address(host: &str) -> Option<Ipv4Addr> {
    let last = HOSTS.iter().find(|(name, _)| *name == host)?.1;
    Some(address_of(last))
}

fn address_of(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 10, last)
}

/// The hosts file for everything that is not a JVM; `more` are further names (full) and addresses.
pub fn hosts_file(more: &[(String, Ipv4Addr)]) -> String {
    let mut text = String::from("127.0.0.1 localhost\n");
    for (name, last) in HOSTS {
        let _ = writeln!(text, "{} {} {name}", address_of(*last), full(name));
    }
    for (name, address) in more {
        let _ = writeln!(text, "{address} {name}");
    }
    text
}

/// The hosts file of a server's JVM.
///
/// Hadoop replaces a loopback address of its own by the machine's host name, so in each server's
/// file that name means the server's address: links then show the server's name, not `localhost`.
pub fn jvm_hosts_file(own: &str, machine: &str, more: &[(String, Ipv4Addr)]) -> String {
    let mut text = String::new();
    for (name, last) in HOSTS {
        let alias = if *name == own { machine } else { "" };
        let line = format!("{} {} {alias}", address_of(*last), full(name));
        let _ = writeln!(text, "{}", line.trim_end());
    }
    for (name, address) in more {
        let _ = writeln!(text, "{address} {name}");
    }
    text.push_str("127.0.0.1 localhost\n");
    text
}

/// The hosts file of MapReduce's application masters.
///
/// For the reason above an application master would print itself in place of the ResourceManager
/// and the JobHistoryServer. It gets an address from the documentation range for the latter
/// (printed, never connected to), and takes requests from either ResourceManager for the proxy's.
pub fn application_master_hosts_file(machine: &str) -> String {
    let jhs = full("jhs");
    let mut text: String = jvm_hosts_file("nm1", machine, &[])
        .lines()
        .map(|line| {
            if line.ends_with(&jhs) {
                format!("192.0.2.7 {jhs}\n")
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    if let Some(other) = address("rm2") {
        let _ = writeln!(text, "{other} {}", full("rm1"));
    }
    text
}

/// Writes the library that programs are preloaded with into the lab's folder.
pub(crate) fn write_library(folder: &Path) -> Result<()> {
    const BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hosts.so"));
    let library = folder.join(LIBRARY);
    fs::write(&library, BYTES).with_context(|| format!("cannot write {}", library.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_name_means_the_servers_own_address() {
        let text = jvm_hosts_file("nn2", "box", &[]);
        assert!(text.contains("127.0.10.2 nn2.example.com box\n"), "{text}");
        assert_eq!(text.matches("box").count(), 1);
    }

    #[test]
    fn an_application_master_knows_rm1_by_both_addresses() {
        let text = application_master_hosts_file("box");
        assert_eq!(text.matches("rm1.example.com").count(), 2, "{text}");
        assert!(text.contains("192.0.2.7 jhs.example.com"), "{text}");
    }
}
