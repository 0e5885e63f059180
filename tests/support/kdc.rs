//! A server of a realm, a KDC above all, under a warden that ends it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process};

/// A server of a realm; ends with this.
#[derive(Debug)]
pub struct Kdc {
    /// Ends the KDC when its standard input ends.
    warden: Child,
    pid: Pid,
}

impl Kdc {
    /// Starts it by a line of this shell, whose `$0` is the realm's name.
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

    /// Stops it from answering; connections are still taken by the system.
    pub fn freeze(&self) {
        kill_process(self.pid, Signal::STOP).unwrap();
    }

    /// Lets it answer again.
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
