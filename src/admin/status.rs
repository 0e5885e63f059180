//! What the status page shows: plain values, filled by the runtime. Nothing here is secret.

use serde::Serialize;

/// The gateway at a moment.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Status {
    /// The gateway's version.
    pub version: String,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Whether it is shutting down.
    pub draining: bool,
    /// Worker threads.
    pub workers: usize,
    /// Client connections.
    pub connections: usize,
    /// Cached sessions.
    pub sessions: u64,
    /// The keytab, where anybody logs in.
    pub keytab: Option<KeytabStatus>,
    /// The gateway's own principals, as far as tickets were wanted for them.
    pub own_logins: Vec<OwnLoginStatus>,
    /// The consoles, in file order.
    pub consoles: Vec<ConsoleStatus>,
    /// The streams, in file order, then the realms of KDC proxies.
    pub streams: Vec<StreamStatus>,
}

/// The keytab.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct KeytabStatus {
    /// Its path.
    pub path: String,
    /// Whether it is readable and holds what the configuration needs.
    pub valid: bool,
    /// What is wrong with it.
    pub problem: Option<String>,
    /// Its principals, with key versions; never keys.
    pub principals: Vec<String>,
}

/// One of the gateway's own principals, by which it logs in to backends.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct OwnLoginStatus {
    /// The principal of the configuration.
    pub principal: String,
    /// The principal's name at the KDC, where that is another one: what backends see.
    pub known_as: Option<String>,
    /// Whether it has a ticket-granting ticket.
    pub logged_in: bool,
    /// Why the KDC gave no ticket at the last try, with what to do.
    pub problem: Option<String>,
    /// Seconds until the KDC is asked again, where it refused the key or the account; immediately when
    /// the keytab has another key.
    pub next_try_seconds: u64,
}

/// A console.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ConsoleStatus {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// How a backend is told who the user is.
    pub identity: String,
    /// How a backend is chosen.
    pub balance: String,
    /// Requests that wait for a place at a backend.
    pub queued: usize,
    /// Addresses, as `http://host:port` or `https://host:port`.
    pub listen: Vec<String>,
    /// The backends, in file order.
    pub backends: Vec<BackendStatus>,
}

/// A backend.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BackendStatus {
    /// URL, as configured.
    pub url: String,
    /// Its state.
    pub state: BackendState,
    /// What an operator wants of it: `ready`, `drain` or `maintenance`.
    pub duty: &'static str,
    /// Seconds in this state.
    pub since_seconds: u64,
    /// The gateway's login there.
    pub login: LoginState,
    /// Requests in flight there.
    pub in_flight: usize,
    /// The last error, with what to do.
    pub last_error: Option<String>,
}

/// A stream, or a realm of a KDC proxy.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StreamStatus {
    /// Name.
    pub name: String,
    /// `relay`, `kdc` or `kdc_proxy`.
    pub kind: String,
    /// Addresses, as `tcp://host:port` or `udp://host:port`.
    pub listen: Vec<String>,
    /// TCP connections.
    pub connections: usize,
    /// UDP flows.
    pub flows: usize,
    /// The addresses of its servers.
    pub backends: Vec<StreamBackendStatus>,
}

/// One address of a stream's server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StreamBackendStatus {
    /// `host:port` as configured.
    pub backend: String,
    /// Where that is now.
    pub address: String,
    /// `up`, `suspect` (left something without an answer), `down`, or taken out: `drain`,
    /// `maintenance`.
    pub state: &'static str,
    /// Seconds since it last came up or went down.
    pub since_seconds: u64,
    /// Connections and flows there.
    pub connections: usize,
    /// The last error.
    pub last_error: Option<String>,
}

/// A backend's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BackendState {
    /// Not probed yet.
    Unknown,
    /// Serves.
    Active,
    /// Alive, but the other one is active.
    Standby,
    /// Does not serve.
    Down,
    /// Ignores who the user is: closed.
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
    /// The last try failed.
    Failed,
}

impl BackendState {
    /// The word of page and JSON.
    pub(crate) const fn word(self) -> &'static str {
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
    /// The word of page and JSON.
    pub(crate) const fn word(self) -> &'static str {
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
    fn the_words_of_page_and_json_are_the_same() {
        use BackendState as B;
        use LoginState as L;
        for state in [
            B::Unknown,
            B::Active,
            B::Standby,
            B::Down,
            B::IdentityIgnored,
        ] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.word());
        }
        for login in [L::NotNeeded, L::None, L::Ok, L::Failed] {
            assert_eq!(serde_json::to_value(login).unwrap(), login.word());
        }
    }
}
