//! The allow-list of nodes.

use std::{net::Ipv6Addr, sync::Arc};

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
    /// `"link"`: a signed link is the credential for its one request.
    #[default]
    Link,
    /// `"session"`: a client that follows a link has to be logged in too.
    Session,
}

/// The allow-list of a console, checked.
#[derive(Clone, Debug)]
pub struct NodePolicy {
    hosts: Vec<Arc<str>>,
    ports: Vec<u16>,
}

impl NodePolicy {
    /// Lower-cases the names of the configuration.
    pub fn new(nodes: &Nodes) -> Self {
        Self {
            hosts: nodes
                .hosts
                .iter()
                .map(|host| host.to_ascii_lowercase().into())
                .collect(),
            ports: nodes.ports.clone(),
        }
    }

    /// Whether the gateway may connect to this host (lower case) and port.
    ///
    /// `*.example.com` matches names with any number of labels before `example.com`, but not `example.com`
    /// itself. Names with a final dot or unusual characters never match: the resolver could read them
    /// differently. Addresses match only if they are listed.
    pub fn allows(&self, host: &str, port: u16) -> bool {
        // The client's spelling goes to the resolver, so only one that has a single reading is compared.
        is_plain_host(host)
            && self.ports.contains(&port)
            && self
                .hosts
                .iter()
                .any(|listed| match listed.strip_prefix('*') {
                    Some(suffix) => {
                        suffix.len() > 1
                            && suffix.starts_with('.')
                            && host.len() > suffix.len()
                            && host.ends_with(suffix)
                    }
                    None => &**listed == host,
                })
    }
}

/// Lower-case letters, digits, `-`, `_`, and single dots between labels; or a bracketed IPv6.
fn is_plain_host(host: &str) -> bool {
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    // 253 characters are the most that a name can have in DNS (RFC 1035 section 2.3.4).
    host.len() <= 253 && host.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_alone_or_without_a_dot_allows_nothing() {
        for listed in ["*", "*.", "*example.com"] {
            let policy = NodePolicy::new(&Nodes {
                hosts: vec![listed.into()],
                ports: vec![1],
            });
            assert!(
                !policy.allows("a.example.com", 1) && !policy.allows("aexample.com", 1),
                "{listed}"
            );
        }
    }
}
