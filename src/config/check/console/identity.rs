//! The user that backends see: `identity` and `become`.

use std::sync::Arc;

use super::super::super::{
    BecomeRules, IdentityMode,
    problem::ConsoleProblem,
    schema,
    tree::{Table, Value},
};
use super::{super::kerberos::CheckedKerberos, allow};
use crate::{
    identity::become_rules::BecomeRule,
    kinds::{Kind, UserField},
};

const NEED_IDENTITY: &str = "Choose whom the backends see: \"service\" (the gateway; no change on the cluster), \"doas\" (the \
     user; needs two hadoop.proxyuser lines on the cluster), \"simple\" (the user, for a server \
     without Kerberos) or \"none\" (no login at all)";
const NEED_USER: &str =
    "Write { user = \"hue\", as = [\"alice\", \"bob\"] }, or as = [\"*\"] for every user";

pub(super) fn identity(table: &Table<'_>, kind: Option<&'static dyn Kind>) -> Option<IdentityMode> {
    let words = [
        ("service", IdentityMode::Service),
        ("doas", IdentityMode::DoAs),
        ("simple", IdentityMode::Simple),
        ("none", IdentityMode::None),
    ];
    let later = ["hadoop-cookie", "s4u2proxy", "delegated", "forward"];
    let value = table.require("identity", NEED_IDENTITY)?;
    let identity = value.keyword(&words, &later)?;
    if let Some(kind) = kind {
        check_support(&value, identity, kind);
    }
    // Without a login there is no user that the list could match.
    if identity == IdentityMode::None && table.get("allow").is_some() {
        value.problem(ConsoleProblem::AllowWithoutLogin);
    }
    Some(identity)
}

fn check_support(value: &Value<'_>, identity: IdentityMode, kind: &dyn Kind) {
    let kind_name = kind.name();
    if identity == IdentityMode::Simple
        && let Some(reason) = kind.simple_identity_obstacle()
    {
        value.problem(ConsoleProblem::SimpleUnsupported {
            kind: kind_name,
            reason,
        });
    }
    // If a backend ignored `doAs`, every user would act as the gateway, usually a Hadoop proxy user.
    // So `doas` needs a probe that detects this, or a kind that has no other user to fall back to.
    match (identity, kind.user_field()) {
        (IdentityMode::DoAs, UserField::Query(_) | UserField::Header(_))
            if kind.impersonation_probe().is_none() && !kind.user_field_is_authoritative() =>
        {
            value.problem(ConsoleProblem::DoAsUnverifiable { kind: kind_name });
        }
        // Presto and Trino refuse a query without a user, so `service` cannot work.
        (IdentityMode::Service, UserField::Header(_)) => {
            value.problem(ConsoleProblem::ServiceUnsupported { kind: kind_name });
        }
        (
            IdentityMode::DoAs | IdentityMode::Service | IdentityMode::Simple | IdentityMode::None,
            _,
        ) => {}
    }
}

/// `console.become`
pub(super) fn become_rules(
    table: &Table<'_>,
    kind: Option<&'static dyn Kind>,
    kerberos: &CheckedKerberos,
) -> BecomeRules {
    let Some(value) = table.get("become") else {
        return BecomeRules::default();
    };
    let by_header = |kind: &dyn Kind| matches!(kind.user_field(), UserField::Header(_));
    if kind.is_some_and(|kind| !by_header(kind)) {
        value.problem(ConsoleProblem::BecomeUnsupported);
    }
    let entries = value.list().unwrap_or_default();
    let entry = |value: &Value<'_>| entry(value, kerberos);
    BecomeRules(entries.iter().filter_map(entry).collect())
}

fn entry(value: &Value<'_>, kerberos: &CheckedKerberos) -> Option<BecomeRule> {
    let table = value.table(&schema::BECOME)?;
    let user = table.require("user", NEED_USER)?;
    allow::user(&user, kerberos);
    let user = user.text()?.into();
    let names = table.require("as", NEED_USER)?.list()?;
    let as_users: Vec<Arc<str>> = names
        .iter()
        .filter_map(|name| name.text().map(Arc::from))
        .collect();
    Some(BecomeRule { user, as_users })
}
