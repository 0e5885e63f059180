//! A console that ignores `doAs` must be closed, since every user would act as the gateway there.

use std::time::Duration;

use lab::{Console, Filter, Gateway, Lab, Server};

#[test]
fn a_console_that_ignores_doas_is_closed_and_opens_with_identity_service() {
    let lab = Lab::builder()
        .with([Server::Jhs])
        .filter(Filter::Plain)
        .wait_for_turn(Duration::from_secs(600))
        .start()
        .unwrap();
    let url = Gateway::url(Console::JobHistory, "/jobhistory");

    let gateway = Gateway::builder(&lab)
        .console(Console::JobHistory)
        .start()
        .unwrap();
    let states = gateway.backends(Console::JobHistory).unwrap();
    assert_eq!(states[&Server::Jhs.url().unwrap()], "identity_ignored");
    let refused = lab.fetch("alice", &[&url]).unwrap();
    assert_eq!(refused.status, 502, "{refused:?}");
    assert!(refused.body.contains("identity_ignored"), "{refused:?}");
    assert!(
        gateway
            .metric("spnegate_refusals_total{reason=\"identity_ignored\"}")
            .unwrap()
            > 0.5
    );
    drop(gateway);

    let _gateway = Gateway::builder(&lab)
        .console_as(Console::JobHistory, "service")
        .start()
        .unwrap();
    let page = lab.fetch("alice", &[&url]).unwrap();
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("Logged in as: spnegate"), "{page:?}");
}
