//! Hadoop's own `auth_to_local`, in a JVM without any server.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{
    machine::process::run,
    packages::{self, java},
};

/// The realm that `DEFAULT` knows.
pub const REALM: &str = "EXAMPLE.COM";

/// Rules, and the principals to which they are applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSet {
    /// `hadoop` or `mit`.
    pub mechanism: &'static str,
    /// As in `hadoop.security.auth_to_local`.
    pub rules: String,
    /// Principal names in the form of Java's GSSAPI.
    pub principals: Vec<String>,
}

/// Hadoop's names for the principals of one set; `None` if it refuses the rules.
pub type Mapped = Option<Vec<Option<String>>>;

/// Runs Hadoop's `KerberosName` on a JDK in one process.
pub fn kerberos_names(home: &Path, sets: &[RuleSet]) -> Result<Vec<Mapped>> {
    let mut lines = String::new();
    let hex = |text: &str| -> String { text.bytes().map(|b| format!("{b:02x}")).collect() };
    for set in sets {
        let _ = writeln!(lines, "M {}\nR {}", set.mechanism, hex(&set.rules));
        for principal in &set.principals {
            let _ = writeln!(lines, "P {}", hex(principal));
        }
    }
    let file = std::env::temp_dir().join(format!("lab-names-{}", std::process::id()));
    fs::write(&file, lines)?;
    let mut command = Command::new(home.join("bin/java"));
    command
        .args([
            "-Djava.security.krb5.realm=EXAMPLE.COM",
            "-Djava.security.krb5.kdc=localhost",
        ])
        .args(["-Dslf4j.internal.verbosity=ERROR", "-cp"])
        .arg(packages::hadoop()?.join("lib/*"))
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("java/Names.java"))
        .arg(&file);
    let said = run(command);
    fs::remove_file(&file)?;
    let said = said?;
    let mut said = said
        .lines()
        .filter(|line| *line == "ok" || *line == "no" || line.starts_with('='));
    let mut next = || {
        said.next()
            .context("KerberosName said less than it was asked")
    };
    let mut all = Vec::with_capacity(sets.len());
    for set in sets {
        let known = next()? == "ok";
        let mut names = Vec::with_capacity(set.principals.len());
        for _ in &set.principals {
            names.push(next()?.strip_prefix('=').map(text).transpose()?);
        }
        all.push(known.then_some(names));
    }
    ensure!(next().is_err(), "KerberosName said more than it was asked");
    Ok(all)
}

fn text(hex: &str) -> Result<String> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16);
    let bytes: Result<Vec<u8>, _> = (0..hex.len()).step_by(2).map(byte).collect();
    Ok(String::from_utf8(bytes?)?)
}

/// The JDKs of this machine: the lab's, and a newer one if installed.
pub fn jdks() -> Result<Vec<PathBuf>> {
    let newer = java::home_for_trino().ok();
    Ok([java::home()?].into_iter().chain(newer).collect())
}
