//! `[[console]]`: one console by itself.

use std::{net::SocketAddr, sync::Arc};

use super::{
    super::{
        BackendConfig, Console, Forwarded, IdentityMode,
        problem::{Concern, ConsoleFault, ValueFault},
        schema,
        tree::{Node, Table},
    },
    Surroundings, allow, backend, backend_tls, balance, hosts, identity, kerberos, name, nodes,
    sources, tls,
};
use crate::{
    identity::cookies,
    kinds::{self, Kind},
};

/// A console, with stand-ins where a problem was reported, and the places of what other consoles
/// may collide with.
pub(super) struct Checked<'a> {
    pub(super) console: Console,
    /// One place for each of `console.listen`.
    pub(super) listen: Vec<Node<'a>>,
    /// One place for each of `console.redirect_from`.
    pub(super) redirect_from: Vec<Node<'a>>,
    /// One place for each of `console.backends`.
    pub(super) backends: Vec<Node<'a>>,
}

const NEED_CONSOLE: &str = "Add a [[console]]: see the examples in conf/";
const NEED_NAME: &str = "Write name = \"namenode\": it stands in logs and metrics";
const NEED_KIND: &str = "Write what it is, such as kind = \"namenode\", or \"generic\"";
const NEED_LISTEN: &str = "Write listen = \"0.0.0.0:50070\"";

/// The largest body that may be kept for a second try, in bytes.
const MOST_BUFFER: u64 = 64 << 20;

pub(super) fn check_all<'a>(
    top: &Table<'a>,
    kerberos: &kerberos::Checked,
    surroundings: &Surroundings<'_>,
) -> Vec<Checked<'a>> {
    // a gateway may relay and nothing else
    let needed = top.get("stream").is_none() && top.get("kdc_proxy").is_none();
    let node = if needed {
        top.require("console", NEED_CONSOLE)
    } else {
        top.get("console")
    };
    let list = node.and_then(|node| {
        let list = node.list()?;
        if list.is_empty() {
            node.problem(ValueFault::Empty { cure: NEED_CONSOLE });
        }
        Some(list)
    });
    let mut names: Vec<Option<Arc<str>>> = Vec::new();
    let mut consoles = Vec::new();
    for node in list.unwrap_or_default() {
        let Some(table) = node.table(&schema::CONSOLE) else {
            names.push(None);
            continue;
        };
        let name = name(&table, &names);
        names.push(name.clone());
        let name = name.unwrap_or_else(|| node.key().into());
        consoles.push(check(&table, name, kerberos, surroundings));
    }
    shared_power(&consoles, kerberos);
    consoles
}

/// Warns of `service` consoles whose users act as a principal that may act for others.
fn shared_power(consoles: &[Checked<'_>], kerberos: &kerberos::Checked) {
    let principal = |backend: &BackendConfig| {
        let own = backend.principal.as_ref();
        own.or(kerberos.principal.as_ref()).cloned()
    };
    let of = |identity: IdentityMode| {
        let consoles = consoles.iter();
        consoles.filter(move |checked| checked.console.identity == identity)
    };
    for checked in of(IdentityMode::Service) {
        let mut all = checked.backends.iter().zip(&checked.console.backends);
        let shared = all.find_map(|(node, backend)| {
            let mine = principal(backend)?;
            let same = |other: &&Checked<'_>| {
                let mut theirs = other.console.backends.iter().map(principal);
                theirs.any(|theirs| theirs.as_ref() == Some(&mine))
            };
            let other = of(IdentityMode::DoAs).find(same)?;
            Some((node, mine, &other.console.name))
        });
        if let Some((node, principal, console)) = shared {
            node.warning(Concern::SharedPower {
                principal: principal.to_string(),
                console: console.to_string(),
            });
        }
    }
}

