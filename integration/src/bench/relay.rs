//! The path of a request with a session cookie: kept-alive GET of 4 KiB at full and at half load.

use anyhow::{Context, Result};

use super::{
    backend::Backend,
    contender::Contender,
    figures::Figures,
    load::{Load, Outcome, Pace, Requests},
    options::Options,
    peer::Peer,
    stage::Stage,
    who::{Metric, Task, Who},
    window::{Used, Window},
};
use crate::machine::progress;

const PATH: &str = "/page";
const CLOSED: [(Task, usize); 2] = [(Task::Get16, 16), (Task::Get64, 64)];
const OPEN_CONNECTIONS: usize = 16;

/// Measures all contenders, one round after the other.
pub fn run(stage: &Stage, options: &Options, figures: &mut Figures) -> Result<()> {
    let backend = Backend::start(stage)?;
    let peers = peers(stage, options)?;
    let peers: Vec<&Peer> = [backend.as_peer()].into_iter().chain(&peers).collect();
    let contenders = peers
        .into_iter()
        .map(|peer| Contender::log_in(stage, peer, PATH))
        .collect::<Result<Vec<_>>>()?;
    let get = |contender: &Contender<'_>, connections, pace| {
        let load = Load {
            target: contender.peer.target(),
            connections,
            requests: Requests::Same(&contender.get(PATH), options.time),
            pace,
            fresh: false,
        };
        measure(contender.peer, || {
            load.run(&mut |answer| answer.must_be(200, &backend.body))
        })
    };
    for contender in &contenders {
        get(contender, OPEN_CONNECTIONS, Pace::Closed)?;
    }
    for round in 1..=options.rounds {
        progress::say(&format!(
            "GET of 4 KiB, round {round} of {}",
            options.rounds
        ));
        for (task, connections) in CLOSED {
            for contender in &contenders {
                let (outcome, used) = get(contender, connections, Pace::Closed)?;
                let who = contender.peer.who;
                figures.note_strangers(used.strangers_share(stage.cores));
                figures.add(task, who, Metric::Rate, outcome.rate());
                if who != Who::Direct {
                    figures.add(task, who, Metric::Cpu, micros_each(&outcome, &used));
                }
            }
        }
    }
    let rate = half_load(figures).context("nobody to take the half load from")?;
    for round in 1..=options.rounds {
        progress::say(&format!(
            "{rate:.0} requests a second, round {round} of {}",
            options.rounds
        ));
        for contender in &contenders {
            let (outcome, used) = get(contender, OPEN_CONNECTIONS, Pace::Rate(rate))?;
            let who = contender.peer.who;
            figures.note_strangers(used.strangers_share(stage.cores));
            let quantile = |share| outcome.quantile(share).as_secs_f64() * 1e6;
            figures.add(Task::HalfLoad, who, Metric::Rate, outcome.rate());
            figures.add(Task::HalfLoad, who, Metric::P50, quantile(0.5));
            figures.add(Task::HalfLoad, who, Metric::P99, quantile(0.99));
            if who != Who::Direct {
                figures.add(
                    Task::HalfLoad,
                    who,
                    Metric::Cpu,
                    micros_each(&outcome, &used),
                );
            }
        }
    }
    Ok(())
}

fn peers(stage: &Stage, options: &Options) -> Result<Vec<Peer>> {
    let backend = Backend::address();
    let mut peers = Vec::new();
    for who in Who::OPTIONAL.into_iter().filter(|who| options.has(*who)) {
        peers.push(match who {
            Who::Haproxy => Peer::haproxy(stage, backend, None)?,
            Who::Nginx => Peer::nginx(stage, backend)?,
            Who::Httpd => Peer::httpd(stage, backend)?,
            Who::Gateway => Peer::gateway(stage, backend)?,
            Who::GatewayLogged => Peer::gateway_logged(stage, backend)?,
            Who::Direct | Who::DirectDoAs | Who::HaproxyDoAs | Who::BareLoop => continue,
        });
    }
    Ok(peers)
}

/// Half of the rate of the slowest relay on 16 connections; httpd is left out because it is far
/// slower than the others.
fn half_load(figures: &Figures) -> Option<f64> {
    [Who::Haproxy, Who::Nginx, Who::Gateway]
        .into_iter()
        .filter_map(|who| figures.get(Task::Get16, who, Metric::Rate))
        .map(|rates| rates.median() / 2.0)
        .min_by(f64::total_cmp)
}

/// Runs a measurement and records the resources used in that time.
pub(super) fn measure(
    peer: &Peer,
    work: impl FnOnce() -> Result<Outcome>,
) -> Result<(Outcome, Used)> {
    let window = Window::open(Some(peer.pid()))?;
    let outcome = work().with_context(|| format!("{}; {}", peer.who, peer.last_words()))?;
    Ok((outcome, window.close()?))
}

/// The proxy's CPU time for one answer.
pub(super) fn micros_each(outcome: &Outcome, used: &Used) -> f64 {
    used.proxy.as_secs_f64() * 1e6 / f64::from(outcome.answers)
}
