//! The layers with real tickets: a hyper server, with curl and a client that offers NTLM first.
#![expect(clippy::unwrap_used, reason = "a test")]

#[path = "support/realm.rs"]
mod realm;

use std::{
    convert::Infallible,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::Arc,
    thread,
    time::Duration,
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use libgssapi::{
    context::{ClientCtx, CtxFlags, SecurityContext as _},
    name::Name,
    oid::{GSS_MECH_KRB5, GSS_NT_KRB5_PRINCIPAL},
};
use realm::Realm;
use spnegate::{
    auth::{
        Scheme,
        acl::{AclLayer, AclPolicy},
        names::{AuthToLocal, Mechanism},
        secret::Secret,
        session::{Session, SessionLimits, Sessions},
        spnego::{LoginSlot, SpnegoLayer, SpnegoPolicy},
    },
    gss::{Acceptor, AcceptorOptions, ReplayCache},
};
use tower::{Layer as _, ServiceExt as _};

/// A realm, a user with a ticket, and a console whose response is `<user> <bytes of the body>`.
struct World {
    realm: Realm,
    host: String,
    address: SocketAddr,
}

impl World {
    fn start() -> Self {
        let realm = Realm::start();
        let (alice, proxy) = (realm.principal("alice"), realm.spn("proxy"));
        let presto = realm.principal(&format!("presto/proxy.{}", realm.domain()));
        let keytab = realm.add_with_keytab("proxy.keytab", &[&proxy, &presto]);
        let users = realm.add_with_keytab("alice.keytab", &[&alice]);
        let (cache, users) = (realm.path("cc"), users.to_str().unwrap().to_owned());
        let cache = cache.to_str().unwrap();
        realm.run(
            "kinit",
            &["-k", "-t", &users, "-c", cache, &alice.to_string()],
        );
        let host = format!("proxy.{}", realm.domain());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        serve(listener, acceptor(&keytab), policy(&realm, &host));
        Self {
            realm,
            host,
            address,
        }
    }

    /// Runs curl against the console and returns its output.
    fn curl(&self, arguments: &[&str]) -> String {
        let port = self.address.port();
        let output = Command::new("curl")
            .env("KRB5CCNAME", self.realm.path("cc"))
            .args(["-sS", "--max-time", "20", "--resolve"])
            .arg(format!("{}:{port}:127.0.0.1", self.host))
            .args(arguments)
            .arg(format!("http://{}:{port}/", self.host))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Sends one request without a body on a connection; returns the head and the body of the response.
    fn get(&self, connection: &mut TcpStream, authorization: &[u8]) -> (String, String) {
        self.send(connection, "GET", authorization, "", "")
    }

    /// The same with a method, further header lines and a body.
    fn send(
        &self,
        connection: &mut TcpStream,
        method: &str,
        authorization: &[u8],
        lines: &str,
        body: &str,
    ) -> (String, String) {
        let token = BASE64_STANDARD.encode(authorization);
        let Self { host, .. } = self;
        write!(
            connection,
            "{method} / HTTP/1.1\r\nHost: {host}\r\nAuthorization: Negotiate {token}\r\n{lines}\r\n{body}"
        )
        .unwrap();
        let mut response = Vec::new();
        let head_end = loop {
            if let Some(at) = response.windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            let mut byte = [0];
            connection.read_exact(&mut byte).unwrap();
            response.push(byte[0]);
        };
        let head = String::from_utf8(response[..head_end].to_vec()).unwrap();
        let length = header(&head, "content-length").unwrap().parse().unwrap();
        let mut body = vec![0; length];
        connection.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find_map(|(n, value)| n.eq_ignore_ascii_case(name).then_some(value))
}

fn acceptor(keytab: &Path) -> Acceptor {
    let options = AcceptorOptions {
        keytab: keytab.to_path_buf(),
        replay_cache: ReplayCache::File(keytab.with_extension("rcache2")),
        threads: 1,
        queue: 16,
        deadline: Duration::from_secs(10),
    };
    Acceptor::start(options).unwrap()
}

fn policy(realm: &Realm, host: &str) -> SpnegoPolicy {
    let hour = Duration::from_secs(3600);
    let limits = SessionLimits {
        lifetime: hour,
        idle: hour,
        capacity: 100,
    };
    let names = AuthToLocal::compile(&["DEFAULT"], Mechanism::Hadoop, realm.name()).unwrap();
    SpnegoPolicy {
        console: "test".into(),
        scheme: Scheme::Plain,
        services: vec!["HTTP".into()],
        hosts: vec![host.into()],
        names: Arc::new(names),
        sessions: Sessions::new(limits, &Secret::random().unwrap()),
        challenge_scripts: true,
        cookieless_agents: &[],
        session_in_response: true,
    }
}

/// Runs the server on its own thread until the process ends.
fn serve(listener: TcpListener, acceptor: Acceptor, policy: SpnegoPolicy) {
    let acl = AclPolicy {
        console: Arc::clone(&policy.console),
        scheme: policy.scheme,
        hosts: policy.hosts.clone(),
        allow: None,
    };
    let console = tower::service_fn(async |request: Request<Incoming>| {
        let session: Arc<Session> = Arc::clone(request.extensions().get().unwrap());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let text = format!("{} {}", session.user(), body.len());
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(text)))
    });
    let stack = SpnegoLayer::new(policy, acceptor).layer(AclLayer::new(acl).layer(console));
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(tokio::task::LocalSet::new().run_until(async {
            listener.set_nonblocking(true).unwrap();
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (stack, slot) = (stack.clone(), LoginSlot::new());
                let service = service_fn(move |mut request: Request<Incoming>| {
                    request.extensions_mut().insert::<LoginSlot>(slot.clone());
                    stack.clone().oneshot(request)
                });
                let io = TokioIo::new(stream);
                tokio::task::spawn_local(http1::Builder::new().serve_connection(io, service));
            }
        }));
    });
}