fn check<'a>(
    table: &Table<'a>,
    name: Arc<str>,
    kerberos: &kerberos::Checked,
    surroundings: &Surroundings<'_>,
) -> Checked<'a> {
    let kind = kind(table);
    let identity = identity::identity(table, kind);
    let (listen_at, listen) = table
        .require("listen", NEED_LISTEN)
        .map(|node| addresses(&node, NEED_LISTEN))
        .unwrap_or_default()
        .into_iter()
        .unzip();
    let hosts = hosts::check(table, kind, kerberos.keytab.as_ref());
    let (redirect_at, redirect_from) = redirect_from(table).into_iter().unzip();
    let tls = tls::check(table, &hosts, surroundings);
    let backend_tls = backend_tls::of_console(table, surroundings);
    let (backends_at, backends): (Vec<_>, Vec<BackendConfig>) = backend::check(
        table,
        identity,
        kerberos,
        backend_tls.as_ref(),
        surroundings,
    )
    .into_iter()
    .unzip();
    let (nodes, node_login) = nodes::check(table, kind);
    let retry = table
        .table("retry", &schema::RETRY)
        .and_then(|retry| retry.get("buffer"));
    let buffer = retry
        .and_then(|node| node.size(MOST_BUFFER))
        .unwrap_or(64 << 10);
    let console = Console {
        name,
        kind: kind.unwrap_or(kinds::ALL[0]),
        listen,
        hosts,
        path: hosts::path(table),
        tls,
        redirect_from,
        accept_proxy: sources::networks(table, "accept_proxy").unwrap_or_default(),
        trusted_proxies: sources::networks(table, "trusted_proxies").unwrap_or_default(),
        allow_from: sources::networks(table, "allow_from"),
        forwarded: forwarded(table),
        balance: balance::balance(table, kind),
        slow_start: balance::slow_start(table),
        queue: balance::queue(table),
        probe: balance::probe(table),
        identity: identity.unwrap_or(IdentityMode::Service),
        becomes: identity::becomes(table, kind, kerberos),
        allow: allow::allow(table, kerberos, surroundings),
        node_trust: table.get("nodes").and_then(|node| {
            let by_tls = backend_tls.is_some() || backends.iter().any(|b| b.tls.is_some());
            by_tls.then(|| backend_tls::resolve(&node, None, backend_tls.as_ref()).trust)
        }),
        nodes,
        node_login,
        backends,
        pass_cookies: pass_cookies(table),
        retry_buffer: usize::try_from(buffer).unwrap_or(usize::MAX),
        allow_encoded_slash: table
            .get("allow_encoded_slash")
            .and_then(|node| node.boolean())
            .unwrap_or(false),
    };
    Checked {
        console,
        listen: listen_at,
        redirect_from: redirect_at,
        backends: backends_at,
    }
}

fn name(table: &Table<'_>, names: &[Option<Arc<str>>]) -> Option<Arc<str>> {
    let node = table.require("name", NEED_NAME)?;
    let name = node.text()?;
    if !name::is_name(name) {
        node.problem(ConsoleFault::Name {
            name: name.to_owned(),
        });
    } else if let Some(other) = name::earlier(names, name) {
        node.problem(ConsoleFault::NameTwice {
            name: name.to_owned(),
            other,
        });
    }
    Some(name.into())
}

fn kind(table: &Table<'_>) -> Option<&'static dyn Kind> {
    let words: Vec<(&'static str, &'static dyn Kind)> =
        kinds::ALL.iter().map(|kind| (kind.name(), *kind)).collect();
    table.require("kind", NEED_KIND)?.word(&words, &[])
}

fn forwarded(table: &Table<'_>) -> Forwarded {
    let words = [
        ("off", Forwarded::Off),
        ("x-forwarded", Forwarded::X),
        ("rfc7239", Forwarded::Rfc7239),
        ("both", Forwarded::Both),
    ];
    table
        .get("forwarded")
        .and_then(|node| node.word(&words, &[]))
        .unwrap_or_default()
}

fn pass_cookies(table: &Table<'_>) -> Arc<[Arc<str>]> {
    let list = table.get("pass_cookies").and_then(|node| node.list());
    let name = |node: &Node<'_>| {
        let name = node.text()?;
        if !cookies::is_token(name) {
            node.problem(ConsoleFault::CookieName {
                name: name.to_owned(),
            });
        } else if cookies::is_login_cookie(name) {
            node.problem(ConsoleFault::LoginCookie {
                name: name.to_owned(),
            });
        }
        Some(name.into())
    };
    list.unwrap_or_default().iter().filter_map(name).collect()
}

/// One address or a list of them, each once.
pub(super) fn addresses<'a>(node: &Node<'a>, cure: &'static str) -> Vec<(Node<'a>, SocketAddr)> {
    let mut addresses: Vec<(Node<'a>, SocketAddr)> = Vec::new();
    let list = node.one_or_more();
    if list.is_empty() {
        node.problem(ValueFault::Empty { cure });
    }
    for element in list {
        let Some(address) = element.address() else {
            continue;
        };
        if address.port() != 0 && addresses.iter().any(|(_, other)| *other == address) {
            element.problem(ValueFault::Twice {
                value: address.to_string(),
            });
        } else {
            addresses.push((element, address));
        }
    }
    addresses
}

fn redirect_from<'a>(table: &Table<'a>) -> Vec<(Node<'a>, SocketAddr)> {
    let Some(node) = table.get("redirect_from") else {
        return Vec::new();
    };
    if table.get("tls").is_none() {
        node.problem(ConsoleFault::RedirectWithoutTls);
    }
    addresses(&node, NEED_LISTEN)
}
