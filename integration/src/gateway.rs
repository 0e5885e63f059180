//! The gateway in front of a lab: writes its files, starts the program, waits for it and ends it.
//!
//! It listens at the lab's `proxy.example.com`, every console on its usual port, with the names and
//! the realm of the lab.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    net::{Ipv4Addr, SocketAddrV4},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{
    clients::client::{Client, Reply},
    gateway::console::Console,
    lab::{GATEWAY, Lab, world::World},
    machine::{
        names,
        process::{Process, run},
        sys::Signal,
        wait,
    },
};

pub(crate) mod console;
pub(crate) mod stage;

/// The principal that clients log in to.
pub const SERVICE: &str = "HTTP/proxy.example.com";
/// The port of the operators' listener.
const ADMIN_PORT: u16 = 9095;
const READY: Duration = Duration::from_secs(60);

/// A gateway that has not been started.
#[derive(Debug)]
pub struct GatewayBuilder<'a> {
    lab: &'a Lab,
    consoles: Vec<String>,
    sections: String,
    services: Vec<String>,
    clock: Option<PathBuf>,
}

impl GatewayBuilder<'_> {
    /// Publishes a console with `identity = "doas"`.
    pub fn console(self, console: Console) -> Self {
        self.console_as(console, "doas")
    }

    /// Publishes a console with another identity.
    pub fn console_as(mut self, console: Console, identity: &str) -> Self {
        let listen = SocketAddrV4::new(address(), console.port());
        let text = console.section(self.lab, listen, identity);
        self.consoles.push(text);
        self
    }

    /// Puts one more principal into the keytab, for clients that ask for another service than HTTP.
    pub fn service(mut self, principal: &str) -> Self {
        self.services.push(principal.to_owned());
        self
    }

    /// Adds sections to the configuration file without changes.
    pub fn sections(mut self, toml: &str) -> Self {
        self.sections.push_str(toml);
        self.sections.push('\n');
        self
    }

    /// Gives the gateway a clock of its own, which [`Gateway::move_clock`] sets (Debian package
    /// faketime). Its timers follow the machine's monotonic clock.
    pub fn own_clock(mut self) -> Self {
        self.clock = Some(self.lab.folder().join("gateway-clock"));
        self
    }

    /// Writes the files, starts the program, and waits until every console can be used. If no
    /// console is named, all consoles whose servers the lab has are published.
    pub fn start(mut self) -> Result<Gateway> {
        if self.consoles.is_empty() {
            for console in Console::ALL {
                if !console.backends(self.lab).is_empty() {
                    self = self.console(*console);
                }
            }
        }
        let folder = self.lab.folder().join("gateway");
        fs::create_dir_all(&folder)?;
        let keytab = folder.join("merged.keytab");
        let services = self.services.iter().map(String::as_str);
        let principals: Vec<_> = [SERVICE, GATEWAY].into_iter().chain(services).collect();
        self.lab.realm().merged_keytab(&principals, &keytab)?;
        let config = folder.join("spnegate.toml");
        let secret = folder.join("secret");
        fs::write(&secret, "the lab's secret, of 32 bytes or more")?;
        fs::set_permissions(&secret, Permissions::from_mode(0o600))?;
        fs::write(&config, self.config(&folder))?;
        let log = self.lab.folder().join("logs/gateway.log");
        let mut serve = self.lab.world().command(program()?);
        serve.args(["serve", "--config"]).arg(&config);
        if let Some(clock) = &self.clock {
            fs::write(clock, "+0s")?;
            fake_clock(&mut serve, clock)?;
        }
        let gateway = Gateway {
            process: Mutex::new(Process::start(serve, &log)?),
            config,
            keytab,
            log,
            clock: self.clock,
        };
        gateway.wait_ready()?;
        Ok(gateway)
    }

    fn config(&self, folder: &Path) -> String {
        let folder = folder.display();
        let head = format!(
            "[kerberos]\n\
             keytab = \"{folder}/merged.keytab\"\n\
             principal = \"{GATEWAY}@{realm}\"\n\
             replay_cache = \"{folder}/rcache\"\n\n\
             [session]\nsecret_file = \"{folder}/secret\"\n\n\
             [admin]\nlisten = \"{}:{ADMIN_PORT}\"\n\n",
            address(),
            realm = names::REALM,
        );
        head + &self.sections + "\n" + &self.consoles.join("\n")
    }
}

