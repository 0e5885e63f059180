//! Maven, used as a downloader: the dependencies of a pom, or one artifact, into a folder.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::machine::{process::spawn_bound, progress};

const REPORT_EVERY: Duration = Duration::from_secs(5);

/// A pom on disk, ready to be resolved.
pub(crate) struct Maven {
    folder: PathBuf,
}

impl Maven {
    /// Writes the pom into a work folder below `folder`; [`Maven::clean`] removes it.
    pub(crate) fn new(folder: &Path, pom: &str) -> Result<Maven> {
        let folder = folder.join("maven");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("pom.xml"), pom)?;
        Ok(Maven { folder })
    }

    /// Puts every run-time jar of the pom into `into`.
    pub(crate) fn fetch_dependencies(&self, what: &str, into: &Path) -> Result<()> {
        let output = format!("-DoutputDirectory={}", into.display());
        self.run(
            what,
            &[
                "dependency:copy-dependencies",
                "-DincludeScope=runtime",
                &output,
            ],
        )
    }

    /// Fetches one artifact (`group:artifact:version:type[:classifier]`), and returns its file.
    pub(crate) fn fetch(&self, artifact: &str) -> Result<PathBuf> {
        let folder = self.folder.join(artifact.replace(':', "_"));
        let output = format!("-DoutputDirectory={}", folder.display());
        self.run(
            artifact,
            &[
                "dependency:copy",
                &format!("-Dartifact={artifact}"),
                &output,
            ],
        )?;
        let first = fs::read_dir(&folder)?.next();
        Ok(first
            .with_context(|| format!("Maven brought nothing for {artifact}"))??
            .path())
    }

    pub(crate) fn clean(self) -> Result<()> {
        Ok(fs::remove_dir_all(self.folder)?)
    }

    /// Runs Maven, telling every few seconds how many files have come.
    fn run(&self, what: &str, arguments: &[&str]) -> Result<()> {
        progress::say(&format!("fetching {what} with Maven"));
        let log = self.folder.join("maven.log");
        let out = File::create(&log)?;
        let mut maven = Command::new("mvn");
        maven
            .arg("-B")
            .arg("-f")
            .arg(self.folder.join("pom.xml"))
            .args(arguments);
        maven.env_remove("LD_PRELOAD").stdin(Stdio::null());
        maven.stdout(out.try_clone()?).stderr(out);
        let mut child = spawn_bound(maven).context("cannot run mvn (`lab install` installs it)")?;
        let mut reported = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                let said = fs::read_to_string(&log).unwrap_or_default();
                let files = said.matches("Downloaded from").count();
                progress::say(&format!("fetching {what}: {files} files downloaded so far"));
            }
            thread::sleep(Duration::from_millis(50));
        };
        if !status.success() {
            let said = fs::read_to_string(&log).unwrap_or_default();
            let errors: Vec<_> = said
                .lines()
                .filter(|line| line.starts_with("[ERROR]"))
                .take(8)
                .collect();
            bail!("mvn failed for {what} ({status}):\n{}", errors.join("\n"));
        }
        Ok(())
    }
}
