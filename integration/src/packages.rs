//! The jars, fetched once from Maven Central and kept between labs.
//!
//! A package lies in `<cache>/<name>-<version>/`. It is put together in a folder beside it and
//! renamed when it is whole, so that an interrupted download is simply begun again (Maven keeps
//! the jars it already has). Its `.done` file holds the recipe: a changed pom makes it anew.

pub mod install;
pub(crate) mod java;
mod maven;
mod sql;

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};

use crate::{
    machine::{process::run, progress},
    packages::maven::Maven,
};

pub use sql::{fsspec_python, httpx_python};
pub(crate) use sql::{hive, presto, python, trino, trino_plugins, trino_python};

const HADOOP_VERSION: &str = "3.4.2";
const HADOOP_POM: &str = include_str!("../pom/hadoop.xml");
const SHIM: &str = include_str!("../shim/SecureIOUtils.java");
/// Parts of the names of jars no daemon here loads: other platforms, test leftovers, a database.
const HADOOP_UNUSED: &[&str] = &[
    "-osx-",
    "aarch",
    "riscv64",
    "-windows-",
    "junit-",
    "hamcrest-",
    "mssql-jdbc-",
];

const OOZIE_VERSION: &str = "5.2.1";
const OOZIE_POM: &str = include_str!("../pom/oozie.xml");
/// Of the jars beside the war, the ones the embedded server needs; the war's come after them.
const OOZIE_SERVER_JARS: &[&str] = &[
    "jetty-",
    "javax.annotation-api",
    "asm-6",
    "asm-commons-6",
    "asm-tree-6",
    "oozie-",
    "hadoop-",
    "commons-configuration",
    "htrace-core",
    "commons-digester",
    "gson",
    "commons-net",
];
/// The one Jetty 6 jar among them, which old Hadoop clients ask for.
const OOZIE_OLD_JETTY: &str = "jetty-util-6";
/// Jars of the war that must not be seen: an old Jetty shadows the server's, the rest is unused.
const OOZIE_WAR_UNUSED: &[&str] = &["jetty-all-7", "j2v8_", "calcite", "ant-1", "asm-"];

/// What a server is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Software {
    /// Debian's packages, so nothing of the cache.
    MitKerberos,
    Hadoop,
    Oozie,
    Presto,
    Hive,
    Trino,
}

impl Software {
    /// Its package in the cache, which is fetched where it is missing.
    pub(crate) fn fetch(self) -> Result<Option<PathBuf>> {
        match self {
            Self::MitKerberos => return Ok(None),
            Self::Hadoop => hadoop(),
            Self::Oozie => oozie(),
            Self::Presto => presto(),
            Self::Hive => hive(),
            Self::Trino => trino(),
        }
        .map(Some)
    }
}

/// The folder of all packages: `$SPNEGATE_LAB_CACHE`, or `spnegate-lab` in the user's cache folder.
pub fn folder() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("SPNEGATE_LAB_CACHE") {
        return Ok(PathBuf::from(folder));
    }
    let caches = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))
        .context("none of SPNEGATE_LAB_CACHE, XDG_CACHE_HOME and HOME is set")?;
    Ok(caches.join("spnegate-lab"))
}

/// Hadoop's jars (`lib`), its web pages (`web`) and the replaced classes (`shim`).
pub fn hadoop() -> Result<PathBuf> {
    let recipe = [HADOOP_POM, SHIM].concat();
    package("hadoop", HADOOP_VERSION, &recipe, build_hadoop)
}

/// Oozie's jars (`server`, then `war`), and its web pages (`webapp`).
pub fn oozie() -> Result<PathBuf> {
    package("oozie", OOZIE_VERSION, OOZIE_POM, build_oozie)
}

fn package(
    name: &str,
    version: &str,
    recipe: &str,
    build: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let cache = folder()?;
    fs::create_dir_all(&cache).with_context(|| format!("cannot make {}", cache.display()))?;
    let ready = cache.join(format!("{name}-{version}"));
    let is_whole = || fs::read_to_string(ready.join(".done")).is_ok_and(|made| made == recipe);
    if is_whole() {
        return Ok(ready);
    }
    // One builder at a time; whoever waited finds the work done.
    let lock = File::create(cache.join(".lock"))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    if is_whole() {
        return Ok(ready);
    }
    let begun = Instant::now();
    let draft = cache.join(format!("{name}-{version}.part"));
    remove(&draft)?;
    fs::create_dir(&draft)?;
    build(&draft).with_context(|| format!("cannot fetch {name} {version}"))?;
    fs::write(draft.join(".done"), recipe)?;
    remove(&ready)?;
    fs::rename(&draft, &ready)?;
    progress::took(
        &format!("{name} {version} is in {}", ready.display()),
        begun.elapsed(),
    );
    Ok(ready)
}

