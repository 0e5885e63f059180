//! The configuration folders: one a server, made from the templates.
//!
//! A template holds `name = value` lines with comments, easier to read than Hadoop's XML, into
//! which they are turned. Words between at signs are filled in: `@DIR@` the lab's folder, `@JARS@`
//! Hadoop's package, `@SERVER@`, `@HOST@` and so on.

mod sql;

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::{
    machine::{names, sys},
    packages::{Software, java},
    server::Server,
};

const SITES: &[(&str, &str)] = &[
    (
        "core-site",
        include_str!("../../templates/core-site.properties"),
    ),
    (
        "hdfs-site",
        include_str!("../../templates/hdfs-site.properties"),
    ),
    (
        "yarn-site",
        include_str!("../../templates/yarn-site.properties"),
    ),
    (
        "mapred-site",
        include_str!("../../templates/mapred-site.properties"),
    ),
    (
        "capacity-scheduler",
        include_str!("../../templates/capacity-scheduler.properties"),
    ),
    (
        "httpfs-site",
        include_str!("../../templates/httpfs-site.properties"),
    ),
];
const OOZIE_SITE: &str = include_str!("../../templates/oozie-site.properties");
const LOG4J: &str = include_str!("../../templates/log4j.properties");
const OOZIE_LOG4J: &str = include_str!("../../templates/oozie-log4j.properties");
const ZOO: &str = include_str!("../../templates/zoo.cfg");

/// The filter Hadoop puts before its consoles (`hadoop.http.filter.initializers`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// Consoles obey `doAs`.
    #[default]
    ProxyUser,
    /// NodeManager, JobHistoryServer and DataNode silently ignore `doAs`, and show the page as the
    /// gateway's own user.
    Plain,
}

impl Filter {
    fn class(self) -> &'static str {
        match self {
            Filter::ProxyUser => {
                "org.apache.hadoop.security.authentication.server.ProxyUserAuthenticationFilterInitializer"
            }
            Filter::Plain => "org.apache.hadoop.security.AuthenticationFilterInitializer",
        }
    }
}

/// A property added to, or put in the place of, a template's.
#[derive(Clone, Debug)]
pub(crate) struct Property {
    /// `None` for all servers.
    pub server: Option<Server>,
    /// The file's name without ending, for example `core-site`.
    pub site: String,
    pub name: String,
    pub value: String,
}

/// All that the configuration folders are made from.
pub(crate) struct Conf<'a> {
    /// The lab's folder.
    pub folder: &'a Path,
    /// Hadoop's package in the cache.
    pub jars: &'a Path,
    pub krb5_conf: &'a Path,
    pub filter: Filter,
    pub properties: &'a [Property],
    pub hosts: &'a [(String, Ipv4Addr)],
}

