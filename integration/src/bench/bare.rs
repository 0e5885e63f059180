//! The lower bound: `gss_accept_sec_context` on every core and nothing else.
//!
//! This is the cost of a login for a server that calls GSSAPI for everything each time, including
//! the client's name: no HTTP, no base64, no client on the same cores. The keys are in memory, the
//! credential belongs to one principal, and the replay cache has the gateway's format: a lookup
//! takes longer the more tokens have been accepted.

mod sys;

use std::{
    io::{self, BufRead, Write},
    process::Stdio,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use rustix::time::{ClockId, clock_gettime};
use sys::{Credential, Keytab};

use super::{
    peer::Peer,
    stage::{PROXY, Stage},
    usage,
};

/// The hidden command that runs it.
pub const COMMAND: &str = "accept";

/// The measured cost of the loop.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    /// Logins.
    pub count: u32,
    /// Wall time from the first to the last login, all threads together.
    pub time: Duration,
    /// CPU time of all threads.
    pub cpu: Duration,
    /// CPU time of all other processes on the machine in that time.
    pub strangers: Duration,
}

/// Runs it over these tokens, in a process of its own.
pub fn run(stage: &Stage, tokens: &[String]) -> Result<Accepted> {
    let program = std::env::current_exe()?;
    let program = program.to_str().context("a program with a name in UTF-8")?;
    let mut accept = stage.lab.command(program);
    accept
        .arg(COMMAND)
        .arg(&stage.keytab)
        .arg(format!("HTTP/{PROXY}"))
        .arg(Peer::gateway_replay_cache(stage))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = accept.spawn().context("cannot start the bare loop")?;
    let mut stdin = child.stdin.take().context("a piped standard input")?;
    stdin.write_all((tokens.join("\n") + "\n").as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the bare loop failed");
    let said = String::from_utf8(output.stdout)?;
    let numbers: Vec<u64> = said.split_whitespace().flat_map(str::parse).collect();
    let &[count, time, cpu, machine] = numbers.as_slice() else {
        bail!("the bare loop said {said:?}");
    };
    Ok(Accepted {
        count: u32::try_from(count)?,
        time: Duration::from_nanos(time),
        cpu: Duration::from_nanos(cpu),
        strangers: Duration::from_nanos(machine.saturating_sub(cpu)),
    })
}

/// The hidden command: accepts the tokens of its standard input, and prints how many, and the
/// nanoseconds of time, of its CPU time and of the machine's.
pub fn main(arguments: &[String]) -> Result<()> {
    let [keytab, principal, rcache] = arguments else {
        bail!("accept wants a keytab, a principal and a replay cache");
    };
    let tokens: Vec<Vec<u8>> = io::stdin()
        .lock()
        .lines()
        .map(|line| Ok(BASE64_STANDARD.decode(line?)?))
        .collect::<Result<_>>()?;
    let keytab = Keytab::load(keytab)?;
    let rcache = format!("file2:{rcache}");
    let threads = thread::available_parallelism()?.get();
    let credentials: Vec<Credential> = (0..threads)
        .map(|_| Credential::acquire(principal, &keytab, &rcache))
        .collect::<Result<_>>()?;
    let next = AtomicUsize::new(0);
    let (begun, machine) = (Instant::now(), usage::machine()?);
    let spent = thread::scope(|scope| {
        let loops: Vec<_> = credentials
            .into_iter()
            .map(|credential| scope.spawn(|| accept(credential, &tokens, &next)))
            .collect();
        loops
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(spent) => spent,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .sum::<Result<Duration>>()
    })?;
    let (time, cpu) = (begun.elapsed().as_nanos(), spent.as_nanos());
    let machine = usage::machine()?.saturating_sub(machine).as_nanos();
    writeln!(io::stdout(), "{} {time} {cpu} {machine}", tokens.len())?;
    Ok(())
}

/// One thread's part; its CPU time.
fn accept(mut credential: Credential, tokens: &[Vec<u8>], next: &AtomicUsize) -> Result<Duration> {
    let before = thread_time()?;
    while let Some(token) = tokens.get(next.fetch_add(1, Ordering::Relaxed)) {
        credential.accept(token)?;
    }
    Ok(thread_time()?.saturating_sub(before))
}

/// CPU time of this thread.
fn thread_time() -> Result<Duration> {
    Ok(Duration::try_from(clock_gettime(ClockId::ThreadCPUTime))?)
}
