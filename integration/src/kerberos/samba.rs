//! An Active Directory: the KDC of Samba's domain controller, with names and folder of its own.
//!
//! Its realm has the same name as the lab's, so the two exclude each other on one machine. Only its
//! KDC runs; accounts are changed in its database (`python/domain.py`), which requires root. It is
//! created again for each start, in about 15 s.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    net::SocketAddrV4,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    lab::{
        folder,
        world::{self, World},
    },
    machine::{
        names::{self, REALM},
        process::{Process, run, run_with_input},
        wait,
    },
    packages::java,
};

const KDC_PORT: u16 = 8820;
const READY: Duration = Duration::from_secs(60);
const DOMAIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/domain.py");
const CONSOLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/java/Console.java");

const LOGIN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/java/Login.java");

/// A running domain. Dropping it ends its KDC.
#[derive(Debug)]
pub struct Domain {
    folder: PathBuf,
    world: World,
    kdc: Mutex<Process>,
    /// Held while the domain runs, since its gateways listen at the same addresses as a lab's.
    _lock: File,
}

impl Domain {
    /// Creates the domain with the built-in accounts only, and starts its KDC.
    pub fn start(folder: &Path, patience: Duration) -> Result<Domain> {
        ensure!(
            Path::new("/usr/sbin/samba").exists() && Path::new("/usr/bin/samba-tool").exists(),
            "missing: Samba's domain controller (Debian package samba-ad-dc)"
        );
        let lock = folder::take_turn(folder, patience)?;
        let folder = folder::prepare(folder, false, &BTreeSet::new())?;
        for name in ["realm/tickets", "samba/run", "keytabs"] {
            fs::create_dir_all(folder.join(name))?;
        }
        names::write_library(&folder)?;
        fs::write(folder.join("hosts"), names::hosts_file(&[]))?;
        provision(&folder)?;
        let domain = Domain {
            world: World::of(&folder)?,
            kdc: Mutex::new(Process::start(
                kdc(&folder),
                &folder.join("logs/samba.log"),
            )?),
            _lock: lock,
            folder,
        };
        domain.write_krb5_conf("krb5.conf", "")?;
        wait::until("Samba's KDC listens", READY, || {
            let ended = domain
                .kdc
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .ended()?;
            if let Some(status) = ended {
                bail!("samba has ended ({status}), see logs/samba.log");
            }
            Ok(wait::listens(kdc_address()).then_some(()))
        })?;
        Ok(domain)
    }

    /// The domain's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The environment of programs that take part in the domain.
    pub fn world(&self) -> World {
        self.world.clone()
    }

    /// The same with more lines in `[libdefaults]` of `krb5.conf`.
    pub fn world_with(&self, name: &str, libdefaults: &str) -> Result<World> {
        let file = format!("{name}.conf");
        let path = self.write_krb5_conf(&file, libdefaults)?;
        Ok(self.world().with_krb5_conf(&path))
    }