fn build_hadoop(folder: &Path) -> Result<()> {
    let lib = folder.join("lib");
    let maven = Maven::new(folder, HADOOP_POM)?;
    maven.fetch_dependencies(&format!("Hadoop {HADOOP_VERSION} (about 180 jars)"), &lib)?;
    remove_jars(&lib, |name| {
        HADOOP_UNUSED.iter().any(|part| name.contains(part))
    })?;

    // The pages of NameNode, DataNode and JournalNode are only in the jar of HDFS's tests.
    let web = folder.join("web");
    let pages = maven.fetch(&format!(
        "org.apache.hadoop:hadoop-hdfs:{HADOOP_VERSION}:jar:tests"
    ))?;
    extract(&pages, &web, &["webapps"])?;

    let sources = folder.join("sources");
    let netutils = "org/apache/hadoop/net/NetUtils.java";
    let jar = maven.fetch(&format!(
        "org.apache.hadoop:hadoop-common:{HADOOP_VERSION}:jar:sources"
    ))?;
    extract(&jar, &sources, &[netutils])?;
    let netutils = sources.join(netutils);
    let patched = every_loopback_address_is_local(&fs::read_to_string(&netutils)?)?;
    fs::write(&netutils, patched)?;
    let secure_io = sources.join("SecureIOUtils.java");
    fs::write(&secure_io, SHIM)?;
    let shim = folder.join("shim");
    fs::create_dir(&shim)?;
    let mut javac = Command::new(java::program("javac")?);
    javac
        .arg("-nowarn")
        .arg("-cp")
        .arg(lib.join("*"))
        .arg("-d")
        .arg(&shim);
    javac.arg(&secure_io).arg(&netutils);
    run(javac)?;
    remove(&sources)?;
    maven.clean()
}

/// Hadoop's RPC client binds to its principal's host if that address is one of the machine's. For
/// Linux all of 127/8 is, Java names only 127.0.0.1: with the change every daemon is seen by its own.
fn every_loopback_address_is_local(source: &str) -> Result<String> {
    let test = "if (NetworkInterface.getByInetAddress(addr) == null";
    ensure!(
        source.matches(test).count() == 1,
        "NetUtils is not as expected"
    );
    Ok(source.replace(test, &format!("{test} && !addr.isLoopbackAddress()")))
}

fn build_oozie(folder: &Path) -> Result<()> {
    let server = folder.join("server");
    let maven = Maven::new(folder, OOZIE_POM)?;
    maven.fetch_dependencies(&format!("Oozie {OOZIE_VERSION} (about 90 jars)"), &server)?;
    remove_jars(&server, |name| {
        name.starts_with(OOZIE_OLD_JETTY)
            || !OOZIE_SERVER_JARS
                .iter()
                .any(|start| name.starts_with(start))
    })?;
    let war = maven.fetch(&format!(
        "org.apache.oozie:oozie-webapp:{OOZIE_VERSION}:war"
    ))?;
    let webapp = folder.join("webapp");
    extract(&war, &webapp, &[])?;
    // With its WEB-INF in place Jetty would load the jars twice and refuse the web.xml.
    fs::rename(webapp.join("WEB-INF/lib"), folder.join("war"))?;
    remove(&webapp.join("WEB-INF"))?;
    remove_jars(&folder.join("war"), |name| {
        OOZIE_WAR_UNUSED.iter().any(|start| name.starts_with(start))
    })?;
    maven.clean()
}

fn extract(archive: &Path, into: &Path, members: &[&str]) -> Result<()> {
    fs::create_dir_all(into)?;
    let mut jar = Command::new(java::program("jar")?);
    jar.current_dir(into).arg("xf").arg(archive).args(members);
    run(jar).map(|_| ())
}

fn remove_jars(folder: &Path, unwanted: impl Fn(&str) -> bool) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&unwanted) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_netutils_is_noticed() {
        let source = "if (NetworkInterface.getByInetAddress(addr) == null) {";
        let patched = every_loopback_address_is_local(source).unwrap();
        assert!(
            patched.ends_with("== null && !addr.isLoopbackAddress()) {"),
            "{patched}"
        );
        assert!(every_loopback_address_is_local("class NetUtils {}").is_err());
    }
}
