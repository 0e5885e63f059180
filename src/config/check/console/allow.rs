//! `allow` of a console and the users of `become`: warns of names that no user can have and of
//! groups that do not exist.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use nix::{errno::Errno, unistd::Group};

use super::super::{
    super::{
        Allow,
        problem::{ConsoleProblem, WarningKind},
        schema,
        tree::{Table, Value},
    },
    Environment,
    kerberos::CheckedKerberos,
};

/// How long to wait for a group look-up. NSS may ask a directory service (SSSD, LDAP) that hangs,
/// and that must not keep the gateway from starting.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn allow(
    console: &Table<'_>,
    kerberos: &CheckedKerberos,
    environment: &Environment<'_>,
) -> Option<Allow> {
    let table = console.table("allow", &schema::ALLOW)?;
    let values = |name| {
        let list = table.get(name).and_then(|value| value.list());
        list.unwrap_or_default()
    };
    let names = |values: &[Value<'_>]| -> Vec<Arc<str>> {
        values
            .iter()
            .filter_map(|value| value.text().map(Arc::from))
            .collect()
    };
    let (users, groups) = (values("users"), values("groups"));
    let allow = Allow {
        users: names(&users),
        groups: names(&groups),
    };
    for value in &users {
        user(value, kerberos);
    }
    let mut directory_responds = true;
    for (value, group) in groups.iter().zip(&allow.groups) {
        let found = directory_responds
            .then(|| (environment.find_group)(group))
            .flatten();
        // A directory that hangs for one group hangs for all of them.
        directory_responds = found.is_some();
        if found == Some(false) {
            let group = group.to_string();
            value.warning(WarningKind::NoSuchGroup { group });
        }
    }
    let empty = |name| table.get(name).is_none_or(|value| value.is_empty_list());
    if empty("users") && empty("groups") {
        console.problem_at("allow", ConsoleProblem::AllowEmpty);
    }
    Some(allow)
}

/// Warns of a name that no user can have.
pub(super) fn user(value: &Value<'_>, kerberos: &CheckedKerberos) {
    let Some(values) = &kerberos.values else {
        return;
    };
    if let Some(name) = value.text()
        && !values.auth_to_local.can_be(name)
    {
        let name = name.to_owned();
        value.warning(WarningKind::ImpossibleName { name });
    }
}

/// Whether the group exists; `None` if the operating system cannot say.
pub(in crate::config::check) fn find_group(name: &str) -> Option<bool> {
    let (sender, receiver) = mpsc::channel();
    let name = name.to_owned();
    let look_up = move || {
        // The caller may have stopped waiting; ignore the closed channel.
        let _ = sender.send(match Group::from_name(&name) {
            Ok(found) => Some(found.is_some()),
            // Some NSS modules report an unknown group as one of these errors (getgrnam(3)).
            Err(Errno::ENOENT | Errno::ESRCH) => Some(false),
            Err(_) => None,
        });
    };
    // The thread cannot be stopped; it ends when the directory responds.
    thread::Builder::new().spawn(look_up).ok()?;
    receiver.recv_timeout(LOOKUP_TIMEOUT).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_root_exists() {
        assert_eq!(find_group("root"), Some(true));
        assert_ne!(find_group("no-such-group-here"), Some(true));
    }
}
