//! The JVM: where it is, and the options that every one of the lab is started with.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

/// The versions that work; Hadoop's and Oozie's login fails from 24 on ("getSubject is not supported").
const DEBIAN_HOMES: &[&str] = &[
    "/usr/lib/jvm/java-17-openjdk-amd64",
    "/usr/lib/jvm/java-17-openjdk-arm64",
    "/usr/lib/jvm/java-17-openjdk",
    "/usr/lib/jvm/default-java",
];

/// The JDK's folder: `$JAVA_HOME`, or Debian's JDK 17.
pub fn home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("JAVA_HOME") {
        let home = PathBuf::from(home);
        if home.join("bin/javac").exists() {
            return Ok(home);
        }
        bail!("JAVA_HOME is {}, which has no bin/javac", home.display());
    }
    DEBIAN_HOMES
        .iter()
        .map(PathBuf::from)
        .find(|home| home.join("bin/javac").exists())
        .context("no JDK 17 found: set JAVA_HOME, or run `lab install`")
}

/// The folder of a JDK that Trino runs on, 22 or later: `$SPNEGATE_LAB_TRINO_JDK`, or one below
/// `/usr/lib/jvm`.
pub fn home_for_trino() -> Result<PathBuf> {
    if let Some(home) = env::var_os("SPNEGATE_LAB_TRINO_JDK") {
        return Ok(PathBuf::from(home));
    }
    let homes = fs::read_dir("/usr/lib/jvm").into_iter().flatten().flatten();
    homes
        .map(|entry| entry.path())
        .find(|home| home.join("bin/javac").exists() && major_version(home) >= Some(22))
        .context("no JDK 22 or later found for Trino: set SPNEGATE_LAB_TRINO_JDK")
}

fn major_version(home: &Path) -> Option<u32> {
    let release = fs::read_to_string(home.join("release")).ok()?;
    let version = release
        .lines()
        .find_map(|line| line.strip_prefix("JAVA_VERSION=\""))?;
    version.split(['.', '"', '-']).next()?.parse().ok()
}

/// A program of the JDK.
pub fn program(name: &str) -> Result<PathBuf> {
    Ok(home()?.join("bin").join(name))
}

/// What a JVM of the lab is started from.
pub(crate) struct Jvm<'a> {
    /// Largest heap in MiB.
    pub heap: u32,
    pub krb5_conf: &'a Path,
    pub hosts: &'a Path,
    /// Its own, so that no two daemons share a replay cache.
    pub temp: &'a Path,
    pub class_path: String,
}

impl Jvm<'_> {
    /// `java` with all options; the caller adds further ones, the main class and its arguments.
    pub(crate) fn command(&self) -> Result<Command> {
        Ok(self.command_of(&home()?))
    }

    /// The same of another JDK.
    pub(crate) fn command_of(&self, home: &Path) -> Command {
        let mut java = Command::new(home.join("bin/java"));
        java.arg(format!("-Xmx{}m", self.heap));
        java.args(lean_options());
        java.arg(format!(
            "-Djava.security.krb5.conf={}",
            self.krb5_conf.display()
        ));
        java.arg(format!("-Djdk.net.hosts.file={}", self.hosts.display()));
        java.arg(format!("-Djava.io.tmpdir={}", self.temp.display()));
        java.arg("-cp").arg(&self.class_path);
        java.env("JAVA_HOME", home);
        // What a `lab env` shell carries is not for daemons: they resolve by their hosts files and
        // log in by their keytabs.
        for name in ["LD_PRELOAD", "LAB_HOSTS", "KRB5CCNAME", "CLASSPATH"] {
            java.env_remove(name);
        }
        java
    }
}

/// Options for many small JVMs on few cores that start often and live shortly. Guice (YARN) and
/// Oozie look into `java.lang`, old login code into the JGSS module's internals.
pub(crate) fn lean_options() -> [&'static str; 12] {
    [
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Xss512k",
        "-XX:-UsePerfData",
        "-Djava.net.preferIPv4Stack=true",
        "-Djava.awt.headless=true",
        "--add-opens=java.base/java.lang=ALL-UNNAMED",
        "--add-opens=java.base/java.util=ALL-UNNAMED",
        "--add-opens=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
        "--add-exports=java.security.jgss/sun.security.jgss=ALL-UNNAMED",
        "-XX:+UnlockDiagnosticVMOptions",
        "-XX:-BytecodeVerificationRemote",
    ]
}
