//! The lab itself: running servers, and what tests do to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

use crate::{
    kerberos::realm::Realm,
    lab::{
        builder::Builder,
        watchdog::Watchdog,
        world::{Answer, World},
    },
    machine::{process::Process, sys::Signal, wait},
    packages::Software,
    server::{
        Server,
        daemons::{Daemons, hadoop_tool},
    },
};

pub(crate) mod builder;
pub mod control;
pub(crate) mod folder;
mod ports;
mod start;
mod watchdog;
pub(crate) mod world;

/// The gateway's principal, which Hadoop lets impersonate alice and bob.
pub const GATEWAY: &str = "spnegate/proxy.example.com";

/// Jetty's response for a web application that is not deployed (yet).
const SERVICE_UNAVAILABLE: u16 = 503;

/// A running lab. Dropping it ends every process it started.
#[derive(Debug)]
pub struct Lab {
    pub(crate) folder: PathBuf,
    pub(crate) realm: Realm,
    pub(crate) world: World,
    pub(crate) daemons: Daemons,
    pub(crate) servers: BTreeSet<Server>,
    pub(crate) processes: Mutex<BTreeMap<Server, Process>>,
    pub(crate) watchdog: Mutex<Watchdog>,
    pub(crate) formatting: Mutex<()>,
    pub(crate) formatting_zk: Mutex<()>,
    pub(crate) ticketing: Mutex<()>,
    /// Held while the lab runs, since a machine has room for one only.
    pub(crate) lock: File,
}

impl Lab {
    /// A lab to be described and started.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The lab's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The Kerberos realm.
    pub fn realm(&self) -> &Realm {
        &self.realm
    }

    /// The environment of programs that take part in the lab.
    pub fn world(&self) -> World {
        self.world.clone()
    }

    /// All servers this lab was started with.
    pub fn servers(&self) -> &BTreeSet<Server> {
        &self.servers
    }

    pub(crate) fn has(&self, server: Server) -> bool {
        self.servers.contains(&server)
    }

    pub(crate) fn daemons(&self) -> &Daemons {
        &self.daemons
    }

    // === commands in the lab's world ===

    /// A command that resolves the lab's names and uses its realm, without tickets.
    pub fn command(&self, program: &str) -> Command {
        self.world.command(program)
    }

    /// The same with a principal's tickets, which are fetched if there are none yet.
    pub fn command_as(&self, principal: &str, program: &str) -> Result<Command> {
        Ok(self
            .world()
            .with_tickets(&self.tickets(principal)?)
            .command(program))
    }

    /// `curl --negotiate` as a principal.
    pub fn curl(&self, principal: &str) -> Result<Command> {
        Ok(world::curl(
            &self.world().with_tickets(&self.tickets(principal)?),
        ))
    }

    /// Fetches a URL with SPNEGO as a principal.
    pub fn get(&self, principal: &str, url: &str) -> Result<Answer> {
        world::get(&self.world().with_tickets(&self.tickets(principal)?), url)
    }

    /// A Hadoop client's JVM as a principal: see [`crate::hadoop_tool`].
    pub fn hadoop(&self, principal: &str, tool: &str) -> Result<Command> {
        let tickets = self.tickets(principal)?;
        let mut java = hadoop_tool(&self.folder, tool)?;
        java.env("KRB5CCNAME", format!("FILE:{}", tickets.display()));
        Ok(java)
    }

    /// A principal's ticket cache, filled if there is none.
    pub fn tickets(&self, principal: &str) -> Result<PathBuf> {
        let _turn = self
            .ticketing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let cache = self.realm.ticket_cache(principal);
        if cache.exists() {
            Ok(cache)
        } else {
            self.realm.kinit(principal)
        }
    }

    // === one server ===

    /// Process id of a server.
    pub fn pid(&self, server: Server) -> Result<u32> {
        self.with_process(server, |process| Ok(process.pid()))
    }

    /// Resident memory of a server in bytes.
    pub fn rss(&self, server: Server) -> Result<u64> {
        self.with_process(server, |process| process.resident_bytes())
    }

    /// Whether a server's process exists (also if it is stopped).
    pub fn is_running(&self, server: Server) -> bool {
        self.with_process(server, |process| Ok(process.ended()?.is_none()))
            .unwrap_or(false)
    }

    /// Where a server is reached: its console's URL, or address and port.
    pub fn place(&self, server: Server) -> String {
        server
            .url()
            .unwrap_or_else(|| format!("{}:{}", server.address(), server.ports()[0]))
    }

    /// A server's log file.
    pub fn log(&self, server: Server) -> PathBuf {
        self.folder.join("logs").join(format!("{server}.log"))
    }

    /// Kills a server (SIGKILL), and waits until its process is gone.
    pub fn kill9(&self, server: Server) -> Result<()> {
        self.with_process(server, |process| Ok(process.kill()?))?;
        self.processes().remove(&server);
        Ok(())
    }

