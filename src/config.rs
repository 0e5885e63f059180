//! The configuration: plain, checked values.
//!
//! `parse` walks a spanned TOML tree and collects **all** problems, each with its key path, line and
//! cure; only a file without problems becomes a [`Config`]. Nothing downstream re-parses a string.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use ipnet::IpNet;

use crate::{
    auth::names::AuthToLocal,
    gss::Principal,
    identity::{IdentityMode, becomes::Becomes, forwarded::Forwarded},
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
    pub access: AccessLogTarget,
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

/// `console.queue`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueConfig {
    /// Requests that may wait; 1024.
    pub length: usize,
    /// How long; 10 s.
    pub timeout: Duration,
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

/// `console.allow`: users OR groups, short names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allow {
    /// Short names.
    pub users: Vec<Arc<str>>,
    /// Group names, as the operating system knows them.
    pub groups: Vec<Arc<str>>,
}

/// `[[kdc_proxy]]`: one realm whose KDCs are reached through HTTPS (MS-KKDCP).
#[derive(Clone, Debug)]
pub(crate) struct KdcProxy {
    /// Addresses, alone or shared with consoles.
    pub listen: Vec<SocketAddr>,
    /// TLS towards clients, where no console says it.
    pub tls: Option<ServerTls>,
    /// The realm, as its KDCs spell it.
    pub realm: Arc<str>,
    /// Its KDCs; never empty.
    pub backends: Vec<StreamBackend>,
    /// Its servers for changes of passwords; may be empty.
    pub kpasswd: Vec<StreamBackend>,
    /// Networks that may use it; `None`: all.
    pub allow_from: Option<Arc<[IpNet]>>,
}
