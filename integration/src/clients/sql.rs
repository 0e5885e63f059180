//! The clients of Presto and Hive that people use: JDBC drivers, Presto's CLI, impyla.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{
    lab::Lab,
    machine::{names, process::run},
    packages::{
        self,
        java::{self, Jvm},
    },
    server::{Server, daemons::join, keystore},
};

mod session;

pub use session::Session;

/// A JDBC driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// Presto's, `jdbc:presto:`.
    Presto,
    /// Hive's, `jdbc:hive2:`.
    Hive,
}

/// A client machine with a limited set of known host names and its own view of the realm.
#[derive(Clone, Debug)]
pub struct Desk<'a> {
    lab: &'a Lab,
    krb5_conf: PathBuf,
    hosts: PathBuf,
}

impl Lab {
    /// A file of the keystores' folder, which exists where [`Server::PrestoTls`] runs.
    pub fn tls(&self, name: &str) -> PathBuf {
        self.folder.join("tls").join(name)
    }

    /// Gives a host of [`Lab::tls`] another key and certificate; `announced` receives the
    /// certificate before the keystore is replaced.
    pub fn renew_certificate(&self, host: &str, announced: impl FnOnce(&str)) -> Result<()> {
        keystore::renew(&self.folder.join("tls"), host, announced)
    }

    /// A machine that resolves all names of the lab and reaches the KDC directly.
    pub fn desk(&self) -> Desk<'_> {
        Desk {
            lab: self,
            krb5_conf: self.realm.krb5_conf(),
            hosts: self.folder.join(names::JVM_HOSTS),
        }
    }

    /// A machine that resolves only these full names and reaches the KDC at that address only.
    pub fn far_desk(&self, kdc: SocketAddrV4, known: &[(&str, Ipv4Addr)]) -> Result<Desk<'_>> {
        let folder = self
            .folder
            .join(format!("desk-{}-{}", kdc.ip(), kdc.port()));
        fs::create_dir_all(&folder)?;
        let desk = Desk {
            lab: self,
            krb5_conf: folder.join("krb5.conf"),
            hosts: folder.join("hosts"),
        };
        let own = SocketAddrV4::new(Server::Kdc.address(), Server::Kdc.ports()[0]);
        let text = fs::read_to_string(self.realm.krb5_conf())?;
        fs::write(
            &desk.krb5_conf,
            text.replace(&own.to_string(), &kdc.to_string()),
        )?;
        let lines: String = known
            .iter()
            .map(|(name, address)| format!("{address} {name}\n"))
            .collect();
        fs::write(&desk.hosts, lines + "127.0.0.1 localhost\n")?;
        Ok(desk)
    }
}

