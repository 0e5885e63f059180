//! Describes a lab and starts it: checks first, then files, then servers.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, BTreeSet},
    fs,
    net::{Ipv4Addr, SocketAddrV4},
    path::{Path, PathBuf},
    sync::Mutex,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    kerberos::realm::Realm,
    lab::{
        GATEWAY, Lab, folder, ports, start,
        watchdog::Watchdog,
        world::{self, World},
    },
    machine::{names, progress, sys},
    packages::{Software, install},
    server::{
        Server,
        conf::{Conf, Filter, Property},
        daemons::Daemons,
        keystore,
    },
};

/// The secret that signs the consoles' cookies; every byte of the file counts, so it ends without a
/// newline.
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
    /// Adds servers and the servers that they require. Without any, the lab is a realm with a KDC.
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

    /// Continues with the data of an earlier lab in the same folder instead of emptying it.
    pub fn keep_data(mut self) -> Builder {
        self.keep = true;
        self
    }

    /// How long to wait for another lab on this machine to end, instead of failing immediately.
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

    /// Adds a full host name and its address to the lab's names.
    pub fn host(mut self, name: &str, address: Ipv4Addr) -> Builder {
        self.hosts.push((name.to_owned(), address));
        self
    }

    /// Starts everything and returns when it can be used. On failure all processes are ended.
    pub fn start(self) -> Result<Lab> {
        let begun = Instant::now();
        let servers = Server::with_needs(self.servers.iter().copied());
        let folder = self.folder.clone().unwrap_or_else(world::default_folder);
        let lock = folder::take_turn(&folder, self.patience)?;
        let software: BTreeSet<_> = servers.iter().map(|server| server.software()).collect();
        install::check(software.len() > 1)?;
        let mut packages = BTreeMap::new();
        for software in software {
            packages.extend(software.fetch()?.map(|package| (software, package)));
        }
        ports::must_be_free(servers.iter().copied())?;

        let folder = folder::prepare(&folder, self.keep, &servers)?;
        let kdc = SocketAddrV4::new(Server::Kdc.address(), Server::Kdc.ports()[0]);
        let realm = Realm::open(&folder.join("realm"), kdc)?;
        fs::write(folder.join("hosts"), names::hosts_file(&self.hosts))?;
        names::write_library(&folder)?;
        fs::write(folder.join("http-secret"), HTTP_SECRET)?;
        let krb5_conf = realm.krb5_conf();
        let hadoop = packages.get(&Software::Hadoop).map(PathBuf::as_path);
        let conf = self.conf(&folder, hadoop.unwrap_or(Path::new("")), &krb5_conf);
        for server in &servers {
            conf.write(*server)?;
        }
        if hadoop.is_some() {
            conf.write_client()?;
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
                packages,
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
