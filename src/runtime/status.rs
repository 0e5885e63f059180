//! Collects the status page and the gauges from the running gateway.

use std::{path::Path, sync::Arc, time::Instant};

use metrics_exporter_prometheus::PrometheusHandle;

use super::{GatewayParts, GssServices, streams::StreamGroups};
use crate::{
    admin::status::{
        BackendState, BackendStatus, ConsoleStatus, KeytabStatus, LoginState, OwnLoginStatus,
        Status, StreamBackendStatus, StreamStatus,
    },
    balance::AdminState,
    config::{BackendConfig, Config, Console},
    gateway::kdc_proxy::PATH,
    gss::{ClientStatus, Initiator},
    identity::IdentityMode,
    refusal::Refusal,
    stream::{
        self,
        group::{Endpoint, EndpointHealth},
    },
    telemetry::metrics::{self, UPKEEP},
    upstream::backend::{Backend, BackendHealth, ImpersonationStatus, now_ms},
};

/// The source of the status page; evaluated for each request of the page.
pub(super) fn source(
    shared: &GatewayParts,
    connections: impl Fn() -> usize + Send + Sync + 'static,
    counts: impl Fn() -> Vec<(usize, usize)> + Send + Sync + 'static,
) -> Arc<dyn Fn() -> Status + Send + Sync> {
    let (config, groups) = (Arc::clone(&shared.config), Arc::clone(&shared.upstreams));
    let (health, sessions) = (shared.health.clone(), shared.sessions.clone());
    let keytab = shared.gss.as_ref().map(|gss| gss.acceptor.status());
    let initiator = shared.gss.as_ref().map(|gss| gss.initiator.clone());
    let streams = shared.streams.clone();
    let start = Instant::now();
    Arc::new(move || Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: start.elapsed().as_secs(),
        draining: health.draining(),
        workers: config.server.workers,
        connections: connections(),
        sessions: sessions.cached(),
        keytab: keytab.as_ref().map(|keytab| {
            let status = keytab.borrow();
            let path = config.kerberos.keytab.as_deref();
            KeytabStatus {
                path: path.unwrap_or(Path::new("")).display().to_string(),
                valid: status.valid(),
                problem: status.error.as_ref().map(ToString::to_string),
                principals: status.principals.iter().map(ToString::to_string).collect(),
            }
        }),
        own_logins: initiator.as_ref().map(own_logins).unwrap_or_default(),
        consoles: config
            .consoles
            .iter()
            .zip(groups.iter())
            .map(|(console, group)| ConsoleStatus {
                name: console.name.to_string(),
                kind: console.kind.name().to_owned(),
                identity: console.identity.as_str().to_owned(),
                balance: console.balance.as_str().to_owned(),
                queued: group.queued(),
                listen: listen(console),
                backends: console
                    .backends
                    .iter()
                    .zip(&group.backends)
                    .map(|(config, backend)| backend_status(console, config, backend))
                    .collect(),
            })
            .collect(),
        streams: streams_status(&config, &streams, &counts()),
    })
}

fn own_logins(initiator: &Initiator) -> Vec<OwnLoginStatus> {
    let status = |client: ClientStatus| {
        let principal = client.principal.to_string();
        OwnLoginStatus {
            // With `canonicalize` in krb5.conf, the KDC replaces an alias (a UPN that is an SPN,
            // another case) by its own name. Backends see that name, so it is the one that
            // `hadoop.proxyuser` needs.
            known_as: client.known_as.filter(|name| *name != principal),
            principal,
            logged_in: client.logged_in,
            problem: client.error.map(|error| error.to_string()),
            next_try_seconds: client.pause.as_secs(),
        }
    };
    initiator.clients().into_iter().map(status).collect()
}

fn streams_status(
    config: &Config,
    groups: &StreamGroups,
    counts: &[(usize, usize)],
) -> Vec<StreamStatus> {
    let streams = config.streams.iter().zip(groups.streams.iter()).zip(counts);
    let streams = streams.map(|((stream, group), (connections, flows))| StreamStatus {
        name: stream.name.to_string(),
        kind: stream.kind.as_str().to_owned(),
        listen: stream
            .listen
            .iter()
            .flat_map(|address| {
                let tcp = stream.tcp.then(|| format!("tcp://{address}"));
                let udp = stream.udp.then(|| format!("udp://{address}"));
                tcp.into_iter().chain(udp)
            })
            .collect(),
        connections: *connections,
        flows: *flows,
        backends: endpoints(group),
    });
    let proxies = config.kdc_proxies.iter().zip(groups.proxies.iter());
    let proxies = proxies.map(|(proxy, (kdcs, kpasswd))| StreamStatus {
        name: proxy.realm.to_string(),
        kind: "kdc_proxy".to_owned(),
        listen: proxy
            .listen
            .iter()
            .map(|address| format!("{address}{PATH}"))
            .collect(),
        // The connections of a KDC proxy are those of its listener, which are counted there.
        connections: 0,
        flows: 0,
        backends: std::iter::once(kdcs)
            .chain(kpasswd)
            .flat_map(|group| endpoints(group))
            .collect(),
    });
    streams.chain(proxies).collect()
}

