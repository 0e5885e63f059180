//! SPNEGO logins with a fresh token each, beside a bare loop of `gss_accept_sec_context`.

use anyhow::{Result, ensure};

use super::{
    backend::Backend,
    bare, contender,
    figures::Figures,
    http::Answer,
    load::{Load, Pace, Requests},
    options::Options,
    peer::Peer,
    relay::{measure, micros_each},
    stage::{PROXY, Stage, USER},
    who::{Metric, Task, Who},
};
use crate::machine::progress;

const CONNECTIONS: usize = 16;
/// Factor by which the KDC issues fewer tickets than there are logins.
const FIRST: usize = 8;
const TASKS: [Task; 5] = [
    Task::LoginKept,
    Task::LoginFirst,
    Task::LoginFresh,
    Task::LoginRelayed,
    Task::LoginTwice,
];

/// Measures bare loop, httpd and gateway, one round after the other.
pub fn run(stage: &Stage, options: &Options, figures: &mut Figures) -> Result<()> {
    let backend = Backend::start(stage)?;
    let mut peers = Vec::new();
    if options.has(Who::Httpd) {
        peers.push(Peer::httpd(stage, Backend::address())?);
    }
    if options.has(Who::Gateway) {
        peers.push(Peer::gateway(stage, Backend::address())?);
    }
    for peer in &peers {
        logins(
            stage,
            peer,
            &backend,
            Task::LoginKept,
            options.logins / 4,
            &mut Figures::default(),
        )?;
    }
    for round in 1..=options.rounds {
        progress::say(&format!("logins, round {round} of {}", options.rounds));
        bare_loop(stage, options.logins, figures)?;
        for task in TASKS {
            for peer in &peers {
                if task == Task::LoginTwice && peer.who != Who::Gateway {
                    continue;
                }
                logins(stage, peer, &backend, task, options.logins, figures)?;
            }
        }
    }
    Ok(())
}

fn bare_loop(stage: &Stage, count: usize, figures: &mut Figures) -> Result<()> {
    let accepted = bare::run(stage, &stage.tokens(count)?)?;
    let number = f64::from(accepted.count);
    let (time, cpu) = (accepted.time.as_secs_f64(), accepted.cpu.as_secs_f64());
    let left = f64::from(stage.cores) * time - accepted.strangers.as_secs_f64();
    let (task, who) = (Task::LoginKept, Who::BareLoop);
    figures.add(task, who, Metric::Cpu, cpu * 1e6 / number);
    figures.add(task, who, Metric::Rate, number / time);
    figures.add(task, who, Metric::RateOfRest, number / left);
    Ok(())
}

fn logins(
    stage: &Stage,
    peer: &Peer,
    backend: &Backend,
    task: Task,
    count: usize,
    figures: &mut Figures,
) -> Result<()> {
    let path = match (task, peer.who) {
        (Task::LoginRelayed, _) => "/page",
        (Task::LoginTwice, _) => Backend::STATEMENT,
        (_, Who::Httpd) => Peer::HTTPD_LOCAL,
        (_, _) => Peer::GATEWAY_LOCAL,
    };
    let fresh = task == Task::LoginFresh;
    let tokens = match task {
        Task::LoginFirst => stage.first_tokens(count / FIRST)?,
        _ => stage.tokens(count)?,
    };
    let requests: Vec<_> = tokens
        .iter()
        .map(|token| contender::login(path, peer.address, token, fresh))
        .collect();
    let mut check = |answer: &Answer<'_>| match (task, peer.who) {
        (Task::LoginRelayed, _) => answer.must_be(200, &backend.body),
        (Task::LoginTwice, _) => {
            answer.must_have(200)?;
            let body = String::from_utf8_lossy(&answer.body);
            ensure!(body.contains(PROXY), "an address leads elsewhere: {body}");
            Ok(())
        }
        (_, Who::Httpd) => answer.must_be(200, Peer::HTTPD_PAGE.as_bytes()),
        (_, _) => {
            answer.must_have(200)?;
            let body = String::from_utf8_lossy(&answer.body);
            ensure!(body.contains(USER), "{USER} was taken for another: {body}");
            Ok(())
        }
    };
    let load = Load {
        target: peer.target(),
        connections: CONNECTIONS,
        requests: Requests::Each(&requests),
        pace: Pace::Closed,
        fresh,
    };
    let (outcome, used) = measure(peer, || load.run(&mut check))?;
    figures.note_strangers(used.strangers_share(stage.cores));
    let number = f64::from(outcome.answers);
    figures.add(task, peer.who, Metric::Cpu, micros_each(&outcome, &used));
    figures.add(task, peer.who, Metric::Rate, outcome.rate());
    let rest = number / used.left(stage.cores);
    figures.add(task, peer.who, Metric::RateOfRest, rest);
    Ok(())
}
