//! System calls that std does not offer. All unsafe code of the lab is in this file.
#![allow(unsafe_code)]

use std::{io, os::unix::process::CommandExt, process::Command};

/// A signal that the lab sends to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Term,
    Stop,
    Continue,
}

impl Signal {
    fn number(self) -> libc::c_int {
        match self {
            Signal::Term => libc::SIGTERM,
            Signal::Stop => libc::SIGSTOP,
            Signal::Continue => libc::SIGCONT,
        }
    }
}

/// Sends `signal` to one process.
pub fn kill(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: kill(2) takes two integers and touches no memory of ours.
    check(unsafe { libc::kill(pid, signal.number()) })
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    // SAFETY: geteuid(2) takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// The user id this process runs with.
pub fn user_id() -> u32 {
    // SAFETY: geteuid(2) takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// The machine's own host name.
pub fn host_name() -> io::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    Ok(name.trim().to_owned())
}

/// Detaches the process from the terminal's session, so that Ctrl-C reaches only the caller.
pub fn in_own_session(command: &mut Command) {
    // SAFETY: the closure makes one async-signal-safe call.
    unsafe { command.pre_exec(|| check(libc::setsid())) };
}

/// Like [`in_own_session`], and the kernel kills the process when the *thread* that spawned it ends.
pub fn bound_to_spawning_thread(command: &mut Command) {
    in_own_session(command);
    let parent = std::process::id();
    let bind = move || {
        // SAFETY: prctl(2) and getppid(2) are async-signal-safe and touch no memory of ours.
        let (bound, now) = unsafe {
            (
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL),
                libc::getppid(),
            )
        };
        check(bound)?;
        // The parent may have died between fork and prctl: then no signal would ever come.
        if u32::try_from(now) == Ok(parent) {
            Ok(())
        } else {
            Err(io::Error::from_raw_os_error(libc::ESRCH))
        }
    };
    // SAFETY: the closure makes only async-signal-safe calls and allocates nothing.
    unsafe { command.pre_exec(bind) };
}

/// Keeps SIGINT and SIGTERM from ending this process, for [`wait_for_end`]. To be called before
/// the first thread is started; programs that are started get them as usual.
pub fn hold_end_signals() -> io::Result<()> {
    let set = end_signals();
    // SAFETY: `set` is a valid signal set, and no old mask is asked for.
    check(unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) })
}

/// Waits until SIGINT or SIGTERM comes.
pub fn wait_for_end() -> io::Result<()> {
    let set = end_signals();
    let mut signal = 0;
    // SAFETY: both point to live values of the right type.
    check(unsafe { libc::sigwait(&raw const set, &raw mut signal) })
}

fn end_signals() -> libc::sigset_t {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: sigemptyset initialises the set before it is read, and both signals are valid.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGINT);
        libc::sigaddset(set.as_mut_ptr(), libc::SIGTERM);
        set.assume_init()
    }
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
