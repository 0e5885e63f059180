//! Lists of networks: `accept_proxy`, `allow_from`, `trusted_proxies`, `stream.allow`.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::super::{
    problem::ValueProblem,
    tree::{Table, Value},
};

/// `None` if the key is missing.
pub(super) fn list(table: &Table<'_>, name: &'static str) -> Option<Arc<[IpNet]>> {
    let value = table.get(name)?;
    let list = value.one_or_more();
    // An empty list could mean no client or every client.
    if list.is_empty() {
        value.problem(ValueProblem::Empty {
            cure: "List networks, such as [\"10.0.0.0/8\"], or remove the key",
        });
    }
    Some(list.iter().filter_map(network).collect())
}

fn network(value: &Value<'_>) -> Option<IpNet> {
    let text = value.text()?;
    let parsed = parse(text);
    if parsed.is_none() {
        value.problem(ValueProblem::Network {
            text: text.to_owned(),
        });
    }
    parsed
}

/// A network, whose host bits are ignored, or a single address.
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
