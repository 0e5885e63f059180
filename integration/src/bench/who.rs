//! The contenders, the tasks that are measured, and the units.

use std::fmt;

/// A contender of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// No proxy: the client connects to the server.
    Direct,
    /// No proxy, and the server receives the user by `doAs`.
    DirectDoAs,
    /// HAProxy as a plain relay.
    Haproxy,
    /// The same, and the server receives the user by `doAs`.
    HaproxyDoAs,
    /// nginx as a plain relay.
    Nginx,
    /// Apache httpd with `mod_auth_gssapi` and its sessions.
    Httpd,
    /// A loop of `gss_accept_sec_context` on every core, without any HTTP.
    BareLoop,
    /// The gateway, its access log off.
    Gateway,
    /// The gateway with its access log in a file.
    GatewayLogged,
}

impl Who {
    /// Its name on the command line (`--without`).
    pub fn word(self) -> &'static str {
        match self {
            Who::Direct => "direct",
            Who::DirectDoAs => "direct-doas",
            Who::Haproxy => "haproxy",
            Who::HaproxyDoAs => "haproxy-doas",
            Who::Nginx => "nginx",
            Who::Httpd => "httpd",
            Who::BareLoop => "bare",
            Who::Gateway => "spnegate",
            Who::GatewayLogged => "spnegate-logged",
        }
    }

    /// The contenders that `--without` may leave out.
    pub const OPTIONAL: [Who; 5] = [
        Who::Haproxy,
        Who::Nginx,
        Who::Httpd,
        Who::Gateway,
        Who::GatewayLogged,
    ];
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Who::Direct => "no proxy",
            Who::DirectDoAs => "no proxy, doAs",
            Who::Haproxy => "HAProxy",
            Who::HaproxyDoAs => "HAProxy, doAs",
            Who::Nginx => "nginx",
            Who::Httpd => "httpd + mod_auth_gssapi",
            Who::BareLoop => "bare accept loop",
            Who::Gateway => "spnegate",
            Who::GatewayLogged => "spnegate, access log to a file",
        })
    }
}

/// A task that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Task {
    /// Kept-alive GET of 4 KiB with a session, as fast as 16 connections go.
    Get16,
    /// The same with 64 connections.
    Get64,
    /// The same on 16 connections at a fixed rate.
    HalfLoad,
    /// A login per request on kept-alive connections; the response is the proxy's own.
    LoginKept,
    /// The same with a new connection for each.
    LoginFresh,
    /// A login per request on kept-alive connections; the response is the backend's 4 KiB.
    LoginRelayed,
    /// A login per request on kept-alive connections, each with a ticket that has not been used
    /// before.
    LoginFirst,
    /// As Presto's clients do: a token per request, and a token of the gateway for the coordinator.
    LoginTwice,
    /// Memory of sessions.
    Sessions,
    /// Memory of idle connections.
    Idle,
    /// WebHDFS `GETFILESTATUS`.
    FileStatus,
    /// WebHDFS `CREATE` of a large file.
    Put,
    /// WebHDFS `OPEN` of a large file.
    Read,
    /// Bytes through a relayed TCP port.
    StreamTcp,
    /// Datagrams through a relayed UDP port and back.
    StreamUdp,
    /// `balance = "roundrobin"`.
    RoundRobin,
    /// `balance = "leastconn"`.
    LeastConn,
    /// `balance = "source"`.
    Source,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Task::Get16 => "GET of 4 KiB with a session, 16 kept-alive connections",
            Task::Get64 => "GET of 4 KiB with a session, 64 kept-alive connections",
            Task::HalfLoad => "GET of 4 KiB with a session, fixed rate, 16 connections",
            Task::LoginKept => "SPNEGO login with a fresh token each, 16 kept-alive connections",
            Task::LoginFirst => "SPNEGO login with a fresh ticket each, 16 kept-alive connections",
            Task::LoginFresh => "SPNEGO login with a fresh token each, a new connection each",
            Task::LoginRelayed => "SPNEGO login and GET of 4 KiB, 16 kept-alive connections",
            Task::LoginTwice => {
                "a login in and a login out a request (Presto), 16 kept-alive connections"
            }
            Task::Sessions => "memory of sessions",
            Task::Idle => "memory of idle kept-alive connections",
            Task::FileStatus => "WebHDFS GETFILESTATUS as alice, 4 connections",
            Task::Put => "WebHDFS PUT as alice",
            Task::Read => "WebHDFS GET as alice",
            Task::StreamTcp => "relayed TCP port, 4 connections, server to client",
            Task::StreamUdp => "relayed UDP port, 16 clients, 64 bytes there and back",
            Task::RoundRobin => "balance: roundrobin, weights 1 to 10",
            Task::LeastConn => "balance: leastconn, weights 1 to 10",
            Task::Source => "balance: source, weights 1 to 10, 100,000 addresses",
        })
    }
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// The proxy's CPU time for a request, µs.
    Cpu,
    /// Requests a second.
    Rate,
    /// Requests per second of the CPU time that client, backend and other processes left to the
    /// proxy.
    RateOfRest,
    /// Median latency, µs.
    P50,
    /// 99th percentile of the latency, µs.
    P99,
    /// Resident bytes per item.
    Bytes,
    /// The proxy's CPU seconds for a GiB.
    CpuPerGib,
    /// MiB a second.
    Throughput,
    /// Growth of the proxy's resident memory while it works, MiB.
    Growth,
    /// The largest deviation of a server's load from its due share, % of that share.
    Deviation,
    /// Clients that move to another server when one server fails, divided by those that have to.
    Moved,
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Metric::Cpu => "CPU µs each",
            Metric::Rate => "per second",
            Metric::RateOfRest => "per CPU second left",
            Metric::P50 => "p50 µs",
            Metric::P99 => "p99 µs",
            Metric::Bytes => "bytes each",
            Metric::CpuPerGib => "CPU s per GiB",
            Metric::Throughput => "MiB per second",
            Metric::Growth => "memory growth MiB",
            Metric::Deviation => "largest deviation %",
            Metric::Moved => "moved / must move",
        })
    }
}
