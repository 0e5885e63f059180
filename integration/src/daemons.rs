//! The command line of every server: its main class, heap, class path and system properties.

mod sql;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache;
use crate::java::Jvm;
use crate::server::Server;

/// What the servers' commands are made from.
#[derive(Debug)]
pub(crate) struct Daemons {
    /// The lab's folder.
    pub folder: PathBuf,
    pub krb5_conf: PathBuf,
    /// Hadoop's package in the cache; `None` in a lab without it.
    pub hadoop: Option<PathBuf>,
    /// Oozie's package in the cache; `None` in a lab without it.
    pub oozie: Option<PathBuf>,
    /// Presto's package in the cache; `None` in a lab without it.
    pub presto: Option<PathBuf>,
    /// Hive's package in the cache; `None` in a lab without it.
    pub hive: Option<PathBuf>,
    /// Trino's package in the cache; `None` in a lab without it.
    pub trino: Option<PathBuf>,
}

/// A Hadoop tool's JVM in the world of the lab in `folder`, whichever process runs that lab.
///
/// `tool` is `fs`, `haadmin`, `rmadmin`, `app`, `examples` or a main class.
pub fn hadoop_tool(folder: &Path, tool: &str) -> Result<Command> {
    let daemons = Daemons {
        folder: folder.to_owned(),
        krb5_conf: folder.join("realm/krb5.conf"),
        hadoop: Some(cache::hadoop()?),
        oozie: None,
        presto: None,
        hive: None,
        trino: None,
    };
    let main = match tool {
        "fs" => "org.apache.hadoop.fs.FsShell",
        "haadmin" => "org.apache.hadoop.hdfs.tools.DFSHAAdmin",
        "rmadmin" => "org.apache.hadoop.yarn.client.cli.RMAdminCLI",
        "app" => "org.apache.hadoop.yarn.client.cli.ApplicationCLI",
        "examples" => "org.apache.hadoop.examples.ExampleDriver",
        class => class,
    };
    daemons.tool(None, main)
}

impl Daemons {
    /// The command that runs a JVM server.
    pub(crate) fn command(&self, server: Server) -> Result<Command> {
        match server {
            Server::Oozie => return self.oozie(),
            Server::Hive => return self.hive(),
            Server::Trino => return self.trino(),
            Server::Presto | Server::Presto2 | Server::PrestoTls => return self.presto(server),
            _ => {}
        }
        let conf = self.folder.join("conf").join(server.host());
        let (heap, main) = heap_and_main(server);
        let mut java = self.hadoop(server.name(), &conf, heap)?;
        let log = self.folder.join("logs").join(server.name());
        java.arg(format!("-Dproc_{server}"))
            .arg(format!("-Dhadoop.log.dir={}", log.display()));
        if server == Server::Httpfs {
            let home = self.folder.join("data/httpfs");
            java.arg(format!("-Dhttpfs.home.dir={}", home.display()))
                .arg(format!("-Dhttpfs.config.dir={}", conf.display()))
                .arg(format!("-Dhttpfs.log.dir={}", log.display()))
                .arg(format!(
                    "-Dhttpfs.temp.dir={}",
                    self.temp(server.name()).display()
                ));
        }
        java.arg(main);
        if server == Server::Zk {
            java.arg(conf.join("zoo.cfg"));
        }
        // What containers inherit from their NodeManager.
        java.env("HADOOP_CONF_DIR", self.folder.join("conf/client"))
            .current_dir(&self.folder);
        Ok(java)
    }

    /// A Hadoop tool's command with the configuration of `server`, or of a client if there is none.
    pub(crate) fn tool(&self, server: Option<Server>, main: &str) -> Result<Command> {
        let conf = self
            .folder
            .join("conf")
            .join(server.map_or("client", Server::host));
        let mut java = self.hadoop("client", &conf, 192)?;
        java.arg(main)
            .env("HADOOP_CONF_DIR", &conf)
            .current_dir(&self.folder);
        Ok(java)
    }

