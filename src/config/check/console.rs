//! `[[console]]`: one console by itself. [`listeners`](super::listeners) compares it with the others.

use std::{net::SocketAddr, sync::Arc};

use super::{
    super::{
        BackendConfig, Console, Forwarded, IdentityMode,
        problem::{ConsoleProblem, ValueProblem, WarningKind},
        schema,
        tree::{Table, Value},
    },
    Environment, kerberos, name, networks, tls,
};
use crate::{
    identity::cookies,
    kinds::{self, Kind},
};

pub(super) mod allow;
mod backend;
mod backend_tls;
mod balance;
pub(super) mod hosts;
mod identity;
mod nodes;

/// A console, with defaults where a problem was reported, and the positions of what may conflict
/// with other consoles.
pub(super) struct CheckedConsole<'a> {
    pub(super) console: Console,
    /// The position of each of `console.listen`.
    pub(super) listen: Vec<Value<'a>>,
    /// The position of each of `console.redirect_from`.
    pub(super) redirect_from: Vec<Value<'a>>,
    /// The position of each of `console.backends`.
    pub(super) backends: Vec<Value<'a>>,
}

const NEED_CONSOLE: &str = "Add a [[console]] section; conf/ has examples";
const NEED_NAME: &str = "Write name = \"namenode\"; the name is used in logs and metrics";
const NEED_KIND: &str = "Write the kind of server, such as kind = \"namenode\", or \"generic\"";
const NEED_LISTEN: &str = "Write listen = \"0.0.0.0:50070\"";

/// Bytes; each waiting request may hold this much memory.
const MOST_BUFFER: u64 = 64 << 20;

pub(super) fn check_all<'a>(
    top: &Table<'a>,
    kerberos: &kerberos::CheckedKerberos,
    environment: &Environment<'_>,
) -> Vec<CheckedConsole<'a>> {
    // A gateway may have streams or KDC proxies only.
    let needed = top.get("stream").is_none() && top.get("kdc_proxy").is_none();
    let value = if needed {
        top.require("console", NEED_CONSOLE)
    } else {
        top.get("console")
    };
    let list = value.and_then(|value| {
        let list = value.list()?;
        if list.is_empty() {
            value.problem(ValueProblem::Empty { cure: NEED_CONSOLE });
        }
        Some(list)
    });
    let mut names: Vec<Option<Arc<str>>> = Vec::new();
    let mut consoles = Vec::new();
    for value in list.unwrap_or_default() {
        let Some(table) = value.table(&schema::CONSOLE) else {
            names.push(None);
            continue;
        };
        let name = name(&table, &names);
        names.push(name.clone());
        // The checks go on under the key path, so that one run finds all problems of the console.
        let name = name.unwrap_or_else(|| value.key().into());
        consoles.push(check(&table, name, kerberos, environment));
    }
    warn_of_shared_proxy_users(&consoles, kerberos);
    consoles
}

/// Warns of `service` consoles whose users all act as a principal that may impersonate others at
/// another console: whatever they may do there as that principal includes impersonation.
fn warn_of_shared_proxy_users(
    consoles: &[CheckedConsole<'_>],
    kerberos: &kerberos::CheckedKerberos,
) {
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
        let shared = all.find_map(|(value, backend)| {
            let mine = principal(backend)?;
            let same = |other: &&CheckedConsole<'_>| {
                let mut theirs = other.console.backends.iter().map(principal);
                theirs.any(|theirs| theirs.as_ref() == Some(&mine))
            };
            let other = of(IdentityMode::DoAs).find(same)?;
            Some((value, mine, &other.console.name))
        });
        if let Some((value, principal, console)) = shared {
            value.warning(WarningKind::ServiceAsProxyUser {
                principal: principal.to_string(),
                console: console.to_string(),
            });
        }
    }
}

