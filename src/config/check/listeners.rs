//! Conflicts between consoles, streams and `[admin]`: addresses that cannot be opened together,
//! consoles that cannot be told apart, and backends that are the gateway itself.

use std::net::{IpAddr, SocketAddr};

use super::{
    super::{
        AdminConfig, BackendConfig, Console, ServerTls, Stream,
        problem::{ConsoleProblem, ProblemKind, StreamProblem, WarningKind},
        tree::Value,
    },
    console::CheckedConsole,
    kdc_proxy, stream,
};

/// An address that the gateway will open, and the section that it is for.
struct BoundAddress<'c, 'a> {
    address: SocketAddr,
    value: &'c Value<'a>,
    owner: AddressOwner<'c>,
}

#[derive(Clone, Copy)]
enum AddressOwner<'c> {
    Console(&'c Console),
    Redirect(&'c Console),
    Stream(&'c Stream),
    KdcProxy(&'c kdc_proxy::CheckedKdcProxy<'c>),
    Admin,
}

impl AddressOwner<'_> {
    fn name(&self) -> String {
        match self {
            Self::Console(console) | Self::Redirect(console) => {
                format!("console `{}`", console.name)
            }
            Self::Stream(stream) => format!("stream `{}`", stream.name),
            Self::KdcProxy(checked) => format!("the kdc_proxy of {}", checked.proxy.realm),
            Self::Admin => "[admin]".to_owned(),
        }
    }

    /// Whether it opens a TCP port, and a UDP port.
    const fn protocols(&self) -> (bool, bool) {
        match self {
            Self::Stream(stream) => (stream.tcp, stream.udp),
            Self::Console(_) | Self::Redirect(_) | Self::KdcProxy(_) | Self::Admin => (true, false),
        }
    }
}

/// Reports every pair of addresses that cannot be opened together, and every backend that is one of
/// the gateway's own addresses.
pub(super) fn check<'c, 'a: 'c>(
    consoles: &'c [CheckedConsole<'a>],
    streams: &'c [stream::CheckedStream<'a>],
    kdc_proxies: &'c [kdc_proxy::CheckedKdcProxy<'a>],
    admin: Option<&'c (Value<'a>, AdminConfig)>,
) {
    let addresses = addresses(consoles, streams, kdc_proxies, admin);
    for (i, bound) in addresses.iter().enumerate() {
        // Only the later of two is reported, so that a conflict is one problem.
        for earlier in addresses.iter().take(i) {
            if let Some(problem) = conflict(bound, earlier) {
                bound.value.problem(problem);
            }
        }
    }
    loops(consoles, streams, &addresses);
    shared_origins(&addresses);
    for bound in &addresses {
        if let AddressOwner::KdcProxy(checked) = bound.owner
            && !checked.has_tls
            && !addresses
                .iter()
                .any(|other| has_tls_at(other, bound.address))
        {
            let listen = bound.address;
            // Only a warning, because TLS may end in front of the gateway.
            bound.value.warning(WarningKind::KdcProxyPlain { listen });
        }
    }
}

fn has_tls_at(bound: &BoundAddress<'_, '_>, address: SocketAddr) -> bool {
    bound.address == address
        && match bound.owner {
            AddressOwner::Console(console) => console.tls.is_some(),
            AddressOwner::KdcProxy(checked) => checked.has_tls,
            AddressOwner::Redirect(_) | AddressOwner::Stream(_) | AddressOwner::Admin => false,
        }
}

fn addresses<'c, 'a: 'c>(
    consoles: &'c [CheckedConsole<'a>],
    streams: &'c [stream::CheckedStream<'a>],
    kdc_proxies: &'c [kdc_proxy::CheckedKdcProxy<'a>],
    admin: Option<&'c (Value<'a>, AdminConfig)>,
) -> Vec<BoundAddress<'c, 'a>> {
    let mut addresses: Vec<BoundAddress<'c, 'a>> = Vec::new();
    for checked in consoles {
        let console = &checked.console;
        for (value, address) in checked.listen.iter().zip(&console.listen) {
            addresses.push(BoundAddress {
                address: *address,
                value,
                owner: AddressOwner::Console(console),
            });
        }
        for (value, address) in checked.redirect_from.iter().zip(&console.redirect_from) {
            addresses.push(BoundAddress {
                address: *address,
                value,
                owner: AddressOwner::Redirect(console),
            });
        }
    }
    if let Some((value, admin)) = admin {
        addresses.push(BoundAddress {
            address: admin.listen,
            value,
            owner: AddressOwner::Admin,
        });
    }
    for checked in streams {
        for (value, address) in checked.listen.iter().zip(&checked.stream.listen) {
            addresses.push(BoundAddress {
                address: *address,
                value,
                owner: AddressOwner::Stream(&checked.stream),
            });
        }
    }
    for checked in kdc_proxies {
        for (value, address) in checked.listen.iter().zip(&checked.proxy.listen) {
            addresses.push(BoundAddress {
                address: *address,
                value,
                owner: AddressOwner::KdcProxy(checked),
            });
        }
    }
    addresses
}

