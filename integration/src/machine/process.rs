//! A server's process: spawned so that it cannot outlive the lab, its log kept in a file.
//!
//! Every process is spawned from one thread that lives as long as the program, because the
//! kernel's parent-death signal (`PR_SET_PDEATHSIG`) fires when the spawning *thread* ends, and a
//! test's thread ends long before its servers should.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex, OnceLock, PoisonError,
        mpsc::{Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::machine::sys::{self, Signal};

/// One running (or ended) server process.
#[derive(Debug)]
pub struct Process {
    child: Child,
    started: Instant,
}

impl Process {
    /// Starts `command` with both its outputs in `log`; an older log is kept beside it as `.old`.
    pub fn start(mut command: Command, log: &Path) -> Result<Process> {
        if log.exists() {
            fs::rename(log, log.with_extension("log.old"))?;
        }
        let out = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out);
        let program = command.get_program().to_owned();
        let child = spawn_bound(command)
            .with_context(|| format!("cannot start {}", program.to_string_lossy()))?;
        Ok(Process {
            child,
            started: Instant::now(),
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Time since the start of the process.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// How the process ended, or `None` while it runs (a stopped process runs).
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Sends a signal, unless the process has ended (its pid may be another's by then).
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("process {} has already ended ({status})", self.pid());
        }
        Ok(sys::kill(self.pid(), signal)?)
    }

    /// Kills the process and waits until it is gone. Fine to call on an ended one.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(|_| ())
    }

    /// Resident memory in bytes (`VmRSS`).
    pub fn resident_bytes(&self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    /// The most memory that was resident at once, in bytes (`VmHWM`).
    pub fn peak_bytes(&self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    fn memory(&self, field: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        bytes_of(&status, field).with_context(|| format!("process {} has no {field}", self.pid()))
    }
}

fn bytes_of(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Runs a helper command to its end; its output is in the error if it fails.
pub fn run(command: Command) -> Result<String> {
    run_with_input(command, None)
}

/// The same with lines for its standard input.
pub(crate) fn run_with_input(mut command: Command, input: Option<&str>) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    command
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = spawn_bound(command).with_context(|| format!("cannot run {program}"))?;
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("{program} failed ({}): {said}{complaint}", output.status);
    }
    Ok(said)
}

// === the spawning thread ===

struct Order {
    command: Command,
    answer: Sender<io::Result<Child>>,
}

/// Spawns from the one thread that lives until the program ends; see the module's text.
pub fn spawn_bound(command: Command) -> io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<Sender<Order>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        thread::spawn(move || {
            for mut order in inbox {
                sys::bound_to_spawning_thread(&mut order.command);
                // A caller that no longer waits has dropped its lab, so the child must not keep
                // running.
                if let Err(unheard) = order.answer.send(order.command.spawn())
                    && let Ok(mut child) = unheard.0
                {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        });
        Mutex::new(orders)
    });
    let (answer, result) = channel();
    let orders = spawner
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    orders
        .send(Order { command, answer })
        .map_err(io::Error::other)?;
    result.recv().map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_bytes() {
        let status = "Name:\tjava\nVmHWM:\t  900 kB\nVmRSS:\t  256 kB\n";
        assert_eq!(bytes_of(status, "VmRSS:"), Some(256 * 1024));
        assert_eq!(bytes_of(status, "VmHWM:"), Some(900 * 1024));
    }

    #[test]
    fn a_process_outlives_the_thread_that_asked_for_it() {
        let log = std::env::temp_dir().join(format!("lab-process-{}.log", std::process::id()));
        let path = log.clone();
        let mut process = thread::spawn(move || {
            let mut sleep = Command::new("sleep");
            sleep.arg("60");
            Process::start(sleep, &path).unwrap()
        })
        .join()
        .unwrap();
        assert!(process.ended().unwrap().is_none());
        process.signal(Signal::Term).unwrap();
        process.child.wait().unwrap();
        assert!(
            process.signal(Signal::Term).is_err(),
            "a reused pid is never hit"
        );
        fs::remove_file(log).unwrap();
    }
}
