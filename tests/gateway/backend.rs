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
mod hadoop;
mod reply;
mod seen;

use connection::Connection;
pub use reply::{AfterResponse, Reply, raw, remote_exception, reply, silence, standby_exception};
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
pub enum Impersonation {
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
    impersonation: Impersonation,
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
    own_requests: Mutex<Vec<Seen>>,
    bytes: Mutex<Vec<Vec<u8>>>,
    streams: Mutex<Vec<TcpStream>>,
    logins: AtomicUsize,
    dead: AtomicBool,
    requires_proxy_header: AtomicBool,
    proxy_header_clients: Mutex<Vec<SocketAddr>>,
    frozen: (Mutex<bool>, Condvar),
    gate: (Mutex<bool>, Condvar),
}

/// A running backend, which stops when its last handle is dropped.
#[derive(Clone)]
pub struct Backend(
    Arc<Inner>,
    #[allow(dead_code, reason = "its drop is its use")] Arc<StopOnDrop>,
);

struct StopOnDrop(Arc<Inner>);

impl Drop for StopOnDrop {
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
pub fn unreachable_url() -> String {
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
                impersonation: Impersonation::Yes,
                script: Arc::new(|seen: &Seen| {
                    let user = seen.do_as().unwrap_or("nobody").to_owned();
                    reply(200).with("Content-Type", "text/plain").body(user)
                }),
                early: Arc::new(|_: &Seen| None),
                issued: HashSet::new(),
            }),
            seen: Mutex::default(),
            own_requests: Mutex::default(),
            bytes: Mutex::default(),
            streams: Mutex::default(),
            logins: AtomicUsize::new(0),
            dead: AtomicBool::new(false),
            requires_proxy_header: AtomicBool::new(false),
            proxy_header_clients: Mutex::default(),
            frozen: (Mutex::new(false), Condvar::new()),
            gate: (Mutex::new(false), Condvar::new()),
        });
        let backend = Self(Arc::clone(&inner), Arc::new(StopOnDrop(Arc::clone(&inner))));
        thread::spawn(move || inner.listen(&listener));
        backend
    }

    pub fn responds(self, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        self.set_response(script);
        self
    }

    pub fn set_response(&self, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        self.0.state.lock().unwrap().script = Arc::new(script);
    }

    /// Sends a response before the body of the request is read; the body is then left unread.
    pub fn responds_early(
        self,
        early: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        self.0.state.lock().unwrap().early = Arc::new(early);
        self
    }

    pub fn logins(self, logins: Logins) -> Self {
        self.set_logins(logins);
        self
    }

    pub fn set_logins(&self, logins: Logins) {
        self.0.state.lock().unwrap().logins = logins;
    }

    pub fn role(self, role: Role) -> Self {
        self.set_role(role);
        self
    }

    pub fn set_role(&self, role: Role) {
        self.0.state.lock().unwrap().role = role;
    }

    pub fn impersonation(self, impersonation: Impersonation) -> Self {
        self.set_impersonation(impersonation);
        self
    }

    pub fn set_impersonation(&self, impersonation: Impersonation) {
        self.0.state.lock().unwrap().impersonation = impersonation;
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
    pub fn requires_proxy_header(self) -> Self {
        self.0.requires_proxy_header.store(true, Ordering::Release);
        self
    }

    /// The client addresses of the received PROXY protocol headers.
    pub fn proxy_header_clients(&self) -> Vec<SocketAddr> {
        self.0.proxy_header_clients.lock().unwrap().clone()
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
    pub fn own_requests(&self) -> Vec<Seen> {
        self.0.own_requests.lock().unwrap().clone()
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
    fn release(&self) {
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
        self.release();
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
        if self.requires_proxy_header.load(Ordering::Acquire) {
            let Some(client) = connection.proxy_header() else {
                return connection.shut();
            };
            self.proxy_header_clients.lock().unwrap().push(client);
        }
        loop {
            match connection.exchange() {
                Some(AfterResponse::Keep) => {}
                Some(AfterResponse::End) => {
                    thread::sleep(Duration::from_millis(1));
                    if !connection.end() {
                        break;
                    }
                }
                Some(AfterResponse::Close) | None => break,
                Some(AfterResponse::Hang) => {
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
