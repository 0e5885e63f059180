//! Principals, keytabs, tickets and sessions that the tests of one realm share.

use std::{
    path::PathBuf,
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::HeaderMap;
use spnegate::{
    auth::{
        Scheme,
        names::{AuthToLocal, Mechanism},
        secret::Secret,
        session::{SessionLimits, Sessions, unix_now},
    },
    gss::{
        Acceptor, AcceptorOptions, Initiator, InitiatorOptions, LoginStep, Principal, ReplayCache,
    },
};

use crate::realm::Realm;

/// Users that have keys; sessions can be made for any name.
pub const USERS: [&str; 3] = ["alice", "bob", "carol"];

/// A realm with users, the gateway's principals and the backends' principals.
pub struct World {
    pub realm: Realm,
    /// `proxy.r0.example.com`
    pub proxy: String,
    /// All keys of the gateway.
    pub keytab: PathBuf,
    /// Signs the sessions of all gateways of this world.
    pub secret: PathBuf,
    pub users: PathBuf,
    backends: Mutex<Acceptor>,
    clients: Initiator,
    sessions: Sessions,
    files: AtomicUsize,
}

/// The world for tests that change nothing in it.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(World::start)
}

/// Runs a future to completion.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

impl World {
    pub fn start() -> Self {
        let realm = Realm::start();
        let domain = realm.domain();
        let gateway: Vec<Principal> =
            ["HTTP/proxy", "HTTP/alias", "presto/proxy", "spnegate/proxy"]
                .iter()
                .map(|name| realm.principal(&format!("{name}.{domain}")))
                .collect();
        let keytab = realm.add_with_keytab("gateway.keytab", &gateway.iter().collect::<Vec<_>>());
        let users: Vec<Principal> = USERS.iter().map(|name| realm.principal(name)).collect();
        let users = realm.add_with_keytab("users.keytab", &users.iter().collect::<Vec<_>>());
        let servers = [realm.spn("nn1"), realm.spn("nn2")];
        let servers = realm.add_with_keytab("servers.keytab", &servers.iter().collect::<Vec<_>>());
        let backends = Mutex::new(acceptor(servers));
        let secret = realm.path("secret");
        std::fs::write(&secret, [7; 32]).unwrap();
        let hour = Duration::from_secs(3600);
        let limits = SessionLimits {
            lifetime: hour,
            idle: hour,
            capacity: 10_000,
        };
        Self {
            proxy: format!("proxy.{domain}"),
            keytab,
            backends,
            clients: initiator(&users),
            users,
            sessions: Sessions::new(limits, &Secret::read(&secret).unwrap()),
            secret,
            files: AtomicUsize::new(0),
            realm,
        }
    }

    /// A file name that no other test uses.
    pub fn file(&self, suffix: &str) -> PathBuf {
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        self.realm.path(&format!("f{number}.{suffix}"))
    }

    /// `spnegate=<value>`: a session cookie; the user need not exist.
    pub fn cookie(&self, user: &str) -> String {
        self.cookie_for(user, Scheme::Plain)
    }

    /// A session cookie for listeners of that scheme.
    pub fn cookie_for(&self, user: &str, scheme: Scheme) -> String {
        let end = SystemTime::now() + Duration::from_secs(3600);
        self.session(user, scheme, end, unix_now())
    }

    /// A session that expires after `left`.
    pub fn short_cookie(&self, user: &str, left: Duration) -> String {
        self.session(user, Scheme::Plain, SystemTime::now() + left, unix_now())
    }

    /// A session that ended an hour ago.
    pub fn expired_cookie(&self, user: &str) -> String {
        let end = SystemTime::now() - Duration::from_secs(3600);
        self.session(user, Scheme::Plain, end, unix_now() - 7200)
    }

    fn session(&self, user: &str, scheme: Scheme, end: SystemTime, now: u64) -> String {
        let names = AuthToLocal::compile(&["DEFAULT"], Mechanism::Hadoop, self.realm.name());
        let principal = self.realm.principal(user);
        let begun = self
            .sessions
            .begin(&principal, end, scheme, &names.unwrap(), now)
            .unwrap();
        let cookie = begun.cookie.unwrap();
        let cookie = cookie.to_str().unwrap();
        cookie.split(';').next().unwrap().to_owned()
    }

    /// `Negotiate <token>` of a user for `HTTP/proxy`.
    pub fn authorization(&self, user: &str) -> String {
        self.authorization_for(user, &self.realm.spn("proxy"))
    }

    /// `Negotiate <token>` of a user for any service.
    pub fn authorization_for(&self, user: &str, service: &Principal) -> String {
        let user = self.realm.principal(user);
        let token = block_on(self.clients.token(&user, service)).unwrap();
        negotiate(&token.token)
    }

    /// An initiator that holds no tickets yet.
    pub fn fresh_clients(&self) -> Initiator {
        initiator(&self.users)
    }

    /// New keys for the backends in a new file, as cluster managers write them, and a restart: the
    /// old keys are no longer valid.
    pub fn renew_backends(&self) {
        let spns = [self.realm.spn("nn1"), self.realm.spn("nn2")];
        let spns: Vec<_> = spns.iter().collect();
        self.realm.rotate(&spns);
        *self.backends.lock().unwrap() = acceptor(self.realm.keytab("servers.keytab", &spns));
    }

    /// A backend's check of a token: returns the mutual token if it is accepted.
    pub fn accept(&self, token: &[u8]) -> Option<Vec<u8>> {
        let accepting = self
            .backends
            .lock()
            .unwrap()
            .accept(token.to_vec(), None, None);
        match block_on(accepting) {
            Ok(LoginStep::Done(accepted)) => Some(accepted.reply.unwrap_or_default()),
            Ok(LoginStep::Continue { .. }) | Err(_) => None,
        }
    }

    /// Whether a cookie is still a valid session.
    pub fn is_session(&self, cookie: &str) -> bool {
        let names = AuthToLocal::compile(&["DEFAULT"], Mechanism::Hadoop, self.realm.name());
        let mut headers = HeaderMap::new();
        headers.insert("cookie", cookie.parse().unwrap());
        let found = self
            .sessions
            .find(&headers, Scheme::Plain, &names.unwrap(), unix_now());
        matches!(found, spnegate::auth::session::SessionLookup::Session(_))
    }
}

fn acceptor(keytab: PathBuf) -> Acceptor {
    Acceptor::start(AcceptorOptions {
        keytab,
        replay_cache: ReplayCache::None,
        threads: 2,
        queue: 1024,
        deadline: Duration::from_secs(20),
    })
    .unwrap()
}

pub fn initiator(keytab: &std::path::Path) -> Initiator {
    Initiator::start(InitiatorOptions {
        keytab: keytab.to_path_buf(),
        threads: 2,
        queue: 1024,
        deadline: Duration::from_secs(20),
    })
    .unwrap()
}

/// A token as the value of `Authorization`.
pub fn negotiate(token: &[u8]) -> String {
    format!("Negotiate {}", BASE64_STANDARD.encode(token))
}
