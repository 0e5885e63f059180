//! One running server of the comparison.

mod gateway;
mod haproxy;
mod httpd;
mod nginx;
mod stream;

use std::{
    borrow::Cow,
    fs,
    net::{SocketAddr, SocketAddrV4, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{usage, who::Who};
use crate::machine::{process::Process, sys::Signal, wait};

const START: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(10);

/// A server that this benchmark has started; dropping it ends it and its children.
#[derive(Debug)]
pub struct Peer {
    /// Who it is in the tables.
    pub who: Who,
    /// Where it listens.
    pub address: SocketAddrV4,
    process: Process,
    log: PathBuf,
}

impl Peer {
    /// Starts a server, and waits until it listens.
    ///
    /// The kernel sends SIGTERM to `command` when this program dies: nginx and httpd then end their
    /// children, which they could not do after SIGKILL.
    pub(super) fn start(
        who: Who,
        command: &Command,
        address: SocketAddrV4,
        folder: &Path,
    ) -> Result<Peer> {
        if let Err(error) = TcpListener::bind(address) {
            bail!("{who} cannot listen at {address}: {error}");
        }
        let log = folder.join(format!("{}.log", who.word()));
        let mut wrapped = Command::new("setpriv");
        wrapped.arg("--pdeathsig").arg("TERM");
        wrapped.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        let process = Process::start(wrapped, &log)?;
        let mut peer = Peer {
            who,
            address,
            process,
            log,
        };
        let what = format!("{who} listens at {address}");
        wait::until(&what, START, || {
            if let Some(status) = peer.process.ended()? {
                bail!("{who} has ended ({status})");
            }
            Ok(wait::listens(address).then_some(()))
        })
        .with_context(|| peer.last_words())?;
        Ok(peer)
    }

    /// Where it listens, for a client.
    pub fn target(&self) -> SocketAddr {
        SocketAddr::V4(self.address)
    }

    /// The process that was started.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Resident memory of that process in bytes.
    pub fn resident(&self) -> Result<u64> {
        usage::resident(self.pid()).with_context(|| self.last_words())
    }

    /// The end of its log, for an error message.
    pub fn last_words(&self) -> String {
        const LINES: usize = 10;
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(LINES)..];
        format!("the log of {} ends: {}", self.who, last.join("\n  "))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if self.process.signal(Signal::Term).is_ok() {
            let _ = wait::until("it has ended", END, || Ok(self.process.ended()?));
        }
        let _ = self.process.kill();
    }
}

/// Fills a template's `@WORDS@`, and writes it.
pub(super) fn write(template: &str, words: &[(&str, Cow<'_, str>)], path: &Path) -> Result<()> {
    let mut text = template.to_owned();
    for (word, value) in words {
        text = text.replace(&format!("@{word}@"), value);
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