#[test]
fn curl_logs_in_and_then_needs_only_its_cookie() {
    let world = World::start();
    let jar = world.realm.path("jar");
    let jar = jar.to_str().unwrap();
    let login = world.curl(&["--negotiate", "-u", ":", "-i", "-c", jar]);
    assert!(login.ends_with("alice 0"), "{login}");
    let lower = login.to_ascii_lowercase();
    assert!(lower.contains("www-authenticate: negotiate oy"), "{login}");
    assert_eq!(world.curl(&["-b", jar]), "alice 0");
    assert!(world.curl(&[]).contains("login_required"));
    let head = world.curl(&["--negotiate", "-u", ":", "-I"]);
    assert!(head.contains("HTTP/1.1 200 OK"), "{head}");
    for method in ["OPTIONS", "DELETE"] {
        let response = world.curl(&["--negotiate", "-u", ":", "-X", method]);
        assert_eq!(response, "alice 0", "{method}");
    }
}

#[test]
fn curl_uploads_with_and_without_waiting_for_100_continue() {
    let world = World::start();
    let file = world.realm.path("upload");
    std::fs::write(&file, vec![b'x'; 5_000_000]).unwrap();
    let (path, data) = (file.to_str().unwrap(), format!("@{}", file.display()));
    let negotiate = ["--negotiate", "-u", ":"];
    for upload in [
        &["-T", path][..],
        &["--data-binary", &data],
        &["-H", "Expect:", "-T", path],
        &["-H", "Expect: 100-continue", "-T", path],
        &["-H", "Transfer-Encoding: chunked", "-T", path],
    ] {
        assert_eq!(
            world.curl(&[&negotiate[..], upload].concat()),
            "alice 5000000",
            "{upload:?}"
        );
    }
    let anonymous = world.curl(&["-T", path, "-w", "%{size_upload}"]);
    assert!(
        anonymous.ends_with("\n0"),
        "no byte of the upload was requested: {anonymous}"
    );
}

#[test]
fn a_ticket_for_another_service_of_the_keytab_is_refused() {
    let world = World::start();
    let response = world.curl(&["--negotiate", "-u", ":", "--service-name", "presto", "-i"]);
    assert!(
        response.contains("403 Forbidden") && response.contains("wrong_service"),
        "{response}"
    );
}

// === A SPNEGO client that offers NTLM first ===

const NTLM: &[u8] = &[0x06, 0x0a, 0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 2, 0x0a];
const KRB5: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2];
const SPNEGO: &[u8] = &[0x06, 0x06, 0x2b, 6, 1, 5, 5, 2];

/// One DER value.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length = if content.len() < 128 {
        vec![low]
    } else {
        vec![0x82, high, low]
    };
    [vec![tag], length, content].concat()
}

/// The value of a DER element in a token, by the tags of the elements that enclose it and its own.
fn inside<'t>(mut token: &'t [u8], path: &[u8]) -> Option<&'t [u8]> {
    for tag in path {
        loop {
            let (header, length) = match *token.get(1)? {
                0x81 => (3, usize::from(token[2])),
                0x82 => (4, usize::from(u16::from_be_bytes([token[2], token[3]]))),
                short => (2, usize::from(short)),
            };
            if token[0] == *tag {
                token = &token[header..header + length];
                break;
            }
            token = &token[header + length..];
            if token.is_empty() {
                return None;
            }
        }
    }
    Some(token)
}

/// A client that offers NTLM first, with `alice`'s ticket.
struct NtlmFirst {
    kerberos: ClientCtx,
    ticket: Vec<u8>,
    mechanisms: Vec<u8>,
}

