//! *History* of a finished application, pressed on the ResourceManager's page: it leads to the
//! JobHistoryServer by the gateway's console for it.

use std::time::Duration;

use lab::{Console, Gateway, wait};

use super::{firefox::Firefox, stage};

const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn the_history_link_of_an_application_opens_the_jobhistory_console() {
    let lab = &stage().lab;
    let mut pi = lab.hadoop("alice", "examples").unwrap();
    let output = pi.args(["pi", "1", "1"]).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let mut firefox = Firefox::start("alice", "history");
    firefox.go(&Gateway::url(
        Console::ResourceManager,
        "/cluster/apps/FINISHED",
    ));
    firefox.click_link("History");
    let place = Gateway::url(Console::JobHistory, "/jobhistory/job/job_");
    let mut page = String::new();
    let shown = wait::until("the job's page is there", PATIENCE, || {
        page = firefox.page();
        let is_there = firefox.url().starts_with(&place) && page.contains("QuasiMonteCarlo");
        Ok(is_there.then_some(()))
    });
    assert!(shown.is_ok(), "{}: {page:.2000}", firefox.url());
    println!("Firefox as alice: History leads to {}", firefox.url());
}
