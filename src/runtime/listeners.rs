//! Consoles to listeners: several consoles may share an address.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use ipnet::IpNet;

use crate::{
    config::{Config, Console},
    net::Sources,
    server::{Listener, Redirect, Role, ServerTls, Tls},
    tls::{KeySource, TlsError, watch::Watch},
};

/// Addresses, and which consoles each serves.
#[derive(Debug)]
pub(super) struct Layout {
    /// Each address once.
    pub(super) listeners: Vec<Listener>,
    /// For each listener what is served there.
    pub(super) sites: Vec<SitePlan>,
    /// Files to be read again when they change.
    pub(super) watches: Vec<Watch>,
}

/// What one listener serves, as indices of the configuration's.
#[derive(Clone, Debug, Default)]
pub(super) struct SitePlan {
    pub(super) consoles: Vec<usize>,
    pub(super) kdc_proxies: Vec<usize>,
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
                layout.add(*address, role, sources(console))
            };
            layout.widen(place, console.allow_from.as_ref());
            at.insert(*address, place);
            layout.sites[place].consoles.push(index);
        }
        for address in &console.redirect_from {
            if let Some(place) = at.get(address) {
                layout.widen(*place, console.allow_from.as_ref());
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
            at.insert(*address, layout.add(*address, role, sources(console)));
        }
    }
    for (index, proxy) in config.kdc_proxies.iter().enumerate() {
        for address in &proxy.listen {
            let place = if let Some(place) = at.get(address) {
                *place
            } else {
                let mut tls = config
                    .kdc_proxies
                    .iter()
                    .filter(|other| other.listen.contains(address));
                let role = match tls.find_map(|other| other.tls.as_ref()) {
                    None => Role::Plain,
                    Some(files) => Role::Tls(layout.certificate(&mut certificates, files)?),
                };
                let sources = Sources {
                    allow: proxy.allow_from.clone(),
                    ..Sources::default()
                };
                layout.add(*address, role, sources)
            };
            layout.widen(place, proxy.allow_from.as_ref());
            at.insert(*address, place);
            layout.sites[place].kdc_proxies.push(index);
        }
    }
    Ok(layout)
}

fn sources(console: &Console) -> Sources {
    Sources {
        accept_proxy: Arc::clone(&console.accept_proxy),
        trusted_proxies: Arc::clone(&console.trusted_proxies),
        allow: console.allow_from.clone(),
    }
}

impl Layout {
    fn add(&mut self, address: SocketAddr, role: Role, sources: Sources) -> usize {
        self.listeners.push(Listener {
            address,
            role,
            sources,
        });
        self.sites.push(SitePlan::default());
        self.sites.len() - 1
    }

    /// A listener is open to everybody whom a console or realm of it is open to; they look at their
    /// own clients themselves.
    fn widen(&mut self, place: usize, theirs: Option<&Arc<[IpNet]>>) {
        let allow = &mut self.listeners[place].sources.allow;
        *allow = match (allow.take(), theirs) {
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
