//! The lab's servers: their names, addresses, ports, and which of them need which.

use std::{
    collections::BTreeSet,
    fmt,
    net::{Ipv4Addr, SocketAddrV4},
    str::FromStr,
};

use crate::{machine::names, packages::Software};

pub(crate) mod conf;
pub(crate) mod daemons;
mod hdfs;
pub(crate) mod keystore;
mod table;
mod yarn;

use table::{GROUPS, Row, TABLE};

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

impl Server {
    /// Every server.
    pub const ALL: &[Server] = &{
        let mut all = [Server::Kdc; TABLE.len()];
        let mut at = 0;
        while at < TABLE.len() {
            all[at] = TABLE[at].server;
            at += 1;
        }
        all
    };
    /// Hadoop whole, with HttpFS and Oozie.
    pub const HADOOP: &[Server] = table::HADOOP;
    /// What answers SQL.
    pub const SQL: &[Server] = table::SQL;
    /// A NameNode pair with failover, and a DataNode.
    pub const HDFS: &[Server] = table::HDFS;
    /// A ResourceManager pair with a NodeManager, on HDFS.
    pub const YARN: &[Server] = table::YARN;
    /// What the demo shows: YARN, the JobHistoryServer and Oozie.
    pub const DEMO: &[Server] = table::DEMO;

    const fn row(self) -> &'static Row {
        &TABLE[self as usize]
    }

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The short name of the host it runs on: its own, or that of the server it stands beside.
    pub const fn host(self) -> &'static str {
        self.row().host
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
    pub const fn ports(self) -> &'static [u16] {
        self.row().ports
    }

    /// The console's address and port, for servers that have one.
    pub fn console(self) -> Option<SocketAddrV4> {
        let console = SocketAddrV4::new(self.address(), self.ports()[0]);
        self.row().console.map(|_| console)
    }

    /// The console's URL without a path, for example `http://nn1.example.com:50070`.
    pub fn url(self) -> Option<String> {
        let scheme = self.row().console?;
        Some(format!(
            "{scheme}://{}:{}",
            self.host_name(),
            self.ports()[0]
        ))
    }

    /// Whether its console has TLS, and the server a keystore.
    pub(crate) fn has_tls(self) -> bool {
        self.row().console == Some("https")
    }

    /// What it is made from.
    pub(crate) const fn software(self) -> Software {
        self.row().software
    }

    /// The largest heap of its JVM in MiB, and its main class.
    pub(crate) const fn heap_and_main(self) -> (u32, &'static str) {
        (self.row().heap, self.row().main)
    }

    /// The site file and the property that say which one of a pair it is.
    pub(crate) const fn ha_id(self) -> Option<(&'static str, &'static str)> {
        self.row().ha_id
    }

    /// The path by which readiness is told: one that the web application itself answers.
    pub(crate) const fn probe(self) -> &'static str {
        self.row().probe
    }

    /// The Kerberos service (the principal's first part) it uses towards its peers.
    pub const fn service(self) -> Option<&'static str> {
        self.row().service
    }

    /// The servers that must be ready before this one is started, if they are wanted at all.
    pub(crate) const fn after(self) -> &'static [Server] {
        self.row().after
    }

    /// `wanted` and all that they need, the KDC always.
    pub fn with_needs(wanted: impl IntoIterator<Item = Server>) -> BTreeSet<Server> {
        let mut all = BTreeSet::new();
        let mut open: Vec<Server> = wanted.into_iter().chain([Server::Kdc]).collect();
        while let Some(server) = open.pop() {
            if all.insert(server) {
                open.extend(server.row().needs);
            }
        }
        all
    }

    /// The servers a word of the command line stands for: a server's name or a group's.
    pub fn named(word: &str) -> Result<Vec<Server>, UnknownServer> {
        match word {
            "all" => Ok([Server::HADOOP, Server::SQL].concat()),
            name => match GROUPS.iter().find(|(group, _)| *group == name) {
                Some((_, servers)) => Ok(servers.to_vec()),
                None => Ok(vec![name.parse()?]),
            },
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
        let groups: Vec<_> = GROUPS.iter().map(|(group, _)| *group).collect();
        write!(f, ", and the groups {} and all", groups.join(", "))
    }
}

impl std::error::Error for UnknownServer {}

#[cfg(test)]
mod tests {
    use super::{
        Server::{Jn, Kdc, Nn1, Zk, Zkfc1},
        *,
    };

    #[test]
    fn the_table_has_a_row_for_each_server_in_order() {
        for (at, row) in TABLE.iter().enumerate() {
            assert_eq!(row.server as usize, at, "{}", row.name);
        }
    }

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
