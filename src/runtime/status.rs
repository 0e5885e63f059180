//! What the status page and the gauges say of the running gateway.

use std::{sync::Arc, time::Instant};

use metrics_exporter_prometheus::PrometheusHandle;

use super::Shared;
use crate::{
    admin::status::{BackendState, BackendStatus, ConsoleStatus, KeytabStatus, LoginState, Status},
    config::{BackendConfig, Console, IdentityMode},
    refusal::Refusal,
    telemetry::metrics::{self, UPKEEP},
    upstream::backend::{Backend, Obedience, State, now_ms},
};

/// What the status page shows, looked at when it is asked for.
pub(super) fn source(
    shared: &Shared,
    connections: impl Fn() -> usize + Send + Sync + 'static,
) -> Arc<dyn Fn() -> Status + Send + Sync> {
    let (config, groups) = (Arc::clone(&shared.config), Arc::clone(&shared.upstreams));
    let (health, sessions) = (shared.health.clone(), shared.sessions.clone());
    let keytab = shared.acceptor.status();
    let start = Instant::now();
    Arc::new(move || Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_seconds: start.elapsed().as_secs(),
        draining: health.draining(),
        workers: config.server.workers,
        connections: connections(),
        sessions: sessions.cached(),
        keytab: {
            let status = keytab.borrow();
            KeytabStatus {
                path: config.kerberos.keytab.display().to_string(),
                valid: status.valid(),
                problem: status.error.as_ref().map(ToString::to_string),
                principals: status.principals.iter().map(ToString::to_string).collect(),
            }
        },
        consoles: config
            .consoles
            .iter()
            .zip(groups.iter())
            .map(|(console, group)| ConsoleStatus {
                name: console.name.to_string(),
                kind: console.kind.name().to_owned(),
                identity: console.identity.word().to_owned(),
                balance: console.balance.word().to_owned(),
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
    })
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
    let login = match (
        console.identity,
        backend.login.current(),
        // where TLS fails, no login has been tried
        backend
            .login_refusal()
            .filter(|refusal| *refusal != Refusal::BackendTls),
    ) {
        (IdentityMode::Simple | IdentityMode::None, ..) => LoginState::NotNeeded,
        (IdentityMode::Service | IdentityMode::DoAs, Some(_), _) => LoginState::Ok,
        (IdentityMode::Service | IdentityMode::DoAs, None, Some(_)) => LoginState::Failed,
        (IdentityMode::Service | IdentityMode::DoAs, None, None) => LoginState::None,
    };
    let state = match (backend.state(), backend.obedience()) {
        (_, Obedience::Ignores) => BackendState::IdentityIgnored,
        (State::Unknown, _) => BackendState::Unknown,
        (State::Active, _) => BackendState::Active,
        (State::Standby, _) => BackendState::Standby,
        (State::Down | State::LoginFailed | State::TlsFailed, _) => BackendState::Down,
    };
    BackendStatus {
        url: config.url.to_string(),
        state,
        duty: backend.duty().word(),
        since_seconds: now_ms().saturating_sub(backend.changed_at()) / 1000,
        login,
        in_flight: backend.in_flight(),
        last_error: backend.last_error().map(|error| error.to_string()),
    }
}

/// New keys are for the backend logins too.
pub(super) async fn follow_keytab(shared: Shared) {
    let mut status = shared.acceptor.status();
    let mut generation = status.borrow().generation;
    while status.changed().await.is_ok() {
        let now = status.borrow_and_update().generation;
        if now != generation {
            generation = now;
            shared.initiator.reload();
        }
    }
}

/// Keeps the gauges that nobody sets by the way.
pub(super) async fn keep_metrics(shared: Shared, prometheus: PrometheusHandle) {
    let (sessions, keytab) = (metrics::sessions(), metrics::keytab_valid());
    let status = shared.acceptor.status();
    let mut tick = tokio::time::interval(UPKEEP);
    loop {
        tick.tick().await;
        #[expect(clippy::cast_precision_loss, reason = "a gauge of at most millions")]
        sessions.set(shared.sessions.cached() as f64);
        keytab.set(f64::from(u8::from(status.borrow().valid())));
        // the admin listener does it too, where there is one
        prometheus.run_upkeep();
    }
}
