//! Tickets that are not accepted, and the reason that the client receives for each.

use std::time::{Duration, SystemTime};

use spnegate::{
    gss::{Keytab, Principal},
    testing::Refusal,
};

use crate::{
    backend::unreachable_url,
    client::RawResponse,
    proxy::{Gateway, gateway, gateway_in},
    realm::{eventually, with_clockskew},
    world::{World, block_on, negotiate, world},
};

/// Requests a page that needs no backend.
pub fn log_in(gateway: &Gateway, authorization: &str) -> RawResponse {
    gateway
        .ask("GET /.spnegate/whoami")
        .header("Authorization", authorization)
        .response()
}

pub fn plain() -> Gateway {
    gateway().console("generic").url(&unreachable_url()).run()
}

#[test]
pub fn a_token_is_accepted_only_once() {
    let gateway = plain();
    let token = world().authorization("alice");
    assert_eq!(log_in(&gateway, &token).status, 200);
    log_in(&gateway, &token).is(Refusal::TokenReplayed);
}

#[test]
pub fn a_ticket_for_another_service_or_host_is_reported_as_wrong_service() {
    let gateway = plain();
    let presto = world()
        .realm
        .principal(&format!("presto/{}", world().proxy));
    let token = world().authorization_for("alice", &presto);
    log_in(&gateway, &token).is(Refusal::WrongService);
    // alias is in the keytab, but is not a host of this console
    let alias = world().realm.spn("alias");
    let token = world().authorization_for("alice", &alias);
    let answer = log_in(&gateway, &token);
    answer.is(Refusal::WrongService);
    assert_eq!(answer.session(), None);
}

/// A keytab of one service with keys that the test creates, and the service.
pub fn service_of_its_own(world: &World, name: &str) -> (Principal, std::path::PathBuf) {
    let spn = world.realm.spn(name);
    let file = world
        .realm
        .add_with_keytab(&format!("{name}.keytab"), &[&spn]);
    (spn, file)
}

/// A gateway whose keytab also contains the keys of that file.
pub fn with_keys(file: &std::path::Path, host: &str, gss: &str) -> Gateway {
    let mut keys = Keytab::load(&world().keytab).unwrap();
    keys.entries.extend(Keytab::load(file).unwrap().entries);
    let merged = world().file("keytab");
    std::fs::write(&merged, keys.to_bytes()).unwrap();
    gateway()
        .keytab(merged)
        .console("generic")
        .with(&format!("hosts = [\"{host}\", \"{}\"]", world().proxy))
        .url(&unreachable_url())
        .set("timeouts", gss)
        .run()
}

pub fn fresh_token(world: &World, spn: &Principal) -> String {
    let alice = world.realm.principal("alice");
    negotiate(
        &block_on(world.fresh_clients().token(&alice, spn))
            .unwrap()
            .token,
    )
}

#[test]
pub fn a_ticket_newer_than_the_keytab_is_reported_as_keytab_out_of_date() {
    let (spn, file) = service_of_its_own(world(), "newer");
    let gateway = with_keys(&file, spn.host().unwrap(), "gss = \"5s\"");
    assert_eq!(log_in(&gateway, &fresh_token(world(), &spn)).status, 200);
    world().realm.rotate(&[&spn]);
    log_in(&gateway, &fresh_token(world(), &spn)).is(Refusal::KeytabOutOfDate);
}

#[test]
pub fn a_login_that_takes_too_long_is_reported_as_login_timeout() {
    let (spn, file) = service_of_its_own(world(), "slow");
    // a ticket for a key that is not in the keytab yet is held for a second
    let gateway = with_keys(&file, spn.host().unwrap(), "gss = \"100ms\"");
    world().realm.rotate(&[&spn]);
    log_in(&gateway, &fresh_token(world(), &spn)).is(Refusal::LoginTimeout);
}

#[test]
pub fn a_missing_replay_cache_is_reported_and_recovers_without_restart() {
    let file = world().file("rcache2");
    let gateway = gateway()
        .replay_cache(file.clone())
        .console("generic")
        .url(&unreachable_url())
        .run();
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let answer = log_in(&gateway, &world().authorization("alice"));
    answer.is(Refusal::ReplayCache);
    assert_eq!(answer.session(), None);
    // the gateway is not restarted
    std::fs::remove_dir(&file).unwrap();
    let token = world().authorization("alice");
    assert_eq!(log_in(&gateway, &token).status, 200);
}

#[test]
pub fn a_ticket_older_than_the_keytab_is_reported_as_ticket_out_of_date() {
    let (spn, _) = service_of_its_own(world(), "older");
    let old = fresh_token(world(), &spn);
    world().realm.rotate(&[&spn]);
    let newer = world().realm.keytab("older2.keytab", &[&spn]);
    let gateway = with_keys(&newer, spn.host().unwrap(), "gss = \"5s\"");
    log_in(&gateway, &old).is(Refusal::TicketOutOfDate);
    assert_eq!(log_in(&gateway, &fresh_token(world(), &spn)).status, 200);
}

#[test]
pub fn a_key_that_differs_from_the_kdcs_is_reported_as_wrong_key() {
    let (spn, file) = service_of_its_own(world(), "wrong");
    let mut keys = Keytab::load(&file).unwrap();
    for entry in &mut keys.entries {
        entry.key[0] ^= 1;
    }
    std::fs::write(&file, keys.to_bytes()).unwrap();
    let gateway = with_keys(&file, spn.host().unwrap(), "gss = \"5s\"");
    log_in(&gateway, &fresh_token(world(), &spn)).is(Refusal::WrongKey);
}

