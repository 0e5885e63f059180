//! Acceptor and initiator on a throwaway realm.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/realm.rs"]
mod realm;

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use libgssapi::{
    context::{ClientCtx, CtxFlags, SecurityContext},
    name::Name,
    oid::{GSS_MECH_KRB5, GSS_NT_KRB5_PRINCIPAL},
};
use realm::{Realm, eventually, with_clockskew};
use spnegate::gss::{
    AcceptError, Accepted, Acceptor, AcceptorOptions, GssStartError, InitiateError, Initiator,
    InitiatorOptions, Keytab, KeytabError, Principal, ReplayCache, Step,
};

const DEADLINE: Duration = Duration::from_secs(10);

fn acceptor(keytab: &Path) -> Acceptor {
    let options = AcceptorOptions {
        keytab: keytab.to_path_buf(),
        replay_cache: ReplayCache::File(keytab.with_extension("rcache2")),
        threads: 2,
        queue: 64,
        deadline: DEADLINE,
    };
    Acceptor::start(options).unwrap()
}

fn initiator(keytab: &Path) -> Initiator {
    initiator_within(keytab, DEADLINE)
}

fn initiator_within(keytab: &Path, deadline: Duration) -> Initiator {
    Initiator::start(InitiatorOptions {
        keytab: keytab.to_path_buf(),
        threads: 2,
        queue: 64,
        deadline,
    })
    .unwrap()
}

async fn login(acceptor: &Acceptor, token: &[u8]) -> Result<Accepted, AcceptError> {
    match acceptor.accept(token.to_vec(), None).await? {
        Step::Done(accepted) => Ok(accepted),
        Step::Continue { .. } => panic!("another leg"),
    }
}

/// A realm with `alice` and `HTTP/proxy`, each with a keytab.
struct World {
    realm: Realm,
    alice: Principal,
    proxy: Principal,
    acceptor: Acceptor,
    initiator: Initiator,
}

impl World {
    fn start() -> Self {
        let realm = Realm::start();
        let (alice, proxy) = (realm.principal("alice"), realm.spn("proxy"));
        let users = realm.add_with_keytab("alice.keytab", &[&alice]);
        let services = realm.add_with_keytab("proxy.keytab", &[&proxy]);
        Self {
            acceptor: acceptor(&services),
            initiator: initiator(&users),
            realm,
            alice,
            proxy,
        }
    }

    async fn token(&self) -> Vec<u8> {
        self.initiator
            .token(&self.alice, &self.proxy)
            .await
            .unwrap()
            .token
    }

    /// A client without a ticket of before.
    fn fresh(&mut self) {
        self.initiator = initiator(&self.realm.path("alice.keytab"));
    }
}

#[tokio::test]
async fn a_login_tells_client_service_end_and_proves_the_gateway() {
    let world = World::start();
    let token = world
        .initiator
        .token(&world.alice, &world.proxy)
        .await
        .unwrap();
    let accepted = login(&world.acceptor, &token.token).await.unwrap();
    assert_eq!(accepted.client, world.alice);
    assert_eq!(accepted.service, world.proxy);
    let apart = accepted
        .expires
        .duration_since(token.expires)
        .unwrap_or_else(|e| e.duration());
    assert!(apart < Duration::from_secs(60), "{apart:?}");
    token.verify(&accepted.reply.unwrap()).unwrap();
}

#[tokio::test]
async fn an_answer_that_is_not_the_backends_is_refused() {
    let world = World::start();
    let first = world
        .initiator
        .token(&world.alice, &world.proxy)
        .await
        .unwrap();
    let second = world
        .initiator
        .token(&world.alice, &world.proxy)
        .await
        .unwrap();
    let accepted = login(&world.acceptor, &first.token).await.unwrap();
    let refused = second.verify(&accepted.reply.unwrap()).unwrap_err();
    assert!(matches!(refused, InitiateError::Mutual { .. }), "{refused}");
    assert!(matches!(
        first.verify(b"junk"),
        Err(InitiateError::Mutual { .. })
    ));
}