/// A running gateway. Dropping it kills the process.
#[derive(Debug)]
pub struct Gateway {
    process: Mutex<Process>,
    config: PathBuf,
    keytab: PathBuf,
    log: PathBuf,
    clock: Option<PathBuf>,
}

impl Gateway {
    /// A gateway before `lab`, to be described and started.
    pub fn builder(lab: &Lab) -> GatewayBuilder<'_> {
        GatewayBuilder {
            lab,
            consoles: Vec::new(),
            sections: String::new(),
            services: Vec::new(),
            clock: None,
        }
    }

    /// Starts the program with an existing configuration file, without waiting.
    pub fn serve(world: &World, config: PathBuf, keytab: PathBuf, log: PathBuf) -> Result<Gateway> {
        let mut serve = world.command(program()?);
        serve.args(["serve", "--config"]).arg(&config);
        Ok(Gateway {
            process: Mutex::new(Process::start(serve, &log)?),
            config,
            keytab,
            log,
            clock: None,
        })
    }

    /// The program, for its other commands.
    pub fn tool(world: &World) -> Result<Command> {
        Ok(world.command(program()?))
    }

    // === addresses and files ===

    /// A URL of a published console; `path` with its leading slash.
    pub fn url(console: Console, path: &str) -> String {
        format!("http://{}:{}{path}", names::full("proxy"), console.port())
    }

    /// A client of a published console.
    pub fn client(console: Console) -> Client {
        Gateway::client_at(console.port())
    }

    /// A client of another console, by its port.
    pub fn client_at(port: u16) -> Client {
        Client::new(SocketAddrV4::new(address(), port), &names::full("proxy"))
    }

    /// The operators' page.
    pub fn admin_url() -> String {
        format!("http://{}:{ADMIN_PORT}/", address())
    }

    /// The configuration file.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// The merged keytab.
    pub fn keytab(&self) -> &Path {
        &self.keytab
    }

    // === what it says ===

    /// The lines of both its logs so far.
    pub fn log_lines(&self) -> Result<Vec<String>> {
        let text = fs::read(&self.log)?;
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The operators' status page as JSON.
    pub fn status(&self) -> Result<Value> {
        Ok(serde_json::from_slice(&admin("/?format=json")?.body)?)
    }

    /// The state of every backend of a published console, by its URL.
    pub fn backends(&self, console: Console) -> Result<BTreeMap<String, String>> {
        self.backends_of(console.name())
    }

    /// The same by the console's name in the configuration.
    pub fn backends_of(&self, console: &str) -> Result<BTreeMap<String, String>> {
        let status = self.status()?;
        let consoles = status["consoles"].as_array().context("no consoles")?;
        let found = consoles.iter().find(|c| c["name"] == console);
        let found = found.with_context(|| format!("no console {console}"))?;
        let backends = found["backends"].as_array().context("no backends")?;
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(backends
            .iter()
            .map(|backend| (word(&backend["url"]), word(&backend["state"])))
            .collect())
    }

    /// Waits until it sees a backend (by its URL) in that state.
    pub fn wait_backend(&self, console: &str, url: &str, state: &str) -> Result<()> {
        wait::until(&format!("{url} is {state}"), READY, || {
            let states = self.backends_of(console)?;
            let found = states.get(url).with_context(|| format!("no {url}"))?;
            Ok((found == state).then_some(()))
        })
    }

    /// The sum of a metric's values over all lines that begin with `line`, a name with or without
    /// its first labels.
    pub fn metric(&self, line: &str) -> Result<f64> {
        let text = admin("/metrics")?.text();
        let values = text
            .lines()
            .filter(|known| known.starts_with(line))
            .filter_map(|known| known.rsplit(' ').next()?.parse::<f64>().ok());
        Ok(values.sum())
    }

    // === the process ===

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process().pid()
    }

    /// Resident memory in bytes.
    pub fn rss(&self) -> Result<u64> {
        self.process().resident_bytes()
    }

    /// The maximum resident memory since the start or [`Gateway::forget_peak`], in bytes.
    pub fn peak(&self) -> Result<u64> {
        self.process().peak_bytes()
    }

    /// Resets [`Gateway::peak`].
    pub fn forget_peak(&self) -> Result<()> {
        let path = format!("/proc/{}/clear_refs", self.pid());
        fs::write(&path, "5").with_context(|| format!("cannot write {path}"))
    }

    /// Sets the state of a backend (host:port): `drain`, `maintenance` or `ready`.
    pub fn assign(&self, duty: &str, console: &str, backend: &str) -> Result<()> {
        let mut command = Command::new(program()?);
        command.args(["backend", duty, console, backend, "--config"]);
        command.arg(&self.config);
        run(command).map(|_| ())
    }

    /// Sets its clock ahead of the machine's; see [`GatewayBuilder::own_clock`].
    pub fn move_clock(&self, ahead: Duration) -> Result<()> {
        let clock = self.clock.as_ref().context("it has no clock of its own")?;
        // replaced atomically, since the file is read whenever the clock is read
        let draft = clock.with_extension("draft");
        fs::write(&draft, format!("+{}s", ahead.as_secs()))?;
        Ok(fs::rename(draft, clock)?)
    }

    /// Sends SIGTERM, so that it drains and ends; does not wait.
    pub fn term(&self) -> Result<()> {
        self.process().signal(Signal::Term)
    }

    /// Waits until it has ended by itself.
    pub fn wait_ended(&self) -> Result<ExitStatus> {
        wait::until("the gateway has ended", READY, || {
            Ok(self.process().ended()?)
        })
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until every console has a backend that serves.
    pub fn wait_ready(&self) -> Result<()> {
        let ready = wait::until("every console has a backend that serves", READY, || {
            if let Some(status) = self.process().ended()? {
                bail!("the gateway has ended ({status})");
            }
            Ok(self.is_ready().unwrap_or(false).then_some(()))
        });
        ready.with_context(|| {
            let lines = self.log_lines().unwrap_or_default();
            let last = lines[lines.len().saturating_sub(20)..].join("\n  ");
            format!("its log {} ends:\n  {last}", self.log.display())
        })
    }

    /// Whether every console has a backend that serves, or is closed for a permanent reason.
    fn is_ready(&self) -> Result<bool> {
        let status = self.status()?;
        let consoles = status["consoles"].as_array().context("no consoles")?;
        let is_settled = |console: &Value| {
            let mut backends = console["backends"].as_array().into_iter().flatten();
            backends.any(|b| b["state"] == "active" || b["state"] == "identity_ignored")
        };
        let answers = Console::ALL.iter().all(|console| {
            let published = consoles.iter().any(|c| c["name"] == console.name());
            let place = SocketAddrV4::new(address(), console.port());
            !published
                || wait::http_status(place, &names::full("proxy"), "/.spnegate/health") == Some(200)
        });
        Ok(answers && consoles.iter().all(is_settled))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process().kill();
    }
}

