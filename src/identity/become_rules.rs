//! `console.become`: users that a client may name in place of its own.

use std::sync::Arc;

use http::HeaderValue;

/// `console.become`: which users may name another one in the client's own header (`X-Presto-User`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BecomeRules(pub Vec<BecomeRule>);

/// One entry of `console.become`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BecomeRule {
    /// Short name of the user that is logged in.
    pub user: Arc<str>,
    /// Users that it may name; `*`: any.
    pub as_users: Vec<Arc<str>>,
}

impl BecomeRules {
    /// The user that a client names, if `user` may name that one.
    pub(crate) fn named<'h>(
        &self,
        user: &str,
        mut named: impl Iterator<Item = &'h HeaderValue>,
    ) -> Option<&'h HeaderValue> {
        // With two values it would depend on the server which one counts, so the rule is not applied and
        // the user is the one that is logged in.
        let (Some(value), None) = (named.next(), named.next()) else {
            return None;
        };
        let name = value.to_str().ok().filter(|name| !name.is_empty())?;
        let may = |entry: &&BecomeRule| {
            *entry.user == *user && entry.as_users.iter().any(|a| **a == *name || **a == *"*")
        };
        self.0.iter().find(may).map(|_| value)
    }
}
