//! The configuration file: TOML with positions, then all problems at once or plain values.
//!
//! [`parse`] reads the file into a tree with positions and collects **all** problems, each with its key
//! path, line and cure. Only a file without problems becomes a [`Config`]. The values are those of the
//! modules that use them (`upstream`, `auth`, …), which know nothing of the file; `runtime` hands them
//! out.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use ipnet::IpNet;

use crate::{
    auth::names::AuthToLocal,
    gss::{Principal, ReplayCache},
    identity::{IdentityMode, become_rules::BecomeRules, forwarded::Forwarded},
    kinds::Kind,
    net::proxy_protocol::Version,
    rewrite::node::{NodeLogin, Nodes},
    server::ServerTls,
    stream::options::{Stream, StreamBackend},
    telemetry::{access::AccessLogTarget, log::LogFormat},
    tls::TrustSource,
    upstream::{backend::BackendTls, group::Balance, probe::ProbeConfig},
};

mod check;
#[cfg(test)]
mod examples;
pub(crate) mod problem;
pub(crate) mod schema;
mod tree;
mod units;

pub use check::parse;
pub use problem::{Problems, Warning};

/// A whole, checked configuration file.
#[derive(Clone, Debug)]
pub struct Config {
    pub(crate) server: ServerConfig,
    pub(crate) timeouts: Timeouts,
    pub(crate) kerberos: Kerberos,
    pub(crate) session: SessionConfig,
    pub(crate) admin: Option<AdminConfig>,
    pub(crate) log: LogConfig,
    /// `[[console]]`, in file order; names are unique.
    pub(crate) consoles: Vec<Console>,
    /// `[[stream]]`, in file order; names are unique.
    pub(crate) streams: Vec<Stream>,
    /// `[[kdc_proxy]]`, in file order.
    pub(crate) kdc_proxies: Vec<KdcProxy>,
}

/// `[server]`
#[derive(Clone, Debug)]
pub(crate) struct ServerConfig {
    /// Worker threads; default: one per core.
    pub workers: usize,
    /// Client connections in total; further ones are closed immediately. Default 20,000.
    pub max_connections: usize,
    /// Connections per client address; no limit by default.
    pub max_connections_per_address: Option<usize>,
    /// Requests per client address and second; no limit by default.
    pub requests_per_second_per_address: Option<u32>,
}

/// `[timeouts]`
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// From the first byte of a request to the end of its head, and from the start of a connection to
    /// its first request; 8 s.
    pub head: Duration,
    /// A kept-alive connection without a request; 60 s.
    pub idle: Duration,
    /// A body, in either direction, that makes no progress; 60 s.
    pub body_idle: Duration,
    /// Bytes per second that a client has to send of a body, averaged over each `body_idle`; 0, the
    /// default: any progress is enough.
    pub min_upload_rate: u64,
    /// TCP connect to a backend; 2 s.
    pub connect: Duration,
    /// From the end of a request to the head of the backend's response; 5 min.
    pub first_byte: Duration,
    /// Waiting for an active backend; 15 s.
    pub hold: Duration,
    /// An upgraded connection (WebSocket) without a byte in either direction; 1 h.
    pub tunnel: Duration,
    /// From SIGTERM to the end of the process; 30 s.
    pub drain: Duration,
    /// One GSSAPI call, including the wait in the queue; 5 s.
    pub gss: Duration,
}

/// `[kerberos]`
#[derive(Clone, Debug)]
pub(crate) struct Kerberos {
    /// The merged keytab; `None` if there are no consoles.
    pub keytab: Option<PathBuf>,
    /// The principal that the gateway logs in to backends with; any principal of the keytab.
    pub principal: Option<Principal>,
    /// The compiled rules of `auth_to_local` and `auth_to_local_mechanism`.
    pub auth_to_local: Arc<AuthToLocal>,
    /// `replay_cache`: where accepted authenticators are recorded.
    pub replay_cache: ReplayCache,
}

/// `[session]`
#[derive(Clone, Debug)]
pub(crate) struct SessionConfig {
    /// Maximum duration of a session, which also ends with the ticket; 10 h.
    pub lifetime: Duration,
    /// A session ends after this time without requests; 1 h.
    pub idle: Duration,
    /// File with the secret that signs cookies, shared by replicas; `None`: random at every start.
    pub secret_file: Option<PathBuf>,
    /// Sessions in the cache; 100,000.
    pub capacity: u64,
}

/// `[admin]`
#[derive(Clone, Debug)]
pub(crate) struct AdminConfig {
    /// Where metrics, health and status are served, without login.
    pub listen: SocketAddr,
}

/// `[log]`
#[derive(Clone, Debug)]
pub(crate) struct LogConfig {
    /// A `tracing` filter; `info`.
    pub level: String,
    /// `text` or `json`; applies to both logs.
    pub format: LogFormat,
    /// Where the access log goes.
    pub access: AccessLogTarget,
}