fn check<'a>(
    table: &Table<'a>,
    name: Arc<str>,
    kerberos: &kerberos::CheckedKerberos,
    environment: &Environment<'_>,
) -> CheckedConsole<'a> {
    let kind = kind(table);
    let identity = identity::identity(table, kind);
    let (listen_values, listen) = table
        .require("listen", NEED_LISTEN)
        .map(|value| addresses(&value, NEED_LISTEN))
        .unwrap_or_default()
        .into_iter()
        .unzip();
    let hosts = hosts::check(table, kind, kerberos.keytab.as_ref());
    let (redirect_values, redirect_from) = redirect_from(table).into_iter().unzip();
    let tls = tls::check(table, &hosts, environment);
    let backend_tls = backend_tls::of_console(table, environment);
    let (backend_values, backends): (Vec<_>, Vec<BackendConfig>) =
        backend::check(table, identity, kerberos, backend_tls.as_ref(), environment)
            .into_iter()
            .unzip();
    let (nodes, node_login) = nodes::check(table, kind);
    let retry = table
        .table("retry", &schema::RETRY)
        .and_then(|retry| retry.get("buffer"));
    let buffer = retry
        .and_then(|value| value.size(MOST_BUFFER))
        .unwrap_or(64 << 10);
    let console = Console {
        name,
        // Unused if the kind is invalid: there is a problem then, and no configuration.
        kind: kind.unwrap_or(kinds::ALL[0]),
        listen,
        hosts,
        path: hosts::path(table),
        tls,
        redirect_from,
        accept_proxy: networks::list(table, "accept_proxy").unwrap_or_default(),
        trusted_proxies: networks::list(table, "trusted_proxies").unwrap_or_default(),
        allow_from: networks::list(table, "allow_from"),
        forwarded: forwarded(table),
        balance: balance::balance(table, kind),
        slow_start: balance::slow_start(table),
        queue: balance::queue(table),
        probe: balance::probe(table),
        identity: identity.unwrap_or(IdentityMode::Service),
        become_rules: identity::become_rules(table, kind, kerberos),
        allow: allow::allow(table, kerberos, environment),
        // Nodes have no `tls` of their own. They are trusted like the backends of their console; without
        // any TLS there, missing system roots are not a problem.
        node_trust: table.get("nodes").and_then(|value| {
            let by_tls = backend_tls.is_some() || backends.iter().any(|b| b.tls.is_some());
            by_tls.then(|| backend_tls::resolve(&value, None, backend_tls.as_ref()).trust)
        }),
        nodes,
        node_login,
        backends,
        pass_cookies: pass_cookies(table),
        retry_buffer: usize::try_from(buffer).unwrap_or(usize::MAX),
        allow_encoded_slash: table
            .get("allow_encoded_slash")
            .and_then(|value| value.boolean())
            .unwrap_or(false),
    };
    CheckedConsole {
        console,
        listen: listen_values,
        redirect_from: redirect_values,
        backends: backend_values,
    }
}

fn name(table: &Table<'_>, names: &[Option<Arc<str>>]) -> Option<Arc<str>> {
    let value = table.require("name", NEED_NAME)?;
    let name = value.text()?;
    if !name::is_name(name) {
        value.problem(ConsoleProblem::Name {
            name: name.to_owned(),
        });
    } else if let Some(other) = name::earlier(names, name) {
        value.problem(ConsoleProblem::NameTwice {
            name: name.to_owned(),
            other,
        });
    }
    Some(name.into())
}

fn kind(table: &Table<'_>) -> Option<&'static dyn Kind> {
    let words: Vec<(&'static str, &'static dyn Kind)> =
        kinds::ALL.iter().map(|kind| (kind.name(), *kind)).collect();
    table.require("kind", NEED_KIND)?.keyword(&words, &[])
}

fn forwarded(table: &Table<'_>) -> Forwarded {
    let words = [
        // Off by default: Hadoop and Oozie ignore these headers, and Trino refuses each of them
        // with 406 unless it is configured for them (`process-forwarded`).
        ("off", Forwarded::Off),
        ("x-forwarded", Forwarded::X),
        ("rfc7239", Forwarded::Rfc7239),
        ("both", Forwarded::Both),
    ];
    table
        .get("forwarded")
        .and_then(|value| value.keyword(&words, &[]))
        .unwrap_or_default()
}

fn pass_cookies(table: &Table<'_>) -> Arc<[Arc<str>]> {
    let list = table.get("pass_cookies").and_then(|value| value.list());
    let name = |value: &Value<'_>| {
        let name = value.text()?;
        // A login cookie (`hadoop.auth`) is the result of the gateway's own login: a client that gets it
        // can act as the gateway.
        if !cookies::is_token(name) {
            value.problem(ConsoleProblem::CookieName {
                name: name.to_owned(),
            });
        } else if cookies::is_login_cookie(name) {
            value.problem(ConsoleProblem::LoginCookie {
                name: name.to_owned(),
            });
        }
        Some(name.into())
    };
    list.unwrap_or_default().iter().filter_map(name).collect()
}

/// One address or a list of them, without duplicates.
pub(super) fn addresses<'a>(value: &Value<'a>, cure: &'static str) -> Vec<(Value<'a>, SocketAddr)> {
    let mut addresses: Vec<(Value<'a>, SocketAddr)> = Vec::new();
    let list = value.one_or_more();
    if list.is_empty() {
        value.problem(ValueProblem::Empty { cure });
    }
    for element in list {
        let Some(address) = element.address() else {
            continue;
        };
        // Port 0 twice means two ports.
        if address.port() != 0 && addresses.iter().any(|(_, other)| *other == address) {
            element.problem(ValueProblem::Twice {
                value: address.to_string(),
            });
        } else {
            addresses.push((element, address));
        }
    }
    addresses
}

fn redirect_from<'a>(table: &Table<'a>) -> Vec<(Value<'a>, SocketAddr)> {
    let Some(value) = table.get("redirect_from") else {
        return Vec::new();
    };
    if table.get("tls").is_none() {
        value.problem(ConsoleProblem::RedirectWithoutTls);
    }
    addresses(&value, NEED_LISTEN)
}
