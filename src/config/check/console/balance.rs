//! Load balancing, health checks and the queue of a console: `balance`, `slow_start`, `queue`,
//! `probe`.

use std::time::Duration;

use super::super::super::{Balance, ProbeConfig, QueueConfig, schema, tree::Table};
use crate::{balance::Algorithm, kinds::Kind};

/// Clients give up long before: a larger value is a mistake.
const LONGEST: Duration = Duration::from_secs(3_600);

pub(super) fn balance(table: &Table<'_>, kind: Option<&'static dyn Kind>) -> Balance {
    let words = [
        ("active", Balance::Active),
        ("first", Balance::By(Algorithm::First)),
        ("roundrobin", Balance::By(Algorithm::RoundRobin)),
        ("leastconn", Balance::By(Algorithm::LeastConn)),
        ("source", Balance::By(Algorithm::Source)),
    ];
    // The kind decides, so that a new kind needs no change here.
    let has_active = kind.is_some_and(Kind::has_active);
    let default = if has_active {
        Balance::Active
    } else {
        Balance::By(Algorithm::First)
    };
    table
        .get("balance")
        .and_then(|value| value.keyword(&words, &[]))
        .unwrap_or(default)
}

pub(super) fn slow_start(table: &Table<'_>) -> Duration {
    table.duration("slow_start", Duration::ZERO, Duration::ZERO..=LONGEST)
}

pub(super) fn queue(table: &Table<'_>) -> QueueConfig {
    let default = QueueConfig {
        length: 1024,
        timeout: Duration::from_secs(10),
    };
    let Some(queue) = table.table("queue", &schema::QUEUE) else {
        return default;
    };
    let length = queue.integer("length", default.length as u64, 0..=1_000_000);
    QueueConfig {
        length: usize::try_from(length).unwrap_or(usize::MAX),
        timeout: queue.duration(
            "timeout",
            default.timeout,
            Duration::from_millis(1)..=LONGEST,
        ),
    }
}

pub(super) fn probe(table: &Table<'_>) -> ProbeConfig {
    let default = ProbeConfig {
        interval: Duration::from_millis(500),
        timeout: Duration::from_secs(1),
        rise: 1,
        fall: 2,
    };
    let Some(probe) = table.table("probe", &schema::PROBE) else {
        return default;
    };
    let bounds = Duration::from_millis(50)..=LONGEST;
    let count = |name, default: u32| {
        let count = probe.integer(name, default.into(), 1..=100);
        u32::try_from(count).unwrap_or(default)
    };
    ProbeConfig {
        interval: probe.duration("interval", default.interval, bounds.clone()),
        timeout: probe.duration("timeout", default.timeout, bounds),
        rise: count("rise", default.rise),
        fall: count("fall", default.fall),
    }
}
