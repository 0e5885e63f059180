//! Each console's servers, from its configuration.

use std::{collections::HashMap, sync::Arc};

use crate::{
    config::{Config, Console, IdentityMode},
    gss::Initiator,
    upstream::{
        backend::{Backend, BackendKey},
        group::Group,
    },
};

/// The groups in the order of the consoles. A server of several consoles is looked after once per
/// console: kinds ask different questions.
pub(super) fn build(config: &Config) -> Arc<[Arc<Group>]> {
    let mut known: HashMap<BackendKey, Arc<Backend>> = HashMap::new();
    config
        .consoles
        .iter()
        .map(|console| {
            let backends = console
                .backends
                .iter()
                .map(|backend| {
                    let principal = backend
                        .principal
                        .clone()
                        .or_else(|| config.kerberos.principal.clone());
                    let logs_in = logs_in(console);
                    let key = BackendKey {
                        authority: format!("{}:{}", backend.host, backend.port).into(),
                        kind: console.kind.name(),
                        proves: console.identity == IdentityMode::DoAs,
                        principal: principal.filter(|_| logs_in),
                        spn: backend.spn.clone().filter(|_| logs_in),
                    };
                    Arc::clone(known.entry(key.clone()).or_insert_with(|| {
                        let host = Arc::clone(&backend.host);
                        Arc::new(Backend::new(key, host, backend.port, console.kind))
                    }))
                })
                .collect();
            Arc::new(Group::new(
                Arc::clone(&console.name),
                backends,
                console.balance,
            ))
        })
        .collect()
}

/// What makes tokens for a console's servers; `None` where the gateway does not log in.
pub(super) fn initiator(console: &Console, initiator: &Initiator) -> Option<Initiator> {
    logs_in(console).then(|| initiator.clone())
}

fn logs_in(console: &Console) -> bool {
    match console.identity {
        IdentityMode::Service | IdentityMode::DoAs => true,
        IdentityMode::Simple => false,
    }
}
