//! Assigns consoles and KDC proxies to listeners; several may share an address.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use ipnet::IpNet;

use crate::{
    config::{Config, Console},
    net::SourcePolicy,
    server::{Listener, Redirect, Role, ServerTls, Tls},
    tls::{KeySource, TlsError, watch::Watch},
};

#[derive(Debug)]
pub(super) struct ListenerPlan {
    /// One for each address.
    pub(super) listeners: Vec<Listener>,
    /// What each listener serves, in the same order.
    pub(super) sites: Vec<SitePlan>,
    /// Certificate files to reload when they change.
    pub(super) watches: Vec<Watch>,
}

/// What one listener serves, as indices into the configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct SitePlan {
    pub(super) consoles: Vec<usize>,
    pub(super) kdc_proxies: Vec<usize>,
}

pub(super) fn plan(config: &Config) -> Result<ListenerPlan, TlsError> {
    let mut plan = ListenerPlan {
        listeners: Vec::new(),
        sites: Vec::new(),
        watches: Vec::new(),
    };
    let mut certificates: HashMap<ServerTls, Tls> = HashMap::new();
    let mut at: HashMap<SocketAddr, usize> = HashMap::new();
    for (index, console) in config.consoles.iter().enumerate() {
        for address in &console.listen {
            let slot = if let Some(slot) = at.get(address) {
                *slot
            } else {
                let role = match &console.tls {
                    None => Role::Plain,
                    Some(config) => Role::Tls(plan.certificate(&mut certificates, config)?),
                };
                plan.add(*address, role, sources(console))
            };
            plan.extend_allowed(slot, console.allow_from.as_ref());
            at.insert(*address, slot);
            plan.sites[slot].consoles.push(index);
        }
        for address in &console.redirect_from {
            // Several consoles may redirect from one port, usually 80. The first one has built
            // the table of all of them.
            if let Some(slot) = at.get(address) {
                plan.extend_allowed(*slot, console.allow_from.as_ref());
                continue;
            }
            let sharing = config.consoles.iter();
            let ports: HashMap<Arc<str>, u16> = sharing
                .filter(|other| other.redirect_from.contains(address))
                .filter_map(|other| Some((other, other.listen.first()?.port())))
                .flat_map(|(other, port)| {
                    other.hosts.iter().map(move |host| (Arc::clone(host), port))
                })
                .collect();
            let ports = Arc::new(ports);
            let role = Role::Redirect(Redirect { ports });
            at.insert(*address, plan.add(*address, role, sources(console)));
        }
    }
    for (index, proxy) in config.kdc_proxies.iter().enumerate() {
        for address in &proxy.listen {
            let slot = if let Some(slot) = at.get(address) {
                *slot
            } else {
                // A realm without `tls` uses that of another realm at this address. `config` has
                // checked that sections at one address do not differ.
                let mut tls = config
                    .kdc_proxies
                    .iter()
                    .filter(|other| other.listen.contains(address));
                let role = match tls.find_map(|other| other.tls.as_ref()) {
                    None => Role::Plain,
                    Some(files) => Role::Tls(plan.certificate(&mut certificates, files)?),
                };
                let sources = SourcePolicy {
                    allow: proxy.allow_from.clone(),
                    ..SourcePolicy::default()
                };
                plan.add(*address, role, sources)
            };
            plan.extend_allowed(slot, proxy.allow_from.as_ref());
            at.insert(*address, slot);
            plan.sites[slot].kdc_proxies.push(index);
        }
    }
    Ok(plan)
}

fn sources(console: &Console) -> SourcePolicy {
    SourcePolicy {
        accept_proxy: Arc::clone(&console.accept_proxy),
        trusted_proxies: Arc::clone(&console.trusted_proxies),
        allow: console.allow_from.clone(),
    }
}

impl ListenerPlan {
    fn add(&mut self, address: SocketAddr, role: Role, sources: SourcePolicy) -> usize {
        self.listeners.push(Listener {
            address,
            role,
            sources,
        });
        self.sites.push(SitePlan::default());
        self.sites.len() - 1
    }

    /// Extends `allow_from` of a listener. It admits the clients of all its consoles and realms, because
    /// the one that a request is for is not known yet; each checks its own `allow_from` again.
    fn extend_allowed(&mut self, index: usize, theirs: Option<&Arc<[IpNet]>>) {
        let allow = &mut self.listeners[index].sources.allow;
        *allow = match (allow.take(), theirs) {
            (Some(mine), Some(theirs)) => Some(mine.iter().chain(&**theirs).copied().collect()),
            (None, _) | (_, None) => None,
        };
    }

    /// Consoles with the same files share one set of loaded certificates.
    fn certificate(
        &mut self,
        known: &mut HashMap<ServerTls, Tls>,
        config: &ServerTls,
    ) -> Result<Tls, TlsError> {
        if let Some(tls) = known.get(config) {
            return Ok(tls.clone());
        }
        let files = config.certificates.iter().flat_map(KeySource::files);
        // The watch notes the state of the files before they are read, so that a change in
        // between is noticed.
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
