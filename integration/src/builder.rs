//! Describing a lab and starting it: checks first, then files, then servers.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cache;
use crate::conf::{Conf, Filter, Property};
use crate::daemons::Daemons;
use crate::folder;
use crate::install;
use crate::keystore;
use crate::lab::{GATEWAY, Lab};
use crate::names;
use crate::ports;
use crate::progress;
use crate::realm::Realm;
use crate::server::Server;
use crate::start;
use crate::sys;
use crate::watchdog::Watchdog;
use crate::world::{self, World};

/// What signs the consoles' cookies; every byte of the file counts, so no newline at its end.
const HTTP_SECRET: &str = "a secret that signs the cookies of the lab";
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
        let lock = folder::take_turn(&folder, self.patience)?;
        let has_jvm = servers.iter().any(|server| *server != Server::Kdc);
        install::check(has_jvm)?;
        let uses = |is_one: fn(Server) -> bool| servers.iter().any(|server| is_one(*server));
        let hadoop = uses(Server::is_hadoop).then(cache::hadoop).transpose()?;
        let oozie = uses(|server| server == Server::Oozie)
            .then(cache::oozie)
            .transpose()?;
        let presto = uses(Server::is_presto).then(cache::presto).transpose()?;
        let hive = uses(|server| server == Server::Hive)
            .then(cache::hive)
            .transpose()?;
        let trino = uses(|server| server == Server::Trino)
            .then(cache::trino)
            .transpose()?;
        ports::must_be_free(servers.iter().copied())?;

        let folder = folder::prepare(&folder, self.keep, &servers)?;
        let kdc = SocketAddrV4::new(Server::Kdc.address(), Server::Kdc.ports()[0]);
        let realm = Realm::open(&folder.join("realm"), kdc)?;
        fs::write(folder.join("hosts"), names::hosts_file(&self.hosts))?;
        names::write_library(&folder)?;
        fs::write(folder.join("http-secret"), HTTP_SECRET)?;
        let krb5_conf = realm.krb5_conf();
        if let Some(jars) = &hadoop {
            let conf = self.conf(&folder, jars, &krb5_conf);
            for server in servers
                .iter()
                .filter(|s| s.host() == s.name() && s.is_hadoop())
            {
                conf.write(*server)?;
            }
            conf.write_client()?;
        }
        if let Some(jars) = &oozie {
            self.conf(&folder, jars, &krb5_conf).write_oozie()?;
        }
        if let Some(jars) = &presto {
            let conf = self.conf(&folder, jars, &krb5_conf);
            for server in servers.iter().filter(|server| server.is_presto()) {
                conf.write_presto(*server)?;
            }
        }
        if let Some(jars) = &hive {
            self.conf(&folder, jars, &krb5_conf).write_hive()?;
        }
        if trino.is_some() {
            self.conf(&folder, Path::new(""), &krb5_conf)
                .write_trino()?;
        }
        keystore::write(&folder.join("tls"), &servers)?;
        let machine = sys::host_name()?;
        fs::write(
            folder.join(names::JVM_HOSTS),
            names::jvm_hosts_file("proxy", &machine, &self.hosts),
        )?;
        let lab = Lab {
            world: World::of(&folder)?,
            watchdog: Mutex::new(Watchdog::start(&folder)?),
            daemons: Daemons {
                folder: folder.clone(),
                krb5_conf,
                hadoop,
                oozie,
                presto,
                hive,
                trino,
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
        start::all(&lab)?;
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
