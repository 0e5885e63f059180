//! The configuration: plain, checked values.
//!
//! `parse` walks a spanned TOML tree and collects **all** problems, each with its key path, line and
//! cure; only a file without problems becomes a [`Config`]. Nothing downstream re-parses a string.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use http::HeaderValue;
use ipnet::IpNet;

use crate::{
    auth::names::AuthToLocal,
    gss::Principal,
    kinds::Kind,
    server::proxy_protocol::Version,
    tls::{KeySource, MinVersion, TrustSource},
};

mod check;
#[cfg(test)]
mod examples;
mod nodes;
pub(crate) mod problem;
pub(crate) mod schema;
mod stream;
mod tree;
mod units;

pub use check::parse;
pub(crate) use nodes::NodeLogin;
pub use nodes::Nodes;
pub use problem::{Problems, Warning};
pub(crate) use stream::{Check, KdcProxy, Stream, StreamBackend, StreamKind};

/// A whole, checked configuration file.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`
    pub(crate) server: ServerConfig,
    /// `[timeouts]`
    pub(crate) timeouts: Timeouts,
    /// `[kerberos]`
    pub(crate) kerberos: Kerberos,
    /// `[session]`
    pub(crate) session: SessionConfig,
    /// `[admin]`
    pub(crate) admin: Option<AdminConfig>,
    /// `[log]`
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
    /// Client connections in all; one more is closed at once. Default 20,000.
    pub max_connections: usize,
    /// Of each client address; none by default.
    pub max_connections_per_address: Option<usize>,
    /// Requests of each client address in a second; none by default.
    pub requests_per_second_per_address: Option<u32>,
}

/// `[timeouts]`
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    /// From a request's first byte to the end of its head, and of a connection that has not sent one
    /// yet; 8 s.
    pub head: Duration,
    /// A kept-alive connection without a request; 60 s.
    pub idle: Duration,
    /// A body, either way, that makes no progress; 60 s.
    pub body_idle: Duration,
    /// Bytes a second that a client has to send of a body, over each `body_idle`; 0, the default:
    /// any are enough.
    pub min_upload_rate: u64,
    /// TCP connect to a backend; 2 s.
    pub connect: Duration,
    /// From the end of a request to the head of the backend's answer; 5 min.
    pub first_byte: Duration,
    /// Waiting for an active backend; 15 s.
    pub hold: Duration,
    /// Without a byte either way, of an upgraded connection (WebSocket); 1 h.
    pub tunnel: Duration,
    /// From SIGTERM to the end; 30 s.
    pub drain: Duration,
    /// One GSSAPI step, queueing included; 5 s.
    pub gss: Duration,
}

/// `[kerberos]`
#[derive(Clone, Debug)]
pub(crate) struct Kerberos {
    /// The merged keytab; `None` where there is no console to log in to.
    pub keytab: Option<PathBuf>,
    /// Who the gateway is to the backends; any principal of the keytab.
    pub principal: Option<Principal>,
    /// The compiled rules of `auth_to_local` and `auth_to_local_mechanism`.
    pub auth_to_local: Arc<AuthToLocal>,
    /// `replay_cache`: where accepted authenticators are remembered.
    pub replay_cache: ReplayCache,
}

/// `kerberos.replay_cache`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReplayCache {
    /// A file (`file2:` of MIT krb5); default `/var/tmp/krb5_<uid>.rcache2`, as MIT's own default.
    File(PathBuf),
    /// `"none"`: replays within the clock skew are accepted. A decision to be made knowingly.
    None,
}

/// `[session]`
#[derive(Clone, Debug)]
pub(crate) struct SessionConfig {
    /// The longest session; never longer than the ticket. 10 h.
    pub lifetime: Duration,
    /// A session that is not used for so long ends. 1 h.
    pub idle: Duration,
    /// File whose bytes sign the cookies, shared by replicas; none: random at start.
    pub secret_file: Option<PathBuf>,
    /// Sessions that the cache holds; 100,000.
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
    pub access: AccessLog,
}

/// `log.format`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for people; the access log in the combined format.
    Text,
    /// One JSON object a line.
    Json,
}

/// `log.access`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// `"off"`
    Off,
    /// `"stdout"`, the default.
    Stdout,
    /// A file, opened for append.
    File(PathBuf),
}

/// `[[console]]`: one published service.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    /// Its name, in logs and metrics, and the prefix of its backends' cookies.
    pub name: Arc<str>,
    /// What it is.
    pub kind: &'static dyn Kind,
    /// Addresses clients connect to.
    pub listen: Vec<SocketAddr>,
    /// Lower-case host names (no port) it answers to; never empty.
    pub hosts: Vec<Arc<str>>,
    /// Path prefix it is limited to (`/oozie`), without a final slash; `None`: all paths.
    pub path: Option<Arc<str>>,
    /// TLS towards clients.
    pub tls: Option<ServerTls>,
    /// Plain addresses that answer with a redirect to the first `listen`.
    pub redirect_from: Vec<SocketAddr>,
    /// `accept_proxy`: peers that begin with a PROXY protocol header.
    pub accept_proxy: Arc<[IpNet]>,
    /// `trusted_proxies`: peers that name the client in `X-Forwarded-For`.
    pub trusted_proxies: Arc<[IpNet]>,
    /// `allow_from`: addresses that clients may have; `None`: all.
    pub allow_from: Option<Arc<[IpNet]>>,
    /// The servers; never empty.
    pub backends: Vec<BackendConfig>,
    /// How one of them is chosen.
    pub balance: Balance,
    /// How a backend is told who the user is.
    pub identity: IdentityMode,
    /// `become`: who may name another user.
    pub becomes: Becomes,
    /// Who may use it; `None`: every mapped user.
    pub allow: Option<Allow>,
    /// Nodes that may be reached through its links.
    pub nodes: Option<Nodes>,
    /// `nodes.login`: whether a signed link of the console is a credential.
    pub node_login: NodeLogin,
    /// Whom to believe of nodes that speak TLS; `None`: nothing says anything of TLS to servers.
    pub node_trust: Option<TrustSource>,
    /// `forwarded`: which headers tell backends where a request comes from.
    pub forwarded: Forwarded,
    /// `pass_cookies`: cookies that pass although the gateway logs in with each request.
    pub pass_cookies: Arc<[Arc<str>]>,
    /// `retry.buffer` in bytes: bodies up to this size can be sent again; 64 KiB.
    pub retry_buffer: usize,
    /// `allow_encoded_slash`: `%2F` in paths passes (`HBase` REST row keys).
    pub allow_encoded_slash: bool,
    /// `probe`: how servers are looked after.
    pub probe: ProbeConfig,
    /// `slow_start`: for so long a server's share grows after it came up; 0 s.
    pub slow_start: Duration,
    /// `queue`: before servers with `max_connections`.
    pub queue: QueueConfig,
}

