//! Keys for TLS as operators of Presto make them: by keytool, with a self-signed certificate each.

use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    thread,
};

use anyhow::Result;

use crate::{
    machine::{names, process::run},
    packages::java,
    server::Server,
};

/// The password of every keystore and truststore.
pub const PASSWORD: &str = "81ba14ce6084";
/// Writes, for the gateway and each server with TLS, if there is one, `<host>.p12`, `<host>.jks` and its certificate `<host>.pem`; then
/// `trust.jks` with all certificates, and `password`. Keeps what is there.
pub(crate) fn write(folder: &Path, servers: &BTreeSet<Server>) -> Result<()> {
    let mut hosts: Vec<_> = servers
        .iter()
        .filter(|server| server.has_tls())
        .map(|server| server.host())
        .collect();
    if hosts.is_empty() || folder.exists() {
        return Ok(());
    }
    hosts.push("proxy");
    fs::create_dir_all(folder)?;
    fs::write(folder.join("password"), PASSWORD)?;
    restrict(&folder.join("password"))?;
    thread::scope(|scope| {
        let start = |host: &&'static str| {
            let host = *host;
            scope.spawn(move || write_one(folder, host))
        };
        let threads: Vec<_> = hosts.iter().map(start).collect();
        threads
            .into_iter()
            .try_for_each(|thread| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
    })?;
    hosts.iter().try_for_each(|host| {
        let (alias, pem) = (format!("-alias {host}"), format!("-file {host}.pem"));
        keytool(
            folder,
            &format!(
                "-importcert -noprompt {alias} {pem} -keystore trust.jks -storetype JKS -storepass {PASSWORD}"
            ),
        )
    })
}

/// Gives a host another key, in the place of the one it has: `<host>-renewed.pem` is its certificate,
/// which `announced` sees before `<host>.p12` is replaced at once.
pub(crate) fn renew(folder: &Path, host: &str, announced: impl FnOnce(&str)) -> Result<()> {
    let apart = folder.join("renewed");
    fs::create_dir_all(&apart)?;
    write_one(&apart, host)?;
    let renewed = folder.join(format!("{host}-renewed.pem"));
    fs::rename(apart.join(format!("{host}.pem")), &renewed)?;
    announced(&fs::read_to_string(&renewed)?);
    let keystore = format!("{host}.p12");
    Ok(fs::rename(apart.join(&keystore), folder.join(keystore))?)
}

fn write_one(folder: &Path, host: &str) -> Result<()> {
    let name = names::full(host);
    for line in [
        format!(
            "-genkeypair -alias server -keyalg RSA -validity 3650 -dname CN={name},O=Lab \
             -ext SAN=dns:{name} -keystore {host}.p12 -storetype PKCS12 -storepass {PASSWORD}"
        ),
        format!(
            "-importkeystore -noprompt -srckeystore {host}.p12 -srcstorepass {PASSWORD} \
             -destkeystore {host}.jks -deststoretype JKS -deststorepass {PASSWORD}"
        ),
        format!(
            "-exportcert -rfc -alias server -file {host}.pem -keystore {host}.p12 \
             -storepass {PASSWORD}"
        ),
    ] {
        keytool(folder, &line)?;
    }
    restrict(&folder.join(format!("{host}.p12")))?;
    restrict(&folder.join(format!("{host}.jks")))
}

/// Nobody else may read a key, nor its password.
fn restrict(file: &Path) -> Result<()> {
    Ok(fs::set_permissions(file, Permissions::from_mode(0o600))?)
}

fn keytool(folder: &Path, line: &str) -> Result<()> {
    let mut keytool = Command::new(java::program("keytool")?);
    keytool
        .current_dir(folder)
        .args(["-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC"])
        .args(line.split_whitespace());
    run(keytool).map(|_| ())
}