#[test]
fn rotating_the_keytab_during_logins_fails_no_login() {
    let (spn, file) = service_of_its_own(world(), "rotated");
    let mut keys = Keytab::load(&world().keytab).unwrap();
    keys.entries.extend(Keytab::load(&file).unwrap().entries);
    let merged = world().file("keytab");
    std::fs::write(&merged, keys.to_bytes()).unwrap();
    let gateway = gateway()
        .keytab(merged.clone())
        .console("generic")
        .with(&format!("hosts = [\"{}\"]", spn.host().unwrap()))
        .url(&unreachable_url())
        .run();
    let host = Some(spn.host().unwrap());
    let clients = world().fresh_clients();
    let alice = world().realm.principal("alice");
    let log_in = |token: &str| {
        gateway
            .ask("GET /.spnegate/whoami")
            .host(host)
            .header("Authorization", token)
            .response()
    };
    let mut last = 0;
    for _ in 0..3 {
        let held = negotiate(&block_on(clients.token(&alice, &spn)).unwrap().token);
        world().realm.rotate(&[&spn]);
        // the KDC has the new key and the file does not: it is written while the login is held
        let newer = fresh_token(world(), &spn);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| log_in(&newer).status);
            let new_keys = world().realm.keytab("rotated-new.keytab", &[&spn]);
            let mut keys = Keytab::load(&world().keytab).unwrap();
            keys.entries
                .extend(Keytab::load(&new_keys).unwrap().entries);
            let beside = merged.with_extension("new");
            std::fs::write(&beside, keys.to_bytes()).unwrap();
            std::fs::rename(&beside, &merged).unwrap();
            last = waiting.join().unwrap();
        });
        // a busy machine may need more than the second for which a login is held
        assert!(last == 200 || last == 401, "{last}");
        let mut now = 0;
        eventually("the new key is loaded", || {
            now = log_in(&fresh_token(world(), &spn)).status;
            now == 200
        });
        assert_eq!(log_in(&held).status, 200, "tickets of before stay good");
    }
}

#[test]
pub fn expired_tickets_and_clock_skew_are_distinguished() {
    let name = "tickets::expired_tickets_and_clock_skew_are_distinguished";
    if !with_clockskew(2, name) {
        return;
    }
    let world: &'static World = Box::leak(Box::new(World::start()));
    let (short, file) = service_of_its_own(world, "short");
    world
        .realm
        .admin(&format!("modprinc -maxlife 1sec {short}"));
    let mut keys = Keytab::load(&world.keytab).unwrap();
    keys.entries.extend(Keytab::load(&file).unwrap().entries);
    let merged = world.file("keytab");
    std::fs::write(&merged, keys.to_bytes()).unwrap();
    let gateway = gateway_in(world)
        .keytab(merged)
        .console("generic")
        .with(&format!(
            "hosts = [\"{}\", \"{}\"]",
            world.proxy,
            short.host().unwrap()
        ))
        .url(&unreachable_url())
        .run();
    let expiring = world.authorization_for("alice", &short);
    let late = world.authorization("alice");
    let end = SystemTime::now() + Duration::from_secs(5);
    eventually("the ticket has ended", || SystemTime::now() > end);
    log_in(&gateway, &expiring).is(Refusal::TicketExpired);
    log_in(&gateway, &late).is(Refusal::ClockSkew);
}

const NTLM: &[u8] = &[0x06, 0x0a, 0x2b, 6, 1, 4, 1, 0x82, 0x37, 2, 2, 0x0a];
const KRB5: &[u8] = &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 1, 2, 2];
const SPNEGO: &[u8] = &[0x06, 0x06, 0x2b, 6, 1, 5, 5, 2];

/// One DER value.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length = if content.len() < 128 {
        vec![low]
    } else {
        vec![0x82, high, low]
    };
    [vec![tag], length, content].concat()
}

/// A first leg that prefers NTLM and also offers Kerberos.
pub fn first_of_two() -> String {
    let mechanisms = der(0x30, &[NTLM, KRB5]);
    let guess = der(0xa2, &[&der(0x04, &[b"NTLMSSP\0\x01\0\0\0"])]);
    let init = der(0xa0, &[&der(0x30, &[&der(0xa0, &[&mechanisms]), &guess])]);
    negotiate(&der(0x60, &[SPNEGO, &init]))
}

/// A token that may follow it.
pub fn second_of_two() -> String {
    let junk = der(0xa2, &[&der(0x04, &[b"junk"])]);
    negotiate(&der(0xa1, &[&der(0x30, &[&junk])]))
}

/// A first leg that prefers NTLM and also offers Kerberos is continued on its own connection, and
/// no other client's token continues it.
#[test]
fn a_login_of_two_legs_is_bound_to_its_connection() {
    let gateway = plain();
    let (first, second) = (first_of_two(), second_of_two());
    let ask = |token: &str| {
        gateway
            .ask("GET /.spnegate/whoami")
            .header("Authorization", token)
            .bytes()
    };
    let mut client = gateway.connect();
    client.send(ask(&first));
    let answer = client.response();
    assert_eq!(answer.status, 401, "{}", answer.head);
    let challenge = answer.header("www-authenticate").unwrap();
    assert!(
        challenge.len() > "Negotiate ".len(),
        "it is asked to go on: {challenge}"
    );
    assert_eq!(answer.header("connection"), None);
    // on another connection the second leg is invalid
    log_in(&gateway, &second).is(Refusal::LoginInterrupted);
    // a complete token of another user in between is that user's own login
    client.send(ask(&world().authorization("bob")));
    let answer = client.response();
    assert!(
        answer.status == 200 && answer.text().contains("\"bob\""),
        "{}",
        answer.all_text()
    );
    // the first leg is then forgotten
    client.send(ask(&second));
    client.response().is(Refusal::LoginInterrupted);
}
