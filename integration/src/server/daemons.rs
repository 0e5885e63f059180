//! The command line of every server: its main class, heap, class path and system properties.

mod sql;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::{
    packages::{self, Software, java::Jvm},
    server::Server,
};

/// What the servers' commands are made from.
#[derive(Debug)]
pub(crate) struct Daemons {
    /// The lab's folder.
    pub folder: PathBuf,
    pub krb5_conf: PathBuf,
    /// The packages of the lab in the cache.
    pub packages: BTreeMap<Software, PathBuf>,
}

/// A Hadoop tool's JVM in the world of the lab in `folder`, whichever process runs that lab.
///
/// `tool` is `fs`, `haadmin`, `rmadmin`, `app`, `examples` or a main class.
pub fn hadoop_tool(folder: &Path, tool: &str) -> Result<Command> {
    let daemons = Daemons {
        folder: folder.to_owned(),
        krb5_conf: folder.join("realm/krb5.conf"),
        packages: BTreeMap::from([(Software::Hadoop, packages::hadoop()?)]),
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
        match server.software() {
            Software::MitKerberos => bail!("{server} has no JVM"),
            Software::Hadoop => self.daemon(server),
            Software::Oozie => self.oozie(),
            Software::Presto => self.presto(server),
            Software::Hive => self.hive(),
            Software::Trino => self.trino(),
        }
    }

    /// A daemon of Hadoop, or ZooKeeper.
    fn daemon(&self, server: Server) -> Result<Command> {
        let conf = self.folder.join("conf").join(server.host());
        let (heap, main) = server.heap_and_main();
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

    fn package(&self, software: Software) -> Result<&PathBuf> {
        let package = self.packages.get(&software);
        package.with_context(|| format!("this lab has no {software:?}"))
    }

    /// The folder for a server's temporary files.
    pub(crate) fn temp(&self, name: &str) -> PathBuf {
        self.folder.join("tmp").join(name)
    }

    fn hadoop(&self, name: &str, conf: &Path, heap: u32) -> Result<Command> {
        let jars = self.package(Software::Hadoop)?;
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
        let jars = self.package(Software::Oozie)?;
        let name = Server::Oozie.name();
        let (heap, main) = Server::Oozie.heap_and_main();
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
            heap,
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
            .arg(main)
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
