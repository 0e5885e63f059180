//! The lab's servers: their names, addresses, ports, and which of them need which.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::str::FromStr;

use crate::names;

/// A server of the lab. The order is the one in which they are listed and started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Server {
    /// MIT's KDC.
    Kdc,
    /// ZooKeeper.
    Zk,
    /// JournalNode.
    Jn,
    /// NameNode, active at first or standby.
    Nn1,
    /// The other NameNode.
    Nn2,
    /// Failover controller of `Nn1`.
    Zkfc1,
    /// Failover controller of `Nn2`.
    Zkfc2,
    /// DataNode.
    Dn1,
    /// ResourceManager, active at first or standby.
    Rm1,
    /// The other ResourceManager.
    Rm2,
    /// NodeManager.
    Nm1,
    /// JobHistoryServer.
    Jhs,
    /// HttpFS.
    Httpfs,
    /// Oozie 5.
    Oozie,
    /// Presto's coordinator without any security.
    Presto,
    /// Another one, of a cluster of its own.
    Presto2,
    /// Presto's coordinator with TLS and Kerberos, on the host of `Presto`.
    PrestoTls,
    /// HiveServer2, by HTTP and by its binary protocol.
    Hive,
    /// Trino's coordinator with TLS and Kerberos. It wants a newer JDK than the others, so no group
    /// has it.
    Trino,
}

use Server::{
    Dn1, Hive, Httpfs, Jhs, Jn, Kdc, Nm1, Nn1, Nn2, Oozie, Presto, Presto2, PrestoTls, Rm1, Rm2,
    Trino, Zk, Zkfc1, Zkfc2,
};

