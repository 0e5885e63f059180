//! A server process of a realm, usually the KDC, with a shell that ends it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// A server of a realm; it ends when dropped.
#[derive(Debug)]
pub struct Kdc {
    /// A shell that kills the server when its standard input is closed.
    warden: Child,
    pid: Pid,
}

impl Kdc {
    /// Starts the server by a line of this shell, whose `$0` is the realm's name.
    pub(super) fn start(mut shell: Command, line: &str, realm: &str, output: &Path) -> Self {
        let mut warden = shell
            .arg("-c")
            .arg(format!("{line} >&2 & echo $!; read end; kill -9 $!; wait"))
            .arg(realm)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(output).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let output = warden.stdout.as_mut().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        let pid = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        Self { warden, pid }
    }

    /// Suspends the server (SIGSTOP): the kernel still accepts connections, but no response is
    /// sent.
    pub fn freeze(&self) {
        kill_process(self.pid, Signal::STOP).unwrap();
    }

    /// Resumes the server (SIGCONT).
    pub fn thaw(&self) {
        kill_process(self.pid, Signal::CONT).unwrap();
    }
}

impl Drop for Kdc {
    fn drop(&mut self) {
        drop(self.warden.stdin.take());
        let _ = self.warden.wait();
    }
}
