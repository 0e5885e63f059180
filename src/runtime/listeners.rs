//! Consoles to listeners: several consoles may share an address.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use crate::{
    config::{Config, TlsFiles},
    server::{Listener, Redirect, Role, Tls, TlsError},
};

/// Addresses, and which consoles each serves.
#[derive(Debug)]
pub(super) struct Layout {
    /// Each address once.
    pub(super) listeners: Vec<Listener>,
    /// For each listener the consoles, as indices of the configuration's.
    pub(super) sites: Vec<Vec<usize>>,
}

pub(super) fn lay_out(config: &Config) -> Result<Layout, TlsError> {
    let mut layout = Layout {
        listeners: Vec::new(),
        sites: Vec::new(),
    };
    let mut certificates: HashMap<TlsFiles, Tls> = HashMap::new();
    let mut at: HashMap<SocketAddr, usize> = HashMap::new();
    for (index, console) in config.consoles.iter().enumerate() {
        for address in &console.listen {
            let place = if let Some(place) = at.get(address) {
                *place
            } else {
                let role = match &console.tls {
                    None => Role::Plain,
                    Some(files) => Role::Tls(certificate(&mut certificates, files)?),
                };
                layout.add(*address, role)
            };
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
            layout.add(*address, role);
        }
    }
    Ok(layout)
}

/// Consoles with the same files share what was read from them.
fn certificate(known: &mut HashMap<TlsFiles, Tls>, files: &TlsFiles) -> Result<Tls, TlsError> {
    if let Some(tls) = known.get(files) {
        return Ok(tls.clone());
    }
    let tls = Tls::load(files)?;
    known.insert(files.clone(), tls.clone());
    Ok(tls)
}

impl Layout {
    fn add(&mut self, address: SocketAddr, role: Role) -> usize {
        self.listeners.push(Listener { address, role });
        self.sites.push(Vec::new());
        self.sites.len() - 1
    }
}
