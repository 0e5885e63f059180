//! `accept_proxy`, `allow_from` and their like: networks.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::super::{
    problem::ValueFault,
    tree::{Node, Table},
};

/// A list of networks; `None` where the key is absent.
pub(super) fn networks(table: &Table<'_>, name: &'static str) -> Option<Arc<[IpNet]>> {
    let node = table.get(name)?;
    let list = node.one_or_more();
    if list.is_empty() {
        node.problem(ValueFault::Empty {
            cure: "Write networks, such as [\"10.0.0.0/8\"], or remove the key",
        });
    }
    Some(list.iter().filter_map(network).collect())
}

fn network(node: &Node<'_>) -> Option<IpNet> {
    let text = node.text()?;
    let parsed = parse(text);
    if parsed.is_none() {
        node.problem(ValueFault::Network {
            text: text.to_owned(),
        });
    }
    parsed
}

/// A network, whose host bits do not matter, or one address.
fn parse(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>()
        .or_else(|_| address())
        .ok()
        .map(|network| network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_a_prefix_or_an_address() {
        let shown = |text| parse(text).map(|network| network.to_string());
        assert_eq!(shown("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(shown("10.1.2.3").as_deref(), Some("10.1.2.3/32"));
        assert_eq!(shown("2001:db8::1").as_deref(), Some("2001:db8::1/128"));
        for bad in [
            "",
            "10.0.0.0/33",
            "example.com",
            "10.0.0",
            "10.0.0.0/255.0.0.0",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
