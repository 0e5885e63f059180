//! Builds the backend groups of the consoles.

use std::{collections::HashMap, sync::Arc};

use super::trust::Truststores;
use crate::{
    config::{BackendConfig, Config, Console},
    gss::Initiator,
    identity::IdentityMode,
    tls::TlsError,
    upstream::{
        backend::{Backend, BackendKey},
        group::{BackendGroup, BalancePolicy, ConcurrencyLimits},
    },
};

/// The groups in the order of the consoles. Consoles with the same server share its state only if
/// they are of the same kind, because each kind probes in its own way.
pub(super) fn build(
    config: &Config,
    truststores: &mut Truststores,
) -> Result<Arc<[Arc<BackendGroup>]>, TlsError> {
    let mut known: HashMap<BackendKey, Arc<Backend>> = HashMap::new();
    let mut groups = Vec::with_capacity(config.consoles.len());
    for console in &config.consoles {
        let mut backends = Vec::with_capacity(console.backends.len());
        for backend in &console.backends {
            let key = key(config, console, backend);
            let found = match known.get(&key) {
                Some(found) => Arc::clone(found),
                None => Arc::new(start(key.clone(), console, backend, truststores)?),
            };
            backends.push(Arc::clone(known.entry(key).or_insert(found)));
        }
        groups.push(BackendGroup::new(
            Arc::clone(&console.name),
            backends,
            policy(console),
        ));
    }
    Ok(groups.into())
}

fn policy(console: &Console) -> BalancePolicy {
    BalancePolicy {
        balance: console.balance,
        weights: console.backends.iter().map(|b| b.weight).collect(),
        slow_start: console.slow_start,
        limits: ConcurrencyLimits {
            each: console.backends.iter().map(|b| b.max_connections).collect(),
            queue_length: console.queue.length,
            queue_timeout: console.queue.timeout,
        },
    }
}

fn key(config: &Config, console: &Console, backend: &BackendConfig) -> BackendKey {
    let principal = backend
        .principal
        .as_ref()
        .or(config.kerberos.principal.as_ref());
    let logs_in = logs_in(console);
    BackendKey {
        authority: format!("{}:{}", backend.host, backend.port).into(),
        kind: console.kind.name(),
        // A `doas` console is closed until the server is shown to honour `doAs`. Sharing the
        // state with a `service` console, which does not check this, would open it too early.
        checks_impersonation: console.identity == IdentityMode::DoAs
            && !console.kind.user_field_is_authoritative(),
        // Consoles that do not log in share a server whatever principals are configured for it.
        principal: principal.filter(|_| logs_in).cloned(),
        spn: backend.spn.clone().filter(|_| logs_in),
        tls: backend.tls.clone(),
        send_proxy: backend.send_proxy,
    }
}

fn start(
    key: BackendKey,
    console: &Console,
    config: &BackendConfig,
    truststores: &mut Truststores,
) -> Result<Backend, TlsError> {
    let backend = Backend::new(key, Arc::clone(&config.host), config.port, console.kind);
    let Some(tls) = &config.tls else {
        return Ok(backend);
    };
    let name = tls.server_name.as_deref();
    let connector = truststores
        .load(&tls.trust)?
        .to(name.unwrap_or(&config.host));
    // `config` has checked that it is a name that rustls accepts, so this error cannot occur.
    let connector = connector.ok_or(rustls::Error::General("no server name".to_owned()))?;
    Ok(backend.with_tls(connector, name))
}

/// The initiator for a console's backends; `None` if the gateway does not log in to them.
pub(super) fn initiator(console: &Console, initiator: &Initiator) -> Option<Initiator> {
    logs_in(console).then(|| initiator.clone())
}

fn logs_in(console: &Console) -> bool {
    match console.identity {
        IdentityMode::Service | IdentityMode::DoAs => true,
        IdentityMode::Simple | IdentityMode::None => false,
    }
}