impl Desk<'_> {
    /// Its `krb5.conf`.
    pub fn krb5_conf(&self) -> &Path {
        &self.krb5_conf
    }

    /// Runs statements by JDBC on one connection; returns the rows, one per line, separated by
    /// tabs.
    pub fn jdbc(
        &self,
        driver: Driver,
        url: &str,
        properties: &[(&str, &str)],
        statements: &[&str],
    ) -> Result<String> {
        run(self.jdbc_command(driver, url, properties, statements)?)
    }

    /// The command of [`Desk::jdbc`].
    pub fn jdbc_command(
        &self,
        driver: Driver,
        url: &str,
        properties: &[(&str, &str)],
        statements: &[&str],
    ) -> Result<Command> {
        let jars = match driver {
            Driver::Presto => packages::presto()?.join("jdbc/*"),
            Driver::Hive => packages::hive()?.join("lib/*"),
        };
        let mut java = self.java(&join(&[jars]))?;
        java.arg(source("java/Sql.java")).arg(url);
        let words = properties
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        java.args(words).arg("--").args(statements);
        Ok(java)
    }

    /// The same with the tickets of a principal, as Hive's driver takes them.
    pub fn jdbc_as(
        &self,
        principal: &str,
        driver: Driver,
        url: &str,
        statements: &[&str],
    ) -> Result<String> {
        let mut java = self.jdbc_command(driver, url, &[], statements)?;
        let tickets = self.lab.tickets(principal)?;
        java.env("KRB5CCNAME", format!("FILE:{}", tickets.display()));
        run(java)
    }

    /// A JDBC client that keeps running, with the tickets of a principal.
    pub fn jdbc_session(
        &self,
        principal: &str,
        driver: Driver,
        url: &str,
        properties: &[(&str, &str)],
    ) -> Result<Session> {
        let mut java = self.jdbc_command(driver, url, properties, &[])?;
        let tickets = self.lab.tickets(principal)?;
        java.env("KRB5CCNAME", format!("FILE:{}", tickets.display()));
        Session::begin(java)
    }

    /// Presto's command-line client, which requires at least `--server` and `--execute`.
    pub fn presto_cli(&self) -> Result<Command> {
        let jar = packages::presto()?.join("cli/client.jar");
        let mut java = self.java(&jar.display().to_string())?;
        java.arg("com.facebook.presto.cli.Presto");
        Ok(java)
    }

    /// Runs statements by impyla over HTTP with a principal's tickets; it sees all of the lab's
    /// names.
    pub fn impyla(
        &self,
        principal: &str,
        host: &str,
        port: u16,
        statements: &[&str],
    ) -> Result<String> {
        run(self.impyla_command(principal, host, port, statements)?)
    }

    /// An impyla client that keeps running.
    pub fn impyla_session(&self, principal: &str, host: &str, port: u16) -> Result<Session> {
        Session::begin(self.impyla_command(principal, host, port, &[])?)
    }

    fn impyla_command(
        &self,
        principal: &str,
        host: &str,
        port: u16,
        statements: &[&str],
    ) -> Result<Command> {
        let python = packages::python()?.display().to_string();
        let mut python = self.lab.command_as(principal, &python)?;
        python.env("KRB5_CONFIG", &self.krb5_conf);
        python.arg(source("python/sql.py"));
        python.arg(host).arg(port.to_string()).args(statements);
        Ok(python)
    }

    /// Logs in with Java's `Krb5LoginModule` and a principal's keytab, and gets a token for
    /// `service@host`.
    pub fn java_login(&self, principal: &str, service: &str) -> Result<String> {
        let keytab = self.lab.realm().principal_with_keytab(principal)?;
        let mut java = self.java("")?;
        java.arg(source("java/Login.java"));
        java.arg(keytab).arg(principal).arg(service);
        run(java)
    }

    /// Logs in with MIT's `kinit` and a principal's keytab, and gets a ticket for `service/host`.
    pub fn kinit(&self, principal: &str, service: &str) -> Result<()> {
        let keytab = self.lab.realm().principal_with_keytab(principal)?;
        let cache = self.krb5_conf.with_extension("tickets");
        let keytab = keytab.display().to_string();
        for (program, arguments) in [
            ("kinit", ["-k", "-t", &keytab, principal].as_slice()),
            ("kvno", &[service]),
        ] {
            let mut command = Command::new(program);
            command
                .args(arguments)
                .env("KRB5_CONFIG", &self.krb5_conf)
                .env("KRB5CCNAME", format!("FILE:{}", cache.display()));
            run(command)?;
        }
        Ok(())
    }

    /// Trino's command-line client, which requires at least `--server` and `--execute`.
    pub fn trino_cli(&self) -> Result<Command> {
        let jar = packages::trino()?.join("cli/client.jar");
        let home = java::home_for_trino()?;
        let mut java = self.jvm(&jar.display().to_string(), &home);
        java.arg("io.trino.cli.Trino");
        Ok(java)
    }

    /// Runs statements by Trino's Python client as `user`, with a principal's tickets for `service` at
    /// a gateway whose certificate is in the file `ca`.
    pub fn trino_python(
        &self,
        (principal, user): (&str, &str),
        service: &str,
        (url, ca): (&str, &Path),
        statements: &[&str],
    ) -> Result<String> {
        let python = packages::trino_python()?.display().to_string();
        let mut python = self.lab.command_as(principal, &python)?;
        python.env("KRB5_CONFIG", &self.krb5_conf);
        // the HTTP client for spooled segments does not receive `verify`
        python.env("REQUESTS_CA_BUNDLE", ca);
        python.arg(source("python/trino_sql.py")).arg(url).arg(ca);
        python.args([service, user]).args(statements);
        run(python)
    }

    /// A JVM on this machine; tickets if `KRB5CCNAME` is set.
    fn java(&self, class_path: &str) -> Result<Command> {
        Ok(self.jvm(class_path, &java::home()?))
    }

    fn jvm(&self, class_path: &str, home: &Path) -> Command {
        let mut java = Jvm {
            heap: 192,
            krb5_conf: &self.krb5_conf,
            hosts: &self.hosts,
            temp: &self.lab.folder().join("tmp/client"),
            class_path: class_path.to_owned(),
        }
        .command_of(home);
        java.arg("-Djavax.security.auth.useSubjectCredsOnly=false");
        java.arg("--add-opens=java.base/java.net=ALL-UNNAMED");
        java
    }
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
