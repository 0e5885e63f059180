//! Faults of the environment: each is reported with its cause, affects no session, and is recovered
//! from.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use spnegate::testing::Refusal;

use crate::{
    backend::{Backend, backend, unreachable_url},
    proxy::{gateway, gateway_in},
    realm::eventually,
    world::World,
};

/// A world of its own, whose KDC may be stopped.
fn own_world() -> &'static World {
    Box::leak(Box::new(World::start()))
}

#[test]
pub fn a_kdc_that_hangs_at_start_is_reported_as_kdc_unavailable() {
    let world = own_world();
    let backend = Backend::start(world, "nn1");
    world.realm.freeze_kdc();
    let gateway = gateway_in(world)
        .console("namenode")
        .identity("doas")
        .backend(&backend)
        .set("timeouts", "gss = \"500ms\"\nhold = \"2s\"")
        .run();
    // sessions are served; only the login at the backend waits
    assert_eq!(
        gateway
            .ask("GET /.spnegate/whoami")
            .by("alice")
            .response()
            .status,
        200
    );
    eventually("the cause is known", || {
        let answer = gateway.ask("GET /webhdfs/v1/x").by("alice").response();
        answer.text().contains(Refusal::KdcUnavailable.reason())
    });
    let answer = gateway.ask("GET /webhdfs/v1/x").by("alice").response();
    answer.is(Refusal::KdcUnavailable);
    assert!(gateway.refusals(Refusal::KdcUnavailable) > 0);
    assert_eq!(backend.seen().len(), 0);
    world.realm.thaw_kdc();
    eventually("it heals without a restart", || {
        gateway
            .ask("GET /webhdfs/v1/x")
            .by("alice")
            .response()
            .status
            == 200
    });
}

#[test]
fn a_kdc_that_hangs_later_affects_no_session_login_or_logged_in_backend() {
    let world = own_world();
    let (one, new) = (Backend::start(world, "nn1"), Backend::start(world, "nn2"));
    let gateway = gateway_in(world)
        .console("namenode")
        .identity("doas")
        .backend(&one)
        .set("timeouts", "gss = \"500ms\"")
        .run();
    gateway.ask("GET /x").by("alice").response().is_ok("alice");
    // bob holds his ticket already
    let _ = world.authorization("bob");
    world.realm.freeze_kdc();
    for _ in 0..20 {
        gateway.ask("GET /x").by("alice").response().is_ok("alice");
        let token = world.authorization("bob");
        gateway
            .ask("GET /x")
            .header("Authorization", &token)
            .response()
            .is_ok("bob");
    }
    // the ticket for the backend is still valid, so its cookie can even be renewed
    one.revoke();
    gateway.ask("GET /x").by("alice").response().is_ok("alice");
    world.realm.thaw_kdc();
    drop(new);
}

#[test]
fn a_start_that_cannot_succeed_reports_the_cause_and_the_cure() {
    let backend = backend();
    let world = crate::world::world();
    let build = || gateway().console("generic").backend(&backend);
    // a port that is in use
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = build().listen(&address).fails();
    assert!(error.contains(&address), "{error}");
    let running = build().run();
    let address = running.address().to_string();
    let error = build().listen(&address).fails();
    assert!(
        error.contains(&address),
        "a second gateway is told too: {error}"
    );
    // a replay cache that is a directory or is not writable
    let directory = world.file("directory");
    fs::create_dir(&directory).unwrap();
    let error = build().replay_cache(directory).fails();
    assert!(
        error.contains("directory") && error.contains("replay_cache"),
        "{error}"
    );
    // the keytab was valid when the configuration was checked and is invalid at the start
    let keytab = world.file("keytab");
    fs::copy(&world.keytab, &keytab).unwrap();
    fs::set_permissions(&keytab, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&keytab, b"no keytab").unwrap();
    let error = build().keytab(keytab.clone()).fails();
    assert!(error.contains(keytab.to_str().unwrap()), "{error}");
}

#[test]
fn temporary_faults_do_not_prevent_the_start() {
    let gateway = gateway()
        .console("generic")
        .url("http://no-such-host.invalid:50070")
        .console("generic")
        .name("other")
        .listen("127.0.0.2:0")
        .url(&unreachable_url())
        .set("timeouts", "hold = \"300ms\"")
        .run();
    for address in gateway.addresses() {
        let answer = gateway.ask_at(*address, "GET /x").by("alice").response();
        answer.is(Refusal::BackendDown);
    }
    let status = gateway.admin("/");
    assert!(status.contains("no-such-host.invalid"), "{status}");
}

#[test]
fn an_unreadable_new_keytab_leaves_the_old_keys_in_use() {
    let world = crate::world::world();
    let keytab = world.file("keytab");
    fs::copy(&world.keytab, &keytab).unwrap();
    let gateway = gateway()
        .keytab(keytab.clone())
        .console("generic")
        .url(&unreachable_url())
        .run();
    let log_in = || {
        let token = world.authorization("alice");
        gateway
            .ask("GET /.spnegate/whoami")
            .header("Authorization", &token)
            .response()
            .status
    };
    assert_eq!(log_in(), 200);
    fs::write(&keytab, b"half a key").unwrap();
    eventually("it is noticed", || {
        gateway
            .admin("/metrics")
            .lines()
            .any(|l| l == "spnegate_keytab_valid 0")
    });
    for _ in 0..5 {
        assert_eq!(log_in(), 200);
    }
    fs::remove_file(&keytab).unwrap();
    assert_eq!(log_in(), 200);
    fs::copy(&world.keytab, &keytab).unwrap();
    assert_eq!(log_in(), 200);
}

#[test]
fn a_backend_that_stalls_in_a_small_response_is_reported_as_backend_stalled() {
    let backend = backend().responds(|_| {
        crate::backend::raw(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{\"Loc",
        )
        .then(crate::backend::AfterResponse::Hang)
    });
    let gateway = gateway()
        .console("namenode")
        .identity("doas")
        .backend(&backend)
        .set("timeouts", "body_idle = \"400ms\"")
        .run();
    let mut client = gateway
        .ask("GET /webhdfs/v1/x?op=GETFILESTATUS")
        .by("alice")
        .send();
    client
        .stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    client.response().is(Refusal::BackendStalled);
}
