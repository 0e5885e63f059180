//! WebHDFS metadata: `GETFILESTATUS` as a user, whom the gateway names by `doAs`.

use anyhow::{Context, Result, ensure};

use super::{
    figures::Figures,
    load::{Load, Outcome, Pace, Requests},
    options::Options,
    peer::Peer,
    route::{self, Route},
    stage::{Stage, USER},
    who::{Metric, Task, Who},
    window::{Used, Window},
};
use crate::machine::progress;

const CONNECTIONS: usize = 4;
/// Warm-up until the NameNode's JVM has compiled its hot code.
const WARM: u32 = 3;

/// Measures all routes, one round after the other.
pub fn run(
    stage: &Stage,
    options: &Options,
    routes: &[Route],
    figures: &mut Figures,
) -> Result<()> {
    let path = format!("{}/bench-status", route::home());
    let first = routes.first().context("no way to HDFS")?;
    first.make_file(&path, b"a small file\n")?;
    let path = format!("/webhdfs/v1{path}?op=GETFILESTATUS");
    let told = route::told(stage, routes)?;
    let routes = || routes.iter().chain(&told);
    for _ in 0..WARM {
        for route in routes() {
            ask(route, &path, options)?;
        }
    }
    for round in 1..=options.rounds {
        progress::say(&format!(
            "GETFILESTATUS, round {round} of {}",
            options.rounds
        ));
        for route in routes() {
            let (outcome, used) = ask(route, &path, options)?;
            let task = Task::FileStatus;
            figures.note_strangers(used.strangers_share(stage.cores));
            figures.add(task, route.who, Metric::Rate, outcome.rate());
            let micros = |share| outcome.quantile(share).as_secs_f64() * 1e6;
            figures.add(task, route.who, Metric::P50, micros(0.5));
            figures.add(task, route.who, Metric::P99, micros(0.99));
            if route.peer.is_some() {
                let cpu = used.proxy.as_secs_f64() * 1e6 / f64::from(outcome.answers);
                figures.add(task, route.who, Metric::Cpu, cpu);
            }
        }
    }
    Ok(())
}

fn ask(route: &Route, path: &str, options: &Options) -> Result<(Outcome, Used)> {
    let told = match route.who {
        Who::DirectDoAs | Who::HaproxyDoAs => format!("&doas={USER}"),
        _ => String::new(),
    };
    let load = Load {
        target: route.console(),
        connections: CONNECTIONS,
        requests: Requests::Same(
            &route.request("GET", &format!("{path}{told}")),
            options.time,
        ),
        pace: Pace::Closed,
        fresh: false,
    };
    let window = Window::open(route.pid())?;
    let owner = format!("\"owner\":\"{USER}\"");
    let outcome = load
        .run(&mut |answer| {
            answer.must_have(200)?;
            let body = String::from_utf8_lossy(&answer.body);
            ensure!(body.contains(&owner), "no file of {USER}: {body}");
            Ok(())
        })
        .with_context(|| match &route.peer {
            Some(peer) => Peer::last_words(peer),
            None => route.who.to_string(),
        })?;
    Ok((outcome, window.close()?))
}
