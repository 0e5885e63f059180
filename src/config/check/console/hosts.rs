//! `hosts` and `path` of a console: the requests that it serves.

use std::{net::Ipv4Addr, sync::Arc};

use super::super::{
    super::{
        problem::{ConsoleProblem, KerberosProblem, ValueProblem},
        tree::{Table, Value},
    },
    kerberos::keytab::KeytabPrincipals,
};
use crate::kinds::Kind;

/// The hosts of a console, lower case; empty only if a problem was reported.
pub(super) fn check(
    table: &Table<'_>,
    kind: Option<&dyn Kind>,
    keytab: Option<&KeytabPrincipals>,
) -> Vec<Arc<str>> {
    // Clients of coordinators request tickets for presto/ or trino/ and the host of the URL.
    let services = kind.map_or(&["HTTP"] as &[_], Kind::services);
    let Some(value) = table.get("hosts") else {
        let hosts = keytab
            .map(|keytab| keytab.hosts(services))
            .unwrap_or_default();
        return hosts.into_iter().map(Arc::from).collect();
    };
    let mut hosts: Vec<Arc<str>> = Vec::new();
    for value in value.list().unwrap_or_default() {
        let Some(host) = host(&value) else { continue };
        if let Some(keytab) = keytab.filter(|keytab| !keytab.serves(services, &host)) {
            // Without the key, each login by this name fails, which users would notice first.
            let spns = services
                .iter()
                .map(|service| format!("{service}/{host}"))
                .collect();
            value.problem(KerberosProblem::NoKeyForHost {
                file: keytab.file.clone(),
                spns,
            });
        }
        if hosts.contains(&host) {
            value.problem(ValueProblem::Twice {
                value: host.to_string(),
            });
        } else {
            hosts.push(host);
        }
    }
    if value.list().is_some_and(|list| list.is_empty()) {
        value.problem(ValueProblem::Empty {
            cure: "List host names, or remove `hosts` to use every HTTP/… host of the keytab",
        });
    }
    hosts
}

fn host(value: &Value<'_>) -> Option<Arc<str>> {
    let text = value.text()?;
    let host = text.to_ascii_lowercase();
    if is_host_name(&host) {
        return Some(host.into());
    }
    value.problem(ConsoleProblem::Host {
        text: text.to_owned(),
    });
    None
}

/// A lower-case DNS name (RFC 1123 section 2.1; with `_`, which Active Directory allows) or an IPv4
/// address.
pub(in crate::config::check) fn is_host_name(text: &str) -> bool {
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
        // A name whose last label is a number would be a mistyped address: 10.0.0.256.
        && (!numeric || text.parse::<Ipv4Addr>().is_ok())
}

/// `path`: `None` for all paths.
pub(super) fn path(table: &Table<'_>) -> Option<Arc<str>> {
    let value = table.get("path")?;
    let text = value.text()?;
    if text == "/" {
        return None;
    }
    let segment = |segment: &str| {
        // A prefix is compared with paths byte by byte, so it must not have several spellings.
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
        value.problem(ConsoleProblem::Path {
            text: text.to_owned(),
        });
        return None;
    }
    // Login, logout, node links and health of every console are there.
    if text == "/.spnegate" || text.starts_with("/.spnegate/") {
        value.problem(ConsoleProblem::PathReserved);
        return None;
    }
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn host_names_and_addresses_are_accepted_and_all_else_is_not() {
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
        fn any_text_is_accepted_or_refused_without_panic(text in ".*") {
            let _ = is_host_name(&text);
        }
    }
}
