//! Finds the console that publishes a server.
//!
//! On the request path: a link to a server that another console publishes (*History* of the
//! `ResourceManager` leads to the `JobHistoryServer`) is rewritten to that console.

use std::{net::SocketAddr, sync::Arc};

use super::url::Link;

/// All consoles of the gateway, in the order of the configuration.
#[derive(Debug, Default)]
pub struct Consoles(Vec<PublishedConsole>);

/// The servers of a console, and its addresses.
#[derive(Clone, Debug)]
pub struct PublishedConsole {
    /// `host:port` of the servers, lower case.
    pub servers: Vec<Arc<str>>,
    /// Lower-case host names of the console; never empty.
    pub hosts: Vec<Arc<str>>,
    /// Path prefix without a final slash; `None`: all paths.
    pub path: Option<Arc<str>>,
    pub tls: bool,
    pub listen: Vec<SocketAddr>,
}

/// The origin that the client uses.
#[derive(Clone, Copy, Debug)]
pub struct ClientOrigin<'a> {
    /// `https://proxy.example.com:50470`, as the client sent it and the gateway checked it.
    pub origin: &'a str,
    /// The configured host name that matched.
    pub host: &'a str,
    pub tls: bool,
    /// The listeners of the client's console.
    pub listen: &'a [SocketAddr],
}

impl Consoles {
    pub fn new(consoles: Vec<PublishedConsole>) -> Self {
        Self(consoles)
    }

    /// The origin, without a final slash, of the console that publishes the server that a link names.
    ///
    /// Of several consoles one on the client's listener is preferred, because the client can reach it and
    /// has a session there; then one with the same scheme, then one with the host name that the
    /// client uses.
    pub fn origin(&self, link: &Link<'_>, here: &ClientOrigin<'_>) -> Option<String> {
        let path = link.rest.split(['?', '#']).next().unwrap_or_default();
        let (console, shared) = self
            .0
            .iter()
            .filter(|console| link.is_one_of(&console.servers) && console.publishes(path))
            .map(|console| (console, console.shares_listener(here)))
            // a listener on port 0 has a port that is not in the configuration
            .filter(|(console, shared)| *shared || console.port().is_some())
            .min_by_key(|(console, shared)| {
                (!shared, console.tls != here.tls, !console.has_host(here))
            })?;
        let called = console.has_host(here);
        if shared && called {
            return Some(here.origin.to_owned());
        }
        let host = if called {
            here.host
        } else {
            console.hosts.first()?
        };
        // an IPv6 address may be configured without brackets
        let host = if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        let (scheme, default) = if console.tls {
            ("https", 443)
        } else {
            ("http", 80)
        };
        // On a shared listener the client's own port is right even behind a load balancer or a port mapping;
        // for another listener only the configured port is known.
        let port = if shared {
            let written = here.origin.rsplit_once(':');
            written.and_then(|(_, port)| port.parse().ok())
        } else {
            console.port()
        };
        Some(match port.filter(|port| *port != default) {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        })
    }

    /// Whether a link names a host of any console's servers, with any port.
    pub fn knows_host(&self, link: &Link<'_>) -> bool {
        let Some((host, _)) = link.host_port() else {
            return false;
        };
        let mut servers = self.0.iter().flat_map(|console| &console.servers);
        servers.any(|server| {
            server
                .rsplit_once(':')
                .is_some_and(|(name, _)| name.eq_ignore_ascii_case(host))
        })
    }
}

impl PublishedConsole {
    fn publishes(&self, path: &str) -> bool {
        self.path.as_deref().is_none_or(|prefix| {
            path.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    fn shares_listener(&self, here: &ClientOrigin<'_>) -> bool {
        self.tls == here.tls && self.listen.iter().any(|own| here.listen.contains(own))
    }

    fn has_host(&self, here: &ClientOrigin<'_>) -> bool {
        self.hosts.iter().any(|host| **host == *here.host)
    }

    fn port(&self) -> Option<u16> {
        self.listen
            .iter()
            .map(SocketAddr::port)
            .find(|port| *port != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(server: &str, host: &str, listen: &str, tls: bool) -> PublishedConsole {
        PublishedConsole {
            servers: vec![server.into()],
            hosts: vec![host.into()],
            path: None,
            tls,
            listen: vec![listen.parse().unwrap()],
        }
    }

    fn found(consoles: &[PublishedConsole], link: &str) -> Option<String> {
        let here = ClientOrigin {
            origin: "http://gw:8088",
            host: "gw",
            tls: false,
            listen: &["0.0.0.0:8088".parse().unwrap()],
        };
        let consoles = Consoles::new(consoles.to_vec());
        consoles.origin(&Link::split(link).unwrap(), &here)
    }

    #[test]
    fn a_server_is_found_where_its_console_listens() {
        let all = [
            console("jhs:19888", "gw", "0.0.0.0:19888", false),
            console("oozie:11000", "gw", "0.0.0.0:8088", false),
            console("hue:8888", "other", "0.0.0.0:443", true),
            console("none:1", "gw", "127.0.0.1:0", false),
        ];
        for (link, origin) in [
            ("http://JHS:19888/jobhistory/job/1", Some("http://gw:19888")),
            ("//jhs:19888/x?y#z", Some("http://gw:19888")),
            ("http://oozie:11000/oozie", Some("http://gw:8088")),
            ("http://hue:8888", Some("https://other")),
            ("http://none:1/", None),
            ("http://jhs:19889/", None),
        ] {
            assert_eq!(found(&all, link).as_deref(), origin, "{link}");
        }
    }

    #[test]
    fn the_console_closest_to_the_client_is_chosen() {
        let tls = console("jhs:19888", "gw", "0.0.0.0:19890", true);
        let plain = console("jhs:19888", "gw", "0.0.0.0:19888", false);
        let other = console("jhs:19888", "other", "0.0.0.0:19889", false);
        let mut shared = console("jhs:19888", "gw", "0.0.0.0:8088", false);
        shared.path = Some("/jobhistory".into());
        let all = [tls, other, plain, shared];
        let link = "http://jhs:19888/jobhistory/x";
        assert_eq!(found(&all, link).as_deref(), Some("http://gw:8088"));
        // not below the prefix of that console
        let link = "http://jhs:19888/jobhistoryx";
        assert_eq!(found(&all, link).as_deref(), Some("http://gw:19888"));
        let link = "http://jhs:19888/";
        assert_eq!(
            found(&all[..2], link).as_deref(),
            Some("http://other:19889")
        );
        assert_eq!(found(&all[..1], link).as_deref(), Some("https://gw:19890"));
    }

    #[test]
    fn an_ipv6_address_is_written_in_brackets() {
        let all = [console("jhs:1", "::1", "[::]:19888", false)];
        assert_eq!(
            found(&all, "http://jhs:1/").as_deref(),
            Some("http://[::1]:19888")
        );
    }
}
