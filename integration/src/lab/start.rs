//! Starts all servers of a lab concurrently, each after the servers that it depends on.

use std::{
    collections::BTreeSet,
    sync::{Condvar, Mutex, PoisonError},
    thread,
};

use anyhow::Result;

use crate::{lab::Lab, machine::progress, server::Server};

#[derive(Default)]
struct Board {
    ready: BTreeSet<Server>,
    failed: bool,
}

/// Starts every server in a thread of its own once its dependencies are ready.
pub(crate) fn all(lab: &Lab) -> Result<()> {
    let board = (Mutex::new(Board::default()), Condvar::new());
    thread::scope(|scope| {
        let threads: Vec<_> = lab
            .servers
            .iter()
            .map(|server| scope.spawn(|| start_in_turn(lab, *server, &board)))
            .collect();
        let results = threads.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        // All threads are joined; the first failure is returned.
        results
            .collect::<Vec<_>>()
            .into_iter()
            .collect::<Result<()>>()
    })?;
    settle(lab)
}

/// Waits until one server of each pair is active.
fn settle(lab: &Lab) -> Result<()> {
    if lab.has(Server::Nn1) || lab.has(Server::Nn2) {
        lab.wait_active_namenode()?;
    }
    if lab.has(Server::Rm1) || lab.has(Server::Rm2) {
        lab.wait_yarn_ready()?;
        progress::say("YARN is ready");
    }
    Ok(())
}

fn start_in_turn(lab: &Lab, server: Server, board: &(Mutex<Board>, Condvar)) -> Result<()> {
    let (state, changed) = board;
    let comes_after = |board: &Board| {
        let mut needs = server
            .after()
            .iter()
            .filter(|need| lab.servers.contains(need));
        needs.all(|need| board.ready.contains(need))
    };
    let waited = changed
        .wait_while(
            state.lock().unwrap_or_else(PoisonError::into_inner),
            |board| !board.failed && !comes_after(board),
        )
        .unwrap_or_else(PoisonError::into_inner);
    if waited.failed {
        return Ok(());
    }
    drop(waited);
    let result = bring_up(lab, server);
    let mut board = state.lock().unwrap_or_else(PoisonError::into_inner);
    match &result {
        Ok(()) => drop(board.ready.insert(server)),
        Err(_) => board.failed = true,
    }
    changed.notify_all();
    result
}

/// Starts one server and performs the one-time steps before and after it.
fn bring_up(lab: &Lab, server: Server) -> Result<()> {
    match server {
        Server::Nn1 | Server::Nn2 => lab.format_hdfs()?,
        Server::Zkfc1 | Server::Zkfc2 => lab.format_zk()?,
        _ => {}
    }
    lab.spawn(server)?;
    lab.wait_ready(server)?;
    progress::took(&format!("{server} is up"), lab.age(server));
    if server == Server::Dn1 {
        lab.lay_out_hdfs()?;
        progress::say("HDFS is ready");
    }
    Ok(())
}
