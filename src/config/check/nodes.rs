//! `nodes` of a console: which nodes its links may lead to.

use std::sync::Arc;

use super::{
    super::{
        NodeLogin, Nodes,
        problem::{Concern, ConsoleFault, ValueFault},
        schema,
        tree::{Node, Table},
    },
    hosts::is_host_name,
};
use crate::kinds::Kind;

const NEED_HOSTS: &str =
    "Write the nodes' names, such as hosts = [\"*.example.com\"]; nothing else can be reached";
const NEED_PORTS: &str = "Write the nodes' ports, such as ports = [50075, 9864] for DataNodes";

/// The allow-list, which a console may lack, and `login`, which it may have without one: `HttpFS`
/// sends clients to itself.
pub(super) fn check(
    console: &Table<'_>,
    kind: Option<&'static dyn Kind>,
) -> (Option<Nodes>, NodeLogin) {
    let named = console.get("nodes").is_some();
    if !named && kind.is_some_and(<dyn Kind>::depends_on_nodes) {
        console.warning_at("nodes", Concern::NoNodes);
    }
    let Some(table) = console.table("nodes", &schema::NODES) else {
        return (None, NodeLogin::default());
    };
    if let Some(kind) = kind
        && !kind.has_node_links()
    {
        console.warning_at("nodes", Concern::NodesUnused { kind: kind.name() });
    }
    let words = [("link", NodeLogin::Link), ("session", NodeLogin::Session)];
    let login = table.get("login").and_then(|node| node.word(&words, &[]));
    if login.is_some() && table.get("hosts").is_none() && table.get("ports").is_none() {
        return (None, login.unwrap_or_default());
    }
    (Some(allowed(&table)), login.unwrap_or_default())
}

fn allowed(table: &Table<'_>) -> Nodes {
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
    nodes
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
