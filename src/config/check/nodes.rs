//! `nodes` of a console: which nodes its links may lead to.

use std::sync::Arc;

use super::{
    super::{
        Nodes,
        problem::{ConsoleFault, ValueFault},
        schema,
        tree::{Node, Table},
    },
    hosts::is_host_name,
};

const NEED_HOSTS: &str =
    "Write the nodes' names, such as hosts = [\"*.example.com\"]; nothing else can be reached";
const NEED_PORTS: &str = "Write the nodes' ports, such as ports = [50075, 9864] for DataNodes or \
                          [8042] for NodeManagers";

pub(super) fn check(console: &Table<'_>) -> Option<Nodes> {
    let table = console.table("nodes", &schema::NODES)?;
    let mut nodes = Nodes {
        hosts: Vec::new(),
        ports: Vec::new(),
    };
    if let Some(node) = table.require("hosts", NEED_HOSTS) {
        let list = node.list();
        if list.as_ref().is_some_and(Vec::is_empty) {
            node.problem(ValueFault::Empty { cure: NEED_HOSTS });
        }
        nodes.hosts = list
            .unwrap_or_default()
            .iter()
            .filter_map(pattern)
            .collect();
    }
    if let Some(node) = table.require("ports", NEED_PORTS) {
        let list = node.list();
        if list.as_ref().is_some_and(Vec::is_empty) {
            node.problem(ValueFault::Empty { cure: NEED_PORTS });
        }
        let port = |node: &Node<'_>| u16::try_from(node.integer(1..=65_535)?).ok();
        nodes.ports = list.unwrap_or_default().iter().filter_map(port).collect();
    }
    Some(nodes)
}

/// An exact name, or `*.` and a domain; never `*` alone, which would be anything.
fn pattern(node: &Node<'_>) -> Option<Arc<str>> {
    let text = node.text()?;
    let pattern = text.to_ascii_lowercase();
    if is_host_name(pattern.strip_prefix("*.").unwrap_or(&pattern)) {
        return Some(pattern.into());
    }
    node.problem(ConsoleFault::NodePattern {
        text: text.to_owned(),
    });
    None
}
