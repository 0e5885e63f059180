//! `nodes` of a console: the `DataNodes` and `NodeManagers` that its links may lead to.

use std::sync::Arc;

use super::super::super::{
    NodeLogin, Nodes,
    problem::{ConsoleProblem, ValueProblem, WarningKind},
    schema,
    tree::{Table, Value},
};
use super::hosts::is_host_name;
use crate::kinds::Kind;

const NEED_HOSTS: &str = "Write the host names of the nodes, such as hosts = [\"*.example.com\"]; no others can be reached";
const NEED_PORTS: &str =
    "Write the ports of the nodes, such as ports = [50075, 9864] for DataNodes";

/// The allow-list, if there is one, and `login`.
pub(super) fn check(
    console: &Table<'_>,
    kind: Option<&'static dyn Kind>,
) -> (Option<Nodes>, NodeLogin) {
    let named = console.get("nodes").is_some();
    if !named && kind.is_some_and(<dyn Kind>::depends_on_nodes) {
        console.warning_at("nodes", WarningKind::NoNodes);
    }
    let Some(table) = console.table("nodes", &schema::NODES) else {
        return (None, NodeLogin::default());
    };
    if let Some(kind) = kind
        && !kind.has_node_links()
    {
        // Only WebHDFS and Trino's spooled results have links that carry a credential.
        console.warning_at("nodes", WarningKind::NodesUnused { kind: kind.name() });
    }
    let words = [("link", NodeLogin::Link), ("session", NodeLogin::Session)];
    let login = table
        .get("login")
        .and_then(|value| value.keyword(&words, &[]));
    // `HttpFS` redirects clients to itself, by a signed link too, and needs no list of nodes.
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
    if let Some(value) = table.require("hosts", NEED_HOSTS) {
        let list = value.list();
        if list.as_ref().is_some_and(Vec::is_empty) {
            value.problem(ValueProblem::Empty { cure: NEED_HOSTS });
        }
        nodes.hosts = list
            .unwrap_or_default()
            .iter()
            .filter_map(pattern)
            .collect();
    }
    if let Some(value) = table.require("ports", NEED_PORTS) {
        let list = value.list();
        if list.as_ref().is_some_and(Vec::is_empty) {
            value.problem(ValueProblem::Empty { cure: NEED_PORTS });
        }
        let port = |value: &Value<'_>| u16::try_from(value.integer(1..=65_535)?).ok();
        nodes.ports = list.unwrap_or_default().iter().filter_map(port).collect();
    }
    nodes
}

/// An exact name, or `*.` and a domain.
fn pattern(value: &Value<'_>) -> Option<Arc<str>> {
    // `*` alone would let clients choose any host, which the gateway would send its own credentials
    // to (server-side request forgery).
    let text = value.text()?;
    let pattern = text.to_ascii_lowercase();
    if is_host_name(pattern.strip_prefix("*.").unwrap_or(&pattern)) {
        return Some(pattern.into());
    }
    value.problem(ConsoleProblem::NodePattern {
        text: text.to_owned(),
    });
    None
}
