//! Describing a lab and starting it: checks, files, then all servers, each as soon as those it
//! needs are ready.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{Read, Seek, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::cache;
use crate::conf::{Conf, Filter, Property};
use crate::daemons::Daemons;
use crate::install;
use crate::lab::{GATEWAY, Lab};
use crate::names;
use crate::ports;
use crate::progress;
use crate::realm::Realm;
use crate::server::Server;
use crate::sys;
use crate::wait;
use crate::watchdog::Watchdog;
use crate::world::{self, World};

/// What signs the consoles' cookies; every byte of the file counts, so no newline at its end.
const HTTP_SECRET: &str = "a secret that signs the cookies of the lab";
/// Says that a folder is a lab's, and so may be emptied.
const MARKER: &str = ".spnegate-lab";
const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// A lab that has not been started.
#[derive(Debug, Default)]
pub struct Builder {
    folder: Option<PathBuf>,
    keep: bool,
    patience: Duration,
    servers: BTreeSet<Server>,
    filter: Filter,
    properties: Vec<Property>,
    hosts: Vec<(String, Ipv4Addr)>,
}

impl Builder {
    /// Adds servers; what they need is added by itself. Without any, the lab is a realm with a KDC.
    pub fn with(mut self, servers: impl IntoIterator<Item = impl Borrow<Server>>) -> Builder {
        self.servers
            .extend(servers.into_iter().map(|server| *server.borrow()));
        self
    }

    /// The lab's folder in place of [`crate::default_folder`].
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Builder {
        self.folder = Some(folder.into());
        self
    }

    /// Goes on with the data of an earlier lab in the same folder, in place of emptying it.
    pub fn keep_data(mut self) -> Builder {
        self.keep = true;
        self
    }

    /// How long to wait for another lab on this machine to end, in place of refusing at once.
    pub fn wait_for_turn(mut self, patience: Duration) -> Builder {
        self.patience = patience;
        self
    }

    /// The filter of Hadoop's consoles.
    pub fn filter(mut self, filter: Filter) -> Builder {
        self.filter = filter;
        self
    }

    /// A property for every server, in `site` (for example `core-site`).
    pub fn property(self, site: &str, name: &str, value: &str) -> Builder {
        self.add_property(None, site, name, value)
    }

    /// A property for one server.
    pub fn property_of(self, server: Server, site: &str, name: &str, value: &str) -> Builder {
        self.add_property(Some(server), site, name, value)
    }

    fn add_property(
        mut self,
        server: Option<Server>,
        site: &str,
        name: &str,
        value: &str,
    ) -> Builder {
        let (site, name, value) = (site.to_owned(), name.to_owned(), value.to_owned());
        self.properties.push(Property {
            server,
            site,
            name,
            value,
        });
        self
    }

    /// One more name (full) and its address in the lab's world.
    pub fn host(mut self, name: &str, address: Ipv4Addr) -> Builder {
        self.hosts.push((name.to_owned(), address));
        self
    }

    /// Starts everything, and returns when it can be used. On failure everything is ended again.
    pub fn start(self) -> Result<Lab> {
        let begun = Instant::now();
        let servers = Server::with_needs(self.servers.iter().copied());
        let folder = self.folder.clone().unwrap_or_else(world::default_folder);
        let lock = take_turn(&folder, self.patience)?;
        let has_jvm = servers.iter().any(|server| *server != Server::Kdc);
        install::check(has_jvm)?;
        let uses_hadoop = servers
            .iter()
            .any(|s| !matches!(s, Server::Kdc | Server::Oozie));
        let hadoop = uses_hadoop.then(cache::hadoop).transpose()?;
        let oozie = servers
            .contains(&Server::Oozie)
            .then(cache::oozie)
            .transpose()?;
        ports::must_be_free(servers.iter().copied())?;

        let folder = prepare(&folder, self.keep, &servers)?;
        let kdc = std::net::SocketAddrV4::new(Server::Kdc.address(), Server::Kdc.ports()[0]);
        let realm = Realm::open(&folder.join("realm"), kdc)?;
        fs::write(folder.join("hosts"), names::hosts_file(&self.hosts))?;
        fs::write(folder.join("http-secret"), HTTP_SECRET)?;
        let krb5_conf = realm.krb5_conf();
        if let Some(jars) = &hadoop {
            let conf = self.conf(&folder, jars, &krb5_conf);
            for server in servers
                .iter()
                .filter(|s| s.host() == s.name() && **s != Server::Kdc)
            {
                conf.write(*server)?;
            }
            conf.write_client()?;
        }
        if let Some(jars) = &oozie {
            self.conf(&folder, jars, &krb5_conf).write_oozie()?;
        }
        let lab = Lab {
            world: World::of(&folder)?,
            watchdog: Watchdog::start(&folder)?,
            daemons: Daemons {
                folder: folder.clone(),
                krb5_conf,
                hadoop,
                oozie,
            },
            folder,
            realm,
            servers,
            processes: Mutex::default(),
            formatting: Mutex::default(),
            formatting_zk: Mutex::default(),
            ticketing: Mutex::default(),
            lock,
        };
        for user in USERS {
            lab.realm.user(user, user)?;
        }
        let principals = principals(&lab.servers);
        lab.realm
            .principals_with_keytabs(principals.iter().map(String::as_str))?;
        start_all(&lab)?;
        progress::took(
            &format!("the lab is ready in {}", lab.folder.display()),
            begun.elapsed(),
        );
        Ok(lab)
    }

