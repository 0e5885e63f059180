//! The table of servers: each is one row, in the order of [`Server`].

use super::Server::{
    self, Dn1, Hive, Httpfs, Jhs, Jn, Kdc, Nm1, Nn1, Nn2, Oozie, Presto, Presto2, PrestoTls, Rm1,
    Rm2, Trino, Zk, Zkfc1, Zkfc2,
};
use crate::packages::Software;

/// All that is known of a server before it runs.
pub(super) struct Row {
    pub(super) server: Server,
    /// Its name on the command line.
    pub(super) name: &'static str,
    /// The short name of the host it runs on.
    pub(super) host: &'static str,
    pub(super) software: Software,
    /// The main class of its JVM.
    pub(super) main: &'static str,
    /// The largest heap of its JVM in MiB.
    pub(super) heap: u32,
    /// The first is the console's, if there is one, and the one waited for last.
    pub(super) ports: &'static [u16],
    /// The scheme of its console's URL.
    pub(super) console: Option<&'static str>,
    /// The path by which readiness is told: one that the web application itself answers.
    pub(super) probe: &'static str,
    /// The Kerberos service (first part of the principal) it uses towards its peers.
    pub(super) service: Option<&'static str>,
    /// The site file and the property that say which one of a pair it is: all addresses of the lab
    /// are local, so it cannot find out by itself.
    pub(super) ha_id: Option<(&'static str, &'static str)>,
    /// The servers that must be ready before this one is started, if they are wanted at all.
    pub(super) after: &'static [Server],
    /// The servers it is of no use without.
    pub(super) needs: &'static [Server],
}

/// What most rows have in common.
const DAEMON: Row = Row {
    server: Kdc,
    name: "",
    host: "",
    software: Software::Hadoop,
    main: "",
    heap: 256,
    ports: &[],
    console: Some("http"),
    probe: "/",
    service: None,
    ha_id: None,
    after: &[Kdc],
    needs: &[Kdc],
};
const NAMENODE: Row = Row {
    main: "org.apache.hadoop.hdfs.server.namenode.NameNode",
    heap: 320,
    ports: &[50070, 8020],
    service: Some("hdfs"),
    ha_id: Some(("hdfs-site", "dfs.ha.namenode.id")),
    after: &[Kdc, Jn],
    ..DAEMON
};
const FAILOVER_CONTROLLER: Row = Row {
    main: "org.apache.hadoop.hdfs.tools.DFSZKFailoverController",
    heap: 128,
    ports: &[8019],
    console: None,
    service: Some("hdfs"),
    after: &[Kdc, Zk],
    ..DAEMON
};
const RESOURCEMANAGER: Row = Row {
    main: "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager",
    heap: 320,
    ports: &[8088],
    service: Some("yarn"),
    ha_id: Some(("yarn-site", "yarn.resourcemanager.ha.id")),
    after: &[Kdc, Zk],
    needs: &[Kdc, Zk],
    ..DAEMON
};
const PRESTO: Row = Row {
    software: Software::Presto,
    main: "com.facebook.presto.server.PrestoServer",
    heap: 512,
    ports: &[9090],
    after: &[],
    ..DAEMON
};

