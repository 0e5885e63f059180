//! The folders of Presto and of HiveServer2.

use std::fs;

use anyhow::Result;

use super::{Conf, parse, xml};
use crate::keystore;
use crate::names;
use crate::server::Server;
use crate::sys;

const PRESTO: &str = include_str!("../../templates/presto-config.properties");
const PRESTO_TLS: &str = include_str!("../../templates/presto-tls-config.properties");
const PRESTO_RULES: &str = include_str!("../../templates/presto-rules.json");
const HIVE_SITE: &str = include_str!("../../templates/hive-site.properties");
const HIVE_CORE: &str = include_str!("../../templates/hive-core-site.properties");
const HIVE_LOG: &str = include_str!("../../templates/hive-log4j2.properties");

impl Conf<'_> {
    /// Writes `conf/<name>/etc` of one of Presto's coordinators.
    pub(crate) fn write_presto(&self, server: Server) -> Result<()> {
        let folder = self.folder.join("conf").join(server.name());
        let etc = folder.join("etc");
        for name in ["catalog", "plugin"] {
            fs::create_dir_all(etc.join(name))?;
        }
        // The last of its ports speaks HTTP without TLS.
        let port = server.ports().last().copied().unwrap_or_default();
        let template = match server {
            Server::PrestoTls => [PRESTO, PRESTO_TLS].concat(),
            _ => PRESTO.to_owned(),
        }
        .replace("@PORT@", &port.to_string())
        .replace("@ADDRESS@", &server.address().to_string())
        .replace("@PASSWORD@", keystore::PASSWORD);
        let mut properties = parse(&self.fill(&template, server.name(), &server.host_name()))?;
        self.apply(&mut properties, "presto-config", Some(server));
        let lines: String = properties
            .iter()
            .map(|(name, value)| format!("{name}={value}\n"))
            .collect();
        fs::write(etc.join("config.properties"), lines)?;
        fs::write(etc.join("log.properties"), "com.facebook.presto=INFO\n")?;
        if server == Server::PrestoTls {
            let rules = etc.join("rules.json");
            fs::write(&rules, PRESTO_RULES)?;
            // Looked for in the present folder; where there is none everything is allowed.
            let control = format!(
                "access-control.name=file\nsecurity.config-file={}\nsecurity.refresh-period=1s\n",
                rules.display()
            );
            fs::write(etc.join("access-control.properties"), control)?;
        }
        self.write_hosts(server)
    }

    /// Writes `conf/hive`.
    pub(crate) fn write_hive(&self) -> Result<()> {
        let server = Server::Hive;
        let folder = self.folder.join("conf").join(server.name());
        fs::create_dir_all(&folder)?;
        for (site, template) in [("core-site", HIVE_CORE), ("hive-site", HIVE_SITE)] {
            let mut properties = parse(&self.fill(template, server.name(), &server.host_name()))?;
            self.apply(&mut properties, site, Some(server));
            fs::write(folder.join(format!("{site}.xml")), xml(&properties))?;
        }
        for name in ["log4j2.properties", "hive-log4j2.properties"] {
            fs::write(folder.join(name), HIVE_LOG)?;
        }
        for name in ["warehouse", "scratch"] {
            fs::create_dir_all(self.folder.join("data/hive").join(name))?;
        }
        self.write_hosts(server)
    }

    fn write_hosts(&self, server: Server) -> Result<()> {
        let hosts = names::jvm_hosts_file(server.host(), &sys::host_name()?, self.hosts);
        let folder = self.folder.join("conf").join(server.name());
        Ok(fs::write(folder.join("hosts"), hosts)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conf::Filter;
    use std::path::Path;

    #[test]
    fn every_template_parses() {
        let conf = Conf {
            folder: Path::new("/lab"),
            jars: Path::new("/jars"),
            krb5_conf: Path::new("/lab/krb5.conf"),
            filter: Filter::ProxyUser,
            properties: &[],
            hosts: &[],
        };
        for template in [PRESTO, PRESTO_TLS, HIVE_SITE, HIVE_CORE] {
            parse(&conf.fill(template, "hive", "hive.example.com")).unwrap();
        }
        serde_json::from_str::<serde_json::Value>(PRESTO_RULES).unwrap();
    }
}
