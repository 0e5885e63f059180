//! Consoles to listeners: several consoles may share an address.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use crate::{
    config::{Config, Console, ServerTls},
    server::{Listener, Redirect, Role, Sources, Tls},
    tls::{KeySource, TlsError, watch::Watch},
};

/// Addresses, and which consoles each serves.
#[derive(Debug)]
pub(super) struct Layout {
    /// Each address once.
    pub(super) listeners: Vec<Listener>,
    /// For each listener the consoles, as indices of the configuration's.
    pub(super) sites: Vec<Vec<usize>>,
    /// Files to be read again when they change.
    pub(super) watches: Vec<Watch>,
}

pub(super) fn lay_out(config: &Config) -> Result<Layout, TlsError> {
    let mut layout = Layout {
        listeners: Vec::new(),
        sites: Vec::new(),
        watches: Vec::new(),
    };
    let mut certificates: HashMap<ServerTls, Tls> = HashMap::new();
    let mut at: HashMap<SocketAddr, usize> = HashMap::new();
    for (index, console) in config.consoles.iter().enumerate() {
        for address in &console.listen {
            let place = if let Some(place) = at.get(address) {
                *place
            } else {
                let role = match &console.tls {
                    None => Role::Plain,
                    Some(config) => Role::Tls(layout.certificate(&mut certificates, config)?),
                };
                layout.add(*address, role, console)
            };
            layout.widen(place, console);
            at.insert(*address, place);
            layout.sites[place].push(index);
        }
        for address in &console.redirect_from {
            let Some(target) = console.listen.first() else {
                continue;
            };
            let hosts = console.hosts.clone();
            let is_ours = Arc::new(move |name: &str| hosts.iter().any(|host| **host == *name));
            let role = Role::Redirect(Redirect {
                port: target.port(),
                is_ours,
            });
            layout.add(*address, role, console);
        }
    }
    Ok(layout)
}

impl Layout {
    fn add(&mut self, address: SocketAddr, role: Role, console: &Console) -> usize {
        self.listeners.push(Listener {
            address,
            role,
            sources: Sources {
                accept_proxy: Arc::clone(&console.accept_proxy),
                allow: console.allow_from.clone(),
            },
        });
        self.sites.push(Vec::new());
        self.sites.len() - 1
    }

    /// A listener is open to everybody whom one of its consoles is open to.
    fn widen(&mut self, place: usize, console: &Console) {
        let allow = &mut self.listeners[place].sources.allow;
        *allow = match (allow.take(), &console.allow_from) {
            (Some(mine), Some(theirs)) => Some(mine.iter().chain(&**theirs).copied().collect()),
            (None, _) | (_, None) => None,
        };
    }

    /// Consoles with the same files share what was read from them.
    fn certificate(
        &mut self,
        known: &mut HashMap<ServerTls, Tls>,
        config: &ServerTls,
    ) -> Result<Tls, TlsError> {
        if let Some(tls) = known.get(config) {
            return Ok(tls.clone());
        }
        let files = config.certificates.iter().flat_map(KeySource::files);
        let watch = Watch::begin(files.collect());
        let tls = Tls::load(config)?;
        self.watches.push(watch.reload({
            let (tls, config) = (tls.clone(), config.clone());
            move || tls.reload(&config)
        }));
        known.insert(config.clone(), tls.clone());
        Ok(tls)
    }
}
