//! The command lines of Presto and of HiveServer2.

use std::{path::Path, process::Command};

use anyhow::Result;

use super::{Daemons, join};
use crate::{
    packages::{
        self, Software,
        java::{self, Jvm},
    },
    server::Server,
};

/// Packages of `java.base` into which their libraries look.
const OPENED: &[&str] = &[
    "java.lang.invoke",
    "java.lang.reflect",
    "java.util.concurrent",
    "java.util.concurrent.atomic",
    "java.util.regex",
    "java.nio",
    "java.io",
    "java.net",
    "java.text",
    "java.time",
    "sun.nio.ch",
];

impl Daemons {
    /// One of Presto's coordinators.
    pub(super) fn presto(&self, server: Server) -> Result<Command> {
        let jars = self.package(Software::Presto)?;
        let (heap, main) = server.heap_and_main();
        let conf = self.folder.join("conf").join(server.name());
        let etc = conf.join("etc");
        let mut java = Jvm {
            heap,
            krb5_conf: &self.krb5_conf,
            hosts: &conf.join("hosts"),
            temp: &self.temp(server.name()),
            class_path: join(&[jars.join("lib/*")]),
        }
        .command()?;
        open_packages(&mut java);
        let data = self.folder.join("data").join(server.name());
        java.arg("-Djdk.attach.allowAttachSelf=true")
            .arg(format!(
                "-Dconfig={}",
                etc.join("config.properties").display()
            ))
            .arg(format!(
                "-Dlog.levels-file={}",
                etc.join("log.properties").display()
            ))
            .arg(format!("-Dnode.data-dir={}", data.display()))
            .arg(main)
            // where it looks for etc/access-control.properties
            .current_dir(&conf);
        Ok(java)
    }

    /// Trino's coordinator.
    pub(super) fn trino(&self) -> Result<Command> {
        let jars = self.package(Software::Trino)?;
        let name = Server::Trino.name();
        let (heap, main) = Server::Trino.heap_and_main();
        let conf = self.folder.join("conf").join(name);
        let etc = conf.join("etc");
        let mut java = Jvm {
            heap,
            krb5_conf: &self.krb5_conf,
            hosts: &conf.join("hosts"),
            temp: &self.temp(name),
            class_path: join(&[jars.join("start"), jars.join("lib/*")]),
        }
        .command_of(&java::home_for_trino()?);
        java.args([
            "-Djdk.attach.allowAttachSelf=true",
            "--enable-native-access=ALL-UNNAMED",
            "--add-modules=jdk.incubator.vector",
            "--sun-misc-unsafe-memory-access=allow",
        ]);
        let data = self.folder.join("data").join(name);
        java.arg(option("config", &etc.join("config.properties")))
            .arg(option("log.levels-file", &etc.join("log.properties")))
            .arg(option("node.data-dir", &data))
            .arg(option("plugin.dir", &packages::trino_plugins()?))
            .args([main, "476"])
            .current_dir(&conf);
        Ok(java)
    }

    /// HiveServer2 with its metastore inside.
    pub(super) fn hive(&self) -> Result<Command> {
        let jars = self.package(Software::Hive)?;
        let name = Server::Hive.name();
        let (heap, main) = Server::Hive.heap_and_main();
        let conf = self.folder.join("conf").join(name);
        let log = self.folder.join("logs").join(name);
        let mut java = Jvm {
            heap,
            krb5_conf: &self.krb5_conf,
            hosts: &conf.join("hosts"),
            temp: &self.temp(name),
            class_path: join(&[conf.clone(), jars.join("lib/*")]),
        }
        .command()?;
        open_packages(&mut java);
        java.arg(format!(
            "-Dderby.stream.error.file={}",
            log.join("derby.log").display()
        ))
        .arg(format!(
            "-Dlog4j2.configurationFile={}",
            conf.join("log4j2.properties").display()
        ))
        .arg(main)
        .current_dir(&self.folder);
        Ok(java)
    }
}

fn option(name: &str, value: &Path) -> String {
    format!("-D{name}={}", value.display())
}

fn open_packages(java: &mut Command) {
    let options = OPENED
        .iter()
        .map(|package| format!("--add-opens=java.base/{package}=ALL-UNNAMED"));
    java.args(options);
}