fn endpoints(group: &stream::StreamGroup) -> Vec<StreamBackendStatus> {
    let status = |endpoint: &Arc<Endpoint>| StreamBackendStatus {
        backend: endpoint.backend.to_string(),
        address: endpoint.address.to_string(),
        // An administrative state is shown in place of the health, because it decides whether the
        // server is used.
        state: match (endpoint.admin_state(), endpoint.health()) {
            (AdminState::Drain | AdminState::Maintenance, _) => endpoint.admin_state().as_str(),
            (AdminState::Ready, EndpointHealth::Healthy) => "up",
            (AdminState::Ready, EndpointHealth::Suspect) => "suspect",
            (AdminState::Ready, EndpointHealth::Down) => "down",
        },
        since_seconds: endpoint.since().as_secs(),
        connections: endpoint.load(),
        last_error: endpoint.last_error(),
    };
    group.endpoints().iter().map(status).collect()
}

fn listen(console: &Console) -> Vec<String> {
    let scheme = if console.tls.is_some() {
        "https"
    } else {
        "http"
    };
    console
        .listen
        .iter()
        .map(|address| format!("{scheme}://{address}"))
        .collect()
}

fn backend_status(console: &Console, config: &BackendConfig, backend: &Backend) -> BackendStatus {
    let status = backend.status();
    let login = match (
        console.identity,
        backend.login.current(),
        // If TLS fails, no login has been tried.
        status
            .health
            .login_refusal()
            .filter(|refusal| *refusal != Refusal::BackendTls),
    ) {
        (IdentityMode::Simple | IdentityMode::None, ..) => LoginState::NotNeeded,
        (IdentityMode::Service | IdentityMode::DoAs, Some(_), _) => LoginState::Ok,
        (IdentityMode::Service | IdentityMode::DoAs, None, Some(_)) => LoginState::Failed,
        (IdentityMode::Service | IdentityMode::DoAs, None, None) => LoginState::None,
    };
    let state = match (status.health, status.impersonation) {
        // First, because such a server may be healthy: it gets no requests all the same.
        (_, ImpersonationStatus::Ignored) => BackendState::IdentityIgnored,
        (BackendHealth::Unknown, _) => BackendState::Unknown,
        (BackendHealth::Active, _) => BackendState::Active,
        (BackendHealth::Standby, _) => BackendState::Standby,
        (BackendHealth::Down | BackendHealth::LoginFailed(_) | BackendHealth::TlsFailed, _) => {
            BackendState::Down
        }
    };
    BackendStatus {
        url: config.url.to_string(),
        state,
        duty: status.admin.as_str(),
        since_seconds: now_ms().saturating_sub(status.changed_at) / 1000,
        login,
        in_flight: backend.in_flight(),
        last_error: status.last_error.clone(),
    }
}

/// Makes the initiator use a new keytab: the acceptor watches the file.
pub(super) async fn follow_keytab(shared: GatewayParts) {
    let Some(GssServices {
        acceptor,
        initiator,
    }) = &shared.gss
    else {
        return;
    };
    let mut status = acceptor.status();
    let mut generation = status.borrow().generation;
    while status.changed().await.is_ok() {
        let now = status.borrow_and_update().generation;
        // The status changes also when the file becomes invalid or valid again; only another
        // generation has other keys.
        if now != generation {
            generation = now;
            initiator.reload();
        }
    }
}

/// Updates gauges whose values are only counted elsewhere.
pub(super) async fn keep_metrics(shared: GatewayParts, prometheus: PrometheusHandle) {
    let sessions = metrics::sessions();
    let keytab = shared
        .gss
        .as_ref()
        .map(|gss| (metrics::keytab_valid(), gss.acceptor.status()));
    let mut tick = tokio::time::interval(UPKEEP);
    loop {
        tick.tick().await;
        #[expect(clippy::cast_precision_loss, reason = "a gauge of at most millions")]
        sessions.set(shared.sessions.cached() as f64);
        if let Some((keytab, status)) = &keytab {
            keytab.set(f64::from(u8::from(status.borrow().valid())));
        }
        // Principals appear when they are first used, so their gauges cannot be fetched before.
        for client in shared.gss.iter().flat_map(|gss| gss.initiator.clients()) {
            metrics::own_login(&client.principal.to_string(), client.error.is_none());
        }
        // The admin listener does this too, but may not be configured: without upkeep, samples of
        // histograms fill the memory.
        prometheus.run_upkeep();
    }
}
