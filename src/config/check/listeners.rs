//! What consoles do to each other: shared addresses, taken addresses, requests in a circle.

use std::net::{IpAddr, SocketAddr};

use super::{
    super::{
        AdminConfig, BackendConfig, Console, ServerTls, Stream,
        problem::{Concern, ConsoleFault, Fault, StreamFault},
        tree::Node,
    },
    console::Checked,
    kdc_proxy, stream,
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
    Relays(&'c Stream),
    ProxiesKdc(&'c kdc_proxy::Checked<'c>),
    Admin,
}

impl Claimant<'_> {
    fn name(&self) -> String {
        match self {
            Self::Serves(console) | Self::Redirects(console) => {
                format!("console `{}`", console.name)
            }
            Self::Relays(stream) => format!("stream `{}`", stream.name),
            Self::ProxiesKdc(checked) => format!("the kdc_proxy of {}", checked.proxy.realm),
            Self::Admin => "[admin]".to_owned(),
        }
    }

    /// Whether it wants a TCP port, and a UDP port.
    const fn protocols(&self) -> (bool, bool) {
        match self {
            Self::Relays(stream) => (stream.tcp, stream.udp),
            Self::Serves(_) | Self::Redirects(_) | Self::ProxiesKdc(_) | Self::Admin => {
                (true, false)
            }
        }
    }
}

/// Reports every pair of addresses that cannot be had together, and every backend that is one of
/// them.
pub(super) fn check<'c, 'a: 'c>(
    consoles: &'c [Checked<'a>],
    streams: &'c [stream::Checked<'a>],
    kdc_proxies: &'c [kdc_proxy::Checked<'a>],
    admin: Option<&'c (Node<'a>, AdminConfig)>,
) {
    let claims = claims(consoles, streams, kdc_proxies, admin);
    for (i, claim) in claims.iter().enumerate() {
        for earlier in claims.iter().take(i) {
            if let Some(fault) = collision(claim, earlier) {
                claim.node.problem(fault);
            }
        }
    }
    circles(consoles, streams, &claims);
    strangers(&claims);
    for claim in &claims {
        if let Claimant::ProxiesKdc(checked) = claim.by
            && !checked.has_tls
            && !claims.iter().any(|other| has_tls_at(other, claim.address))
        {
            let listen = claim.address;
            claim.node.warning(Concern::KdcProxyPlain { listen });
        }
    }
}

fn has_tls_at(claim: &Claim<'_, '_>, address: SocketAddr) -> bool {
    claim.address == address
        && match claim.by {
            Claimant::Serves(console) => console.tls.is_some(),
            Claimant::ProxiesKdc(checked) => checked.has_tls,
            Claimant::Redirects(_) | Claimant::Relays(_) | Claimant::Admin => false,
        }
}

fn claims<'c, 'a: 'c>(
    consoles: &'c [Checked<'a>],
    streams: &'c [stream::Checked<'a>],
    kdc_proxies: &'c [kdc_proxy::Checked<'a>],
    admin: Option<&'c (Node<'a>, AdminConfig)>,
) -> Vec<Claim<'c, 'a>> {
    let mut claims: Vec<Claim<'c, 'a>> = Vec::new();
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
    for checked in streams {
        for (node, address) in checked.listen.iter().zip(&checked.stream.listen) {
            claims.push(Claim {
                address: *address,
                node,
                by: Claimant::Relays(&checked.stream),
            });
        }
    }
    for checked in kdc_proxies {
        for (node, address) in checked.listen.iter().zip(&checked.proxy.listen) {
            claims.push(Claim {
                address: *address,
                node,
                by: Claimant::ProxiesKdc(checked),
            });
        }
    }
    claims
}

