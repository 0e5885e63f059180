//! The demo: starts a cluster and the gateway, shows requests answered before and after the active
//! NameNode is killed, and stays up to be tried until Ctrl-C.

use std::{
    fs,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    gateway::{Gateway, console::Console},
    lab::Lab,
    machine::{progress, sys},
    server::Server,
};

/// Maximum number of characters of a response that are shown.
const LINES: usize = 12;
/// The exit status of a program that was ended by Ctrl-C.
const INTERRUPTED: i32 = 130;

enum Event {
    Shown(Result<Box<Stage>>),
    End,
}

/// The processes that keep running.
struct Stage {
    gateway: Gateway,
    lab: Lab,
}

/// Runs the demo; returns when it has been ended, or with the first step that failed.
pub fn run(once: bool) -> Result<()> {
    sys::hold_end_signals()?;
    let (events, inbox) = channel();
    let signals = events.clone();
    thread::spawn(
        move || {
            while sys::wait_for_end().is_ok() && signals.send(Event::End).is_ok() {}
        },
    );
    thread::spawn(move || play(&events));
    let stage = wait(&inbox)?;
    if !once {
        invite(&stage)?;
        let _ = inbox.recv();
        progress::say("ending everything");
    }
    drop(stage);
    progress::say("the demo has ended");
    Ok(())
}

fn play(events: &Sender<Event>) {
    let _ = events.send(Event::Shown(show().map(Box::new)));
}

fn wait(inbox: &Receiver<Event>) -> Result<Box<Stage>> {
    match inbox.recv().context("the demo's thread has died")? {
        Event::Shown(stage) => stage,
        Event::End => {
            progress::say("interrupted; everything that was started ends with this program");
            // The kernel ends the servers together with this process, however far they have
            // started.
            std::process::exit(INTERRUPTED)
        }
    }
}

fn show() -> Result<Stage> {
    progress::say("starting a throwaway Kerberos realm, HDFS and YARN in HA, Oozie");
    progress::say("the first time some 200 MB are fetched from Maven Central");
    let lab = Lab::builder()
        .with(Server::DEMO)
        .wait_for_turn(Duration::from_secs(600))
        .start()?;
    let gateway = Gateway::builder(&lab).start()?;
    progress::say("the gateway is up; alice has a ticket (kinit alice)");

    title("alice, through the gateway, on the NameNode, the ResourceManager and Oozie");
    let home = "/webhdfs/v1/user/alice";
    let make = Gateway::url(Console::NameNode, &format!("{home}/hello?op=MKDIRS"));
    request(&lab, "alice", &["-X", "PUT", &make], 200, "true")?;
    let list = Gateway::url(Console::NameNode, &format!("{home}?op=LISTSTATUS"));
    request(&lab, "alice", &[&list], 200, "\"owner\":\"alice\"")?;
    let info = Gateway::url(Console::ResourceManager, "/ws/v1/cluster/info");
    request(&lab, "alice", &[&info], 200, "\"haState\":\"ACTIVE\"")?;
    let oozie = Gateway::url(Console::Oozie, "/oozie/v1/admin/status");
    request(&lab, "alice", &[&oozie], 200, "NORMAL")?;

    title("carol may log in, but the cluster does not let the gateway act for her");
    request(&lab, "carol", &[&list], 403, "not allowed to impersonate")?;

    let active = lab.active_namenode()?.context("no NameNode is active")?;
    title(&format!("{active} is the active NameNode: it is killed"));
    println!("$ kill -9 {}    # {active}", lab.pid(active)?);
    lab.kill9(active)?;
    let begun = Instant::now();
    request(&lab, "alice", &[&list], 200, "\"owner\":\"alice\"")?;
    let took = begun.elapsed().as_secs_f64();
    let other = lab.active_namenode()?.context("no NameNode is active")?;
    ensure!(other != active, "{active} is active again");
    println!("\nanswered by {other} after {took:.1} s; the client saw no error");
    lab.start(active)?;
    progress::say(&format!("{active} is back, as the standby"));
    Ok(Stage { gateway, lab })
}

fn title(text: &str) {
    println!("\n=== {text}");
}

/// Runs curl as `user` with the command line that a user would type, prints the output, and
/// compares it with `status` and `expected`.
fn request(lab: &Lab, user: &str, arguments: &[&str], status: u16, expected: &str) -> Result<()> {
    let quote = |word: &&str| {
        let plain = word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./:".contains(c));
        if plain {
            (*word).to_owned()
        } else {
            format!("'{word}'")
        }
    };
    let typed: Vec<_> = arguments.iter().map(quote).collect();
    let who = if user == "alice" {
        String::new()
    } else {
        format!("    # as {user}")
    };
    println!("\n$ curl --negotiate -u : {}{who}", typed.join(" "));
    let answer = lab.fetch(user, arguments)?;
    let lines: Vec<_> = answer.body.trim_end().lines().collect();
    for line in lines.iter().take(LINES) {
        println!("{line}");
    }
    if lines.len() > LINES {
        println!("… {} more lines", lines.len() - LINES);
    }
    if answer.status != status || !answer.body.contains(expected) {
        bail!("expected {status} and {expected:?}, got {}", answer.status);
    }
    if status != 200 {
        println!("({status})");
    }
    Ok(())
}

/// Prints what can be tried, and how.
fn invite(stage: &Stage) -> Result<()> {
    let (lab, gateway) = (&stage.lab, &stage.gateway);
    let folder = lab.folder().display();
    let env = lab.folder().join("env");
    let world = lab.world().with_tickets(&lab.tickets("alice")?);
    fs::write(&env, world.exports())?;
    title("up until Ctrl-C");
    println!("consoles, all behind one host name:");
    for (console, path) in [
        (Console::NameNode, "/dfshealth.html"),
        (Console::ResourceManager, "/cluster"),
        (Console::JobHistory, "/jobhistory"),
        (Console::Oozie, "/oozie/v1/admin/status"),
    ] {
        println!("  {:<16} {}", console.name(), Gateway::url(console, path));
    }
    println!("  {:<16} {}", "gateway's status", Gateway::admin_url());
    println!("configuration      {}", gateway.config().display());
    println!("logs               {folder}/logs (the gateway's: gateway.log)");
    println!("\nIn another shell, as alice (kinit bob, password bob, for bob; carol is refused):");
    println!("  . {}", env.display());
    let list = Gateway::url(Console::NameNode, "/webhdfs/v1/user/alice?op=LISTSTATUS");
    println!("  curl --negotiate -u : '{list}'");
    let file = Gateway::url(Console::NameNode, "/webhdfs/v1/user/alice/hosts?op=CREATE");
    println!("  curl --negotiate -u : -L -T /etc/hosts '{file}'");
    let rm = Gateway::url(Console::ResourceManager, "/cluster");
    println!("  curl --negotiate -u : {rm}");
    println!("  chromium --user-data-dir=/tmp/spnegate-demo-browser \\");
    println!("    --auth-server-allowlist=proxy.example.com {rm}");
    println!("(as root with --no-sandbox; a new profile logs in after one reload)");
    println!("Kill the active one with kill -9; the ids of all servers:");
    for server in lab
        .servers()
        .iter()
        .filter(|server| server.console().is_some())
    {
        println!(
            "  {server:<8} {:>8}  {}",
            lab.pid(*server)?,
            lab.place(*server)
        );
    }
    Ok(())
}