impl Server {
    /// Every server.
    pub const ALL: &[Server] = &[
        Kdc, Zk, Jn, Nn1, Nn2, Zkfc1, Zkfc2, Dn1, Rm1, Rm2, Nm1, Jhs, Httpfs, Oozie, Presto,
        Presto2, PrestoTls, Hive, Trino,
    ];
    /// Hadoop whole, with HttpFS and Oozie.
    pub const HADOOP: &[Server] = &[
        Kdc, Zk, Jn, Nn1, Nn2, Zkfc1, Zkfc2, Dn1, Rm1, Rm2, Nm1, Jhs, Httpfs, Oozie,
    ];
    /// What answers SQL.
    pub const SQL: &[Server] = &[Presto, Presto2, PrestoTls, Hive];
    /// A NameNode pair with failover, and a DataNode.
    pub const HDFS: &[Server] = &[Nn1, Nn2, Dn1];
    /// A ResourceManager pair with a NodeManager, on HDFS.
    pub const YARN: &[Server] = &[Nn1, Nn2, Dn1, Rm1, Rm2, Nm1];
    /// What the demo shows: YARN, the JobHistoryServer and Oozie.
    pub const DEMO: &[Server] = &[Nn1, Nn2, Dn1, Rm1, Rm2, Nm1, Jhs, Oozie];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kdc => "kdc",
            Zk => "zk",
            Jn => "jn",
            Nn1 => "nn1",
            Nn2 => "nn2",
            Zkfc1 => "zkfc1",
            Zkfc2 => "zkfc2",
            Dn1 => "dn1",
            Rm1 => "rm1",
            Rm2 => "rm2",
            Nm1 => "nm1",
            Jhs => "jhs",
            Httpfs => "httpfs",
            Oozie => "oozie",
            Presto => "presto",
            Presto2 => "presto2",
            PrestoTls => "presto-tls",
            Hive => "hive",
            Trino => "trino",
        }
    }

    /// The short name of the host it runs on: its own, or that of the server it stands beside.
    pub fn host(self) -> &'static str {
        match self {
            Zkfc1 => "nn1",
            Zkfc2 => "nn2",
            PrestoTls => "presto",
            Kdc | Zk | Jn | Nn1 | Nn2 | Dn1 | Rm1 | Rm2 | Nm1 | Jhs | Httpfs | Oozie | Presto
            | Presto2 | Hive | Trino => self.name(),
        }
    }

    /// The full name of its host, as in its URL and its service principal.
    pub fn host_name(self) -> String {
        names::full(self.host())
    }

    /// The address it listens on.
    pub fn address(self) -> Ipv4Addr {
        names::address(self.host()).unwrap_or(Ipv4Addr::LOCALHOST)
    }

    /// Every port it listens on at its address; the first is the one waited for last.
    pub fn ports(self) -> &'static [u16] {
        match self {
            Kdc => &[8810],
            Zk => &[2181],
            Jn => &[8480, 8485],
            Nn1 | Nn2 => &[50070, 8020],
            Zkfc1 | Zkfc2 => &[8019],
            Dn1 => &[50075, 50010, 50020],
            Rm1 | Rm2 => &[8088],
            Nm1 => &[8042, 45454, 8040],
            Jhs => &[19888, 10020],
            Httpfs => &[14000],
            Oozie => &[11000],
            Presto | Presto2 => &[9090],
            // The second one is for itself alone, and wants no ticket.
            PrestoTls => &[7778, 9092],
            // By HTTP, by the binary protocol, and the console.
            Hive => &[10001, 10000, 10002],
            Trino => &[8443, 8081],
        }
    }

    /// The console's address and port, for servers that have one.
    pub fn console(self) -> Option<SocketAddrV4> {
        match self {
            Kdc | Zk | Zkfc1 | Zkfc2 => None,
            Jn | Nn1 | Nn2 | Dn1 | Rm1 | Rm2 | Nm1 | Jhs | Httpfs | Oozie | Presto | Presto2
            | PrestoTls | Hive | Trino => Some(SocketAddrV4::new(self.address(), self.ports()[0])),
        }
    }

    /// The console's URL without a path, for example `http://nn1.example.com:50070`.
    pub fn url(self) -> Option<String> {
        let scheme = if matches!(self, PrestoTls | Trino) {
            "https"
        } else {
            "http"
        };
        self.console()
            .map(|console| format!("{scheme}://{}:{}", self.host_name(), console.port()))
    }

    /// Whether it is one of Presto's, which is ready when it answers a query.
    pub(crate) fn is_presto(self) -> bool {
        matches!(self, Presto | Presto2 | PrestoTls)
    }

    /// Whether it runs on Hadoop's own jars.
    pub(crate) fn is_hadoop(self) -> bool {
        !self.is_presto() && !matches!(self, Kdc | Oozie | Hive | Trino)
    }

    /// The path by which readiness is told: one that the web application itself answers.
    pub(crate) fn probe(self) -> &'static str {
        match self {
            Oozie => "/oozie/v1/admin/status",
            Httpfs => "/webhdfs/v1/?op=GETHOMEDIRECTORY",
            Hive => "/cliservice",
            Kdc | Zk | Jn | Nn1 | Nn2 | Zkfc1 | Zkfc2 | Dn1 | Rm1 | Rm2 | Nm1 | Jhs | Presto
            | Presto2 | PrestoTls | Trino => "/",
        }
    }

    /// The Kerberos service (the principal's first part) it uses towards its peers.
    pub fn service(self) -> Option<&'static str> {
        match self {
            Kdc | Zk | Presto | Presto2 => None,
            Jn | Nn1 | Nn2 | Zkfc1 | Zkfc2 | Dn1 => Some("hdfs"),
            Rm1 | Rm2 | Nm1 => Some("yarn"),
            Jhs => Some("mapred"),
            Httpfs => Some("httpfs"),
            Oozie => Some("oozie"),
            PrestoTls => Some("presto"),
            Hive => Some("hive"),
            Trino => Some("trino"),
        }
    }

    /// The servers that must be ready before this one is started, if they are wanted at all.
    pub(crate) fn after(self) -> &'static [Server] {
        match self {
            Kdc | Zk | Presto | Presto2 => &[],
            Jn | Httpfs | Oozie | PrestoTls | Hive | Trino => &[Kdc],
            Nn1 | Nn2 => &[Kdc, Jn],
            Zkfc1 | Zkfc2 | Rm1 | Rm2 => &[Kdc, Zk],
            Dn1 => &[Nn1, Nn2],
            Nm1 => &[Rm1, Rm2],
            Jhs => &[Dn1],
        }
    }

    /// The servers it is of no use without.
    fn pulls(self) -> &'static [Server] {
        match self {
            Kdc => &[],
            Zk | Jn | Oozie | Presto | Presto2 | PrestoTls | Hive | Trino => &[Kdc],
            Nn1 => &[Jn, Zkfc1],
            Nn2 => &[Jn, Zkfc2],
            Zkfc1 => &[Zk, Nn1],
            Zkfc2 => &[Zk, Nn2],
            Dn1 => &[Nn1],
            Rm1 | Rm2 => &[Kdc, Zk],
            Nm1 => &[Rm1],
            Jhs | Httpfs => &[Nn1, Dn1],
        }
    }

    /// `wanted` and all that they need, the KDC always.
    pub fn with_needs(wanted: impl IntoIterator<Item = Server>) -> BTreeSet<Server> {
        let mut all = BTreeSet::new();
        let mut open: Vec<Server> = wanted.into_iter().chain([Kdc]).collect();
        while let Some(server) = open.pop() {
            if all.insert(server) {
                open.extend(server.pulls());
            }
        }
        all
    }

    /// The servers a word of the command line stands for: a server's name or a group's.
    pub fn named(word: &str) -> Result<Vec<Server>, UnknownServer> {
        match word {
            "hdfs" => Ok(Server::HDFS.to_vec()),
            "yarn" => Ok(Server::YARN.to_vec()),
            "demo" => Ok(Server::DEMO.to_vec()),
            "hadoop" => Ok(Server::HADOOP.to_vec()),
            "sql" => Ok(Server::SQL.to_vec()),
            "all" => Ok([Server::HADOOP, Server::SQL].concat()),
            name => Ok(vec![name.parse()?]),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Server {
    type Err = UnknownServer;

    fn from_str(name: &str) -> Result<Server, UnknownServer> {
        Server::ALL
            .iter()
            .copied()
            .find(|server| server.name() == name)
            .ok_or_else(|| UnknownServer(name.to_owned()))
    }
}

/// A word that names no server.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownServer(String);

impl fmt::Display for UnknownServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Server::ALL.iter().map(|server| server.name()).collect();
        write!(
            f,
            "no server is called {:?}; there are {}",
            self.0,
            names.join(", ")
        )?;
        f.write_str(", and the groups hdfs, yarn, demo, hadoop, sql and all")
    }
}