/// Reports every server that is one of the gateway's own listeners: requests would loop until
/// connections run out.
fn loops(
    consoles: &[CheckedConsole<'_>],
    streams: &[stream::CheckedStream<'_>],
    addresses: &[BoundAddress<'_, '_>],
) {
    for checked in streams {
        for (value, backend) in checked.backends.iter().zip(&checked.stream.backends) {
            let itself = |bound: &&BoundAddress<'_, '_>| {
                bound.address.port() == backend.port && is_own(&backend.host, bound)
            };
            if let Some(bound) = addresses.iter().find(itself) {
                value.problem(StreamProblem::BackendIsSelf {
                    address: backend.address.to_string(),
                    listener: bound.address,
                });
            }
        }
    }
    for checked in consoles {
        for (value, backend) in checked.backends.iter().zip(&checked.console.backends) {
            let url = || backend.url.to_string();
            let same_port = |bound: &&BoundAddress<'_, '_>| bound.address.port() == backend.port;
            if let Some(bound) = addresses
                .iter()
                .filter(same_port)
                .find(|c| is_own_backend(backend, c))
            {
                let listener = bound.address;
                value.problem(ConsoleProblem::BackendIsSelf {
                    url: url(),
                    listener,
                });
            } else if addresses
                .iter()
                .filter(same_port)
                .any(|bound| is_named(backend, bound))
            {
                value.warning(WarningKind::BackendMayBeSelf { url: url() });
            }
        }
    }
}

/// Warns of a console that shows pages of users' applications (below `/proxy/` of a
/// `ResourceManager`) in one origin with another console: browsers let scripts of one origin use
/// everything of that origin, with the viewer's session.
fn shared_origins(addresses: &[BoundAddress<'_, '_>]) {
    for bound in addresses {
        let AddressOwner::Console(console) = bound.owner else {
            continue;
        };
        if !console.kind.hosts_foreign_pages() {
            continue;
        }
        let neighbour = addresses.iter().find_map(|other| match other.owner {
            AddressOwner::Console(other_console) if other.address == bound.address => {
                let shares = console
                    .hosts
                    .iter()
                    .any(|h| other_console.hosts.contains(h));
                (shares && !std::ptr::eq(console, other_console)).then_some(other_console)
            }
            AddressOwner::Console(_)
            | AddressOwner::Redirect(_)
            | AddressOwner::Stream(_)
            | AddressOwner::KdcProxy(_)
            | AddressOwner::Admin => None,
        });
        if let Some(other) = neighbour {
            bound.value.warning(WarningKind::UserPagesShareOrigin {
                console: console.name.to_string(),
                other: other.name.to_string(),
                listen: bound.address,
            });
        }
    }
}

fn conflict(bound: &BoundAddress<'_, '_>, earlier: &BoundAddress<'_, '_>) -> Option<ProblemKind> {
    let (a, b) = (bound.address, earlier.address);
    // The system chooses a free port for 0. IPv6 sockets are opened with IPV6_V6ONLY, so 0.0.0.0 and
    // [::] do not conflict.
    if a.port() == 0 || a.port() != b.port() || a.is_ipv4() != b.is_ipv4() {
        return None;
    }
    let ((tcp, udp), (other_tcp, other_udp)) = (bound.owner.protocols(), earlier.owner.protocols());
    // TCP and UDP have ports of their own.
    if !(tcp && other_tcp || udp && other_udp) {
        return None;
    }
    let wildcard = a.ip().is_unspecified() || b.ip().is_unspecified();
    let taken = ConsoleProblem::AddressTaken {
        listener: a,
        with: b,
        owner: earlier.owner.name(),
    };
    // A wildcard address takes the port of every other address.
    if a.ip() != b.ip() {
        return wildcard.then(|| taken.into());
    }
    match (bound.owner, earlier.owner) {
        (AddressOwner::Console(one), AddressOwner::Console(other)) => {
            shared(a, one, other).map(ProblemKind::from)
        }
        (AddressOwner::Redirect(one), AddressOwner::Redirect(other)) => {
            let port = |console: &Console| console.listen.first().map(SocketAddr::port);
            // Several consoles may redirect from one port (80), because the redirect depends on the
            // host name only; the same host needs the same target port.
            if let Some(problem) = proxy_differs(a, one, other) {
                Some(problem.into())
            } else if port(one) == port(other) {
                None
            } else {
                overlap(a, one, other).map(ProblemKind::from)
            }
        }
        (AddressOwner::KdcProxy(one), other) => match other {
            AddressOwner::Console(console) => {
                same_tls(a, one, console.tls.as_ref(), &earlier.owner)
            }
            AddressOwner::KdcProxy(earlier_one) if earlier_one.has_tls => {
                same_tls(a, one, earlier_one.proxy.tls.as_ref(), &earlier.owner)
            }
            AddressOwner::KdcProxy(_) => None,
            AddressOwner::Redirect(_) | AddressOwner::Stream(_) | AddressOwner::Admin => {
                Some(taken.into())
            }
        },
        (
            AddressOwner::Console(_)
            | AddressOwner::Redirect(_)
            | AddressOwner::Stream(_)
            | AddressOwner::Admin,
            _,
        ) => Some(taken.into()),
    }
}

/// A `[[kdc_proxy]]` on a listener of another section: the same `tls`, or none.
fn same_tls(
    listener: SocketAddr,
    one: &kdc_proxy::CheckedKdcProxy<'_>,
    other: Option<&ServerTls>,
    owner: &AddressOwner<'_>,
) -> Option<ProblemKind> {
    // Without `tls` of its own, it uses that of the listener.
    let differs = one.has_tls && one.proxy.tls.as_ref() != other;
    differs.then(|| {
        let owner = owner.name();
        StreamProblem::TlsDiffers { listener, owner }.into()
    })
}

/// Two consoles on one address need the same TLS, and different hosts or paths.
fn shared(listener: SocketAddr, one: &Console, other: &Console) -> Option<ConsoleProblem> {
    if std::ptr::eq(one, other) {
        return None;
    }
    if one.tls != other.tls {
        return Some(ConsoleProblem::TlsDiffers {
            listener,
            other: other.name.to_string(),
        });
    }
    if let Some(problem) = proxy_differs(listener, one, other) {
        return Some(problem);
    }
    if one.path == other.path {
        overlap(listener, one, other)
    } else {
        None
    }
}

/// The PROXY header comes before the request that selects a console, so all consoles of a listener
/// need the same trusted peers.
fn proxy_differs(listener: SocketAddr, one: &Console, other: &Console) -> Option<ConsoleProblem> {
    let key = if one.accept_proxy != other.accept_proxy {
        "accept_proxy"
    } else if one.trusted_proxies != other.trusted_proxies {
        "trusted_proxies"
    } else {
        return None;
    };
    let other = other.name.to_string();
    Some(ConsoleProblem::ProxyDiffers {
        key,
        listener,
        other,
    })
}

fn overlap(listener: SocketAddr, one: &Console, other: &Console) -> Option<ConsoleProblem> {
    let host = one.hosts.iter().find(|host| other.hosts.contains(host))?;
    let (host, other) = (host.to_string(), other.name.to_string());
    Some(ConsoleProblem::Overlap {
        listener,
        host,
        other,
    })
}

/// Whether the backend's host is the gateway's own address; the ports are equal already.
fn is_own_backend(backend: &BackendConfig, bound: &BoundAddress<'_, '_>) -> bool {
    let host = backend.host.trim_start_matches('[').trim_end_matches(']');
    is_own(host, bound)
}

/// Whether a host (an IPv6 address without brackets) is the gateway's own address.
fn is_own(host: &str, bound: &BoundAddress<'_, '_>) -> bool {
    let listener = bound.address.ip();
    match host.parse::<IpAddr>() {
        Ok(address) => {
            // 127.0.0.1 reaches a listener on 0.0.0.0; so does 0.0.0.0 as a destination on Linux.
            let local = address.is_loopback() || address.is_unspecified();
            let same_family = address.is_ipv4() == listener.is_ipv4();
            address == listener || (same_family && local && listener.is_unspecified())
        }
        Err(_) => host == "localhost" && (listener.is_loopback() || listener.is_unspecified()),
    }
}

/// Whether clients use the backend's host name for the gateway. This is not always a loop: where the
/// gateway has taken over a server's name, the name may resolve to the server on this host.
fn is_named(backend: &BackendConfig, bound: &BoundAddress<'_, '_>) -> bool {
    match bound.owner {
        AddressOwner::Console(console) => console.hosts.contains(&backend.host),
        AddressOwner::Redirect(_)
        | AddressOwner::Stream(_)
        | AddressOwner::KdcProxy(_)
        | AddressOwner::Admin => false,
    }
}