impl Conf<'_> {
    /// Writes what a server reads, into `conf/<name>`.
    pub(crate) fn write(&self, server: Server) -> Result<()> {
        match server.software() {
            Software::MitKerberos => Ok(()),
            // a failover controller reads the folder of the NameNode beside it
            Software::Hadoop if server.host() != server.name() => Ok(()),
            Software::Hadoop => {
                self.write_sites(server.name(), &server.host_name(), Some(server))?;
                self.write_hosts(server)
            }
            Software::Oozie => self.write_oozie(),
            Software::Presto => self.write_presto(server),
            Software::Hive => self.write_hive(),
            Software::Trino => self.write_trino(),
        }
    }

    /// Writes `conf/client`, for command-line clients and for containers.
    pub(crate) fn write_client(&self) -> Result<()> {
        let folder = self.write_sites("client", &names::full("proxy"), None)?;
        let machine = sys::host_name()?;
        fs::write(
            folder.join("hosts"),
            names::jvm_hosts_file("proxy", &machine, self.hosts),
        )?;
        fs::write(
            folder.join("am-hosts"),
            names::application_master_hosts_file(&machine),
        )?;
        Ok(())
    }

    /// Fills Oozie's folder, which has the shape of its distribution's.
    fn write_oozie(&self) -> Result<()> {
        let folder = self.folder.join("conf").join(Server::Oozie.name());
        for name in ["hadoop-conf", "action-conf", "spark-conf"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let mut site =
            parse(&self.fill(OOZIE_SITE, Server::Oozie.name(), &Server::Oozie.host_name()))?;
        self.apply(&mut site, "oozie-site", Some(Server::Oozie));
        fs::write(folder.join("oozie-site.xml"), xml(&site))?;
        // Workflows lie in the machine's file system: Oozie's Hadoop 2.6 client is not the lab's HDFS's.
        let core = xml(&[("fs.defaultFS".to_owned(), "file:///".to_owned())]);
        fs::write(folder.join("core-site.xml"), &core)?;
        fs::write(folder.join("hadoop-conf/core-site.xml"), &core)?;
        fs::write(folder.join("oozie-log4j.properties"), OOZIE_LOG4J)?;
        self.write_hosts(Server::Oozie)
    }

    fn write_hosts(&self, server: Server) -> Result<()> {
        let hosts = names::jvm_hosts_file(server.host(), &sys::host_name()?, self.hosts);
        let folder = self.folder.join("conf").join(server.name());
        Ok(fs::write(folder.join("hosts"), hosts)?)
    }

    fn write_sites(&self, name: &str, host: &str, server: Option<Server>) -> Result<PathBuf> {
        let folder = self.folder.join("conf").join(name);
        fs::create_dir_all(&folder)?;
        for (site, template) in SITES {
            let mut properties = parse(&self.fill(template, name, host))
                .with_context(|| format!("template {site}"))?;
            if let Some((site_of_id, id)) = server.and_then(Server::ha_id)
                && site_of_id == *site
            {
                properties.push((id.to_owned(), name.to_owned()));
            }
            // The application master's filter then knows the proxy by name.
            if server.is_none() && *site == "yarn-site" {
                let proxy = "rm1.example.com:8088".to_owned();
                properties.push(("yarn.web-proxy.address".to_owned(), proxy));
            }
            self.apply(&mut properties, site, server);
            fs::write(folder.join(format!("{site}.xml")), xml(&properties))?;
        }
        fs::write(folder.join("log4j.properties"), LOG4J)?;
        fs::write(folder.join("httpfs-log4j.properties"), LOG4J)?;
        fs::write(folder.join("zoo.cfg"), self.fill(ZOO, name, host))?;
        Ok(folder)
    }

    fn fill(&self, template: &str, name: &str, host: &str) -> String {
        let node = if name.starts_with("nm") {
            host
        } else {
            "_HOST"
        };
        let jvm = java::lean_options().join(" ")
            + &format!(" -Djava.security.krb5.conf={}", self.krb5_conf.display());
        template
            .replace("@DIR@", &self.folder.display().to_string())
            .replace("@JARS@", &self.jars.display().to_string())
            .replace("@SERVER@", name)
            .replace("@HOST@", host)
            .replace("@NODE@", node)
            .replace("@FILTER@", self.filter.class())
            .replace("@JVM@", &jvm)
    }

    fn apply(&self, properties: &mut Vec<(String, String)>, site: &str, server: Option<Server>) {
        let applies = |more: &&Property| {
            more.site == site && (more.server.is_none() || more.server == server)
        };
        for more in self.properties.iter().filter(applies) {
            properties.retain(|(name, _)| *name != more.name);
            properties.push((more.name.clone(), more.value.clone()));
        }
    }
}

fn parse(template: &str) -> Result<Vec<(String, String)>> {
    let mut properties = Vec::new();
    for line in template
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (name, value) = line
            .split_once(" = ")
            .with_context(|| format!("no `name = value`: {line}"))?;
        ensure!(
            properties.iter().all(|(known, _)| known != name),
            "{name} stands twice"
        );
        properties.push((name.to_owned(), value.to_owned()));
    }
    Ok(properties)
}

fn xml(properties: &[(String, String)]) -> String {
    let escape = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let lines: String = properties
        .iter()
        .map(|(name, value)| (escape(name), escape(value)))
        .map(|(name, value)| {
            format!("<property><name>{name}</name><value>{value}</value></property>\n")
        })
        .collect();
    format!("<configuration>\n{lines}</configuration>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_parses_and_leaves_no_word_unfilled() {
        let conf = Conf {
            folder: Path::new("/lab"),
            jars: Path::new("/jars"),
            krb5_conf: Path::new("/lab/krb5.conf"),
            filter: Filter::ProxyUser,
            properties: &[],
            hosts: &[],
        };
        for template in SITES
            .iter()
            .map(|(_, template)| *template)
            .chain([OOZIE_SITE])
        {
            for (name, value) in parse(&conf.fill(template, "nm1", "nm1.example.com")).unwrap() {
                let rest = value.replace("@EXAMPLE.COM", "");
                assert!(!rest.contains('@'), "{name} = {value}");
            }
        }
    }

    #[test]
    fn a_property_of_one_server_replaces_the_templates_for_that_server_only() {
        let more = Property {
            server: Some(Server::Nn1),
            site: "core-site".into(),
            name: "a".into(),
            value: "2".into(),
        };
        let conf = Conf {
            folder: Path::new("/lab"),
            jars: Path::new("/jars"),
            krb5_conf: Path::new("/lab/krb5.conf"),
            filter: Filter::Plain,
            properties: &[more],
            hosts: &[],
        };
        for (server, value) in [(Server::Nn1, "2"), (Server::Nn2, "1")] {
            let mut properties = vec![("a".to_owned(), "1".to_owned())];
            conf.apply(&mut properties, "core-site", Some(server));
            assert_eq!(properties, [("a".to_owned(), value.to_owned())]);
        }
    }

    #[test]
    fn values_are_escaped() {
        let text = xml(&[("a".into(), "x < y & z".into())]);
        assert!(text.contains("<value>x &lt; y &amp; z</value>"), "{text}");
    }
}
