//! `allow` of a console, and the users of `become`: names that nobody can have, groups that the
//! operating system does not know.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use nix::{errno::Errno, unistd::Group};

use super::{
    super::{
        Allow,
        problem::{Concern, ConsoleFault},
        schema,
        tree::{Node, Table},
    },
    Surroundings,
    kerberos::Checked,
};

/// How long the operating system may take to say whether there is a group: behind it may be a
/// directory that hangs, which is no reason not to start.
const PATIENCE: Duration = Duration::from_secs(2);

/// `console.allow`
pub(super) fn allow(
    console: &Table<'_>,
    kerberos: &Checked,
    surroundings: &Surroundings<'_>,
) -> Option<Allow> {
    let table = console.table("allow", &schema::ALLOW)?;
    let nodes = |name| {
        let list = table.get(name).and_then(|node| node.list());
        list.unwrap_or_default()
    };
    let names = |nodes: &[Node<'_>]| -> Vec<Arc<str>> {
        nodes
            .iter()
            .filter_map(|node| node.text().map(Arc::from))
            .collect()
    };
    let (user_nodes, group_nodes) = (nodes("users"), nodes("groups"));
    let allow = Allow {
        users: names(&user_nodes),
        groups: names(&group_nodes),
    };
    for node in &user_nodes {
        user(node, kerberos);
    }
    let mut answers = true;
    for (node, group) in group_nodes.iter().zip(&allow.groups) {
        let found = answers.then(|| (surroundings.find_group)(group)).flatten();
        // one that hangs, hangs for all
        answers = found.is_some();
        if found == Some(false) {
            let group = group.to_string();
            node.warning(Concern::NoSuchGroup { group });
        }
    }
    let empty = |name| table.get(name).is_none_or(|node| node.is_empty_list());
    if empty("users") && empty("groups") {
        console.problem_at("allow", ConsoleFault::AllowsNobody);
    }
    Some(allow)
}

/// Warns of a name that no user can have.
pub(super) fn user(node: &Node<'_>, kerberos: &Checked) {
    let Some(values) = &kerberos.values else {
        return;
    };
    if let Some(name) = node.text()
        && !values.auth_to_local.can_be(name)
    {
        let name = name.to_owned();
        node.warning(Concern::NobodysName { name });
    }
}

/// Whether there is a group of this name; `None` where the operating system cannot say.
pub(super) fn find_group(name: &str) -> Option<bool> {
    let (tell, told) = mpsc::channel();
    let name = name.to_owned();
    let ask = move || {
        // the caller may have stopped waiting
        let _ = tell.send(match Group::from_name(&name) {
            Ok(found) => Some(found.is_some()),
            Err(Errno::ENOENT | Errno::ESRCH) => Some(false),
            Err(_) => None,
        });
    };
    thread::Builder::new().spawn(ask).ok()?;
    told.recv_timeout(PATIENCE).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_knows_the_group_root() {
        assert_eq!(find_group("root"), Some(true));
        assert_ne!(find_group("no-such-group-here"), Some(true));
    }
}
