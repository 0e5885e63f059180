//! Memory per session and per idle connection.

use anyhow::{Context, Result};

use super::{
    backend::Backend,
    client::Client,
    contender::{self, Contender},
    figures::Figures,
    load::{Load, Pace, Requests},
    options::Options,
    peer::Peer,
    stage::Stage,
    who::{Metric, Task, Who},
};
use crate::machine::progress;

const PATH: &str = "/page";
const CONNECTIONS: usize = 16;
/// More rounds than this add no information.
const ROUNDS: usize = 3;
/// One-time allocations of a server are complete after this many requests.
const WARM_LOGINS: usize = 1000;
const WARM_CONNECTIONS: usize = 64;

/// Measures freshly started servers, one round after the other.
pub fn run(stage: &Stage, options: &Options, figures: &mut Figures) -> Result<()> {
    let backend = Backend::start(stage)?;
    let rounds = options.rounds.min(ROUNDS);
    for round in 1..=rounds {
        progress::say(&format!("memory, round {round} of {rounds}"));
        if options.has(Who::Gateway) {
            let gateway = Peer::gateway(stage, Backend::address())?;
            let bytes = sessions(stage, &gateway, &backend, options.sessions)?;
            figures.add(Task::Sessions, Who::Gateway, Metric::Bytes, bytes);
        }
        if options.has(Who::Haproxy) {
            let haproxy = Peer::haproxy(stage, Backend::address(), None)?;
            let bytes = idle(stage, &haproxy, &backend, options.idle)?;
            figures.add(Task::Idle, Who::Haproxy, Metric::Bytes, bytes);
        }
        if options.has(Who::Gateway) {
            let gateway = Peer::gateway(stage, Backend::address())?;
            let bytes = idle(stage, &gateway, &backend, options.idle)?;
            figures.add(Task::Idle, Who::Gateway, Metric::Bytes, bytes);
        }
    }
    Ok(())
}

/// Bytes per session: this many logins, then a request with the cookie of each.
fn sessions(stage: &Stage, peer: &Peer, backend: &Backend, count: usize) -> Result<f64> {
    log_in_and_use(stage, peer, backend, WARM_LOGINS)?;
    let before = peer.resident()?;
    log_in_and_use(stage, peer, backend, count)?;
    growth_each(before, peer.resident()?, count)
}

fn log_in_and_use(stage: &Stage, peer: &Peer, backend: &Backend, count: usize) -> Result<()> {
    let tokens = stage.tokens(count)?;
    let logins: Vec<_> = tokens
        .iter()
        .map(|token| contender::login(PATH, peer.address, token, false))
        .collect();
    let load = |requests| Load {
        target: peer.target(),
        connections: CONNECTIONS,
        requests: Requests::Each(requests),
        pace: Pace::Closed,
        fresh: false,
    };
    let mut uses = Vec::with_capacity(count);
    load(&logins)
        .run(&mut |answer| {
            answer.must_be(200, &backend.body)?;
            let cookie = answer.cookie(Peer::GATEWAY_COOKIE);
            let session = Contender {
                peer,
                cookie: Some(cookie.context("a login without a cookie")?),
            };
            uses.push(session.get(PATH));
            Ok(())
        })
        .with_context(|| peer.last_words())?;
    load(&uses).run(&mut |answer| answer.must_be(200, &backend.body))?;
    Ok(())
}

/// Bytes per connection that has received one response and stays open.
fn idle(stage: &Stage, peer: &Peer, backend: &Backend, count: usize) -> Result<f64> {
    let request = Contender::log_in(stage, peer, PATH)?.get(PATH);
    let mut open = Vec::with_capacity(count + WARM_CONNECTIONS);
    let mut connect = |count| {
        for _ in 0..count {
            let mut client = Client::connect(peer.target())?;
            client.exchange(&request)?.must_be(200, &backend.body)?;
            open.push(client.idle());
        }
        anyhow::Ok(())
    };
    connect(WARM_CONNECTIONS)?;
    let before = peer.resident()?;
    connect(count).with_context(|| peer.last_words())?;
    growth_each(before, peer.resident()?, count)
}

fn growth_each(before: u64, after: u64, count: usize) -> Result<f64> {
    let growth = u32::try_from(after.saturating_sub(before))?;
    Ok(f64::from(growth) / f64::from(u32::try_from(count)?))
}
