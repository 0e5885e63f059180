//! Raw TCP servers that behave as Hadoop's: they note every byte and answer as scripted.

use std::{
    collections::HashSet,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use spnegate::kinds::PROOF_USER;

use crate::world::{World, world};

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Counts the connections of the backend.
    pub connection: usize,
    /// Head and body, framing included.
    pub raw: Vec<u8>,
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// Without its framing.
    pub body: Vec<u8>,
}

/// What a backend does after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    Keep,
    Close,
    /// Says nothing more until the test lets it go, then closes.
    Hang,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    reason: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    raw: Option<Vec<u8>>,
    then: Then,
}

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

// === impl Seen ===

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self
            .headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let first = all.next().map(|(_, value)| value.as_str());
        assert!(all.next().is_none(), "{name} came twice: {self:?}");
        first
    }

    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// The value of the one `doAs` as the backend reads it; other spellings count too.
    pub fn do_as(&self) -> Option<&str> {
        let mut found = self.query().split('&').filter_map(|piece| {
            let (name, value) = piece.split_once('=')?;
            name.eq_ignore_ascii_case("doas").then_some(value)
        });
        let first = found.next();
        assert_eq!(found.next(), None, "two doAs: {}", self.target);
        first
    }

    /// Whether it stands for a client's request; the gateway's own requests have no id.
    fn is_clients(&self) -> bool {
        self.headers.iter().any(|(name, _)| name == "x-request-id")
    }

    pub fn raw_text(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }
}

// === impl Reply ===

/// An answer of that status.
pub fn reply(status: u16) -> Reply {
    let reason = match status {
        200 => "OK",
        201 => "Created",
        302 => "Found",
        307 => "Temporary Redirect",
        401 => "Authentication required",
        403 => "Forbidden",
        _ => "Whatever",
    };
    Reply {
        status,
        reason: reason.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        raw: None,
        then: Then::Keep,
    }
}

/// An answer of exactly these bytes.
pub fn raw(bytes: &[u8]) -> Reply {
    Reply {
        raw: Some(bytes.to_vec()),
        ..reply(200)
    }
}

/// No answer until the test ends.
pub fn silence() -> Reply {
    raw(b"").then(Then::Hang)
}

/// `StandbyException` as WebHDFS says it.
pub fn standby_exception() -> Reply {
    let text = r#"{"RemoteException":{"exception":"StandbyException","javaClassName":"org.apache.hadoop.ipc.StandbyException","message":"Operation category READ is not supported in state standby"}}"#;
    reply(403)
        .with("Content-Type", "application/json")
        .body(text)
}