#[tokio::test]
async fn the_process_s_default_credential_is_never_used() {
    let world = World::start();
    let root = world.realm.principal("root");
    let keytab = world.realm.add_with_keytab("root.keytab", &[&root]);
    world.realm.kinit(&root, &keytab);
    let accepted = login(&world.acceptor, &world.token().await).await.unwrap();
    assert_eq!(accepted.client, world.alice);
}

#[tokio::test]
async fn a_token_is_accepted_once() {
    let world = World::start();
    let token = world.token().await;
    login(&world.acceptor, &token).await.unwrap();
    let again = login(&world.acceptor, &token).await.unwrap_err();
    assert_eq!(again, AcceptError::Replay);
}

#[tokio::test]
async fn tickets_name_the_service_they_are_for() {
    let world = World::start();
    let presto = world.realm.principal("presto/proxy");
    let keytab = world.realm.path("proxy.keytab");
    world.realm.add(&[&presto]);
    world.realm.admin(&format!(
        "ktadd -norandkey -k {} {presto}",
        keytab.display()
    ));
    world.acceptor.reload().unwrap();
    assert_eq!(
        *world.acceptor.principals(),
        [world.proxy.clone(), presto.clone()]
    );
    let token = world.initiator.token(&world.alice, &presto).await.unwrap();
    assert_eq!(
        login(&world.acceptor, &token.token).await.unwrap().service,
        presto
    );
    assert_eq!(
        login(&world.acceptor, &world.token().await)
            .await
            .unwrap()
            .service,
        world.proxy
    );
}

#[tokio::test]
async fn a_service_that_the_keytab_lacks_is_named() {
    let world = World::start();
    let other = world.realm.spn("other");
    world.realm.add(&[&other]);
    let token = world.initiator.token(&world.alice, &other).await.unwrap();
    let error = login(&world.acceptor, &token.token).await.unwrap_err();
    assert!(
        matches!(&error, AcceptError::NoKey { service, .. } if *service == other),
        "{error:?}"
    );
}

/// Changes the entries of a keytab file in one rename.
fn edit(path: &Path, change: impl FnOnce(&mut Keytab)) {
    let mut keytab = Keytab::load(path).unwrap();
    change(&mut keytab);
    let new = path.with_extension("new");
    fs::write(&new, keytab.to_bytes()).unwrap();
    fs::rename(new, path).unwrap();
}

#[tokio::test]
async fn a_wrong_key_is_told_from_a_missing_one() {
    let world = World::start();
    let keytab = world.realm.path("proxy.keytab");
    edit(&keytab, |keytab| {
        keytab
            .entries
            .iter_mut()
            .for_each(|entry| entry.key[3] ^= 1)
    });
    world.acceptor.reload().unwrap();
    let error = login(&world.acceptor, &world.token().await)
        .await
        .unwrap_err();
    assert!(matches!(error, AcceptError::WrongKey { .. }), "{error:?}");
}

#[tokio::test]
async fn a_key_under_another_version_number_still_opens_the_ticket() {
    let world = World::start();
    let keytab = world.realm.path("proxy.keytab");
    edit(&keytab, |keytab| {
        keytab.entries.iter_mut().for_each(|entry| entry.kvno = 9)
    });
    let acceptor = acceptor(&keytab);
    let accepted = login(&acceptor, &world.token().await).await.unwrap();
    assert_eq!(accepted.service, world.proxy);
}

