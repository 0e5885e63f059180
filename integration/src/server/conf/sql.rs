//! The folders of Presto and of HiveServer2.

use std::{fs, path::Path};

use anyhow::Result;

use super::{Conf, parse, xml};
use crate::server::{Server, keystore};

const PRESTO: &str = include_str!("../../../templates/presto-config.properties");
const PRESTO_TLS: &str = include_str!("../../../templates/presto-tls-config.properties");
const PRESTO_RULES: &str = include_str!("../../../templates/presto-rules.json");
const TRINO: &str = include_str!("../../../templates/trino-config.properties");
const TRINO_RULES: &str = include_str!("../../../templates/trino-rules.json");
const HIVE_SITE: &str = include_str!("../../../templates/hive-site.properties");
const HIVE_CORE: &str = include_str!("../../../templates/hive-core-site.properties");
const HIVE_LOG: &str = include_str!("../../../templates/hive-log4j2.properties");

impl Conf<'_> {
    /// Writes `conf/<name>/etc` of one of Presto's coordinators.
    pub(super) fn write_presto(&self, server: Server) -> Result<()> {
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
        write_properties(&etc, &properties)?;
        fs::write(etc.join("log.properties"), "com.facebook.presto=INFO\n")?;
        if server == Server::PrestoTls {
            write_rules(&etc, PRESTO_RULES)?;
        }
        self.write_hosts(server)
    }

    /// Writes `conf/trino/etc`.
    pub(super) fn write_trino(&self) -> Result<()> {
        let server = Server::Trino;
        let etc = self.folder.join("conf").join(server.name()).join("etc");
        let spooled = self.folder.join("data/trino-spooled");
        for folder in [&etc.join("catalog"), &spooled] {
            fs::create_dir_all(folder)?;
        }
        let spooling = format!(
            "spooling-manager.name=folder\nfolder={}\n",
            spooled.display()
        );
        fs::write(etc.join("spooling-manager.properties"), spooling)?;
        let template = TRINO
            .replace("@ADDRESS@", &server.address().to_string())
            .replace("@PASSWORD@", keystore::PASSWORD);
        let mut properties = parse(&self.fill(&template, server.name(), &server.host_name()))?;
        self.apply(&mut properties, "trino-config", Some(server));
        write_properties(&etc, &properties)?;
        fs::write(etc.join("log.properties"), "io.trino=INFO\n")?;
        write_rules(&etc, TRINO_RULES)?;
        self.write_hosts(server)
    }

    /// Writes `conf/hive`.
    pub(super) fn write_hive(&self) -> Result<()> {
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
}

fn write_properties(etc: &Path, properties: &[(String, String)]) -> Result<()> {
    let lines: String = properties
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    Ok(fs::write(etc.join("config.properties"), lines)?)
}

/// `access-control.properties` is looked for in the present folder; where there is none everything
/// is allowed.
fn write_rules(etc: &Path, text: &str) -> Result<()> {
    let rules = etc.join("rules.json");
    fs::write(&rules, text)?;
    let control = format!(
        "access-control.name=file\nsecurity.config-file={}\nsecurity.refresh-period=1s\n",
        rules.display()
    );
    Ok(fs::write(etc.join("access-control.properties"), control)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::conf::Filter;

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
        for template in [PRESTO, PRESTO_TLS, TRINO, HIVE_SITE, HIVE_CORE] {
            parse(&conf.fill(template, "hive", "hive.example.com")).unwrap();
        }
        for rules in [PRESTO_RULES, TRINO_RULES] {
            serde_json::from_str::<serde_json::Value>(rules).unwrap();
        }
    }
}
