//! Suggests a host name to a client that used one the gateway does not serve.

use std::net::IpAddr;

/// The one of `names` that a client most likely means by `authority`: the full name for a short one,
/// the first for an IP address or `localhost`. There is none for a foreign name.
pub fn name_for<'n>(
    authority: &str,
    names: impl Iterator<Item = &'n str> + Clone,
) -> Option<&'n str> {
    let host = host_of(authority).unwrap_or_default();
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_address = |name: &str| name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    // An address is not suggested: KDCs rarely have an SPN with one, so the login would fail.
    let mut hosts = names.filter(|name| !is_address(name));
    if is_address(host) || host == "localhost" {
        return hosts.next();
    }
    hosts.find(|name| {
        let rest = name.strip_prefix(host).filter(|_| !host.is_empty());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// The host of an authority, if it is safe to show.
pub(crate) fn host_of(authority: &str) -> Option<&str> {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        Some(_) | None => authority,
    };
    let safe = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    let fits = (1..=255).contains(&host.len()) && !host.starts_with('-');
    (fits && host.bytes().all(safe)).then_some(host)
}

/// The origin of the page under another host name, with the port that the client used.
pub(crate) fn url(scheme: &str, name: &str, authority: &str) -> String {
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    let digits = |port: &&str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match port.filter(digits) {
        Some(port) => format!("{scheme}://{name}:{port}/"),
        None => format!("{scheme}://{name}/"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAMES: [&str; 3] = ["10.0.0.1", "proxy.example.com", "gw.corp.example.com"];

    #[test]
    fn a_short_name_or_an_address_gets_a_name_that_works() {
        let name = |authority| name_for(authority, NAMES.into_iter());
        for authority in [
            "proxy",
            "PROXY:8088",
            "proxy.example.com.",
            "10.1.2.3:80",
            "[::1]:80",
            "localhost",
        ] {
            assert_eq!(name(authority), Some("proxy.example.com"), "{authority}");
        }
        assert_eq!(name("gw.corp"), Some("gw.corp.example.com"));
        for authority in ["evil.example.org", "prox", "", ":80", ".", "example.com"] {
            assert_eq!(name(authority), None, "{authority}");
        }
        assert_eq!(name_for("10.1.2.3", ["10.0.0.1"].into_iter()), None);
        assert_eq!(url("https", "p", "10.0.0.2:8088"), "https://p:8088/");
        assert_eq!(url("http", "p", "[::1]"), "http://p/");
    }

    proptest! {
        #[test]
        fn any_text_gets_one_of_the_names_or_none(authority in ".*") {
            if let Some(name) = name_for(&authority, NAMES.into_iter()) {
                prop_assert!(NAMES.contains(&name));
                prop_assert!(!url("http", name, &authority).contains(char::is_whitespace));
            }
        }
    }
}
