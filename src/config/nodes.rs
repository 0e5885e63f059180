//! `console.nodes`: what links of a console may lead to, and for whom.

use std::sync::Arc;

/// `console.nodes`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nodes {
    /// Exact names or `*.domain`, lower case.
    pub hosts: Vec<Arc<str>>,
    /// Ports.
    pub ports: Vec<u16>,
}

/// `console.nodes.login`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NodeLogin {
    /// `"link"`: a signed link is a credential of its own, for its one request.
    #[default]
    Link,
    /// `"session"`: whoever follows a link logs in as well.
    Session,
}
