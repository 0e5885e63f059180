//! The machine's packages that a lab runs on: checked before a start, installed on request.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    machine::{progress, sys},
    packages::java,
};

/// A thing that must be there, and the Debian package that brings it.
struct Need {
    what: &'static str,
    package: &'static str,
    only_for_jvms: bool,
    is_there: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need {
        what: "the KDC (krb5kdc)",
        package: "krb5-kdc",
        only_for_jvms: false,
        is_there: || has_program("krb5kdc"),
    },
    Need {
        what: "the KDC's administration (kadmin.local)",
        package: "krb5-admin-server",
        only_for_jvms: false,
        is_there: || has_program("kadmin.local"),
    },
    Need {
        what: "Kerberos's client programs (kinit)",
        package: "krb5-user",
        only_for_jvms: false,
        is_there: || has_program("kinit"),
    },
    Need {
        what: "curl",
        package: "curl",
        only_for_jvms: false,
        is_there: || has_program("curl"),
    },
    Need {
        what: "a JDK 17",
        package: "openjdk-17-jdk-headless",
        only_for_jvms: true,
        is_there: || java::home().is_ok(),
    },
    Need {
        what: "Maven (mvn)",
        package: "maven",
        only_for_jvms: true,
        is_there: || has_program("mvn"),
    },
];

/// Fails with a list of all that is missing; JDK and Maven count only `with_jvms`.
pub(crate) fn check(with_jvms: bool) -> Result<()> {
    let missing: Vec<_> = missing(with_jvms)
        .map(|need| format!("{} (Debian package {})", need.what, need.package))
        .collect();
    ensure!(
        missing.is_empty(),
        "missing: {}; `lab install` installs them",
        missing.join(", ")
    );
    Ok(())
}

/// Installs what is missing by apt-get, as root or through sudo, saying what it does.
pub fn install() -> Result<()> {
    let packages: Vec<_> = missing(true).map(|need| need.package).collect();
    if packages.is_empty() {
        progress::say("nothing to install");
        return Ok(());
    }
    ensure!(
        has_program("apt-get"),
        "there is no apt-get here: install by hand what these Debian packages bring: {}",
        packages.join(" ")
    );
    let prefix: &[&str] = if sys::is_root() {
        &[]
    } else {
        let sudo = Command::new("sudo")
            .args(["-n", "true"])
            .stderr(Stdio::null())
            .status();
        ensure!(
            sudo.is_ok_and(|status| status.success()),
            "neither root nor sudo without a password: run `apt-get install {}` as root",
            packages.join(" ")
        );
        &["sudo", "-n"]
    };
    let install = [
        &["apt-get", "install", "-y", "--no-install-recommends"],
        &packages[..],
    ]
    .concat();
    for arguments in [&["apt-get", "update"][..], &install] {
        let line = [
            prefix,
            &["env", "DEBIAN_FRONTEND=noninteractive"],
            arguments,
        ]
        .concat();
        progress::say(&format!("running {}", line.join(" ")));
        let status = Command::new(line[0])
            .args(&line[1..])
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("cannot run {}", line[0]))?;
        ensure!(status.success(), "{} failed ({status})", line.join(" "));
    }
    check(true)
}

fn missing(with_jvms: bool) -> impl Iterator<Item = &'static Need> {
    NEEDS
        .iter()
        .filter(move |need| (with_jvms || !need.only_for_jvms) && !(need.is_there)())
}

fn has_program(name: &str) -> bool {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path
        .split(':')
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"]);
    folders
        .into_iter()
        .any(|folder| Path::new(folder).join(name).is_file())
}