#[tokio::test]
async fn an_old_ticket_without_its_key_is_out_of_date() {
    let world = World::start();
    let old = world.token().await;
    world.realm.rotate(&[&world.proxy]);
    let acceptor = acceptor(&world.realm.keytab("new.keytab", &[&world.proxy]));
    let error = login(&acceptor, &old).await.unwrap_err();
    assert!(
        matches!(error, AcceptError::TicketOutOfDate { kvno: 1, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_file_with_only_the_new_key_loses_no_old_ticket() {
    let mut world = World::start();
    let keytab = world.realm.path("proxy.keytab");
    let old = world.token().await;
    world.realm.rotate(&[&world.proxy]);
    fs::rename(world.realm.keytab("new.keytab", &[&world.proxy]), &keytab).unwrap();
    let mut status = world.acceptor.status();
    status
        .wait_for(|status| status.generation == 2)
        .await
        .unwrap();
    login(&world.acceptor, &old).await.unwrap();
    login(&world.acceptor, &world.token().await).await.unwrap();
    world.fresh();
    login(&world.acceptor, &world.token().await).await.unwrap();
    assert_eq!(Keytab::load(&keytab).unwrap().newest(&world.proxy), Some(2));
}

#[tokio::test]
async fn a_ticket_newer_than_the_file_waits_for_it_and_then_says_so() {
    let world = World::start();
    world.realm.rotate(&[&world.proxy]);
    let new = world.realm.keytab("new.keytab", &[&world.proxy]);
    let token = world.token().await;
    let error = login(&world.acceptor, &token).await.unwrap_err();
    assert!(
        matches!(error, AcceptError::KeytabOutOfDate { kvno: 2, .. }),
        "{error:?}"
    );

    let waiting = tokio::spawn(world.acceptor.accept(token, None));
    while world.acceptor.waiting().1 == 0 {
        tokio::task::yield_now().await;
    }
    fs::rename(new, world.realm.path("proxy.keytab")).unwrap();
    let step = waiting.await.unwrap().unwrap();
    assert!(matches!(step, Step::Done(accepted) if accepted.client == world.alice));
}

#[tokio::test]
async fn held_logins_do_not_hold_up_others() {
    let mut world = World::start();
    let good: Vec<_> = [world.token().await, world.token().await].into();
    world.realm.rotate(&[&world.proxy]);
    world.fresh();
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(tokio::spawn(
            world.acceptor.accept(world.token().await, None),
        ));
    }
    while world.acceptor.waiting().1 == 0 {
        tokio::task::yield_now().await;
    }
    for token in good {
        login(&world.acceptor, &token).await.unwrap();
    }
    for held in held {
        let error = held.await.unwrap().unwrap_err();
        assert!(
            matches!(error, AcceptError::KeytabOutOfDate { .. }),
            "{error:?}"
        );
    }
    assert_eq!(world.acceptor.waiting(), (0, 0));
}

#[tokio::test]
async fn a_broken_file_leaves_the_old_keys_in_use_and_is_told() {
    let world = World::start();
    let path = world.realm.path("proxy.keytab");
    let whole = fs::read(&path).unwrap();
    let mut status = world.acceptor.status();
    let half = &whole[..whole.len() - 3];
    for broken in [half, b"", b"no keytab at all", b"\x05\x02"] {
        fs::write(&path, broken).unwrap();
        status.wait_for(|status| !status.valid()).await.unwrap();
        assert!(world.acceptor.reload().is_err());
        login(&world.acceptor, &world.token().await).await.unwrap();
        fs::write(&path, &whole).unwrap();
        status
            .wait_for(spnegate::gss::KeytabStatus::valid)
            .await
            .unwrap();
    }
    fs::remove_file(&path).unwrap();
    status.wait_for(|status| !status.valid()).await.unwrap();
    let error = world.acceptor.reload().unwrap_err();
    assert!(matches!(*error, KeytabError::Missing(_)), "{error}");
    fs::create_dir(&path).unwrap();
    let error = world.acceptor.reload().unwrap_err();
    assert!(matches!(*error, KeytabError::Io { .. }), "{error}");
    login(&world.acceptor, &world.token().await).await.unwrap();
    fs::remove_dir(&path).unwrap();
    fs::write(&path, &whole).unwrap();
    status
        .wait_for(spnegate::gss::KeytabStatus::valid)
        .await
        .unwrap();
    assert_eq!(
        status.borrow().generation,
        1,
        "the content was the same all the time"
    );
}

#[tokio::test]
async fn thousands_of_reloads_under_logins_lose_none() {
    let world = World::start();
    let path = world.realm.path("proxy.keytab");
    for round in 0..200 {
        edit(&path, |keytab| keytab.entries[0].timestamp = round);
        for _ in 0..10 {
            world.acceptor.reload().unwrap();
        }
        login(&world.acceptor, &world.token().await).await.unwrap();
    }
}

#[tokio::test]
async fn start_names_the_file_and_the_cure() {
    let realm = Realm::start();
    let options = |keytab: &str, cache: &str| AcceptorOptions {
        keytab: realm.path(keytab),
        replay_cache: ReplayCache::File(realm.path(cache)),
        threads: 1,
        queue: 1,
        deadline: DEADLINE,
    };
    fs::write(realm.path("junk"), "junk").unwrap();
    let missing = Acceptor::start(options("missing", "r")).unwrap_err();
    assert!(
        matches!(missing, GssStartError::Keytab(KeytabError::Missing(_))),
        "{missing}"
    );
    let junk = Acceptor::start(options("junk", "r")).unwrap_err();
    assert!(
        matches!(junk, GssStartError::Keytab(KeytabError::Format { .. })),
        "{junk}"
    );
    let cache = Acceptor::start(options("junk", "no/r")).unwrap_err();
    assert!(
        matches!(cache, GssStartError::ReplayCache { .. }),
        "{cache}"
    );
}

#[tokio::test]
async fn junk_is_refused_with_a_reason() {
    let world = World::start();
    let good = world.token().await;
    assert_eq!(
        login(&world.acceptor, b"").await.unwrap_err(),
        AcceptError::Empty
    );
    let ntlm = login(&world.acceptor, b"NTLMSSP\0\x01\0\0\0")
        .await
        .unwrap_err();
    assert_eq!(ntlm, AcceptError::Ntlm);
    let answer = login(&world.acceptor, b"\xa1\x03\x30\x01\x00")
        .await
        .unwrap_err();
    assert_eq!(answer, AcceptError::Interrupted);
    for junk in [&b"\x60"[..], b"junk", &[0x60; 400], &good[..good.len() / 2]] {
        let error = login(&world.acceptor, junk).await.unwrap_err();
        assert!(
            matches!(error, AcceptError::Malformed { .. }),
            "{junk:x?} {error:?}"
        );
    }
    for at in (0..good.len()).step_by(7) {
        let mut damaged = good.clone();
        damaged[at] ^= 0x55;
        // the wrapper is malleable: some still authenticate, as alice and nobody else
        if let Ok(Step::Done(accepted)) = world.acceptor.accept(damaged, None).await {
            assert_eq!(accepted.client, world.alice);
        }
    }
}

#[tokio::test]
async fn a_raw_kerberos_token_is_accepted() {
    let world = World::start();
    world
        .realm
        .kinit(&world.alice, &world.realm.path("alice.keytab"));
    let (_, token) = raw_token(&world.proxy);
    assert_eq!(
        login(&world.acceptor, &token).await.unwrap().client,
        world.alice
    );
}

/// A context and its krb5 token, from the process's default cache.
fn raw_token(spn: &Principal) -> (ClientCtx, Vec<u8>) {
    let name = Name::new(spn.to_string().as_bytes(), Some(GSS_NT_KRB5_PRINCIPAL)).unwrap();
    let flags = CtxFlags::GSS_C_INTEG_FLAG;
    let mut context = ClientCtx::new(None, name, flags, Some(GSS_MECH_KRB5));
    let token = context.step(None, None).unwrap().unwrap().to_vec();
    (context, token)
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let length = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[tag, 0x82], &length[..], &value].concat()
}

#[tokio::test]
async fn ntlm_first_takes_two_legs() {
    let world = World::start();
    world
        .realm
        .kinit(&world.alice, &world.realm.path("alice.keytab"));
    let ntlm = b"\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a";
    let krb5 = b"\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02";
    let mechanisms = der(0x30, &[ntlm, krb5]);
    let message = der(0xa2, &[&der(0x04, &[b"NTLMSSP\0\x01\0\0\0"])]);
    let init = der(0xa0, &[&der(0x30, &[&der(0xa0, &[&mechanisms]), &message])]);
    let first = der(0x60, &[b"\x06\x06\x2b\x06\x01\x05\x05\x02", &init]);
    let (token, pending) = match world.acceptor.accept(first, None).await.unwrap() {
        Step::Continue { token, pending } => (token, pending),
        Step::Done(accepted) => panic!("{accepted:?}"),
    };
    assert_eq!(token[0], 0xa1, "a NegTokenResp");
    let (mut context, ticket) = raw_token(&world.proxy);
    let mic = context.get_mic(&mechanisms).unwrap();
    let response = der(0xa2, &[&der(0x04, &[&ticket])]);
    let mic = der(0xa3, &[&der(0x04, &[&mic])]);
    let second = der(0xa1, &[&der(0x30, &[&response, &mic])]);
    match world.acceptor.accept(second, Some(pending)).await.unwrap() {
        Step::Done(accepted) => {
            assert_eq!(accepted.client, world.alice);
            assert_eq!(accepted.service, world.proxy);
        }
        Step::Continue { .. } => panic!("a third leg"),
    }
}

#[tokio::test]
async fn expired_tickets_and_skewed_clocks_are_told_apart() {
    let name = "expired_tickets_and_skewed_clocks_are_told_apart";
    if !with_clockskew(2, name) {
        return;
    }
    let world = World::start();
    let short = world.realm.spn("short");
    let keytab = world.realm.add_with_keytab("short.keytab", &[&short]);
    world
        .realm
        .admin(&format!("modprinc -maxlife 1sec {short}"));
    let acceptor = acceptor(&keytab);
    let expiring = world.initiator.token(&world.alice, &short).await.unwrap();
    let late = world.token().await;
    let end = SystemTime::now() + Duration::from_secs(5);
    eventually("the ticket has ended", || SystemTime::now() > end);
    let error = login(&acceptor, &expiring.token).await.unwrap_err();
    assert_eq!(error, AcceptError::TicketExpired);
    let error = login(&world.acceptor, &late).await.unwrap_err();
    assert!(matches!(error, AcceptError::ClockSkew { .. }), "{error:?}");
}

#[tokio::test]
async fn a_frozen_kdc_stops_neither_logins_nor_tokens_for_known_backends() {
    let world = World::start();
    let other = world.realm.spn("other");
    world.realm.add(&[&other]);
    let impatient = initiator_within(&world.realm.path("alice.keytab"), Duration::from_secs(1));
    impatient.token(&world.alice, &world.proxy).await.unwrap();
    world.realm.freeze_kdc();
    let refused = impatient.token(&world.alice, &other).await.unwrap_err();
    assert_eq!(refused, InitiateError::Timeout);
    // behind the hung exchange nobody waits
    let refused = impatient.token(&world.alice, &other).await.unwrap_err();
    assert!(
        matches!(refused, InitiateError::KdcUnreachable { .. }),
        "{refused:?}"
    );
    for _ in 0..20 {
        let token = impatient.token(&world.alice, &world.proxy).await.unwrap();
        login(&world.acceptor, &token.token).await.unwrap();
    }
    world.realm.thaw_kdc();
    let mut last = Err(refused);
    for _ in 0..200 {
        last = impatient.token(&world.alice, &other).await.map(drop);
        if last.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    last.unwrap();
}

#[tokio::test]
async fn initiators_say_what_is_wrong() {
    let mut world = World::start();
    let realm = &world.realm;
    let users = realm.path("alice.keytab");
    world.token().await;
    let unknown = realm.spn("unknown");
    let error = world
        .initiator
        .token(&world.alice, &unknown)
        .await
        .unwrap_err();
    assert_eq!(error, InitiateError::UnknownSpn { spn: unknown });

    let bob = realm.principal("bob");
    let error = world.initiator.token(&bob, &world.proxy).await.unwrap_err();
    assert!(matches!(error, InitiateError::NoKey { .. }), "{error:?}");

    edit(&users, |keytab| {
        let mut entry = keytab.entries[0].clone();
        entry.principal = bob.clone();
        keytab.entries.push(entry);
    });
    world.initiator.reload();
    let error = world.initiator.token(&bob, &world.proxy).await.unwrap_err();
    assert_eq!(error, InitiateError::ClientUnknown { client: bob });

    for preauth in ["-requires_preauth", "+requires_preauth"] {
        realm.admin(&format!("modprinc {preauth} {}", world.alice));
        realm.rotate(&[&world.alice]);
        let error = initiator(&users)
            .token(&world.alice, &world.proxy)
            .await
            .unwrap_err();
        assert!(matches!(error, InitiateError::KeyWrong { .. }), "{error:?}");
    }
    // tickets of before still serve
    world
        .initiator
        .token(&world.alice, &world.proxy)
        .await
        .unwrap();

    realm.admin(&format!("modprinc -allow_tix {}", world.alice));
    let error = initiator(&users)
        .token(&world.alice, &world.proxy)
        .await
        .unwrap_err();
    assert!(
        matches!(error, InitiateError::ClientRevoked { .. }),
        "{error:?}"
    );

    world.realm.stop_kdc();
    let error = initiator(&users)
        .token(&world.alice, &world.proxy)
        .await
        .unwrap_err();
    let name = world.realm.name();
    assert!(
        matches!(&error, InitiateError::KdcUnreachable { realm, .. } if realm == name),
        "{error:?}"
    );
    world.realm.start_kdc();
}

#[tokio::test]
async fn a_reload_renews_tickets_with_the_keytab_as_it_is() {
    let world = World::start();
    let first = world
        .initiator
        .token(&world.alice, &world.proxy)
        .await
        .unwrap();
    world.realm.rotate(&[&world.alice, &world.proxy]);
    world.realm.keytab("alice.keytab", &[&world.alice]);
    fs::rename(
        world.realm.keytab("new.keytab", &[&world.proxy]),
        world.realm.path("proxy.keytab"),
    )
    .unwrap();
    world.initiator.reload();
    login(&world.acceptor, &first.token).await.unwrap();
    // the old ticket serves until the new one is there
    let mut kvno = Some(1);
    for _ in 0..500 {
        let token = world.token().await;
        kvno = match spnegate::gss::peek::peek(&token) {
            spnegate::gss::peek::Peek::Ticket(ticket) => ticket.kvno,
            other => panic!("{other:?}"),
        };
        login(&world.acceptor, &token).await.unwrap();
        if kvno == Some(2) {
            break;
        }
    }
    assert_eq!(kvno, Some(2));
}

#[tokio::test]
async fn a_full_queue_is_busy_and_the_deadline_holds() {
    let world = World::start();
    let cache = world.realm.path("slow.rcache2");
    let acceptor = Acceptor::start(AcceptorOptions {
        keytab: world.realm.path("proxy.keytab"),
        replay_cache: ReplayCache::File(cache.clone()),
        threads: 1,
        queue: 1,
        deadline: Duration::from_millis(300),
    })
    .unwrap();
    // the replay cache is locked by somebody else: the one thread hangs in it
    let file = fs::File::options().write(true).open(&cache).unwrap();
    let lock = rustix::fs::FlockOperation::LockExclusive;
    rustix::fs::fcntl_lock(&file, lock).unwrap();
    let (first, second) = (world.token().await, world.token().await);
    let hangs = acceptor.accept(first, None);
    while acceptor.waiting().0 > 0 {
        tokio::task::yield_now().await;
    }
    let dropped = acceptor.accept(second.clone(), None);
    let busy = login(&acceptor, &world.token().await).await.unwrap_err();
    assert_eq!(busy, AcceptError::Busy);
    drop(dropped);
    assert_eq!(hangs.await.unwrap_err(), AcceptError::Timeout);
    drop(file);
    while acceptor.waiting().0 > 0 {
        tokio::task::yield_now().await;
    }
    // the dropped login was not begun: its token is unused
    login(&acceptor, &second).await.unwrap();
}
