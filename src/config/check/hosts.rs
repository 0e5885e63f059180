//! `hosts` and `path` of a console: what it answers to.

use std::{net::Ipv4Addr, sync::Arc};

use super::{
    super::{
        problem::{ConsoleFault, KerberosFault, ValueFault},
        tree::{Node, Table},
    },
    keytab::Keytab,
};
use crate::kinds::Kind;

/// The hosts of a console, lower case; empty only if a problem was reported.
pub(super) fn check(
    table: &Table<'_>,
    kind: Option<&dyn Kind>,
    keytab: Option<&Keytab>,
) -> Vec<Arc<str>> {
    let services = kind.map_or(&["HTTP"] as &[_], Kind::services);
    let Some(node) = table.get("hosts") else {
        let hosts = keytab
            .map(|keytab| keytab.hosts(services))
            .unwrap_or_default();
        return hosts.into_iter().map(Arc::from).collect();
    };
    let mut hosts: Vec<Arc<str>> = Vec::new();
    for node in node.list().unwrap_or_default() {
        let Some(host) = host(&node) else { continue };
        if let Some(keytab) = keytab.filter(|keytab| !keytab.serves(services, &host)) {
            let spns = services
                .iter()
                .map(|service| format!("{service}/{host}"))
                .collect();
            node.problem(KerberosFault::NoKeyForHost {
                file: keytab.file.clone(),
                spns,
            });
        }
        if hosts.contains(&host) {
            node.problem(ValueFault::Twice {
                value: host.to_string(),
            });
        } else {
            hosts.push(host);
        }
    }
    if node.list().is_some_and(|list| list.is_empty()) {
        node.problem(ValueFault::Empty {
            cure: "Name a host, or leave `hosts` out: then it is every HTTP/… host of the keytab",
        });
    }
    hosts
}

fn host(node: &Node<'_>) -> Option<Arc<str>> {
    let text = node.text()?;
    let host = text.to_ascii_lowercase();
    if is_host_name(&host) {
        return Some(host.into());
    }
    node.problem(ConsoleFault::Host {
        text: text.to_owned(),
    });
    None
}

/// A lower-case DNS name (RFC 1123 section 2.1; `_` as Active Directory has it) or an IPv4 address.
pub(super) fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    let numeric = !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit());
    text.len() <= 253
        && text.split('.').all(label)
        // what ends in a number is an address or nothing: 10.0.0.256 is no name
        && (!numeric || text.parse::<Ipv4Addr>().is_ok())
}

/// `path`: `None` for all paths.
pub(super) fn path(table: &Table<'_>) -> Option<Arc<str>> {
    let node = table.get("path")?;
    let text = node.text()?;
    if text == "/" {
        return None;
    }
    let segment = |segment: &str| {
        !segment.is_empty()
            && segment != "."
            && segment != ".."
            && segment.bytes().all(|b| {
                b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'@' | b':')
            })
    };
    let good = text
        .strip_prefix('/')
        .is_some_and(|rest| rest.split('/').all(segment));
    if !good {
        node.problem(ConsoleFault::Path {
            text: text.to_owned(),
        });
        return None;
    }
    if text == "/.spnegate" || text.starts_with("/.spnegate/") {
        node.problem(ConsoleFault::PathReserved);
        return None;
    }
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_addresses_are_told_from_what_is_neither() {
        for good in [
            "proxy",
            "proxy.example.com",
            "10.0.0.1",
            "a-b.c_d.e1",
            "3com.com",
        ] {
            assert!(is_host_name(good), "{good}");
        }
        for bad in [
            "",
            ".",
            "a.",
            "-a",
            "a-",
            "a:80",
            "10.0.0.256",
            "a b",
            "*",
            "[::1]",
            "a/b",
        ] {
            assert!(!is_host_name(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_host_name_or_not(text in ".*") {
            let _ = is_host_name(&text);
        }
    }
}
