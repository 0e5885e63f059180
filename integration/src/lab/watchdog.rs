//! Ends YARN's containers when the lab's process ends for any reason.
//!
//! The kernel ends servers together with the lab (see [`crate::machine::process`]). A NodeManager's
//! containers run in sessions of their own and survive it. A small shell process reads from a pipe
//! that only the lab's process holds; at its end it kills the containers the NodeManager has
//! recorded.

use std::{
    fs, io,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};

use crate::machine::sys;

const SCRIPT: &str = include_str!("../../templates/watchdog.sh");

/// The shell process; it acts when the pipe is closed.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// Starts it for the lab in `folder`.
    pub(crate) fn start(folder: &Path) -> Result<Watchdog> {
        let script = folder.join("watchdog.sh");
        fs::write(&script, SCRIPT)?;
        let mut shell = Command::new("sh");
        shell.arg(script).arg(folder);
        shell
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        sys::in_own_session(&mut shell);
        Ok(Watchdog {
            shell: shell.spawn().context("cannot start sh")?,
        })
    }

    /// Closes the pipe and waits until the containers are ended.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        drop(self.shell.stdin.take());
        self.shell.wait().map(|_| ())
    }
}
