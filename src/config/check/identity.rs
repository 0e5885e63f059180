//! Who the backends are told: `identity` and `become`.

use std::sync::Arc;

use super::super::{
    Becomes, IdentityMode,
    problem::ConsoleFault,
    schema,
    tree::{Node, Table},
};
use super::{allow, kerberos::Checked};
use crate::{
    identity::becomes::Become,
    kinds::{Kind, UserField},
};

const NEED_IDENTITY: &str = "Say who the backends see: \"service\" (the gateway; nothing changes on the cluster), \"doas\" \
     (the user; two hadoop.proxyuser lines on the cluster), \"simple\" (the user, for a console \
     without Kerberos) or \"none\" (nobody logs in)";
const NEED_USER: &str =
    "Write { user = \"hue\", as = [\"alice\", \"bob\"] }, or as = [\"*\"] for anybody";

/// `console.identity`
pub(super) fn identity(table: &Table<'_>, kind: Option<&'static dyn Kind>) -> Option<IdentityMode> {
    let words = [
        ("service", IdentityMode::Service),
        ("doas", IdentityMode::DoAs),
        ("simple", IdentityMode::Simple),
        ("none", IdentityMode::None),
    ];
    let later = ["hadoop-cookie", "s4u2proxy", "delegated", "forward"];
    let node = table.require("identity", NEED_IDENTITY)?;
    let identity = node.word(&words, &later)?;
    if let Some(kind) = kind {
        suits(&node, identity, kind);
    }
    if identity == IdentityMode::None && table.get("allow").is_some() {
        node.problem(ConsoleFault::AllowWithoutLogin);
    }
    Some(identity)
}

fn suits(node: &Node<'_>, identity: IdentityMode, kind: &dyn Kind) {
    let kind_name = kind.name();
    if identity == IdentityMode::Simple
        && let Some(reason) = kind.simple_identity_obstacle()
    {
        node.problem(ConsoleFault::SimpleUnsupported {
            kind: kind_name,
            reason,
        });
    }
    match (identity, kind.user_field()) {
        (IdentityMode::DoAs, UserField::Query(_) | UserField::Header(_))
            if kind.impersonation_probe().is_none() && !kind.user_field_is_authoritative() =>
        {
            node.problem(ConsoleFault::DoAsUnproven { kind: kind_name });
        }
        (IdentityMode::Service, UserField::Header(_)) => {
            node.problem(ConsoleFault::WantsUser { kind: kind_name });
        }
        (
            IdentityMode::DoAs | IdentityMode::Service | IdentityMode::Simple | IdentityMode::None,
            _,
        ) => {}
    }
}

/// `console.become`
pub(super) fn becomes(
    table: &Table<'_>,
    kind: Option<&'static dyn Kind>,
    kerberos: &Checked,
) -> Becomes {
    let Some(node) = table.get("become") else {
        return Becomes::default();
    };
    let by_header = |kind: &dyn Kind| matches!(kind.user_field(), UserField::Header(_));
    if kind.is_some_and(|kind| !by_header(kind)) {
        node.problem(ConsoleFault::BecomeUnsupported);
    }
    let entries = node.list().unwrap_or_default();
    let entry = |node: &Node<'_>| entry(node, kerberos);
    Becomes(entries.iter().filter_map(entry).collect())
}

fn entry(node: &Node<'_>, kerberos: &Checked) -> Option<Become> {
    let table = node.table(&schema::BECOME)?;
    let user = table.require("user", NEED_USER)?;
    allow::user(&user, kerberos);
    let user = user.text()?.into();
    let names = table.require("as", NEED_USER)?.list()?;
    let as_users: Vec<Arc<str>> = names
        .iter()
        .filter_map(|name| name.text().map(Arc::from))
        .collect();
    Some(Become { user, as_users })
}