impl NtlmFirst {
    fn of(world: &World) -> Self {
        // The default cache of this process, which holds a ticket of each realm.
        let alice = world.realm.principal("alice");
        world.realm.kinit(&alice, &world.realm.path("alice.keytab"));
        let spn = world.realm.spn("proxy").to_string();
        let name = Name::new(spn.as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL)).unwrap();
        let flags = CtxFlags::GSS_C_MUTUAL_FLAG | CtxFlags::GSS_C_INTEG_FLAG;
        let mut kerberos = ClientCtx::new(None, name, flags, Some(GSS_MECH_KRB5));
        let ticket = kerberos.step(None, None).unwrap().unwrap().to_vec();
        Self {
            kerberos,
            ticket,
            mechanisms: der(0x30, &[NTLM, KRB5]),
        }
    }

    fn first(&self) -> Vec<u8> {
        let guess = der(0xa2, &[&der(0x04, &[b"NTLMSSP\0\x01\0\0\0"])]);
        let list = der(0xa0, &[&self.mechanisms]);
        der(0x60, &[SPNEGO, &der(0xa0, &[&der(0x30, &[&list, &guess])])])
    }

    fn second(&self) -> Vec<u8> {
        let token = der(0xa2, &[&der(0x04, &[&self.ticket])]);
        der(0xa1, &[&der(0x30, &[&token])])
    }

    /// If the mechanism is not the client's first, both sides sign the list (RFC 4178 section 5).
    fn third(&mut self, head: &str) -> Vec<u8> {
        let reply = reply_in(head);
        let reply = inside(&reply, &[0xa1, 0x30, 0xa2, 0x04]).unwrap();
        self.kerberos.step(Some(reply), None).unwrap();
        let signature = self.kerberos.get_mic(&self.mechanisms).unwrap();
        let signature = der(0xa3, &[&der(0x04, &[&signature])]);
        der(0xa1, &[&der(0x30, &[&signature])])
    }
}

fn reply_in(head: &str) -> Vec<u8> {
    let value = header(head, "www-authenticate").unwrap();
    BASE64_STANDARD
        .decode(value.strip_prefix("Negotiate ").unwrap())
        .unwrap()
}

#[test]
fn a_client_that_offers_ntlm_first_logs_in_on_its_connection() {
    let world = World::start();
    let mut client = NtlmFirst::of(&world);
    let mut connection = TcpStream::connect(world.address).unwrap();
    let (head, _) = world.get(&mut connection, &client.first());
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
    assert!(
        header(&head, "connection").is_none(),
        "the login continues on this connection"
    );
    assert_eq!(inside(&reply_in(&head), &[0xa1, 0x30, 0xa1]), Some(KRB5));

    let second = client.second();
    let (mut head, mut body) = world.get(&mut connection, &second);
    if head.starts_with("HTTP/1.1 401") {
        (head, body) = world.get(&mut connection, &client.third(&head));
    }
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("set-cookie: spnegate="), "{head}");
    assert_eq!(body, "alice 0");

    // On another connection the second token is refused.
    let mut other = TcpStream::connect(world.address).unwrap();
    assert!(
        world
            .get(&mut other, &second)
            .1
            .contains("login_interrupted")
    );
}

/// curl sends an empty upload first, and its body with the last message of NTLM.
#[test]
fn an_ntlm_upload_within_a_session_is_challenged_and_not_stored_empty() {
    let world = World::start();
    let (jar, file) = (world.realm.path("jar"), world.realm.path("upload"));
    let (jar, file) = (jar.to_str().unwrap(), file.to_str().unwrap());
    std::fs::write(file, "hello").unwrap();
    world.curl(&["--negotiate", "-u", ":", "-c", jar]);
    let ntlm = ["--ntlm", "-u", "a:b", "-b", jar, "-i"];
    for upload in [["-T", file], ["-d", "hello"]] {
        let response = world.curl(&[&ntlm[..], &upload].concat());
        assert!(response.starts_with("HTTP/1.1 401"), "{response}");
        let lower = response.to_ascii_lowercase();
        assert!(
            lower.contains("www-authenticate: negotiate\r\n"),
            "{response}"
        );
        assert!(
            response.contains(" ntlm\n") && !response.contains("alice 0"),
            "{response}"
        );
    }
    assert_eq!(
        world.curl(&["--negotiate", "-u", ":", "-b", jar, "-T", file]),
        "alice 5"
    );
}

/// As `WinINet` does: the cookie is in every request of the login, the body only in the last one.
#[test]
fn an_upload_during_a_login_within_a_session_is_not_lost() {
    let world = World::start();
    let jar = world.realm.path("jar");
    world.curl(&["--negotiate", "-u", ":", "-c", jar.to_str().unwrap()]);
    let jar = std::fs::read_to_string(jar).unwrap();
    let value = jar.split_whitespace().next_back().unwrap();
    let cookie = format!("Cookie: spnegate={value}\r\n");
    let mut client = NtlmFirst::of(&world);
    let mut connection = TcpStream::connect(world.address).unwrap();
    let mut put = |token: &[u8], body: &str| {
        let lines = format!("{cookie}Content-Length: {}\r\n", body.len());
        world.send(&mut connection, "PUT", token, &lines, body)
    };
    let (head, _) = put(&client.first(), "");
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
    assert_eq!(inside(&reply_in(&head), &[0xa1, 0x30, 0xa1]), Some(KRB5));
    let (head, _) = put(&client.second(), "");
    assert!(head.starts_with("HTTP/1.1 401"), "{head}");
    let (head, body) = put(&client.third(&head), "hello");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert!(head.contains("set-cookie: spnegate="), "it has logged in");
    assert_eq!(body, "alice 5");
}
