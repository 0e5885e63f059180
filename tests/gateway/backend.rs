//! Raw TCP servers that imitate Hadoop's: they record every byte and send scripted responses.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crate::world::{World, world};

mod connection;
mod house;
mod reply;
mod seen;

use connection::Connection;
pub use reply::{Reply, Then, raw, remote_exception, reply, silence, standby_exception};
pub use seen::Seen;

/// How a backend authenticates the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logins {
    /// A token is exchanged for a cookie.
    Cookie,
    /// A token is valid for its request only; no cookie is set.
    EveryRequest,
    /// Always 401, with the received token in its body.
    Unauthorized,
    /// 403, as Hadoop sends for an invalid token.
    GssException,
    /// Accepts the token without a mutual token in the response.
    WrongMutual,
    /// No authentication.
    Open,
}

/// Role of the backend in a failover pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Active,
    Standby,
    /// The probe receives 500.
    Sick,
}

/// How the backend treats `doAs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obeys {
    Yes,
    No,
    /// 503 to the impersonation check.
    Later,
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;
type Early = dyn Fn(&Seen) -> Option<Reply> + Send + Sync;

struct State {
    logins: Logins,
    role: Role,
    obeys: Obeys,
    script: Arc<Script>,
    early: Arc<Early>,
    issued: HashSet<String>,
}

struct Inner {
    world: &'static World,
    name: &'static str,
    address: SocketAddr,
    state: Mutex<State>,
    seen: Mutex<Vec<Seen>>,
    housekeeping: Mutex<Vec<Seen>>,
    bytes: Mutex<Vec<Vec<u8>>>,
    streams: Mutex<Vec<TcpStream>>,
    logins: AtomicUsize,
    dead: AtomicBool,
    announced: AtomicBool,
    announcements: Mutex<Vec<SocketAddr>>,
    frozen: (Mutex<bool>, Condvar),
    gate: (Mutex<bool>, Condvar),
}

/// A running backend, which stops when its last handle is dropped.
#[derive(Clone)]
pub struct Backend(
    Arc<Inner>,
    #[allow(dead_code, reason = "its drop is its use")] Arc<Warden>,
);

struct Warden(Arc<Inner>);

impl Drop for Warden {
    fn drop(&mut self) {
        self.0.kill();
    }
}

// === impl Backend ===

/// A backend with the principal `HTTP/nn1` in the common world.
pub fn backend() -> Backend {
    Backend::start(world(), "nn1")
}

/// A second backend, `HTTP/nn2`.
pub fn second() -> Backend {
    Backend::start(world(), "nn2")
}

/// The URL of a port where nothing listens.
pub fn nowhere() -> String {
    let free = TcpListener::bind((Ipv4Addr::new(127, 9, 9, 9), 0)).unwrap();
    format!("http://{}", free.local_addr().unwrap())
}

