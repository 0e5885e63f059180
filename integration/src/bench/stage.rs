//! The surroundings of all measurements: folder, lab, addresses, tokens.

use std::{
    fs::{self, Permissions},
    net::{Ipv4Addr, SocketAddrV4},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

use super::token;
use crate::{
    GATEWAY, Lab, Server,
    machine::{names, progress},
};

/// How long to wait for another lab on this machine to end.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// The name that clients use for every proxy.
pub const PROXY: &str = "proxy.example.com";
/// The user that logs in everywhere.
pub const USER: &str = "alice";

/// The surroundings of all measurements.
#[derive(Debug)]
pub struct Stage {
    /// The lab's KDC, and Hadoop if it was asked for.
    pub lab: Lab,
    /// The folder for configurations, logs and keytabs; every user may look into it.
    pub folder: PathBuf,
    /// The merged keytab of gateway and bare loop.
    pub keytab: PathBuf,
    /// Cores of this machine, and threads of every proxy.
    pub cores: u32,
    /// The gateway's program.
    pub gateway: PathBuf,
    /// A ticket cache of the user without any service's ticket.
    fresh: PathBuf,
}

impl Stage {
    /// Starts a lab with these servers, and makes the keytab.
    pub fn set(folder: &Path, gateway: PathBuf, servers: &[Server]) -> Result<Stage> {
        progress::say("starting the lab, if need be after another one has ended");
        let lab = Lab::builder()
            .with(servers)
            .wait_for_turn(PATIENCE)
            .start()?;
        let keytab = folder.join("merged.keytab");
        lab.realm()
            .merged_keytab(&[&format!("HTTP/{PROXY}"), GATEWAY], &keytab)?;
        let fresh = folder.join("fresh.ccache");
        fs::copy(lab.tickets(USER)?, &fresh)?;
        let cores = thread::available_parallelism()?.get();
        Ok(Stage {
            lab,
            folder: folder.to_owned(),
            keytab,
            cores: u32::try_from(cores)?,
            gateway,
            fresh,
        })
    }

    /// Fresh tokens of the user for the proxy, each with a ticket of its own.
    pub fn first_tokens(&self, count: usize) -> Result<Vec<String>> {
        let program = std::env::current_exe()?;
        let program = program.to_str().context("a program with a name in UTF-8")?;
        let next = AtomicUsize::new(0);
        let share = || -> Result<Vec<String>> {
            let mut tokens = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(tokens);
                }
                let cache = self.folder.join(format!("first-{number}.ccache"));
                fs::copy(&self.fresh, &cache)?;
                let mut command = self.lab.command_as(USER, program)?;
                command.env("KRB5CCNAME", &cache);
                tokens.extend(token::fetch(command, &format!("HTTP/{PROXY}"), 1)?);
                fs::remove_file(cache)?;
            }
        };
        let tokens = thread::scope(|scope| {
            let makers: Vec<_> = (0..self.cores).map(|_| scope.spawn(share)).collect();
            makers
                .into_iter()
                .map(|maker| match maker.join() {
                    Ok(done) => done,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
                .collect::<Result<Vec<_>>>()
        })?;
        Ok(tokens.concat())
    }

    /// Fresh tokens of the user for the proxy, as values of `Authorization`. Each can be used once.
    pub fn tokens(&self, count: usize) -> Result<Vec<String>> {
        self.tokens_of(USER, &format!("HTTP/{PROXY}"), count)
    }

    /// Fresh tokens of any principal for any service.
    pub fn tokens_of(&self, principal: &str, service: &str, count: usize) -> Result<Vec<String>> {
        let program = std::env::current_exe()?;
        let program = program.to_str().context("a program with a name in UTF-8")?;
        token::fetch(self.lab.command_as(principal, program)?, service, count)
    }
}

/// A port of the address that all proxies listen at.
pub fn proxy(port: u16) -> SocketAddrV4 {
    let address = names::address("proxy").unwrap_or(Ipv4Addr::LOCALHOST);
    SocketAddrV4::new(address, port)
}

/// A folder below the one for temporary files, which is removed at the end.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes it.
    pub fn make() -> Result<Folder> {
        let name = format!("spnegate-bench-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let folder = Folder(path);
        // httpd's children run as another user if this process runs as root.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
