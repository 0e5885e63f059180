//! `console.become`: users that a client may name in place of its own.

use std::sync::Arc;

use http::HeaderValue;

/// `console.become`: who may name another user in a header of the client's own (`X-Presto-User`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BecomeRules(pub Vec<BecomeRule>);

/// One entry of `console.become`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BecomeRule {
    /// Short name of who is logged in.
    pub user: Arc<str>,
    /// Whom it may be; `*`: anybody.
    pub as_users: Vec<Arc<str>>,
}

impl BecomeRules {
    /// The user that a client names, if it may: one value, and `user` may be that one.
    pub(crate) fn named<'h>(
        &self,
        user: &str,
        mut named: impl Iterator<Item = &'h HeaderValue>,
    ) -> Option<&'h HeaderValue> {
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
