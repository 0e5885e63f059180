//! Builds a running gateway from a [`Config`], and drains it at the end.
//!
//! The start does not wait for the network: a KDC, a name server or a backend that does not respond may
//! recover later, and health checks notice. What cannot recover without an operator (a keytab, a replay
//! cache, a port in use) fails the start with an error that names it.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    admin::{self, Admin, AdminOptions},
    auth::{
        acl::Groups,
        secret::{Secret, SecretError},
        session::{SessionLimits, Sessions},
    },
    config::{self, Config},
    gateway::{Health, RateLimiter},
    gss::{Acceptor, AcceptorOptions, GssStartError, Initiator, InitiatorOptions},
    net::{BindError, Drained},
    rewrite::link::LinkKey,
    server::{self, Server, ServerOptions, ServerTimeouts},
    stream::{self, Streams},
    telemetry::{
        access::{AccessLog, AccessLogControl, AccessLogError},
        log::{self, LogError},
        metrics::{self, MetricsError},
    },
    tls::{self, TlsError, Trust},
    upstream::{group::BackendGroup, probe::Probe},
};

mod control;
mod groups;
mod listeners;
mod status;
mod streams;
mod trust;
mod worker;

/// Logins that may wait for an acceptor thread.
const LOGIN_QUEUE: usize = 1024;
/// Requests for tokens that may wait for an initiator thread.
const TOKEN_QUEUE: usize = 1024;
/// Initiator threads. Two, so that one login that waits for a KDC does not hold up all others.
const TOKEN_THREADS: usize = 2;

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `[log]`
    #[error(transparent)]
    Log(#[from] LogError),
    /// The metrics.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// `log.access`
    #[error(transparent)]
    Access(#[from] AccessLogError),
    /// `session.secret_file`
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// `kerberos.keytab` or `kerberos.replay_cache`
    #[error(transparent)]
    Gss(#[from] GssStartError),
    /// A listener.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A certificate or key.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A thread or runtime.
    #[error("cannot start a thread or open a descriptor: raise the limits (ulimit -u, -n)")]
    System(#[source] io::Error),
}

/// The parts of the gateway that all workers share.
#[derive(Clone, Debug)]
struct GatewayParts {
    config: Arc<Config>,
    /// `None` without a keytab, which means without consoles.
    gss: Option<GssServices>,
    sessions: Sessions,
    link_key: Arc<LinkKey>,
    groups: Option<Groups>,
    upstreams: Arc<[Arc<BackendGroup>]>,
    /// The trusted CAs of each console's nodes.
    node_trusts: Arc<[Option<Trust>]>,
    streams: streams::StreamGroups,
    health: Health,
    rates: Option<RateLimiter>,
    access: AccessLog,
    control: tokio::runtime::Handle,
}

/// GSSAPI for the logins of clients (acceptor) and at backends (initiator).
#[derive(Clone, Debug)]
struct GssServices {
    acceptor: Acceptor,
    initiator: Initiator,
}

/// A running gateway.
#[derive(Debug)]
pub struct Running {
    server: Server,
    streams: Streams,
    health: Health,
    access: AccessLogControl,
    drain: Duration,
    // Runs the health checks and the logins at backends, which end when it is dropped.
    control: tokio::runtime::Runtime,
    admin: Option<Admin>,
}

/// Starts a gateway, which serves requests when this returns.
///
/// # Errors
/// [`StartError`], which says what to do; nothing is left running.
pub fn start(config: Config) -> Result<Running, StartError> {
    let config = Arc::new(config);
    let prometheus = prometheus()?;
    let secret = match &config.session.secret_file {
        Some(file) => Secret::read(file)?,
        // Without a file, the secret differs at every start: session cookies and signed links of
        // the last run are invalid then. `check` warns of it (`RandomSecret`).
        None => Secret::random()?,
    };
    let sessions = Sessions::new(
        // Copied field by field: `[session]` is one section for operators, but a session needs
        // neither the path of the secret nor any other type of the configuration, which `auth`
        // must not import (tests/layers.rs).
        SessionLimits {
            lifetime: config.session.lifetime,
            idle: config.session.idle,
            capacity: config.session.capacity,
        },
        &secret,
    );
    let gss = match &config.kerberos.keytab {
        Some(keytab) => Some(start_gss(&config, keytab)?),
        None => None,
    };
    // Health checks, name resolution and logins at backends mostly wait for the network. GSSAPI,
    // which blocks, has threads of its own, so a hung KDC does not stop health checks.
    let control = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(StartError::System)?;
    let wants_groups = |console: &config::Console| {
        console
            .allow
            .as_ref()
            .is_some_and(|allow| !allow.groups.is_empty())
    };
    let mut truststores = trust::Truststores::default();
    let shared = GatewayParts {
        gss,
        sessions,
        link_key: Arc::new(LinkKey::new(secret.key(LinkKey::PURPOSE))),
        // Look-ups of groups need threads, because NSS may block on a directory service; without
        // `allow.groups` they are not started.
        groups: config
            .consoles
            .iter()
            .any(wants_groups)
            .then(Groups::system)
            .transpose()
            .map_err(StartError::System)?,
        upstreams: groups::build(&config, &mut truststores)?,
        node_trusts: truststores.of_nodes(&config)?,
        streams: streams::StreamGroups::new(&config),
        health: Health::default(),
        rates: config
            .server
            .requests_per_second_per_address
            .map(RateLimiter::new),
        access: AccessLog::open(&config.log.access, config.log.format)?,
        control: control.handle().clone(),
        config: Arc::clone(&config),
    };
    let plan = listeners::plan(&config)?;
    let (listeners, sites) = (plan.listeners, Arc::new(plan.sites));
    let server = server::start(
        ServerOptions {
            workers: config.server.workers,
            max_connections: config.server.max_connections,
            max_connections_per_address: config.server.max_connections_per_address,
            timeouts: server_timeouts(&config.timeouts),
            listeners,
            access: shared.access.clone(),
        },
        {
            let shared = shared.clone();
            move |_worker| worker::service(&shared, &sites)
        },
    )?;
    let streams = stream::start(&streams::options(&shared))?;
    watch_backends(&shared);
    let watches = plan.watches.into_iter().chain(truststores.watches);
    control.spawn(tls::watch::run(watches.collect()));
    shared.streams.watch(&config, &shared.control);
    control.spawn(status::keep_metrics(shared.clone(), prometheus.clone()));
    control.spawn(status::follow_keytab(shared.clone()));
    let admin = match &config.admin {
        Some(admin) => Some(admin::start(AdminOptions {
            listen: admin.listen,
            metrics: prometheus,
            status: status::source(&shared, server.connection_count(), streams.counts()),
            assign: control::assign(&shared),
        })?),
        None => None,
    };
    Ok(Running {
        server,
        streams,
        health: shared.health,
        access: shared.access.control(),
        drain: config.timeouts.drain,
        control,
        admin,
    })
}

fn start_gss(config: &Config, keytab: &Path) -> Result<GssServices, StartError> {
    let acceptor = Acceptor::start(AcceptorOptions {
        keytab: keytab.to_path_buf(),
        replay_cache: config.kerberos.replay_cache.clone(),
        // One thread for each worker: an accept is computation (about 9,000 per second on one
        // thread) and needs no KDC. Each thread has a credential of its own, because GSSAPI locks
        // a credential for the whole call (measured with two threads: 8,700 logins per second
        // with a shared one, 12,000 with two).
        threads: config.server.workers,
        queue: LOGIN_QUEUE,
        deadline: config.timeouts.gss,
    })?;
    let initiator = Initiator::start(InitiatorOptions {
        keytab: keytab.to_path_buf(),
        threads: TOKEN_THREADS,
        queue: TOKEN_QUEUE,
        deadline: config.timeouts.gss,
    })
    .map_err(StartError::System)?;
    Ok(GssServices {
        acceptor,
        initiator,
    })
}

/// The process has one metrics recorder. Tests start many gateways in one process, concurrently.
fn prometheus() -> Result<PrometheusHandle, StartError> {
    // One lock around looking and installing: otherwise the slower of two starts finds the
    // recorder installed and no handle yet, and fails.
    static HANDLE: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut handle = HANDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*handle {
        return Ok(handle.clone());
    }
    Ok(handle.insert(metrics::install()?).clone())
}

fn server_timeouts(timeouts: &config::Timeouts) -> ServerTimeouts {
    // Copied field by field: `[timeouts]` is one section for operators, while the server, the
    // upstream and GSSAPI each know their own limits only. None of them may import the
    // configuration (tests/layers.rs).
    ServerTimeouts {
        head: timeouts.head,
        idle: timeouts.idle,
        body_idle: timeouts.body_idle,
        tunnel: timeouts.tunnel,
        min_upload_rate: timeouts.min_upload_rate,
    }
}

fn watch_backends(shared: &GatewayParts) {
    let Some(gss) = &shared.gss else {
        return;
    };
    for (console, group) in shared.config.consoles.iter().zip(shared.upstreams.iter()) {
        for index in 0..group.backends.len() {
            shared.control.spawn(
                Probe {
                    group: Arc::clone(group),
                    index,
                    initiator: groups::initiator(console, &gss.initiator),
                    config: console.probe,
                }
                .run(),
            );
        }
    }
}

/// Starts a gateway and runs it until SIGTERM or SIGINT, then drains it.
///
/// # Errors
/// [`StartError`]
pub fn serve(config: Config) -> Result<(), StartError> {
    log::init(&config.log.level, config.log.format)?;
    let running = start(config)?;
    for address in running.addresses() {
        tracing::info!(%address, "listening");
    }
    for address in running.stream_addresses().iter().flatten() {
        tracing::info!(%address, "relaying");
    }
    running
        .control
        .block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut hangup = signal(SignalKind::hangup())?;
            loop {
                tokio::select! {
                    _ = terminate.recv() => return Ok(()),
                    _ = interrupt.recv() => return Ok(()),
                    // logrotate renames the access log and sends this signal. The configuration is
                    // not read again.
                    _ = hangup.recv() => running.access.reopen(),
                }
            }
        })
        .map_err(StartError::System)?;
    tracing::info!(connections = running.server.connections(), "draining");
    let drained = running.stop();
    tracing::info!(finished = drained.finished, cut = drained.cut, "stopped");
    Ok(())
}

impl Running {
    /// The addresses of the listeners in the order of the configuration, without duplicates.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.server.addresses()
    }

    /// The addresses of each stream, in the order of the configuration.
    pub fn stream_addresses(&self) -> &[Vec<SocketAddr>] {
        self.streams.addresses()
    }

    /// The address of the admin listener.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::address)
    }

    /// Drains: requests in progress may finish within `timeouts.drain`, then all connections are closed.
    /// Blocks until then.
    pub fn stop(self) -> Drained {
        // Health responds with 503 first, so that a load balancer in front sends nothing more.
        self.health.drain();
        // Both begin to drain before either is waited for: `timeouts.drain` limits the whole
        // stop, not each half of it.
        self.server.drain(self.drain);
        self.streams.drain(self.drain);
        let mut drained = self.server.join();
        let streams = self.streams.join();
        drained.finished += streams.finished;
        drained.cut += streams.cut;
        // Last, because the lines of connections that end after this are dropped.
        self.access.close();
        // GSSAPI threads end with the last handle, which must happen before the process exits.
        self.control.shutdown_timeout(Duration::from_secs(1));
        drained
    }
}
