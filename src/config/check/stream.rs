//! `[[stream]]`: one relayed service by itself.

use std::{sync::Arc, time::Duration};

use super::{
    super::{
        Stream,
        problem::{Concern, StreamFault, ValueFault},
        schema,
        tree::{Node, Table},
    },
    console::addresses,
    name, sources, stream_backend,
};
use crate::balance::Algorithm;
use crate::stream::options::{Check, StreamKind};

/// A stream, with stand-ins where a problem was reported, and the places of what others may collide
/// with.
pub(super) struct Checked<'a> {
    pub(super) stream: Stream,
    /// One place for each of `stream.listen`.
    pub(super) listen: Vec<Node<'a>>,
    /// One place for each of `stream.backends`.
    pub(super) backends: Vec<Node<'a>>,
}

const NEED_NAME: &str = "Write name = \"presto\": it stands in logs and metrics";
const NEED_LISTEN: &str = "Write listen = \"0.0.0.0:9090\"";
const NEED_PROTOCOL: &str = "Write protocols = [\"tcp\"], [\"udp\"] or both";

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const MOST_CONNECTIONS: u64 = 1_000_000;

pub(super) fn check_all<'a>(top: &Table<'a>) -> Vec<Checked<'a>> {
    let list = top.get("stream").and_then(|node| node.list());
    let mut names: Vec<Option<Arc<str>>> = Vec::new();
    let mut streams = Vec::new();
    for node in list.unwrap_or_default() {
        let Some(table) = node.table(&schema::STREAM) else {
            names.push(None);
            continue;
        };
        let name = name(&table, &names);
        names.push(name.clone());
        streams.push(check(&table, name.unwrap_or_else(|| node.key().into())));
    }
    streams
}

fn check<'a>(table: &Table<'a>, name: Arc<str>) -> Checked<'a> {
    let words = [("relay", StreamKind::Relay), ("kdc", StreamKind::Kdc)];
    let kind = table.get("kind").and_then(|node| node.word(&words, &[]));
    let kind = kind.unwrap_or(StreamKind::Relay);
    let (tcp, udp) = protocols(table, kind);
    let (listen_at, listen) = table
        .require("listen", NEED_LISTEN)
        .map(|node| addresses(&node, NEED_LISTEN))
        .unwrap_or_default()
        .into_iter()
        .unzip();
    let (backends_at, backends): (Vec<_>, Vec<_>) =
        stream_backend::list(table, "backends").into_iter().unzip();
    if !backends.is_empty() && backends.iter().all(|backend| backend.weight == 0) {
        table.problem_at("backends", StreamFault::NoWeight);
    }
    tcp_only(table, kind, udp, &backends_at);
    let count = |name| {
        let node: Option<Node<'_>> = table.get(name);
        let number = node.and_then(|node| node.integer(1..=MOST_CONNECTIONS));
        number.and_then(|number| usize::try_from(number).ok())
    };
    let stream = Stream {
        name,
        kind,
        listen,
        tcp,
        udp,
        backends,
        balance: balance(table),
        allow: sources::networks(table, "allow"),
        accept_proxy: sources::networks(table, "accept_proxy"),
        idle: table.duration("idle", 600 * SECOND, SECOND / 10..=30 * DAY),
        udp_idle: table.duration("udp_idle", 30 * SECOND, SECOND / 10..=DAY),
        udp_responses: table
            .get("udp_responses")
            .and_then(|node| node.integer(1..=65_535))
            .and_then(|number| u32::try_from(number).ok()),
        max_connections: count("max_connections").unwrap_or(4_096),
        max_connections_per_source: count("max_connections_per_source"),
        check: health_check(table),
        slow_start: table.duration("slow_start", Duration::ZERO, Duration::ZERO..=DAY),
        resolve: table.duration("resolve", 10 * SECOND, SECOND / 10..=DAY),
    };
    for key in ["udp_idle", "udp_responses"] {
        if !udp && table.get(key).is_some() {
            table.problem_at(key, StreamFault::NoUdp);
        }
    }
    Checked {
        stream,
        listen: listen_at,
        backends: backends_at,
    }
}

fn name(table: &Table<'_>, names: &[Option<Arc<str>>]) -> Option<Arc<str>> {
    let node = table.require("name", NEED_NAME)?;
    let name = node.text()?;
    if !name::is_name(name) {
        node.problem(StreamFault::Name {
            name: name.to_owned(),
        });
    } else if let Some(other) = name::earlier(names, name) {
        node.problem(StreamFault::NameTwice {
            name: name.to_owned(),
            other,
        });
    }
    Some(name.into())
}

/// Whether TCP and UDP; by default TCP, and for a KDC both.
fn protocols(table: &Table<'_>, kind: StreamKind) -> (bool, bool) {
    let Some(node) = table.get("protocols") else {
        return (true, kind == StreamKind::Kdc);
    };
    let list = node.one_or_more();
    if list.is_empty() {
        node.problem(ValueFault::Empty {
            cure: NEED_PROTOCOL,
        });
    }
    let words = [("tcp", true), ("udp", false)];
    let mut found: Vec<bool> = Vec::new();
    for element in list {
        let Some(is_tcp) = element.word(&words, &[]) else {
            continue;
        };
        if found.contains(&is_tcp) {
            element.problem(ValueFault::Twice {
                value: if is_tcp { "tcp" } else { "udp" }.to_owned(),
            });
        }
        found.push(is_tcp);
    }
    if kind == StreamKind::Kdc && !found.is_empty() && !found.contains(&true) {
        // large answers come by TCP only
        node.warning(Concern::KdcWithoutTcp);
    }
    (
        found.contains(&true) || found.is_empty(),
        found.contains(&false),
    )
}

/// PROXY headers belong to TCP connections whose bytes are passed on as they are.
fn tcp_only(table: &Table<'_>, kind: StreamKind, udp: bool, backends: &[Node<'_>]) {
    if udp && kind == StreamKind::Relay && table.get("accept_proxy").is_some() {
        table.problem_at(
            "accept_proxy",
            StreamFault::TcpOnly {
                key: "accept_proxy",
            },
        );
    }
    if !udp && kind == StreamKind::Relay {
        return;
    }
    for backend in backends {
        if let Some(node) = stream_backend::send_proxy(backend) {
            node.problem(StreamFault::TcpOnly { key: "send_proxy" });
        }
    }
}

fn balance(table: &Table<'_>) -> Algorithm {
    let words = [
        ("first", Algorithm::First),
        ("roundrobin", Algorithm::RoundRobin),
        ("leastconn", Algorithm::LeastConn),
        ("source", Algorithm::Source),
    ];
    let node = table.get("balance");
    node.and_then(|node| node.word(&words, &[]))
        .unwrap_or(Algorithm::First)
}

fn health_check(stream: &Table<'_>) -> Check {
    let mut check = Check {
        interval: 2 * SECOND,
        rise: 2,
        fall: 3,
        timeout: SECOND,
    };
    let Some(table) = stream.table("check", &schema::STREAM_CHECK) else {
        return check;
    };
    let bounds = SECOND / 20..=3_600 * SECOND;
    check.interval = table.duration("interval", check.interval, bounds.clone());
    check.timeout = table.duration("timeout", check.timeout, bounds);
    let count = |name, default: u32| {
        let number = table.integer(name, default.into(), 1..=100);
        u32::try_from(number).unwrap_or(default)
    };
    check.rise = count("rise", check.rise);
    check.fall = count("fall", check.fall);
    check
}