    fn conf<'a>(&'a self, folder: &'a Path, jars: &'a Path, krb5_conf: &'a Path) -> Conf<'a> {
        let (filter, properties, hosts) = (self.filter, &self.properties, &self.hosts);
        Conf {
            folder,
            jars,
            krb5_conf,
            filter,
            properties,
            hosts,
        }
    }
}

/// Every principal the servers and the gateway log in as.
fn principals(servers: &BTreeSet<Server>) -> BTreeSet<String> {
    let of_servers = servers.iter().flat_map(|server| {
        let services = server
            .service()
            .into_iter()
            .flat_map(|service| [service, "HTTP"]);
        services.map(|service| format!("{service}/{}", server.host_name()))
    });
    let gateway = [GATEWAY.to_owned(), format!("HTTP/{}", names::full("proxy"))];
    of_servers.chain(gateway).collect()
}

// === the machine's one place for a lab ===

/// Takes the lock that a lab holds as long as it lives, or says who has it.
fn take_turn(folder: &Path, patience: Duration) -> Result<File> {
    let path = std::env::temp_dir().join("spnegate-lab.lock");
    // Opened without O_CREAT first: in a sticky folder that fails for another user's file.
    let open = OpenOptions::new().read(true).write(true).open(&path);
    let mut lock = open
        .or_else(|_| {
            let fresh = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)?;
            fresh.set_permissions(Permissions::from_mode(0o666))?;
            Ok::<_, std::io::Error>(fresh)
        })
        .with_context(|| format!("cannot open {}", path.display()))?;
    let taken = wait::until("the other lab has ended", patience, || {
        Ok(lock.try_lock().ok())
    });
    if taken.is_err() {
        let mut holder = String::new();
        lock.read_to_string(&mut holder)?;
        bail!(
            "a lab is running on this machine already ({}); only one fits",
            holder.trim()
        );
    }
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(
        lock,
        "pid {}, folder {}",
        std::process::id(),
        folder.display()
    )?;
    Ok(lock)
}

/// Makes the lab's folder, empty unless `keep`; a folder that is not a lab's is never emptied.
fn prepare(folder: &Path, keep: bool, servers: &BTreeSet<Server>) -> Result<PathBuf> {
    if folder.exists() {
        let owner = fs::metadata(folder)?.uid();
        ensure!(
            owner == sys::user_id(),
            "{} belongs to another user",
            folder.display()
        );
        let is_lab = folder.join(MARKER).exists();
        let is_empty = fs::read_dir(folder)?.next().is_none();
        ensure!(
            is_lab || is_empty,
            "{} holds something that is no lab's",
            folder.display()
        );
        if !keep {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    fs::remove_dir_all(entry.path())?;
                } else {
                    fs::remove_file(entry.path())?;
                }
            }
        }
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    let folder = folder.canonicalize()?;
    let text = folder
        .to_str()
        .context("the lab's folder has a name that is no text")?;
    ensure!(
        !text.contains([' ', '\'', '@']),
        "{text}: no blanks, quotes or at signs, please"
    );
    fs::write(folder.join(MARKER), "")?;
    for name in servers.iter().map(|server| server.name()).chain(["client"]) {
        fs::create_dir_all(folder.join("tmp").join(name))?;
        fs::create_dir_all(folder.join("logs").join(name))?;
    }
    for name in ["data/httpfs", "data/oozie"] {
        fs::create_dir_all(folder.join(name))?;
    }
    Ok(folder)
}

// === starting ===

#[derive(Default)]
struct Board {
    ready: BTreeSet<Server>,
    failed: bool,
}

/// Starts every server in a thread of its own, as soon as those it comes after are ready.
fn start_all(lab: &Lab) -> Result<()> {
    let board = (Mutex::new(Board::default()), Condvar::new());
    thread::scope(|scope| {
        let threads: Vec<_> = lab
            .servers
            .iter()
            .map(|server| scope.spawn(|| start_in_turn(lab, *server, &board)))
            .collect();
        let results = threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        // All are joined; the first failure is told.
        results.collect::<Vec<_>>().into_iter().collect()
    })
}

fn start_in_turn(lab: &Lab, server: Server, board: &(Mutex<Board>, Condvar)) -> Result<()> {
    let (state, changed) = board;
    let comes_after = |board: &Board| {
        let mut needs = server
            .after()
            .iter()
            .filter(|need| lab.servers.contains(need));
        needs.all(|need| board.ready.contains(need))
    };
    let waited = changed
        .wait_while(
            state.lock().unwrap_or_else(PoisonError::into_inner),
            |board| !board.failed && !comes_after(board),
        )
        .unwrap_or_else(PoisonError::into_inner);
    if waited.failed {
        return Ok(());
    }
    drop(waited);
    let result = bring_up(lab, server);
    let mut board = state.lock().unwrap_or_else(PoisonError::into_inner);
    match &result {
        Ok(()) => drop(board.ready.insert(server)),
        Err(_) => board.failed = true,
    }
    changed.notify_all();
    result
}

/// Starts one server, with what must be done once before and after.
fn bring_up(lab: &Lab, server: Server) -> Result<()> {
    match server {
        Server::Nn1 | Server::Nn2 => lab.format_hdfs()?,
        Server::Zkfc1 | Server::Zkfc2 => lab.format_zk()?,
        _ => {}
    }
    lab.spawn(server)?;
    lab.wait_ready(server)?;
    progress::took(&format!("{server} is up"), lab.age(server));
    match server {
        Server::Dn1 => {
            lab.lay_out_hdfs()?;
            progress::say("HDFS is ready");
        }
        Server::Nm1 => {
            lab.wait_yarn_ready()?;
            progress::say("YARN is ready");
        }
        _ => {}
    }
    Ok(())
}
