//! Real browsers log in and show the NameNode's and the ResourceManager's pages.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::{sync::OnceLock, time::Duration};

use lab::{Console, Gateway, Server, Stage, wait};

mod files;
mod firefox;
mod history;

use firefox::Firefox;

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    let servers = || [Server::YARN, &[Server::Jhs]].concat();
    STAGE.get_or_init(|| Stage::set(&servers(), "").unwrap())
}

/// The page as Chromium renders it, scripts run, as `user`.
///
/// A new profile's first start never logs in: Chromium loads the GSSAPI library into its network
/// process only where it has seen a Negotiate challenge before, which the profile remembers.
fn render(user: &str, url: &str) -> String {
    let lab = &stage().lab;
    let profile = lab.folder().join(format!("chromium-{user}"));
    let mut chromium = lab.command_as(user, "timeout").unwrap();
    chromium
        .args(["120", "chromium"])
        .env("HOME", lab.folder())
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--auth-server-allowlist=proxy.example.com",
            "--virtual-time-budget=20000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(url);
    let output = chromium
        .output()
        .expect("chromium runs (Debian package chromium)");
    let page = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    page
}

/// Pages fill themselves by scripts: looks until all words are there.
fn shows(user: &str, url: &str, words: &[&str]) {
    let mut page = String::new();
    let shown = wait::until(
        &format!("{url} shows {words:?}"),
        Duration::from_secs(120),
        || {
            page = render(user, url);
            Ok(words.iter().all(|word| page.contains(word)).then_some(()))
        },
    );
    assert!(shown.is_ok(), "{shown:?}: {page}");
    println!(
        "Chromium as {user}: {url} shows {words:?} ({} bytes of DOM)",
        page.len()
    );
}

#[test]
fn chromium_logs_in_and_reads_the_namenode() {
    let url = Gateway::url(Console::NameNode, "/dfshealth.html");
    // these come from /jmx by a script; either of the pair may be the active one
    shows(
        "alice",
        &url,
        &["Security is on", ".example.com:8020", "Live Nodes"],
    );
}

#[test]
fn chromium_logs_in_and_reads_the_resourcemanager() {
    let url = Gateway::url(Console::ResourceManager, "/cluster/nodes");
    shows("alice", &url, &["Logged in as: alice", "nm1.example.com"]);
}

#[test]
fn chromium_shows_the_refusal_page_to_carol() {
    let url = Gateway::url(Console::NameNode, "/webhdfs/v1/?op=LISTSTATUS");
    shows("carol", &url, &["not allowed to impersonate carol"]);
}

#[test]
fn firefox_logs_in_and_reads_both() {
    let mut firefox = Firefox::start("alice", "pages");
    for (console, path, words) in [
        (
            Console::NameNode,
            "/dfshealth.html",
            ["Security is on", ".example.com:8020"],
        ),
        (
            Console::ResourceManager,
            "/cluster/nodes",
            ["Logged in as: alice", "nm1.example.com"],
        ),
    ] {
        let url = Gateway::url(console, path);
        firefox.go(&url);
        let mut page = String::new();
        let what = format!("{url} shows {words:?}");
        let shown = wait::until(&what, Duration::from_secs(120), || {
            page = firefox.page();
            Ok(words.iter().all(|word| page.contains(word)).then_some(()))
        });
        assert!(shown.is_ok(), "{shown:?}: {page}");
        println!("Firefox as alice: {what}");
    }
}
