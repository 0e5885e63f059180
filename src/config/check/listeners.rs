//! What consoles do to each other: shared addresses, taken addresses, requests in a circle.

use std::net::{IpAddr, SocketAddr};

use super::{
    super::{
        AdminConfig, BackendConfig, Console,
        problem::{Concern, ConsoleFault},
        tree::Node,
    },
    console::Checked,
};

/// An address that somebody wants to open.
struct Claim<'c, 'a> {
    address: SocketAddr,
    node: &'c Node<'a>,
    by: Claimant<'c>,
}

#[derive(Clone, Copy)]
enum Claimant<'c> {
    Serves(&'c Console),
    Redirects(&'c Console),
    Admin,
}

impl Claimant<'_> {
    fn name(&self) -> String {
        match self {
            Self::Serves(console) | Self::Redirects(console) => {
                format!("console `{}`", console.name)
            }
            Self::Admin => "[admin]".to_owned(),
        }
    }
}

/// Reports every pair of addresses that cannot be had together, and every backend that is one of
/// them.
pub(super) fn check(consoles: &[Checked<'_>], admin: Option<&(Node<'_>, AdminConfig)>) {
    let mut claims: Vec<Claim<'_, '_>> = Vec::new();
    for checked in consoles {
        let console = &checked.console;
        for (node, address) in checked.listen.iter().zip(&console.listen) {
            claims.push(Claim {
                address: *address,
                node,
                by: Claimant::Serves(console),
            });
        }
        for (node, address) in checked.redirect_from.iter().zip(&console.redirect_from) {
            claims.push(Claim {
                address: *address,
                node,
                by: Claimant::Redirects(console),
            });
        }
    }
    if let Some((node, admin)) = admin {
        claims.push(Claim {
            address: admin.listen,
            node,
            by: Claimant::Admin,
        });
    }
    for (i, claim) in claims.iter().enumerate() {
        for earlier in claims.iter().take(i) {
            if let Some(fault) = collision(claim, earlier) {
                claim.node.problem(fault);
            }
        }
    }
    for checked in consoles {
        for (node, backend) in checked.backends.iter().zip(&checked.console.backends) {
            let url = || backend.url.to_string();
            let beside = |claim: &&Claim<'_, '_>| claim.address.port() == backend.port;
            if let Some(claim) = claims.iter().filter(beside).find(|c| is_self(backend, c)) {
                let listener = claim.address;
                node.problem(ConsoleFault::BackendIsSelf {
                    url: url(),
                    listener,
                });
            } else if claims
                .iter()
                .filter(beside)
                .any(|claim| is_named(backend, claim))
            {
                node.warning(Concern::BackendMayBeSelf { url: url() });
            }
        }
    }
}

fn collision(claim: &Claim<'_, '_>, earlier: &Claim<'_, '_>) -> Option<ConsoleFault> {
    let (a, b) = (claim.address, earlier.address);
    if a.port() == 0 || a.port() != b.port() || a.is_ipv4() != b.is_ipv4() {
        return None;
    }
    let wildcard = a.ip().is_unspecified() || b.ip().is_unspecified();
    let taken = ConsoleFault::AddressTaken {
        listener: a,
        with: b,
        owner: earlier.by.name(),
    };
    if a.ip() != b.ip() {
        return wildcard.then_some(taken);
    }
    match (claim.by, earlier.by) {
        (Claimant::Serves(one), Claimant::Serves(other)) => shared(a, one, other),
        (Claimant::Redirects(one), Claimant::Redirects(other)) => {
            let port = |console: &Console| console.listen.first().map(SocketAddr::port);
            if port(one) == port(other) {
                None
            } else {
                overlap(a, one, other)
            }
        }
        (Claimant::Serves(_) | Claimant::Redirects(_) | Claimant::Admin, _) => Some(taken),
    }
}

/// Two consoles on one address: the same TLS, and hosts or path to tell them apart.
fn shared(listener: SocketAddr, one: &Console, other: &Console) -> Option<ConsoleFault> {
    if std::ptr::eq(one, other) {
        return None;
    }
    if one.tls != other.tls {
        return Some(ConsoleFault::TlsDiffers {
            listener,
            other: other.name.to_string(),
        });
    }
    if one.accept_proxy != other.accept_proxy {
        return Some(ConsoleFault::ProxyDiffers {
            listener,
            other: other.name.to_string(),
        });
    }
    if one.path == other.path {
        overlap(listener, one, other)
    } else {
        None
    }
}

fn overlap(listener: SocketAddr, one: &Console, other: &Console) -> Option<ConsoleFault> {
    let host = one.hosts.iter().find(|host| other.hosts.contains(host))?;
    let (host, other) = (host.to_string(), other.name.to_string());
    Some(ConsoleFault::Overlap {
        listener,
        host,
        other,
    })
}

/// Whether the backend's host, on the same port, is the gateway's own address.
fn is_self(backend: &BackendConfig, claim: &Claim<'_, '_>) -> bool {
    let listener = claim.address.ip();
    let host = backend.host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(address) => {
            let local = address.is_loopback() || address.is_unspecified();
            let same_family = address.is_ipv4() == listener.is_ipv4();
            address == listener || (same_family && local && listener.is_unspecified())
        }
        Err(_) => host == "localhost" && (listener.is_loopback() || listener.is_unspecified()),
    }
}

/// Whether the backend's host, on the same port, is one that clients use for the gateway. Where the
/// gateway has taken over a server's name, that name leads elsewhere from here.
fn is_named(backend: &BackendConfig, claim: &Claim<'_, '_>) -> bool {
    match claim.by {
        Claimant::Serves(console) => console.hosts.contains(&backend.host),
        Claimant::Redirects(_) | Claimant::Admin => false,
    }
}
