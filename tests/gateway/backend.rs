//! Raw TCP servers that behave as Hadoop's: they note every byte and answer as scripted.

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

/// How a backend treats logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logins {
    /// A token earns a cookie.
    Cookie,
    /// A token is good for its request only.
    EveryRequest,
    /// 401, whatever comes, with the token in its body.
    Unauthorized,
    /// Hadoop's 403 for a bad token.
    GssException,
    /// Takes the token and proves nothing.
    WrongMutual,
    /// Wants none.
    Open,
}

/// Active, standby …
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Active,
    Standby,
    /// Answers the probe with 500.
    Sick,
}

/// What it does with `doAs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obeys {
    Yes,
    No,
    /// 503 to a proof.
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

/// A running backend; ends with its last handle.
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

/// A backend `HTTP/nn1` in the common world.
pub fn backend() -> Backend {
    Backend::start(world(), "nn1")
}

/// A second one, `HTTP/nn2`.
pub fn second() -> Backend {
    Backend::start(world(), "nn2")
}

/// The URL of a server that is not there.
pub fn nowhere() -> String {
    let free = TcpListener::bind((Ipv4Addr::new(127, 9, 9, 9), 0)).unwrap();
    format!("http://{}", free.local_addr().unwrap())
}

impl Backend {
    /// One that obeys, is active, and says who it was told.
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

    /// What it says to a client's request before it has read the body; then it does not read it.
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

    /// Forgets all cookies that it gave.
    pub fn revoke(&self) {
        self.0.state.lock().unwrap().issued.clear();
    }

    /// As SIGSTOP: connections are taken and requests read, and nothing is answered.
    pub fn freeze(&self) {
        *self.0.frozen.0.lock().unwrap() = true;
    }

    /// As SIGCONT: what was asked meanwhile is answered.
    pub fn thaw(&self) {
        self.0.thaw();
    }

    /// Refuses connections and breaks those there are.
    pub fn kill(&self) {
        self.0.kill();
    }

    /// Every connection has to begin with a PROXY protocol header.
    pub fn announced(self) -> Self {
        self.0.announced.store(true, Ordering::Release);
        self
    }

    /// The clients of those headers.
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

    /// Clients' requests, in the order of their ends.
    pub fn seen(&self) -> Vec<Seen> {
        self.0.seen.lock().unwrap().clone()
    }

    /// The only client's request.
    pub fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }

    pub fn forget(&self) {
        self.0.seen.lock().unwrap().clear();
    }

    /// Probes, proofs and logins.
    pub fn housekeeping(&self) -> Vec<Seen> {
        self.0.housekeeping.lock().unwrap().clone()
    }

    /// Tokens that were accepted.
    pub fn login_count(&self) -> usize {
        self.0.logins.load(Ordering::Acquire)
    }

    /// Whether any connection ever brought these bytes, the gateway's own tokens apart: a thousand
    /// random letters hold every short word now and then.
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
