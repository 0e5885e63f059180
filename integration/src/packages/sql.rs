//! Presto and Hive, and the clients that speak to them; and what else is written in Python.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{package, remove_jars};
use crate::{
    machine::process::run,
    packages::{java, maven::Maven},
};

const PRESTO_VERSION: &str = "0.296";
const PRESTO_POM: &str = include_str!("../../pom/presto.xml");
/// The newest on the registry; it speaks to the server of above as well.
const PRESTO_CLI: &str = "com.facebook.presto:presto-cli:0.287:jar:executable";
const PRESTO_JDBC: &str = "com.facebook.presto:presto-jdbc:0.296:jar";
/// Parts of the names of jars that are for other platforms.
const FOREIGN: &[&str] = &["-osx-", "-windows-", "-macos-"];

const HIVE_VERSION: &str = "4.0.1";
const HIVE_POM: &str = include_str!("../../pom/hive.xml");
/// Parts of the names of jars that must not be seen (second copies of Hadoop, of log4j and of the
/// servlet API) or are not used here.
const HIVE_UNUSED: &[&str] = &[
    "hadoop-client-api",
    "reload4j",
    "slf4j-log4j12",
    "log4j-1.2.17",
    "-tests.jar",
    "jsp-api-2.1",
    "grpc-netty-shaded",
    "mssql-jdbc-",
    "kotlin-",
    "netty-transport-native",
];

const TRINO_VERSION: &str = "476";
const TRINO_POM: &str = include_str!("../../pom/trino.xml");
const TRINO_START: &str = include_str!("../../java/Trino.java");
const TRINO_SPOOLING: &str = include_str!("../../java/Spooling.java");
const TRINO_CLI: &str = "io.trino:trino-cli:476:jar:executable";

const PYTHON: &[&str] = &["impyla==0.24.0", "kerberos==1.3.1"];
const TRINO_PYTHON: &[&str] = &["trino==0.340.0", "requests-gssapi==1.4.0"];
const HTTPX_PYTHON: &[&str] = &["httpx[http2]==0.28.1"];
const FSSPEC_PYTHON: &[&str] = &[
    "fsspec==2026.9.0",
    "requests==2.34.2",
    "requests-kerberos==0.15.0",
];

/// Presto's jars (`lib`) and its clients (`cli`, `jdbc`).
pub fn presto() -> Result<PathBuf> {
    let recipe = [PRESTO_POM, PRESTO_CLI, PRESTO_JDBC].concat();
    package("presto", PRESTO_VERSION, &recipe, |folder| {
        let maven = Maven::new(folder, PRESTO_POM)?;
        let lib = folder.join("lib");
        maven.fetch_dependencies(&format!("Presto {PRESTO_VERSION} (about 230 jars)"), &lib)?;
        remove_jars(&lib, |name| FOREIGN.iter().any(|part| name.contains(part)))?;
        for (artifact, name) in [(PRESTO_CLI, "cli"), (PRESTO_JDBC, "jdbc")] {
            let jar = maven.fetch(artifact)?;
            fs::create_dir(folder.join(name))?;
            fs::rename(jar, folder.join(name).join("client.jar"))?;
        }
        maven.clean()
    })
}

/// Hive's jars (`lib`), the server's and the JDBC driver's.
pub fn hive() -> Result<PathBuf> {
    let recipe = [HIVE_POM, &HIVE_UNUSED.concat()].concat();
    package("hive", HIVE_VERSION, &recipe, |folder| {
        let maven = Maven::new(folder, HIVE_POM)?;
        let lib = folder.join("lib");
        maven.fetch_dependencies(&format!("Hive {HIVE_VERSION} (about 320 jars)"), &lib)?;
        remove_jars(&lib, |name| {
            let mut unwanted = HIVE_UNUSED.iter().chain(FOREIGN);
            unwanted.any(|part| name.contains(part))
        })?;
        maven.clean()
    })
}

/// Trino's jars (`lib`), what starts it (`start`), and its command-line client (`cli`).
pub fn trino() -> Result<PathBuf> {
    let recipe = [TRINO_POM, TRINO_START, TRINO_CLI].concat();
    package("trino", TRINO_VERSION, &recipe, |folder| {
        let maven = Maven::new(folder, TRINO_POM)?;
        let lib = folder.join("lib");
        maven.fetch_dependencies(&format!("Trino {TRINO_VERSION} (about 170 jars)"), &lib)?;
        let jar = maven.fetch(TRINO_CLI)?;
        fs::create_dir(folder.join("cli"))?;
        fs::rename(jar, folder.join("cli/client.jar"))?;
        let source = folder.join("Trino.java");
        fs::write(&source, TRINO_START)?;
        let mut javac = Command::new(java::home_for_trino()?.join("bin/javac"));
        javac.arg("-cp").arg(lib.join("*"));
        javac.arg("-d").arg(folder.join("start")).arg(&source);
        run(javac)?;
        maven.clean()
    })
}

/// Trino's plugins, a folder each: spooled results in a folder.
pub fn trino_plugins() -> Result<PathBuf> {
    let lib = trino()?.join("lib/*");
    package("trino-plugins", "1", TRINO_SPOOLING, |folder| {
        let classes = folder.join("classes");
        let services = classes.join("META-INF/services");
        fs::create_dir_all(&services)?;
        fs::write(services.join("io.trino.spi.Plugin"), "lab.Spooling\n")?;
        let source = folder.join("Spooling.java");
        fs::write(&source, TRINO_SPOOLING)?;
        let tools = java::home_for_trino()?.join("bin");
        let mut javac = Command::new(tools.join("javac"));
        javac.arg("-cp").arg(&lib).arg("-d").arg(&classes);
        javac.arg(&source);
        run(javac)?;
        let plugin = folder.join("plugins/spooling");
        fs::create_dir_all(&plugin)?;
        let mut jar = Command::new(tools.join("jar"));
        jar.arg("--create").arg("--file");
        jar.arg(plugin.join("spooling.jar"));
        jar.arg("-C").arg(&classes).arg(".");
        run(jar).map(|_| ())
    })
    .map(|folder| folder.join("plugins"))
}

/// A Python with impyla: its interpreter.
pub fn python() -> Result<PathBuf> {
    python_with("python", PYTHON)
}

/// A Python with Trino's client: its interpreter.
pub fn trino_python() -> Result<PathBuf> {
    python_with("trino-python", TRINO_PYTHON)
}

/// A Python with httpx, which speaks HTTP/2: its interpreter.
pub fn httpx_python() -> Result<PathBuf> {
    python_with("httpx-python", HTTPX_PYTHON)
}

/// A Python with fsspec and what it needs for WebHDFS with Kerberos: its interpreter.
pub fn fsspec_python() -> Result<PathBuf> {
    python_with("fsspec-python", FSSPEC_PYTHON)
}

fn python_with(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = package(name, "1", &packages.concat(), |folder| {
        make_python(folder, packages)
    })?;
    Ok(folder.join("bin/python"))
}

fn make_python(folder: &Path, packages: &[&str]) -> Result<()> {
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(folder);
    run(venv)
        .context("cannot make Python's folder (Debian packages python3-venv and python3-dev)")?;
    // The script `pip` names the draft's folder, which is renamed.
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet"]).args(packages);
    run(pip).map(|_| ())
}