pub(super) const TABLE: [Row; 19] = [
    Row {
        server: Kdc,
        name: "kdc",
        host: "kdc",
        software: Software::MitKerberos,
        ports: &[8810],
        console: None,
        after: &[],
        needs: &[],
        ..DAEMON
    },
    Row {
        server: Zk,
        name: "zk",
        host: "zk",
        main: "org.apache.zookeeper.server.ZooKeeperServerMain",
        heap: 128,
        ports: &[2181],
        console: None,
        after: &[],
        ..DAEMON
    },
    Row {
        server: Jn,
        name: "jn",
        host: "jn",
        main: "org.apache.hadoop.hdfs.qjournal.server.JournalNode",
        heap: 160,
        ports: &[8480, 8485],
        service: Some("hdfs"),
        ..DAEMON
    },
    Row {
        server: Nn1,
        name: "nn1",
        host: "nn1",
        needs: &[Jn, Zkfc1],
        ..NAMENODE
    },
    Row {
        server: Nn2,
        name: "nn2",
        host: "nn2",
        needs: &[Jn, Zkfc2],
        ..NAMENODE
    },
    Row {
        server: Zkfc1,
        name: "zkfc1",
        host: "nn1",
        needs: &[Zk, Nn1],
        ..FAILOVER_CONTROLLER
    },
    Row {
        server: Zkfc2,
        name: "zkfc2",
        host: "nn2",
        needs: &[Zk, Nn2],
        ..FAILOVER_CONTROLLER
    },
    Row {
        server: Dn1,
        name: "dn1",
        host: "dn1",
        main: "org.apache.hadoop.hdfs.server.datanode.DataNode",
        ports: &[50075, 50010, 50020],
        service: Some("hdfs"),
        after: &[Nn1, Nn2],
        needs: &[Nn1],
        ..DAEMON
    },
    Row {
        server: Rm1,
        name: "rm1",
        host: "rm1",
        ..RESOURCEMANAGER
    },
    Row {
        server: Rm2,
        name: "rm2",
        host: "rm2",
        ..RESOURCEMANAGER
    },
    Row {
        server: Nm1,
        name: "nm1",
        host: "nm1",
        main: "org.apache.hadoop.yarn.server.nodemanager.NodeManager",
        ports: &[8042, 45454, 8040],
        service: Some("yarn"),
        after: &[Rm1, Rm2],
        needs: &[Rm1],
        ..DAEMON
    },
    Row {
        server: Jhs,
        name: "jhs",
        host: "jhs",
        main: "org.apache.hadoop.mapreduce.v2.hs.JobHistoryServer",
        ports: &[19888, 10020],
        service: Some("mapred"),
        after: &[Dn1],
        needs: &[Nn1, Dn1],
        ..DAEMON
    },
    Row {
        server: Httpfs,
        name: "httpfs",
        host: "httpfs",
        main: "org.apache.hadoop.fs.http.server.HttpFSServerWebServer",
        ports: &[14000],
        probe: "/webhdfs/v1/?op=GETHOMEDIRECTORY",
        service: Some("httpfs"),
        needs: &[Nn1, Dn1],
        ..DAEMON
    },
    Row {
        server: Oozie,
        name: "oozie",
        host: "oozie",
        software: Software::Oozie,
        main: "org.apache.oozie.server.EmbeddedOozieServer",
        heap: 384,
        ports: &[11000],
        probe: "/oozie/v1/admin/status",
        service: Some("oozie"),
        ..DAEMON
    },
    Row {
        server: Presto,
        name: "presto",
        host: "presto",
        ..PRESTO
    },
    Row {
        server: Presto2,
        name: "presto2",
        host: "presto2",
        ..PRESTO
    },
    Row {
        server: PrestoTls,
        name: "presto-tls",
        host: "presto",
        // The second port is for the coordinator itself, and wants no ticket.
        ports: &[7778, 9092],
        console: Some("https"),
        service: Some("presto"),
        after: &[Kdc],
        ..PRESTO
    },
    Row {
        server: Hive,
        name: "hive",
        host: "hive",
        software: Software::Hive,
        main: "org.apache.hive.service.server.HiveServer2",
        heap: 512,
        // By HTTP, by the binary protocol, and the web console.
        ports: &[10001, 10000, 10002],
        probe: "/cliservice",
        service: Some("hive"),
        ..DAEMON
    },
    Row {
        server: Trino,
        name: "trino",
        host: "trino",
        software: Software::Trino,
        main: "io.trino.server.Trino",
        heap: 512,
        ports: &[8443, 8081],
        console: Some("https"),
        service: Some("trino"),
        ..DAEMON
    },
];

pub(super) const HADOOP: &[Server] = &[
    Kdc, Zk, Jn, Nn1, Nn2, Zkfc1, Zkfc2, Dn1, Rm1, Rm2, Nm1, Jhs, Httpfs, Oozie,
];
pub(super) const SQL: &[Server] = &[Presto, Presto2, PrestoTls, Hive];
pub(super) const HDFS: &[Server] = &[Nn1, Nn2, Dn1];
pub(super) const YARN: &[Server] = &[Nn1, Nn2, Dn1, Rm1, Rm2, Nm1];
pub(super) const DEMO: &[Server] = &[Nn1, Nn2, Dn1, Rm1, Rm2, Nm1, Jhs, Oozie];

/// Words of the command line that stand for several servers.
pub(super) const GROUPS: &[(&str, &[Server])] = &[
    ("hdfs", HDFS),
    ("yarn", YARN),
    ("demo", DEMO),
    ("hadoop", HADOOP),
    ("sql", SQL),
];
