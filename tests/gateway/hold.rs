//! Requests that wait while no backend is active: how long and how many.

use spnegate::testing::Refusal;

use crate::{
    backend::{Role, backend, second},
    client::Client,
    failover::{knows, pair},
    proxy::gateway,
    realm::eventually,
};

#[test]
fn requests_wait_for_an_active_backend_and_are_then_served() {
    let (one, two) = (backend().role(Role::Standby), second().role(Role::Standby));
    let gateway = pair(&one, &two).run();
    let clients: Vec<Client> = ["alice", "bob", "carol"]
        .iter()
        .map(|user| {
            gateway
                .ask("POST /webhdfs/v1/x")
                .by(user)
                .body("body")
                .send()
        })
        .collect();
    eventually("they are held", || {
        gateway
            .admin("/metrics")
            .lines()
            .any(|line| line.starts_with("spnegate_held_requests") && line.ends_with(" 3"))
    });
    assert_eq!(one.seen().len() + two.seen().len(), 0);
    two.set_role(Role::Active);
    for (mut client, user) in clients.into_iter().zip(["alice", "bob", "carol"]) {
        client.response().is_ok(user);
    }
    assert_eq!((one.seen().len(), two.seen().len()), (0, 3));
}

#[test]
pub fn waiting_too_long_for_an_active_backend_is_reported_as_no_active() {
    let (one, two) = (backend().role(Role::Standby), second().role(Role::Standby));
    let gateway = pair(&one, &two).set("timeouts", "hold = \"200ms\"").run();
    knows(&gateway, &one, 0);
    knows(&gateway, &two, 0);
    let answer = gateway.ask("GET /webhdfs/v1/x").by("alice").response();
    answer.is(Refusal::NoActive);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(one.seen().len() + two.seen().len(), 0);
    assert!(gateway.refusals(Refusal::NoActive) > 0);
}

/// 4,096 requests may wait; one more is refused immediately.
#[test]
pub fn too_many_waiting_requests_are_reported_as_hold_full() {
    let backend = backend().role(Role::Standby);
    let gateway = gateway().console("namenode").backend(&backend).run();
    knows(&gateway, &backend, 0);
    let request = gateway.ask("GET /webhdfs/v1/x").by("alice").bytes();
    let mut waiting: Vec<Client> = Vec::new();
    for _ in 0..4096 + 8 {
        let mut client = gateway.connect();
        client.send(&request);
        waiting.push(client);
    }
    let mut refused = Vec::new();
    eventually("eight are too many", || {
        let mut at = 0;
        while at < waiting.len() {
            if waiting[at].is_quiet() {
                at += 1;
            } else {
                refused.push(waiting.swap_remove(at).response());
            }
        }
        refused.len() >= 8
    });
    assert_eq!(refused.len(), 8);
    for answer in refused {
        answer.is(Refusal::HoldFull);
    }
    // clients that disconnect release their slots
    waiting.truncate(4000);
    backend.set_role(Role::Active);
    for client in &mut waiting {
        client.response().is_ok("nobody");
    }
}

#[test]
fn clients_that_disconnect_release_their_waiting_slots() {
    let backend = backend().role(Role::Standby);
    let gateway = gateway().console("namenode").backend(&backend).run();
    let waiting: Vec<Client> = (0..50)
        .map(|_| gateway.ask("GET /webhdfs/v1/x").by("alice").send())
        .collect();
    for client in waiting {
        client.disconnect();
    }
    backend.set_role(Role::Active);
    gateway
        .ask("GET /webhdfs/v1/y")
        .by("alice")
        .response()
        .is_ok("nobody");
    // requests that raced with the disconnects may have been sent
    assert!(backend.seen().len() <= 51);
}
