//! The content of the status page: plain values, filled by `runtime`. Nothing here is secret. The field
//! names are those of the JSON and do not change.

use serde::Serialize;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Status {
    pub version: String,
    pub uptime_seconds: u64,
    pub draining: bool,
    pub workers: usize,
    pub connections: usize,
    /// Sessions in the cache.
    pub sessions: u64,
    /// `None` without consoles.
    pub keytab: Option<KeytabStatus>,
    /// The gateway's principals that have been used to log in.
    pub own_logins: Vec<OwnLoginStatus>,
    /// The consoles, in file order.
    pub consoles: Vec<ConsoleStatus>,
    /// The streams, then the realms of KDC proxies, in file order.
    pub streams: Vec<StreamStatus>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct KeytabStatus {
    pub path: String,
    /// Whether it is readable and has the keys that the configuration needs.
    pub valid: bool,
    pub problem: Option<String>,
    /// With key versions, but without keys.
    pub principals: Vec<String>,
}

/// A principal that the gateway logs in to backends with.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OwnLoginStatus {
    /// The principal of the configuration.
    pub principal: String,
    /// The name that the KDC uses, if it differs (an alias): backends see this one.
    pub known_as: Option<String>,
    /// Whether it has a ticket-granting ticket.
    pub logged_in: bool,
    /// Why the last attempt to get a ticket failed, and what to do.
    pub problem: Option<String>,
    /// Seconds until the next attempt after the KDC refused the key or the account. A new key in the
    /// keytab is tried immediately. The pause keeps the account from being locked.
    pub next_try_seconds: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct ConsoleStatus {
    pub name: String,
    pub kind: String,
    pub identity: String,
    pub balance: String,
    /// Requests that wait because the backends are at `max_connections`.
    pub queued: usize,
    /// Addresses, as `http://host:port` or `https://host:port`.
    pub listen: Vec<String>,
    pub backends: Vec<BackendStatus>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct BackendStatus {
    pub url: String,
    pub state: BackendState,
    /// The administrative state: `ready`, `drain` or `maintenance`.
    pub duty: &'static str,
    /// Seconds in this state.
    pub since_seconds: u64,
    pub login: LoginState,
    pub in_flight: usize,
    /// With what to do.
    pub last_error: Option<String>,
}

/// A stream, or a realm of a KDC proxy.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StreamStatus {
    pub name: String,
    /// `relay`, `kdc` or `kdc_proxy`.
    pub kind: String,
    /// Addresses, as `tcp://host:port` or `udp://host:port`.
    pub listen: Vec<String>,
    pub connections: usize,
    pub flows: usize,
    pub backends: Vec<StreamBackendStatus>,
}

/// One address of a stream's server; a name may have several.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StreamBackendStatus {
    /// `host:port` as configured.
    pub backend: String,
    /// The address that it resolved to.
    pub address: String,
    /// `up`, `suspect` (did not respond to something), `down`, or the administrative state `drain` or
    /// `maintenance`.
    pub state: &'static str,
    /// Seconds since it last came up or went down.
    pub since_seconds: u64,
    pub connections: usize,
    pub last_error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BackendState {
    /// Not checked yet.
    Unknown,
    /// Serves requests.
    Active,
    /// Healthy, but another backend is the active one.
    Standby,
    Down,
    /// Ignores the user that the gateway names, so the gateway sends it no requests.
    IdentityIgnored,
}

/// The gateway's login at a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LoginState {
    /// This console's identity mode needs none.
    NotNeeded,
    /// Not tried yet.
    None,
    /// Logged in.
    Ok,
    /// The last attempt failed.
    Failed,
}

impl BackendState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Active => "active",
            Self::Standby => "standby",
            Self::Down => "down",
            Self::IdentityIgnored => "identity_ignored",
        }
    }
}

impl LoginState {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NotNeeded => "not_needed",
            Self::None => "none",
            Self::Ok => "ok",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn status() -> Status {
        Status {
            version: "0.1.0".to_owned(),
            uptime_seconds: 90_061,
            draining: false,
            workers: 2,
            connections: 3,
            sessions: 4,
            keytab: Some(KeytabStatus {
                path: "/etc/spnegate/merged.keytab".to_owned(),
                valid: true,
                problem: None,
                principals: vec!["HTTP/proxy.example.com@EXAMPLE.COM (kvno 3)".to_owned()],
            }),
            own_logins: vec![OwnLoginStatus {
                principal: "spnegate/proxy.example.com@EXAMPLE.COM".to_owned(),
                known_as: Some("websvc@EXAMPLE.COM".to_owned()),
                logged_in: false,
                problem: Some("<u>refused</u>".to_owned()),
                next_try_seconds: 300,
            }],
            consoles: vec![ConsoleStatus {
                name: "namenode".to_owned(),
                kind: "namenode".to_owned(),
                identity: "doas".to_owned(),
                balance: "active".to_owned(),
                queued: 0,
                listen: vec!["http://0.0.0.0:50070".to_owned()],
                backends: vec![BackendStatus {
                    url: "http://nn1.example.com:50070".to_owned(),
                    state: BackendState::Active,
                    duty: "ready",
                    since_seconds: 61,
                    login: LoginState::Failed,
                    in_flight: 1,
                    last_error: Some("<b>refused</b>".to_owned()),
                }],
            }],
            streams: vec![StreamStatus {
                name: "presto".to_owned(),
                kind: "relay".to_owned(),
                listen: vec!["tcp://0.0.0.0:9090".to_owned()],
                connections: 2,
                flows: 0,
                backends: vec![StreamBackendStatus {
                    backend: "presto.example.com:9090".to_owned(),
                    address: "192.0.2.1:9090".to_owned(),
                    state: "down",
                    since_seconds: 3,
                    connections: 2,
                    last_error: Some("<i>refused</i>".to_owned()),
                }],
            }],
        }
    }

    #[test]
    fn the_page_and_the_json_use_the_same_words() {
        use BackendState as B;
        use LoginState as L;
        for state in [
            B::Unknown,
            B::Active,
            B::Standby,
            B::Down,
            B::IdentityIgnored,
        ] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for login in [L::NotNeeded, L::None, L::Ok, L::Failed] {
            assert_eq!(serde_json::to_value(login).unwrap(), login.as_str());
        }
    }
}