/// Lets a program read its time from a file (`+660s`), monotonic clocks excepted.
fn fake_clock(command: &mut Command, clock: &Path) -> Result<()> {
    let library = fs::read_dir("/usr/lib")?
        .filter_map(|folder| Some(folder.ok()?.path().join("faketime/libfaketimeMT.so.1")))
        .find(|library| library.is_file())
        .context("no libfaketime (Debian package faketime)")?;
    let mut preload = library.into_os_string();
    for (name, value) in command.get_envs() {
        if let ("LD_PRELOAD", Some(value)) = (name.to_string_lossy().as_ref(), value) {
            preload.push(":");
            preload.push(value);
        }
    }
    command
        .env("LD_PRELOAD", preload)
        .env("FAKETIME_TIMESTAMP_FILE", clock)
        .env("FAKETIME_NO_CACHE", "1")
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    Ok(())
}

fn admin(path: &str) -> Result<Reply> {
    let address = SocketAddrV4::new(address(), ADMIN_PORT);
    let reply = Client::new(address, &address.ip().to_string()).get(path)?;
    ensure!(reply.status == 200, "{path}: status {}", reply.status);
    Ok(reply)
}

fn address() -> Ipv4Addr {
    names::address("proxy").unwrap_or(Ipv4Addr::LOCALHOST)
}

/// The gateway's program: `$SPNEGATE_BIN`, or beside this one in cargo's folder.
fn program() -> Result<PathBuf> {
    if let Some(program) = std::env::var_os("SPNEGATE_BIN") {
        return Ok(PathBuf::from(program));
    }
    let own = std::env::current_exe()?;
    let beside = own.ancestors().skip(1).take(2).map(|f| f.join("spnegate"));
    beside
        .into_iter()
        .find(|program| program.is_file())
        .with_context(|| {
            let folder = own.parent().unwrap_or(&own).display().to_string();
            format!("no spnegate in or above {folder}: run `cargo build --bin spnegate` first")
        })
}
