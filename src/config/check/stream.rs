//! `[[stream]]`: one stream by itself. [`listeners`](super::listeners) compares it with the others.

use std::{sync::Arc, time::Duration};

use super::{
    super::{
        Stream,
        problem::{StreamProblem, ValueProblem, WarningKind},
        schema,
        tree::{Table, Value},
    },
    console::addresses,
    name, networks,
};
use crate::{
    balance::Algorithm,
    stream::options::{Check, StreamKind},
};

pub(super) mod backend;

/// A stream, with defaults where a problem was reported, and the positions of what may conflict with
/// others.
pub(super) struct CheckedStream<'a> {
    pub(super) stream: Stream,
    /// The position of each of `stream.listen`.
    pub(super) listen: Vec<Value<'a>>,
    /// The position of each of `stream.backends`.
    pub(super) backends: Vec<Value<'a>>,
}

const NEED_NAME: &str = "Write name = \"presto\"; the name is used in logs and metrics";
const NEED_LISTEN: &str = "Write listen = \"0.0.0.0:9090\"";
const NEED_PROTOCOL: &str = "Write protocols = [\"tcp\"], [\"udp\"] or both";

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);
const MOST_CONNECTIONS: u64 = 1_000_000;

pub(super) fn check_all<'a>(top: &Table<'a>) -> Vec<CheckedStream<'a>> {
    let list = top.get("stream").and_then(|value| value.list());
    let mut names: Vec<Option<Arc<str>>> = Vec::new();
    let mut streams = Vec::new();
    for value in list.unwrap_or_default() {
        let Some(table) = value.table(&schema::STREAM) else {
            names.push(None);
            continue;
        };
        let name = name(&table, &names);
        names.push(name.clone());
        streams.push(check(&table, name.unwrap_or_else(|| value.key().into())));
    }
    streams
}

fn check<'a>(table: &Table<'a>, name: Arc<str>) -> CheckedStream<'a> {
    let words = [("relay", StreamKind::Relay), ("kdc", StreamKind::Kdc)];
    let kind = table
        .get("kind")
        .and_then(|value| value.keyword(&words, &[]));
    let kind = kind.unwrap_or(StreamKind::Relay);
    let (tcp, udp) = protocols(table, kind);
    let (listen_values, listen) = table
        .require("listen", NEED_LISTEN)
        .map(|value| addresses(&value, NEED_LISTEN))
        .unwrap_or_default()
        .into_iter()
        .unzip();
    let (backend_values, backends): (Vec<_>, Vec<_>) =
        backend::list(table, "backends").into_iter().unzip();
    if !backends.is_empty() && backends.iter().all(|backend| backend.weight == 0) {
        table.problem_at("backends", StreamProblem::AllWeightsZero);
    }
    tcp_only(table, kind, udp, &backend_values);
    let count = |name| {
        let value: Option<Value<'_>> = table.get(name);
        let number = value.and_then(|value| value.integer(1..=MOST_CONNECTIONS));
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
        allow: networks::list(table, "allow"),
        accept_proxy: networks::list(table, "accept_proxy"),
        idle: table.duration("idle", 600 * SECOND, SECOND / 10..=30 * DAY),
        udp_idle: table.duration("udp_idle", 30 * SECOND, SECOND / 10..=DAY),
        udp_responses: table
            .get("udp_responses")
            .and_then(|value| value.integer(1..=65_535))
            .and_then(|number| u32::try_from(number).ok()),
        max_connections: count("max_connections").unwrap_or(4_096),
        max_connections_per_source: count("max_connections_per_source"),
        check: health_check(table),
        slow_start: table.duration("slow_start", Duration::ZERO, Duration::ZERO..=DAY),
        resolve: table.duration("resolve", 10 * SECOND, SECOND / 10..=DAY),
    };
    for key in ["udp_idle", "udp_responses"] {
        if !udp && table.get(key).is_some() {
            table.problem_at(key, StreamProblem::NoUdp);
        }
    }
    CheckedStream {
        stream,
        listen: listen_values,
        backends: backend_values,
    }
}

fn name(table: &Table<'_>, names: &[Option<Arc<str>>]) -> Option<Arc<str>> {
    let value = table.require("name", NEED_NAME)?;
    let name = value.text()?;
    if !name::is_name(name) {
        value.problem(StreamProblem::Name {
            name: name.to_owned(),
        });
    } else if let Some(other) = name::earlier(names, name) {
        value.problem(StreamProblem::NameTwice {
            name: name.to_owned(),
            other,
        });
    }
    Some(name.into())
}

/// Whether TCP and UDP; by default TCP, and for a KDC both.
fn protocols(table: &Table<'_>, kind: StreamKind) -> (bool, bool) {
    let Some(value) = table.get("protocols") else {
        // MIT and Java clients use UDP for small requests and TCP for large responses (RFC 4120
        // section 7.2)
        return (true, kind == StreamKind::Kdc);
    };
    let list = value.one_or_more();
    if list.is_empty() {
        value.problem(ValueProblem::Empty {
            cure: NEED_PROTOCOL,
        });
    }
    let words = [("tcp", true), ("udp", false)];
    let mut found: Vec<bool> = Vec::new();
    for element in list {
        let Some(is_tcp) = element.keyword(&words, &[]) else {
            continue;
        };
        if found.contains(&is_tcp) {
            element.problem(ValueProblem::Twice {
                value: if is_tcp { "tcp" } else { "udp" }.to_owned(),
            });
        }
        found.push(is_tcp);
    }
    // Tickets of Active Directory list the groups of their user and often do not fit into a
    // datagram. Clients then repeat the request by TCP (RFC 4120 section 7.2.1).
    if kind == StreamKind::Kdc && !found.is_empty() && !found.contains(&true) {
        value.warning(WarningKind::KdcWithoutTcp);
    }
    (
        // If no word was valid, which is reported, the checks go on as for TCP.
        found.contains(&true) || found.is_empty(),
        found.contains(&false),
    )
}

/// A PROXY header begins a TCP connection. There is none with UDP, and a KDC's connections are not
/// passed on as they are.
fn tcp_only(table: &Table<'_>, kind: StreamKind, udp: bool, backends: &[Value<'_>]) {
    if udp && kind == StreamKind::Relay && table.get("accept_proxy").is_some() {
        table.problem_at(
            "accept_proxy",
            StreamProblem::TcpOnly {
                key: "accept_proxy",
            },
        );
    }
    if !udp && kind == StreamKind::Relay {
        return;
    }
    for server in backends {
        if let Some(value) = backend::send_proxy(server) {
            value.problem(StreamProblem::TcpOnly { key: "send_proxy" });
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
    let value = table.get("balance");
    value
        .and_then(|value| value.keyword(&words, &[]))
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
