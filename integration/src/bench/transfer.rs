//! WebHDFS `CREATE` and `OPEN` of a large file, with the proxy's memory watched.

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::{
    figures::Figures,
    options::Options,
    peer::Peer,
    route::{self, Route},
    stage::Stage,
    usage,
    who::{Metric, Task, Who},
    window::{Used, Window},
};
use crate::machine::progress;

const MIB: u32 = 1024 * 1024;
/// More rounds than this take long and add little information.
const ROUNDS: usize = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Measures all routes, one round after the other.
pub fn run(
    stage: &Stage,
    options: &Options,
    routes: &[Route],
    figures: &mut Figures,
) -> Result<()> {
    let block = block();
    let rounds = options.rounds.min(ROUNDS);
    let path = format!("/webhdfs/v1{}/bench-large", route::home());
    for round in 1..=rounds {
        progress::say(&format!(
            "WebHDFS PUT and GET of {} MiB, round {round} of {rounds}",
            options.size
        ));
        for route in routes {
            for task in [Task::Put, Task::Read] {
                let (used, growth) = watched(route, || match task {
                    Task::Put => put(route, &path, &block, options.size),
                    _ => read(route, &path, &block, options.size),
                })?;
                figures.note_strangers(used.strangers_share(stage.cores));
                let mib = f64::from(options.size);
                let throughput = mib / used.time.as_secs_f64();
                figures.add(task, route.who, Metric::Throughput, throughput);
                if route.who != Who::Direct {
                    let cpu = used.proxy.as_secs_f64() * 1024.0 / mib;
                    figures.add(task, route.who, Metric::CpuPerGib, cpu);
                    figures.add(task, route.who, Metric::Growth, growth);
                }
            }
            route.ask("DELETE", &format!("{path}?op=DELETE"), 200)?;
        }
    }
    Ok(())
}

fn put(route: &Route, path: &str, block: &[u8], size: u32) -> Result<()> {
    let (mut client, head) = route.redirect("PUT", &format!("{path}?op=CREATE&overwrite=true"))?;
    let length = u64::from(size) * u64::from(MIB);
    client.send(format!("{head}Content-Length: {length}\r\n\r\n").as_bytes())?;
    for _ in 0..size {
        if let Err(error) = client.send(block) {
            // Refused during the transfer: the response says more than the broken connection.
            client.answer().map_err(|_| error)?.must_have(201)?;
        }
    }
    client.answer()?.must_have(201)
}

fn read(route: &Route, path: &str, block: &[u8], size: u32) -> Result<()> {
    let (mut client, head) = route.redirect("GET", &format!("{path}?op=OPEN"))?;
    client.send(format!("{head}\r\n").as_bytes())?;
    let mut got: usize = 0;
    client.stream(&mut |mut bytes| {
        while !bytes.is_empty() {
            let expected = &block[got % block.len()..];
            let here = expected.len().min(bytes.len());
            ensure!(
                bytes[..here] == expected[..here],
                "other bytes came back, from {got} on"
            );
            got += here;
            bytes = &bytes[here..];
        }
        Ok(())
    })?;
    let whole = usize::try_from(u64::from(size) * u64::from(MIB))?;
    ensure!(got == whole, "{got} of {whole} bytes came back");
    Ok(())
}

/// Runs a transfer and watches the proxy's memory; returns its maximum growth in MiB.
fn watched(route: &Route, work: impl FnOnce() -> Result<()>) -> Result<(Used, f64)> {
    let before = route.pid().map(usage::resident).transpose()?.unwrap_or(0);
    let (most, done) = (AtomicU64::new(before), AtomicBool::new(false));
    let used = thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if let Some(Ok(now)) = route.pid().map(usage::resident) {
                    most.fetch_max(now, Ordering::Relaxed);
                }
                thread::sleep(BETWEEN_LOOKS);
            }
        });
        let used = Window::open(route.pid()).and_then(|window| {
            work()?;
            window.close()
        });
        done.store(true, Ordering::Relaxed);
        used
    });
    let used = used.with_context(|| match &route.peer {
        Some(peer) => Peer::last_words(peer),
        None => route.who.to_string(),
    })?;
    let growth = u32::try_from((most.into_inner() - before) / 1024)?;
    Ok((used, f64::from(growth) / 1024.0))
}

/// One MiB in which no two KiB are the same.
fn block() -> Vec<u8> {
    (0..MIB)
        .map(|at| (at ^ (at >> 10)).to_le_bytes()[0])
        .collect()
}