/// `[[console]]`: one published service.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    /// Used in logs and metrics, and as the prefix of its backends' cookies.
    pub name: Arc<str>,
    pub kind: &'static dyn Kind,
    /// Addresses clients connect to.
    pub listen: Vec<SocketAddr>,
    /// Lower-case host names, without port, that it serves; never empty.
    pub hosts: Vec<Arc<str>>,
    /// The path prefix that it serves (`/oozie`), without a trailing slash; `None`: all paths.
    pub path: Option<Arc<str>>,
    pub tls: Option<ServerTls>,
    /// Plain addresses that respond with a redirect to the first `listen`.
    pub redirect_from: Vec<SocketAddr>,
    /// `accept_proxy`: peers whose connections begin with a PROXY protocol header.
    pub accept_proxy: Arc<[IpNet]>,
    /// `trusted_proxies`: peers whose `X-Forwarded-For` is trusted.
    pub trusted_proxies: Arc<[IpNet]>,
    /// `allow_from`: permitted client addresses; `None`: all.
    pub allow_from: Option<Arc<[IpNet]>>,
    /// Never empty.
    pub backends: Vec<BackendConfig>,
    pub balance: Balance,
    /// How the user is named to backends.
    pub identity: IdentityMode,
    /// `become`: which users may act as which others.
    pub become_rules: BecomeRules,
    /// Users and groups that may use it; `None`: every user that `auth_to_local` maps.
    pub allow: Option<Allow>,
    /// Nodes that clients may reach through its links.
    pub nodes: Option<Nodes>,
    /// `nodes.login`: whether a signed link of the console is a credential.
    pub node_login: NodeLogin,
    /// Trusted CAs for nodes with TLS; `None`: neither the console nor a backend uses TLS.
    pub node_trust: Option<TrustSource>,
    /// `forwarded`: headers that give backends the client's address.
    pub forwarded: Forwarded,
    /// `pass_cookies`: cookies that are passed on although the gateway logs in with each request.
    pub pass_cookies: Arc<[Arc<str>]>,
    /// `retry.buffer` in bytes: bodies up to this size can be sent again; 64 KiB.
    pub retry_buffer: usize,
    /// `allow_encoded_slash`: paths may contain `%2F` (row keys of `HBase` REST).
    pub allow_encoded_slash: bool,
    /// `probe`: health checks.
    pub probe: ProbeConfig,
    /// `slow_start`: how long a server's share of requests grows after it came up; 0 s.
    pub slow_start: Duration,
    /// `queue`: requests that wait for backends at `max_connections`.
    pub queue: QueueConfig,
}

/// `console.queue`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueConfig {
    /// Requests that may wait; 1024.
    pub length: usize,
    /// How long one may wait; 10 s.
    pub timeout: Duration,
}

/// One server of a console.
#[derive(Clone, Debug)]
pub(crate) struct BackendConfig {
    /// `http://host:port` or `https://host:port`: lower case, always with port, no trailing slash.
    pub url: Arc<str>,
    /// Host name, lower case, as it goes into `Host` and the SPN; an IPv6 address in brackets.
    pub host: Arc<str>,
    pub port: u16,
    /// Default: `HTTP/host@REALM`, with the realm of `kerberos.default_realm` if that is set, else of the
    /// principal that logs in. `None` only if the gateway does not log in.
    pub spn: Option<Principal>,
    /// The gateway's principal for this backend, if not `kerberos.principal`.
    pub principal: Option<Principal>,
    /// Set if the URL is `https://`.
    pub tls: Option<BackendTls>,
    /// `send_proxy`: connections begin with a PROXY protocol header that names the client. Each serves a
    /// single request, because the header holds for a whole connection.
    pub send_proxy: Option<Version>,
    /// `weight`: share of new requests relative to the other backends; 0: none. Default 1.
    pub weight: u32,
    /// `max_connections`: concurrent requests.
    pub max_connections: Option<usize>,
}

/// `console.allow`: a user needs to be in one of the two lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allow {
    /// Short names, as `auth_to_local` returns them.
    pub users: Vec<Arc<str>>,
    /// Names of the operating system's groups.
    pub groups: Vec<Arc<str>>,
}

/// `[[kdc_proxy]]`: one realm whose KDCs clients reach through HTTPS (MS-KKDCP).
#[derive(Clone, Debug)]
pub(crate) struct KdcProxy {
    /// Addresses, which consoles may share.
    pub listen: Vec<SocketAddr>,
    /// TLS with clients, unless a console on the same address has it.
    pub tls: Option<ServerTls>,
    /// The realm, as its KDCs spell it.
    pub realm: Arc<str>,
    /// Its KDCs; never empty.
    pub backends: Vec<StreamBackend>,
    /// Its password-change servers (kpasswd); may be empty.
    pub kpasswd: Vec<StreamBackend>,
    /// Permitted client networks; `None`: all.
    pub allow_from: Option<Arc<[IpNet]>>,
}