    fn write_krb5_conf(&self, file: &str, libdefaults: &str) -> Result<PathBuf> {
        let path = self.folder.join("realm").join(file);
        let kdc = kdc_address();
        let text = format!(
            "[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n dns_lookup_realm = \
             false\n dns_canonicalize_hostname = false\n rdns = false\n udp_preference_limit = 1\n \
             {libdefaults}\n[realms]\n {REALM} = {{\n  kdc = {kdc}\n }}\n[domain_realm]\n \
             .example.com = {REALM}\n"
        );
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Runs lines of `python/domain.py` and returns their output.
    pub fn run(&self, lines: &str) -> Result<String> {
        // Samba's modules are installed for the system's Python only.
        let mut python = Command::new("/usr/bin/python3");
        python.arg(DOMAIN).arg(smb_conf(&self.folder));
        python
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = python.spawn().context("cannot run /usr/bin/python3")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(lines.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "{lines}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// An attribute of an account; empty if it has none.
    pub fn attribute(&self, account: &str, name: &str) -> Result<String> {
        let said = self.run(&format!("get {account} {name}\n"))?;
        Ok(said.lines().last().unwrap_or_default().to_owned())
    }

    /// Writes the current keys of principals into a new file, which appears atomically.
    pub fn keytab(&self, name: &str, principals: &[&str]) -> Result<PathBuf> {
        let path = self.folder.join("keytabs").join(name);
        let fresh = path.with_extension("new");
        if fresh.exists() {
            fs::remove_file(&fresh)?;
        }
        self.run(&format!(
            "keytab {} {}\n",
            fresh.display(),
            principals.join(" ")
        ))?;
        fs::rename(&fresh, &path)?;
        Ok(path)
    }

    /// Fresh tickets of a user.
    pub fn kinit(&self, user: &str, password: &str) -> Result<PathBuf> {
        let cache = self.folder.join("realm/tickets").join(user);
        let mut kinit = self.world.command("kinit");
        kinit.arg("-c").arg(&cache).arg(user);
        run_with_input(kinit, Some(&format!("{password}\n")))?;
        Ok(cache)
    }

    /// Fetches a URL by curl with those tickets.
    pub fn get(&self, tickets: &Path, url: &str) -> Result<world::Answer> {
        world::get(&self.world().with_tickets(tickets), url)
    }

    /// Tokens for services, spelled exactly as requested (`HTTP/HOST.example.com@REALM`), by the
    /// keys of a user: values of `Authorization`.
    pub fn tokens(&self, keytab: &Path, user: &str, services: &[&str]) -> Result<Vec<String>> {
        let conf = self.folder.join("realm/krb5.conf");
        let mut login = Command::new(java::program("java")?);
        login
            .arg(format!("-Djava.security.krb5.conf={}", conf.display()))
            .arg(LOGIN)
            .arg(keytab)
            .arg(user)
            .args(services);
        let said = run(login)?;
        let tokens = said
            .lines()
            .filter_map(|line| Some(format!("Negotiate {}", line.split_whitespace().nth(2)?)));
        Ok(tokens.collect())
    }

    /// A console behind Hadoop's login (`java/Console.java`), on the host for stand-ins.
    pub fn console(&self, port: u16, keytab: &Path, cookies: bool) -> Result<Process> {
        let address = SocketAddrV4::new(names::address("backend").context("no backend")?, port);
        let conf = self.folder.join("realm/krb5.conf");
        let mut java = Command::new(java::program("java")?);
        java.arg("-Xmx48m")
            .arg(format!("-Djava.security.krb5.conf={}", conf.display()))
            .arg(CONSOLE)
            .arg(address.ip().to_string())
            .arg(port.to_string())
            .arg(keytab)
            .arg(if cookies { "cookie" } else { "every-request" });
        let log = self.folder.join(format!("logs/console-{port}.log"));
        let mut process = Process::start(java, &log)?;
        wait::until("the console listens", READY, || {
            if let Some(status) = process.ended()? {
                bail!("it has ended ({status}), see {}", log.display());
            }
            Ok(wait::listens(address).then_some(()))
        })?;
        Ok(process)
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        let kdc = self.kdc.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = kdc.kill();
    }
}

fn kdc_address() -> SocketAddrV4 {
    let address = names::address("dc1").unwrap_or(std::net::Ipv4Addr::LOCALHOST);
    SocketAddrV4::new(address, KDC_PORT)
}

fn smb_conf(folder: &Path) -> PathBuf {
    folder.join("samba/smb.conf")
}

fn provision(folder: &Path) -> Result<()> {
    let address = *kdc_address().ip();
    let samba = folder.join("samba");
    let mut tool = Command::new("/usr/bin/samba-tool");
    tool.args([
        "domain",
        "provision",
        "--server-role=dc",
        "--domain=EXAMPLE",
    ])
    .args([
        "--dns-backend=NONE",
        "--adminpass=Adm1n-pass",
        "--host-name=dc1",
    ])
    .arg(format!("--targetdir={}", samba.display()))
    .arg(format!("--realm={REALM}"))
    .arg(format!("--host-ip={address}"))
    .arg(format!("--option=interfaces={address}/8"))
    .arg("--option=bind interfaces only=yes");
    run(tool).context("samba-tool domain provision wants root")?;
    let samba = samba.display();
    let text = format!(
        "[global]\n netbios name = DC1\n realm = {REALM}\n workgroup = EXAMPLE\n server role = \
         active directory domain controller\n server services = kdc\n interfaces = {address}/8\n \
         bind interfaces only = yes\n prefork children = 1\n krb5 port = {KDC_PORT}\n kpasswd port = \
         0\n private dir = {samba}/private\n state directory = {samba}/state\n cache directory = \
         {samba}/cache\n lock directory = {samba}\n pid directory = {samba}/run\n ncalrpc dir = \
         {samba}/run/ncalrpc\n log file = {samba}/log.%m\n"
    );
    fs::write(smb_conf(folder), text)?;
    Ok(())
}

fn kdc(folder: &Path) -> Command {
    let mut samba = Command::new("/usr/sbin/samba");
    samba
        .args(["--interactive", "--debug-stdout", "-s"])
        .arg(smb_conf(folder));
    samba
}
