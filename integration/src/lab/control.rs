//! A lab that keeps running behind the `lab` program, and the protocol of its commands.
//!
//! `lab up` starts a second process that holds the [`Lab`] and listens on a socket in the lab's
//! folder. A request is one line of words; the answer is a line `ok` or `error`, then text.

use std::{
    fmt::Write as _,
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process, thread,
};

use anyhow::{Context, Result, bail};

use crate::{lab::Lab, machine::progress, server::Server};

/// The word on its standard input that makes a supervisor keep running.
pub const STAY: &str = "stay";

fn socket(folder: &Path) -> PathBuf {
    folder.join("control")
}

/// Sends one request to the lab in `folder`; an error answer becomes an error.
pub fn request(folder: &Path, words: &[&str]) -> Result<String> {
    let path = socket(folder);
    let mut stream = UnixStream::connect(&path)
        .with_context(|| format!("no lab is running in {}", folder.display()))?;
    writeln!(stream, "{}", words.join(" "))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once('\n') {
        Some(("ok", text)) => Ok(text.to_owned()),
        Some(("error", text)) => bail!("{}", text.trim_end()),
        _ => bail!("the lab ended while it was asked to {}", words.join(" ")),
    }
}

/// Whether a lab responds in `folder`.
pub fn is_up(folder: &Path) -> bool {
    request(folder, &["ping"]).is_ok()
}

/// Ends this process if its parent ends without having sent [`STAY`].
///
/// The servers then end as in any other death of the lab's process.
pub fn end_with_starter() {
    thread::spawn(|| {
        let mut word = String::new();
        let read = std::io::stdin().read_line(&mut word);
        if read.is_err() || word.trim() != STAY {
            process::exit(1);
        }
    });
}

/// Serves requests until one says `down`; the lab is ended before that one is answered.
///
/// Each request has its own thread: one that hangs (a ticket from a paused KDC) must not keep
/// another from resuming the KDC.
pub fn serve(lab: &Lab) -> Result<()> {
    let path = socket(lab.folder());
    if path.exists() {
        fs::remove_file(&path)?;
    }
    let listener = UnixListener::bind(&path)
        .with_context(|| format!("cannot listen at {}", path.display()))?;
    thread::scope(|scope| {
        for stream in listener.incoming() {
            let mut stream = stream?;
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line)?;
            if line.trim() == "down" {
                lab.end();
                fs::remove_file(&path)?;
                stream.write_all(b"ok\n")?;
                break;
            }
            scope.spawn(move || serve_one(lab, &line, stream));
        }
        Ok(())
    })
}

fn serve_one(lab: &Lab, line: &str, mut stream: UnixStream) {
    let words: Vec<_> = line.split_whitespace().collect();
    let answer = match answer(lab, &words) {
        Ok(text) => format!("ok\n{text}"),
        Err(error) => format!("error\n{error:#}\n"),
    };
    if words != ["ping"] {
        progress::say(&format!(
            "{} -> {}",
            line.trim(),
            answer.lines().next().unwrap_or_default()
        ));
    }
    // The client may have gone away; ignore the error.
    let _ = stream.write_all(answer.as_bytes());
}

fn answer(lab: &Lab, words: &[&str]) -> Result<String> {
    let done = |()| String::new();
    match words {
        ["ping"] => Ok(String::new()),
        ["status"] => Ok(status(lab)),
        ["kill", server] => lab.kill9(server.parse()?).map(done),
        ["term", server] => lab.term(server.parse()?).map(done),
        ["pause", server] => lab.pause(server.parse()?).map(done),
        ["resume", server] => lab.resume(server.parse()?).map(done),
        ["start", server] => lab.start(server.parse()?).map(done),
        ["failover", from, to] => lab.haadmin_failover(from.parse()?, to.parse()?).map(done),
        ["principal", principal] => {
            let keytab = lab.realm().principal_with_keytab(principal)?;
            Ok(format!("{}\n", keytab.display()))
        }
        ["rotate-key", principal] => lab.realm().rotate_key(principal).map(version),
        ["change-key", principal] => lab.realm().change_key(principal).map(version),
        ["append-key", principal] => lab.realm().append_key(principal).map(version),
        ["kinit", principal] => Ok(format!("{}\n", lab.realm().kinit(principal)?.display())),
        _ => bail!("not understood: {}", words.join(" ")),
    }
}

fn version(kvno: u32) -> String {
    format!("key version {kvno}\n")
}

fn status(lab: &Lab) -> String {
    const MEBIBYTE: u64 = 1024 * 1024;
    let mut text = format!("lab in {}, pid {}\n", lab.folder().display(), process::id());
    let active = [lab.active_namenode(), lab.active_rm()];
    let is_active = |server: Server| {
        active
            .iter()
            .any(|found| matches!(found, Ok(Some(a)) if *a == server))
    };
    let mut sum = 0;
    for server in lab.servers() {
        let running = lab.is_running(*server).then(|| lab.pid(*server));
        let Some(Ok(pid)) = running else {
            let _ = writeln!(text, "{server:<10} ended");
            continue;
        };
        let memory = lab.rss(*server).unwrap_or_default() / MEBIBYTE;
        sum += memory;
        let place = lab.place(*server);
        let mark = if is_active(*server) { " active" } else { "" };
        let _ = writeln!(
            text,
            "{server:<10} pid {pid:<7} {memory:>4} MiB  {place}{mark}"
        );
    }
    let _ = writeln!(text, "{sum} MiB in all");
    text
}
