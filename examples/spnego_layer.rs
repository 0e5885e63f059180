//! A server of your own behind a Kerberos login: the SPNEGO layer in front of a hyper service.
//!
//! The keytab holds the key of `HTTP/<host>`; `<host>` is the name that clients use, and the realm of
//! its first key is the one whose users may log in.
//!
//! ```sh
//! kadmin -q 'addprinc -randkey HTTP/www.example.com'
//! kadmin -q 'ktadd -k www.keytab HTTP/www.example.com'
//! cargo run --example spnego_layer -- www.keytab www.example.com 127.0.0.1:8080
//! kinit alice
//! curl --negotiate -u : -c jar -b jar --resolve www.example.com:8080:127.0.0.1 http://www.example.com:8080/
//! ```
//!
//! The second request with the same jar needs no ticket: the session cookie is enough.

use std::{
    convert::Infallible, env, error::Error, io::Write as _, net::SocketAddr, sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use spnegate::{
    auth::{
        Scheme,
        acl::{AclLayer, AclPolicy},
        names::{AuthToLocal, Mechanism},
        secret::Secret,
        session::{Session, SessionLimits, Sessions},
        spnego::{LoginSlot, SpnegoLayer, SpnegoPolicy},
    },
    gss::{Acceptor, AcceptorOptions, Keytab, ReplayCache},
};
use tokio::net::TcpListener;
use tower::{Layer as _, ServiceExt as _};

type Failure = Box<dyn Error + Send + Sync>;

/// The service that is protected: it finds the session among the request's extensions.
async fn hello(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let session: Option<&Arc<Session>> = request.extensions().get();
    let user = session.map_or("", |session| session.user());
    Ok(Response::new(Full::from(format!("hello {user}\n"))))
}

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Failure> {
    let mut arguments = env::args().skip(1);
    let (Some(keytab), Some(host), Some(address)) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: spnego_layer KEYTAB HOST ADDRESS:PORT".into());
    };
    let address: SocketAddr = address.parse()?;

    // `DEFAULT` maps `alice@REALM` to `alice`, and nobody of another realm to anything.
    let keys = Keytab::load(keytab.as_ref())?;
    let realm = keys.entries.first().map_or("", |key| key.principal.realm());
    let names = AuthToLocal::compile(&["DEFAULT"], Mechanism::Hadoop, realm)
        .map_err(|problems| format!("{problems:?}"))?;

    // GSSAPI blocks, so it has threads of its own; a login that waits longer is refused.
    let acceptor = Acceptor::start(AcceptorOptions {
        keytab: keytab.into(),
        replay_cache: ReplayCache::None,
        threads: 2,
        queue: 256,
        deadline: Duration::from_secs(5),
    })?;

    let limits = SessionLimits {
        lifetime: Duration::from_secs(10 * 3600),
        idle: Duration::from_secs(3600),
        capacity: 10_000,
    };
    let policy = SpnegoPolicy {
        console: "hello".into(),
        // Over TLS this is `Scheme::Tls`, and the cookie is `Secure`.
        scheme: Scheme::Plain,
        services: vec!["HTTP".into()],
        hosts: vec![host.as_str().into()],
        names: Arc::new(names),
        // Random: sessions end with this process. A file that replicas share makes them last.
        sessions: Sessions::new(limits, &Secret::random()?),
        challenge_scripts: true,
        cookieless_agents: &[],
        session_in_response: false,
    };
    // Behind the login: no cross-site requests, and every user who logged in.
    let access = AclLayer::new(AclPolicy {
        console: Arc::clone(&policy.console),
        scheme: policy.scheme,
        hosts: policy.hosts.clone(),
        allow: None,
    });
    let service = SpnegoLayer::new(policy, acceptor).layer(access.layer(tower::service_fn(hello)));

    let listener = TcpListener::bind(address).await?;
    writeln!(
        std::io::stdout(),
        "listening at http://{host}:{}/",
        listener.local_addr()?.port()
    )?;
    loop {
        let (stream, _) = listener.accept().await?;
        // An unfinished login of several steps belongs to its connection.
        let (service, slot) = (service.clone(), LoginSlot::new());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert::<LoginSlot>(slot.clone());
            service.clone().oneshot(request)
        });
        tokio::spawn(async move {
            // The client may have gone away; its error concerns nobody else.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