impl std::error::Error for UnknownServer {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namenode_brings_all_it_takes_to_become_active() {
        let all = Server::with_needs([Nn1]);
        assert_eq!(
            all.into_iter().collect::<Vec<_>>(),
            [Kdc, Zk, Jn, Nn1, Zkfc1]
        );
    }

    #[test]
    fn starting_order_has_no_cycle_and_only_looks_at_what_is_pulled_or_optional() {
        let mut ready = BTreeSet::new();
        for _ in Server::ALL {
            let startable: Vec<_> = Server::ALL
                .iter()
                .filter(|server| server.after().iter().all(|need| ready.contains(need)))
                .copied()
                .collect();
            ready.extend(startable);
        }
        assert_eq!(ready.len(), Server::ALL.len());
    }

    #[test]
    fn every_name_parses_back() {
        for server in Server::ALL {
            assert_eq!(server.name().parse(), Ok(*server));
        }
        assert!("namenode".parse::<Server>().is_err());
    }

    #[test]
    fn no_two_servers_share_a_listener() {
        let mut seen = BTreeSet::new();
        for server in Server::ALL {
            assert!(names::address(server.host()).is_some(), "{server}");
            for port in server.ports() {
                assert!(
                    seen.insert((server.address(), *port)),
                    "{server} port {port}"
                );
            }
        }
    }
}
