//! A client program that stays: it is given statements by a pipe, and keeps its connection.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result, anyhow};

use crate::{
    clients::{load::Turn, turns},
    machine::process::spawn_bound,
};

/// What the line after a statement's rows begins with; the rest of it says why it failed.
const END: char = '\u{4}';

/// A running client. One whose statement failed connects anew for the next. Dropping it kills it.
#[derive(Debug)]
pub struct Session {
    program: Child,
    statements: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Session {
    /// Starts a program that reads statements, a line each.
    pub(super) fn begin(mut command: Command) -> Result<Session> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::null());
        let mut program = spawn_bound(command)?;
        Ok(Session {
            statements: program.stdin.take().context("no pipe")?,
            said: BufReader::new(program.stdout.take().context("no pipe")?),
            program,
        })
    }

    /// Runs a statement: its rows, a line each, with tabs.
    pub fn run(&mut self, statement: &str) -> Result<String> {
        writeln!(self.statements, "{statement}")?;
        let mut rows = String::new();
        loop {
            let mut line = String::new();
            if self.said.read_line(&mut line)? == 0 {
                let status = self.program.wait()?;
                return Err(anyhow!("the client has ended ({status})"));
            }
            match line.strip_prefix(END).map(str::trim_end) {
                None => rows.push_str(&line),
                Some("") => return Ok(rows),
                Some(why) => return Err(anyhow!("{why}")),
            }
        }
    }

    /// A turn of a load: a statement that must bring these rows.
    pub fn turn(&mut self, statement: &str, rows: &str) -> Turn {
        match self.run(statement) {
            Ok(found) if found == rows => Turn::Done,
            Ok(found) => Turn::Failed(format!("other rows: {found}")),
            Err(error) => turns::failed(&error.to_string()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