/// Reports every server that is one of the gateway's own listeners.
fn circles(consoles: &[Checked<'_>], streams: &[stream::Checked<'_>], claims: &[Claim<'_, '_>]) {
    for checked in streams {
        for (node, backend) in checked.backends.iter().zip(&checked.stream.backends) {
            let itself = |claim: &&Claim<'_, '_>| {
                claim.address.port() == backend.port && is_own(&backend.host, claim)
            };
            if let Some(claim) = claims.iter().find(itself) {
                node.problem(StreamFault::BackendIsSelf {
                    address: backend.address.to_string(),
                    listener: claim.address,
                });
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

/// Warns where pages of any user's applications share an origin with another console.
fn strangers(claims: &[Claim<'_, '_>]) {
    for claim in claims {
        let Claimant::Serves(console) = claim.by else {
            continue;
        };
        if !console.kind.hosts_foreign_pages() {
            continue;
        }
        let beside = claims.iter().find_map(|other| match other.by {
            Claimant::Serves(other_one) if other.address == claim.address => {
                let shares = console.hosts.iter().any(|h| other_one.hosts.contains(h));
                (shares && !std::ptr::eq(console, other_one)).then_some(other_one)
            }
            Claimant::Serves(_)
            | Claimant::Redirects(_)
            | Claimant::Relays(_)
            | Claimant::ProxiesKdc(_)
            | Claimant::Admin => None,
        });
        if let Some(other) = beside {
            claim.node.warning(Concern::StrangersShareOrigin {
                console: console.name.to_string(),
                other: other.name.to_string(),
                listen: claim.address,
            });
        }
    }
}

fn collision(claim: &Claim<'_, '_>, earlier: &Claim<'_, '_>) -> Option<Fault> {
    let (a, b) = (claim.address, earlier.address);
    if a.port() == 0 || a.port() != b.port() || a.is_ipv4() != b.is_ipv4() {
        return None;
    }
    let ((tcp, udp), (other_tcp, other_udp)) = (claim.by.protocols(), earlier.by.protocols());
    if !(tcp && other_tcp || udp && other_udp) {
        return None;
    }
    let wildcard = a.ip().is_unspecified() || b.ip().is_unspecified();
    let taken = ConsoleFault::AddressTaken {
        listener: a,
        with: b,
        owner: earlier.by.name(),
    };
    if a.ip() != b.ip() {
        return wildcard.then(|| taken.into());
    }
    match (claim.by, earlier.by) {
        (Claimant::Serves(one), Claimant::Serves(other)) => shared(a, one, other).map(Fault::from),
        (Claimant::Redirects(one), Claimant::Redirects(other)) => {
            let port = |console: &Console| console.listen.first().map(SocketAddr::port);
            if let Some(fault) = proxy_differs(a, one, other) {
                Some(fault.into())
            } else if port(one) == port(other) {
                None
            } else {
                overlap(a, one, other).map(Fault::from)
            }
        }
        (Claimant::ProxiesKdc(one), other) => match other {
            Claimant::Serves(console) => same_tls(a, one, console.tls.as_ref(), &earlier.by),
            Claimant::ProxiesKdc(earlier_one) if earlier_one.has_tls => {
                same_tls(a, one, earlier_one.proxy.tls.as_ref(), &earlier.by)
            }
            Claimant::ProxiesKdc(_) => None,
            Claimant::Redirects(_) | Claimant::Relays(_) | Claimant::Admin => Some(taken.into()),
        },
        (
            Claimant::Serves(_) | Claimant::Redirects(_) | Claimant::Relays(_) | Claimant::Admin,
            _,
        ) => Some(taken.into()),
    }
}

/// A `[[kdc_proxy]]` on somebody's listener: the same TLS, or none written.
fn same_tls(
    listener: SocketAddr,
    one: &kdc_proxy::Checked<'_>,
    other: Option<&ServerTls>,
    owner: &Claimant<'_>,
) -> Option<Fault> {
    let differs = one.has_tls && one.proxy.tls.as_ref() != other;
    differs.then(|| {
        let owner = owner.name();
        StreamFault::TlsDiffers { listener, owner }.into()
    })
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
    if let Some(fault) = proxy_differs(listener, one, other) {
        return Some(fault);
    }
    if one.path == other.path {
        overlap(listener, one, other)
    } else {
        None
    }
}

/// Who speaks for clients is known before the console is.
fn proxy_differs(listener: SocketAddr, one: &Console, other: &Console) -> Option<ConsoleFault> {
    let key = if one.accept_proxy != other.accept_proxy {
        "accept_proxy"
    } else if one.trusted_proxies != other.trusted_proxies {
        "trusted_proxies"
    } else {
        return None;
    };
    let other = other.name.to_string();
    Some(ConsoleFault::ProxyDiffers {
        key,
        listener,
        other,
    })
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
    let host = backend.host.trim_start_matches('[').trim_end_matches(']');
    is_own(host, claim)
}

/// Whether a host (an address without brackets) is the gateway's own address.
fn is_own(host: &str, claim: &Claim<'_, '_>) -> bool {
    let listener = claim.address.ip();
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
        Claimant::Redirects(_)
        | Claimant::Relays(_)
        | Claimant::ProxiesKdc(_)
        | Claimant::Admin => false,
    }
}