/// `console.probe`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProbeConfig {
    /// Between two looks; 500 ms.
    pub interval: Duration,
    /// A look without an answer for so long is a miss; 1 s.
    pub timeout: Duration,
    /// Good looks in a row after which a server that was down is used again; 1.
    pub rise: u32,
    /// Misses in a row after which a server that accepts connections is down; 2. One that refuses
    /// connections is down at once.
    pub fall: u32,
}

/// `console.queue`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueConfig {
    /// Requests that may wait; 1024.
    pub length: usize,
    /// How long; 10 s.
    pub timeout: Duration,
}

/// `console.tls`
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerTls {
    /// Certificates with their keys, chosen by the name that clients say; never empty, and the
    /// first is for clients that say none.
    pub certificates: Vec<KeySource>,
    /// `min_version`: the oldest version of TLS.
    pub min_version: MinVersion,
    /// `http2`: HTTP/2 is offered (ALPN) beside HTTP/1.1; true.
    pub http2: bool,
}

/// One server of a console.
#[derive(Clone, Debug)]
pub(crate) struct BackendConfig {
    /// `http://host:port` or `https://host:port`: lower case, always with port, without final slash.
    pub url: Arc<str>,
    /// Host name, lower case, as it goes into `Host` and the SPN; an IPv6 address in brackets.
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// `HTTP/host@REALM` unless set, with the realm of `kerberos.default_realm` where that is
    /// written, else of the principal that logs in. `None` only where nobody logs in.
    pub spn: Option<Principal>,
    /// The gateway's principal towards this backend, if not `kerberos.principal`.
    pub principal: Option<Principal>,
    /// TLS to it: its URL is `https://`.
    pub tls: Option<BackendTls>,
    /// `send_proxy`: connections to it begin with a PROXY protocol header that names the client, and
    /// serve that one request.
    pub send_proxy: Option<Version>,
    /// `weight`: its share of new requests, against the others'; 0: nothing new. 1.
    pub weight: u32,
    /// `max_connections`: requests that it may have at once.
    pub max_connections: Option<usize>,
}

/// `console.backend_tls` and `tls` of a backend, for one backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct BackendTls {
    /// Whom the gateway believes, and who it says it is.
    pub trust: TrustSource,
    /// The name that the backend's certificate has, if not the host of its URL; it goes into `Host`
    /// too.
    pub server_name: Option<Arc<str>>,
}

/// `console.balance`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Balance {
    /// The one that says it is active (HA pairs).
    Active,
    /// The first that is healthy, in file order.
    First,
    /// In turn, by weight.
    RoundRobin,
    /// The one with the fewest requests for its weight.
    LeastConn,
    /// By the client's address: consistent hashing.
    Source,
}

impl Balance {
    /// The word of the configuration.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::First => "first",
            Self::RoundRobin => "roundrobin",
            Self::LeastConn => "leastconn",
            Self::Source => "source",
        }
    }
}

/// `console.become`: who may name another user in a header of the client's own (`X-Presto-User`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Becomes(pub Vec<Become>);

/// One entry of `console.become`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Become {
    /// Short name of who is logged in.
    pub user: Arc<str>,
    /// Whom it may be; `*`: anybody.
    pub as_users: Vec<Arc<str>>,
}

impl Becomes {
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
        let may = |entry: &&Become| {
            *entry.user == *user && entry.as_users.iter().any(|a| **a == *name || **a == *"*")
        };
        self.0.iter().find(may).map(|_| value)
    }
}

/// `console.identity`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdentityMode {
    /// The backend sees the gateway's own principal.
    Service,
    /// `doAs` as the kind reads it.
    DoAs,
    /// `user.name=` for a console without Kerberos; no login.
    Simple,
    /// Nobody logs in, neither clients nor the gateway; what a client says of itself passes.
    None,
}

impl IdentityMode {
    /// The word of the configuration file.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::DoAs => "doas",
            Self::Simple => "simple",
            Self::None => "none",
        }
    }
}

/// `console.forwarded`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Forwarded {
    /// `"off"`: none.
    #[default]
    Off,
    /// `"x-forwarded"`: `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.
    X,
    /// `"rfc7239"`: `Forwarded`.
    Rfc7239,
    /// `"both"`
    Both,
}

/// `console.allow`: users OR groups, short names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allow {
    /// Short names.
    pub users: Vec<Arc<str>>,
    /// Group names, as the operating system knows them.
    pub groups: Vec<Arc<str>>,
}