impl Backend {
    /// A backend that is active, honours `doAs`, and responds with the user it received.
    pub fn start(world: &'static World, name: &'static str) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let [high, low] = u16::try_from(number).unwrap().to_be_bytes();
        let listener = TcpListener::bind((Ipv4Addr::new(127, 1, high, low), 0)).unwrap();
        let inner = Arc::new(Inner {
            world,
            name,
            address: listener.local_addr().unwrap(),
            state: Mutex::new(State {
                logins: Logins::Cookie,
                role: Role::Active,
                obeys: Obeys::Yes,
                script: Arc::new(|seen: &Seen| {
                    let user = seen.do_as().unwrap_or("nobody").to_owned();
                    reply(200).with("Content-Type", "text/plain").body(user)
                }),
                early: Arc::new(|_: &Seen| None),
                issued: HashSet::new(),
            }),
            seen: Mutex::default(),
            housekeeping: Mutex::default(),
            bytes: Mutex::default(),
            streams: Mutex::default(),
            logins: AtomicUsize::new(0),
            dead: AtomicBool::new(false),
            announced: AtomicBool::new(false),
            announcements: Mutex::default(),
            frozen: (Mutex::new(false), Condvar::new()),
            gate: (Mutex::new(false), Condvar::new()),
        });
        let backend = Self(Arc::clone(&inner), Arc::new(Warden(Arc::clone(&inner))));
        thread::spawn(move || inner.listen(&listener));
        backend
    }

    pub fn answers(self, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        self.now_answers(script);
        self
    }

    pub fn now_answers(&self, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        self.0.state.lock().unwrap().script = Arc::new(script);
    }

    /// Sends a response before the body of the request is read; the body is then left unread.
    pub fn answers_early(
        self,
        early: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        self.0.state.lock().unwrap().early = Arc::new(early);
        self
    }

    pub fn logins(self, logins: Logins) -> Self {
        self.now_logins(logins);
        self
    }

    pub fn now_logins(&self, logins: Logins) {
        self.0.state.lock().unwrap().logins = logins;
    }

    pub fn role(self, role: Role) -> Self {
        self.now(role);
        self
    }

    pub fn now(&self, role: Role) {
        self.0.state.lock().unwrap().role = role;
    }

    pub fn obeys(self, obeys: Obeys) -> Self {
        self.now_obeys(obeys);
        self
    }

    pub fn now_obeys(&self, obeys: Obeys) {
        self.0.state.lock().unwrap().obeys = obeys;
    }

    /// Invalidates all cookies that it has set.
    pub fn revoke(&self) {
        self.0.state.lock().unwrap().issued.clear();
    }

    /// As SIGSTOP: connections are accepted and requests read, but no response is sent.
    pub fn freeze(&self) {
        *self.0.frozen.0.lock().unwrap() = true;
    }

    /// As SIGCONT: requests received in the meantime are answered.
    pub fn thaw(&self) {
        self.0.thaw();
    }

    /// Refuses new connections and closes the existing ones.
    pub fn kill(&self) {
        self.0.kill();
    }

    /// Requires a PROXY protocol header at the start of every connection.
    pub fn announced(self) -> Self {
        self.0.announced.store(true, Ordering::Release);
        self
    }

    /// The client addresses of the received PROXY protocol headers.
    pub fn announcements(&self) -> Vec<SocketAddr> {
        self.0.announcements.lock().unwrap().clone()
    }

    pub fn address(&self) -> SocketAddr {
        self.0.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    pub fn spn(&self) -> String {
        self.0.world.realm.spn(self.0.name).to_string()
    }

    /// Clients' requests, in the order in which they were complete.
    pub fn seen(&self) -> Vec<Seen> {
        self.0.seen.lock().unwrap().clone()
    }

    /// The client's request, which must be the only one.
    pub fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }

    pub fn forget(&self) {
        self.0.seen.lock().unwrap().clear();
    }

    /// The gateway's own requests: probes, impersonation checks and logins.
    pub fn housekeeping(&self) -> Vec<Seen> {
        self.0.housekeeping.lock().unwrap().clone()
    }

    /// Number of accepted tokens.
    pub fn login_count(&self) -> usize {
        self.0.logins.load(Ordering::Acquire)
    }

    /// Whether any connection carried these bytes. The gateway's own tokens are left out: a
    /// thousand random letters sometimes contain a short word by chance.
    pub fn got(&self, needle: &str) -> bool {
        let bytes = self.0.bytes.lock().unwrap();
        bytes.iter().any(|all| {
            let text = String::from_utf8_lossy(all);
            let mut pieces = text.split("Negotiate Y");
            let first = pieces.next().into_iter();
            let others = pieces.map(|piece| piece.split_once('\r').map_or("", |(_, rest)| rest));
            first.chain(others).any(|piece| piece.contains(needle))
        })
    }
}

// === impl Inner ===

impl Inner {
    fn let_go(&self) {
        *self.gate.0.lock().unwrap() = true;
        self.gate.1.notify_all();
    }

    fn thaw(&self) {
        *self.frozen.0.lock().unwrap() = false;
        self.frozen.1.notify_all();
    }

    fn kill(&self) {
        self.thaw();
        self.dead.store(true, Ordering::Release);
        self.let_go();
        // wakes the listening thread, which then drops the listener
        while TcpStream::connect(self.address).is_ok() {
            thread::yield_now();
        }
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn listen(self: Arc<Self>, listener: &TcpListener) {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { continue };
            if self.dead.load(Ordering::Acquire) {
                return;
            }
            stream.set_nodelay(true).unwrap();
            self.streams
                .lock()
                .unwrap()
                .push(stream.try_clone().unwrap());
            let number = {
                let mut bytes = self.bytes.lock().unwrap();
                bytes.push(Vec::new());
                bytes.len() - 1
            };
            let inner = Arc::clone(&self);
            thread::Builder::new()
                .stack_size(256 * 1024)
                .spawn(move || inner.serve(stream, number))
                .unwrap();
        }
    }

    fn serve(&self, stream: TcpStream, number: usize) {
        let mut connection = Connection::new(self, stream, number);
        if self.announced.load(Ordering::Acquire) {
            let Some(client) = connection.announcement() else {
                return connection.shut();
            };
            self.announcements.lock().unwrap().push(client);
        }
        loop {
            match connection.exchange() {
                Some(Then::Keep) => {}
                Some(Then::End) => {
                    thread::sleep(Duration::from_millis(1));
                    if !connection.end() {
                        break;
                    }
                }
                Some(Then::Close) | None => break,
                Some(Then::Hang) => {
                    let mut open = self.gate.0.lock().unwrap();
                    while !*open {
                        open = self.gate.1.wait(open).unwrap();
                    }
                    break;
                }
            }
        }
        connection.shut();
    }
}