impl Reply {
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn reason(mut self, reason: &str) -> Self {
        reason.clone_into(&mut self.reason);
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    pub fn then(mut self, then: Then) -> Self {
        self.then = then;
        self
    }

    fn bytes(&self, extra: &[(String, String)], head: bool) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let mut text = format!("HTTP/1.1 {} {}\r\n", self.status, self.reason);
        for (name, value) in self.headers.iter().chain(extra) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        let mut bytes = text.into_bytes();
        if !head {
            bytes.extend_from_slice(&self.body);
        }
        bytes
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

    /// Whether any connection ever brought these bytes.
    pub fn got(&self, needle: &str) -> bool {
        let needle = needle.as_bytes();
        let bytes = self.0.bytes.lock().unwrap();
        bytes
            .iter()
            .any(|all| all.windows(needle.len()).any(|window| window == needle))
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
        let mut connection = Connection {
            inner: self,
            stream,
            number,
            buffer: Vec::new(),
        };
        loop {
            match connection.exchange() {
                Some(Then::Keep) => {}
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
        let _ = connection.stream.shutdown(Shutdown::Both);
    }

    /// Headers for the answer, or the refusal.
    fn authenticate(&self, seen: &Seen) -> Result<Vec<(String, String)>, Reply> {
        let (logins, issued) = {
            let state = self.state.lock().unwrap();
            (state.logins, state.issued.clone())
        };
        let challenge = || {
            reply(401)
                .with("WWW-Authenticate", "Negotiate")
                .with("Set-Cookie", "hadoop.auth=; Path=/; HttpOnly")
                .with("X-Of-The-Refusal", "secret")
                .body("secret page of the refusal")
        };
        let token = seen
            .headers
            .iter()
            .find_map(|(name, value)| name.eq_ignore_ascii_case("authorization").then_some(value));
        let token = token.and_then(|value| value.strip_prefix("Negotiate "));
        match logins {
            Logins::Open => return Ok(Vec::new()),
            Logins::Unauthorized => {
                return Err(challenge().body(format!("secret {}", token.unwrap_or("no token"))));
            }
            Logins::GssException => {
                return Err(reply(403)
                    .reason("GSSException: Failure unspecified at GSS-API level (secret)")
                    .with("X-Of-The-Refusal", "secret")
                    .body("secret page of the refusal"));
            }
            Logins::Cookie | Logins::EveryRequest | Logins::WrongMutual => {}
        }
        let cookies: Vec<&str> = seen
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("cookie"))
            .flat_map(|(_, value)| value.split("; "))
            .collect();
        // AuthenticationFilter takes the first of its name
        let own = cookies.iter().find_map(|c| c.strip_prefix("hadoop.auth="));
        if own.is_some_and(|value| issued.contains(value)) {
            return Ok(Vec::new());
        }
        let Some(token) = token else {
            return Err(challenge());
        };
        let token = BASE64_STANDARD.decode(token).unwrap_or_default();
        let Some(mutual) = self.world.accept(&token) else {
            return Err(reply(403).reason("GSSException: Defective token detected"));
        };
        let number = self.logins.fetch_add(1, Ordering::AcqRel) + 1;
        let mut headers = vec![(
            "WWW-Authenticate".to_owned(),
            crate::world::negotiate(&mutual),
        )];
        match logins {
            Logins::WrongMutual => {
                headers[0].1 = crate::world::negotiate(&[mutual, b"x".to_vec()].concat()[1..]);
            }
            Logins::EveryRequest => {}
            Logins::Cookie | Logins::Unauthorized | Logins::GssException | Logins::Open => {
                let end = std::time::SystemTime::now() + std::time::Duration::from_secs(36_000);
                let end = end
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap()
                    .as_millis();
                let value = format!(
                    "\"u=spnegate&p=spnegate/proxy&t=kerberos&e={end}&s={}-{number}\"",
                    self.name
                );
                self.state.lock().unwrap().issued.insert(value.clone());
                headers.push((
                    "Set-Cookie".to_owned(),
                    format!("hadoop.auth={value}; Path=/; HttpOnly"),
                ));
            }
        }
        Ok(headers)
    }

    /// Probes, proofs and pages that logins ask for, as the kinds know them.
    fn keep_house(&self, seen: &Seen) -> Reply {
        let (role, obeys) = {
            let state = self.state.lock().unwrap();
            (state.role, state.obeys)
        };
        let json = |status, body: &str| {
            reply(status)
                .with("Content-Type", "application/json")
                .body(body)
        };
        if let Some(user) = seen.do_as() {
            let oozie = seen.path().starts_with("/oozie");
            return match obeys {
                Obeys::Later => reply(503),
                Obeys::No if oozie => json(200, r#"{"systemMode":"NORMAL"}"#),
                Obeys::No => json(200, r#"{"Path":"/user/spnegate"}"#),
                Obeys::Yes if user != PROOF_USER => reply(400),
                Obeys::Yes if oozie => reply(401).with("oozie-error-code", "E1400"),
                Obeys::Yes => json(
                    403,
                    r#"{"RemoteException":{"exception":"AuthorizationException","message":"User: spnegate is not allowed to impersonate x"}}"#,
                ),
            };
        }
        match (seen.path(), role) {
            (_, Role::Sick) => reply(500),
            ("/isActive", Role::Standby) => reply(405).body("I am not Active!"),
            ("/isActive", Role::Active) => reply(200).body("I am Active!"),
            ("/ws/v1/cluster/info", Role::Active) => {
                json(200, r#"{"clusterInfo":{"haState":"ACTIVE"}}"#)
            }
            ("/ws/v1/cluster/info", Role::Standby) => {
                json(200, r#"{"clusterInfo":{"haState":"STANDBY"}}"#)
            }
            ("/oozie/v1/admin/status", _) => json(200, r#"{"systemMode":"NORMAL"}"#),
            _ => json(200, "{}"),
        }
    }
}

struct Connection<'i> {
    inner: &'i Inner,
    stream: TcpStream,
    number: usize,
    buffer: Vec<u8>,
}

impl Connection<'_> {
    /// Reads more; false at the end.
    fn fill(&mut self) -> bool {
        let mut chunk = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return false,
                Ok(read) => {
                    self.buffer.extend_from_slice(&chunk[..read]);
                    let mut bytes = self.inner.bytes.lock().unwrap();
                    // of long uploads the start is enough
                    if bytes[self.number].len() < 1 << 20 {
                        bytes[self.number].extend_from_slice(&chunk[..read]);
                    }
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// Takes bytes up to and with the end of line.
    fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                return Some(self.buffer.drain(..at + 2).collect());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            if !self.fill() {
                return None;
            }
        }
        Some(self.buffer.drain(..count).collect())
    }

    /// One request and its answer; `None` at the end.
    fn exchange(&mut self) -> Option<Then> {
        let mut seen = self.head()?;
        let clients = seen.is_clients();
        if clients {
            let early = Arc::clone(&self.inner.state.lock().unwrap().early);
            if let Some(reply) = early(&seen) {
                self.inner.seen.lock().unwrap().push(seen);
                self.stream.write_all(&reply.bytes(&[], false)).ok()?;
                return Some(reply.then);
            }
        }
        self.body(&mut seen)?;
        let list = if clients {
            &self.inner.seen
        } else {
            &self.inner.housekeeping
        };
        {
            let (frozen, changed) = &self.inner.frozen;
            let mut frozen = frozen.lock().unwrap();
            while *frozen {
                frozen = changed.wait(frozen).unwrap();
            }
        }
        let authenticated = self.inner.authenticate(&seen);
        // the login page of a gateway that is turned away is the gateway's own business
        list.lock().unwrap().push(seen.clone());
        let (reply, extra) = match authenticated {
            Err(reply) => (reply, Vec::new()),
            Ok(extra) if clients => {
                let script = Arc::clone(&self.inner.state.lock().unwrap().script);
                (script(&seen), extra)
            }
            Ok(extra) => (self.inner.keep_house(&seen), extra),
        };
        let bytes = reply.bytes(&extra, seen.method == "HEAD");
        self.stream.write_all(&bytes).ok()?;
        Some(reply.then)
    }

    /// Reads strictly: what a lenient server would have to guess at is a failed test.
    fn head(&mut self) -> Option<Seen> {
        let first = self.line()?;
        let mut raw = first.clone();
        let line = String::from_utf8(first).unwrap();
        let parts: Vec<&str> = line.trim_end().split(' ').collect();
        let [method, target, "HTTP/1.1"] = parts[..] else {
            panic!("request line {line:?}")
        };
        let mut seen = Seen {
            connection: self.number,
            raw: Vec::new(),
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        loop {
            let line = self.line()?;
            raw.extend_from_slice(&line);
            let text = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
            assert!(!text.contains(['\r', '\n', '\0']), "header line {text:?}");
            if text.is_empty() {
                break;
            }
            let (name, value) = text
                .split_once(':')
                .unwrap_or_else(|| panic!("header {text:?}"));
            assert!(
                !name.is_empty() && !name.contains([' ', '\t']),
                "header name {text:?}"
            );
            seen.headers
                .push((name.to_owned(), value.trim().to_owned()));
        }
        seen.raw = raw;
        assert!(seen.header("host").is_some(), "no host: {seen:?}");
        Some(seen)
    }

    fn body(&mut self, seen: &mut Seen) -> Option<()> {
        let length = seen
            .header("content-length")
            .map(|v| v.parse::<usize>().unwrap());
        match (length, seen.header("transfer-encoding")) {
            (Some(_), Some(_)) => panic!("two framings: {seen:?}"),
            (None, None) => {}
            (Some(length), None) => {
                seen.body = self.exactly(length)?;
                seen.raw.extend_from_slice(&seen.body);
            }
            (None, Some(coding)) => {
                assert_eq!(coding, "chunked");
                loop {
                    let line = self.line()?;
                    seen.raw.extend_from_slice(&line);
                    let digits = std::str::from_utf8(&line[..line.len() - 2]).unwrap();
                    let size = usize::from_str_radix(digits, 16)
                        .unwrap_or_else(|_| panic!("chunk size {digits:?}"));
                    let chunk = self.exactly(size + 2)?;
                    assert!(chunk.ends_with(b"\r\n"), "no trailers, no odd chunks");
                    seen.raw.extend_from_slice(&chunk);
                    if size == 0 {
                        break;
                    }
                    seen.body.extend_from_slice(&chunk[..size]);
                }
            }
        }
        Some(())
    }
}
