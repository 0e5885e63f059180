//! Runs curl once and splits its output into heads and body.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::Lab;

/// The output of one run of curl.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The status of the last response.
    pub status: u16,
    /// The head lines of all responses, unmodified.
    pub heads: String,
    /// The body.
    pub body: String,
}

impl Fetched {
    /// The values of all headers of that name (in any case) in all responses.
    pub fn headers(&self, name: &str) -> Vec<&str> {
        let lines = self.heads.lines().filter_map(|line| line.split_once(':'));
        lines
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }
}

impl Lab {
    /// `curl --negotiate` as a principal, with further arguments; only curl's own failure is an
    /// error.
    pub fn fetch(&self, principal: &str, arguments: &[&str]) -> Result<Fetched> {
        run(self.curl(principal)?, arguments)
    }

    /// The same without a ticket, and without `--negotiate`.
    pub fn fetch_without_ticket(&self, arguments: &[&str]) -> Result<Fetched> {
        let mut curl = self.command("curl");
        curl.arg("-sS");
        run(curl, arguments)
    }

    /// Logs in once, and returns the session cookie as a `Cookie` header's value.
    pub fn session(&self, principal: &str, url: &str) -> Result<String> {
        let fetched = self.fetch(principal, &[url])?;
        let cookies = fetched.headers("set-cookie");
        let cookie = cookies.iter().find_map(|line| line.split(';').next());
        cookie
            .map(str::to_owned)
            .with_context(|| format!("no session from {url}: {fetched:?}"))
    }
}

fn run(mut curl: Command, arguments: &[&str]) -> Result<Fetched> {
    curl.args(["--max-time", "120", "-D", "/dev/stderr"]);
    curl.args(arguments);
    let output = curl.output().context("cannot run curl")?;
    let heads = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(
        output.status.success(),
        "curl {} failed ({}): {heads}",
        arguments.join(" "),
        output.status
    );
    let last = heads.lines().rfind(|line| line.starts_with("HTTP/1.1 "));
    let status = last
        .and_then(|line| line.get(9..12)?.parse().ok())
        .with_context(|| format!("no status: {heads}"))?;
    Ok(Fetched {
        status,
        heads,
        body: String::from_utf8_lossy(&output.stdout).into_owned(),
    })
}