    /// Asks a server to end (SIGTERM), and waits until it has.
    pub fn term(&self, server: Server) -> Result<()> {
        self.with_process(server, |process| process.signal(Signal::Term))?;
        wait::until(
            &format!("{server} has ended"),
            Duration::from_secs(30),
            || Ok((!self.is_running(server)).then_some(())),
        )?;
        self.processes().remove(&server);
        Ok(())
    }

    /// Suspends a server's process (SIGSTOP): its ports accept connections, but nothing is
    /// answered.
    pub fn pause(&self, server: Server) -> Result<()> {
        self.with_process(server, |process| process.signal(Signal::Stop))
    }

    /// Lets a paused server go on (SIGCONT).
    pub fn resume(&self, server: Server) -> Result<()> {
        self.with_process(server, |process| process.signal(Signal::Continue))
    }

    /// Makes a server slow for some seconds: it is suspended for 0.3 s of every 0.5 s.
    pub fn slow(&self, server: Server, seconds: u32) -> Result<()> {
        for _ in 0..2 * seconds {
            self.pause(server)?;
            thread::sleep(Duration::from_millis(300));
            self.resume(server)?;
            thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// Starts a server that has ended, and waits until it is ready.
    pub fn start(&self, server: Server) -> Result<()> {
        self.spawn(server)?;
        self.wait_ready(server)
    }

    /// Waits until all ports of a server listen and its console, if it has one, answers.
    pub fn wait_ready(&self, server: Server) -> Result<()> {
        let what = format!("{server} is ready (log: {})", self.log(server).display());
        let limit = Duration::from_secs(120);
        wait::until(&what, limit, || {
            self.fail_if_ended(server)?;
            let listens =
                |port: &u16| wait::listens(std::net::SocketAddrV4::new(server.address(), *port));
            let ready = server.ports().iter().all(listens) && self.answers(server);
            Ok(ready.then_some(()))
        })
        .with_context(|| self.last_words(server))
    }

    /// Whether a listening server is ready: a console's application responds, Presto has workers.
    fn answers(&self, server: Server) -> bool {
        if matches!(server.software(), Software::Presto | Software::Trino) {
            return self.answers_queries(server);
        }
        server.console().is_none_or(|console| {
            let status = wait::http_status(console, &server.host_name(), server.probe());
            status.is_some_and(|status| status != SERVICE_UNAVAILABLE)
        })
    }

    pub(crate) fn spawn(&self, server: Server) -> Result<()> {
        if self.is_running(server) {
            bail!("{server} is running already, as pid {}", self.pid(server)?);
        }
        let command = match server.software() {
            Software::MitKerberos => self.realm.kdc(),
            _ => self.daemons.command(server)?,
        };
        let process = Process::start(command, &self.log(server))?;
        self.processes().insert(server, process);
        Ok(())
    }

    pub(crate) fn fail_if_ended(&self, server: Server) -> Result<()> {
        let ended = self.with_process(server, |process| Ok(process.ended()?))?;
        match ended {
            Some(status) => bail!("{server} has ended ({status})"),
            None => Ok(()),
        }
    }

    /// Fails if a server has ended by itself; one that was killed or terminated does not count.
    pub(crate) fn fail_if_any_ended(&self) -> Result<()> {
        let started: Vec<_> = self.processes().keys().copied().collect();
        started.into_iter().try_for_each(|server| {
            self.fail_if_ended(server)
                .with_context(|| self.last_words(server))
        })
    }

    /// How long ago a server was started.
    pub(crate) fn age(&self, server: Server) -> Duration {
        self.with_process(server, |process| Ok(process.age()))
            .unwrap_or_default()
    }

    /// The end of a server's log, for an error message.
    fn last_words(&self, server: Server) -> String {
        const LINES: usize = 15;
        let log = fs::read_to_string(self.log(server)).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let mut words = format!(
            "{server} is not ready; its log {} ends:",
            self.log(server).display()
        );
        for line in &lines[lines.len().saturating_sub(LINES)..] {
            let _ = write!(words, "\n  {line}");
        }
        words
    }

    fn with_process<T>(
        &self,
        server: Server,
        act: impl FnOnce(&mut Process) -> Result<T>,
    ) -> Result<T> {
        let mut processes = self.processes();
        act(processes
            .get_mut(&server)
            .with_context(|| format!("{server} is not running"))?)
    }

    fn processes(&self) -> MutexGuard<'_, BTreeMap<Server, Process>> {
        self.processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn format_lock(&self) -> MutexGuard<'_, ()> {
        self.formatting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn format_zk_lock(&self) -> MutexGuard<'_, ()> {
        self.formatting_zk
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lab {
    /// Kills every process, as in a power cut; the data remain. HDFS, ZooKeeper and Derby are built
    /// to survive that, and it takes no time.
    pub(crate) fn end(&self) {
        let mut processes = self.processes();
        // The NodeManager before the servers it connects to, the KDC last.
        for process in processes.values_mut().rev() {
            let _ = process.kill();
        }
        let _ = self
            .watchdog
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .finish();
        let _ = flock(&self.lock, FlockOperation::Unlock);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.end();
    }
}