    /// The folder for a server's temporary files.
    pub(crate) fn temp(&self, name: &str) -> PathBuf {
        self.folder.join("tmp").join(name)
    }

    fn hadoop(&self, name: &str, conf: &Path, heap: u32) -> Result<Command> {
        let jars = self.hadoop.as_ref().context("this lab has no Hadoop")?;
        let class_path = [
            conf.to_owned(),
            jars.join("shim"),
            jars.join("web"),
            jars.join("lib/*"),
        ];
        Jvm {
            heap,
            krb5_conf: &self.krb5_conf,
            hosts: &conf.join("hosts"),
            temp: &self.temp(name),
            class_path: join(&class_path),
        }
        .command()
    }

    /// Oozie 5's embedded Jetty, from the jars beside the war first, then the war's own.
    fn oozie(&self) -> Result<Command> {
        let jars = self.oozie.as_ref().context("this lab has no Oozie")?;
        let name = Server::Oozie.name();
        let conf = self.folder.join("conf").join(name);
        let log = self.folder.join("logs").join(name);
        let data = self.folder.join("data").join(name);
        // The web pages are looked up on the class path, as /webapp/.
        let class_path = [
            conf.clone(),
            jars.clone(),
            jars.join("server/*"),
            jars.join("war/*"),
        ];
        let mut java = Jvm {
            heap: 384,
            krb5_conf: &self.krb5_conf,
            hosts: &conf.join("hosts"),
            temp: &self.temp(name),
            class_path: join(&class_path),
        }
        .command()?;
        java.arg(format!("-Doozie.home.dir={}", jars.display()))
            .arg(format!("-Doozie.config.dir={}", conf.display()))
            .arg(format!("-Doozie.log.dir={}", log.display()))
            .arg(format!("-Doozie.data.dir={}", data.display()))
            .arg("-Doozie.instance.id=lab")
            .arg("-Doozie.config.file=oozie-site.xml")
            .arg("-Doozie.log4j.file=oozie-log4j.properties")
            .arg("-Doozie.log4j.reload=10")
            .arg("org.apache.oozie.server.EmbeddedOozieServer")
            .current_dir(&self.folder);
        Ok(java)
    }
}

pub(crate) fn join(class_path: &[PathBuf]) -> String {
    let parts: Vec<_> = class_path
        .iter()
        .map(|part| part.display().to_string())
        .collect();
    parts.join(":")
}

/// The largest heap in MiB and the main class of a Hadoop daemon or ZooKeeper.
fn heap_and_main(server: Server) -> (u32, &'static str) {
    match server {
        Server::Zk => (128, "org.apache.zookeeper.server.ZooKeeperServerMain"),
        Server::Jn => (160, "org.apache.hadoop.hdfs.qjournal.server.JournalNode"),
        Server::Nn1 | Server::Nn2 => (320, "org.apache.hadoop.hdfs.server.namenode.NameNode"),
        Server::Zkfc1 | Server::Zkfc2 => {
            (128, "org.apache.hadoop.hdfs.tools.DFSZKFailoverController")
        }
        Server::Dn1 => (256, "org.apache.hadoop.hdfs.server.datanode.DataNode"),
        Server::Rm1 | Server::Rm2 => (
            320,
            "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager",
        ),
        Server::Nm1 => (256, "org.apache.hadoop.yarn.server.nodemanager.NodeManager"),
        Server::Jhs => (256, "org.apache.hadoop.mapreduce.v2.hs.JobHistoryServer"),
        Server::Httpfs => (
            256,
            "org.apache.hadoop.fs.http.server.HttpFSServerWebServer",
        ),
        // These have commands of their own.
        Server::Kdc
        | Server::Oozie
        | Server::Presto
        | Server::Presto2
        | Server::PrestoTls
        | Server::Hive
        | Server::Trino => (0, ""),
    }
}
