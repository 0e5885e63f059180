//! The acceptor and the initiator with tickets of a temporary realm.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/realm.rs"]
mod realm;

mod initiator;
mod names;
mod rotation;

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
    AcceptError, Accepted, Acceptor, AcceptorOptions, GssStartError, Initiator, InitiatorOptions,
    Keytab, KeytabError, LoginStep, Principal, ReplayCache,
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
    match acceptor.accept(token.to_vec(), None, None).await? {
        LoginStep::Done(accepted) => Ok(accepted),
        LoginStep::Continue { .. } => panic!("another token is needed"),
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

    /// Replaces the initiator by one that holds no tickets.
    fn fresh(&mut self) {
        self.initiator = initiator(&self.realm.path("alice.keytab"));
    }
}

/// Changes the entries of a keytab file and replaces the file by a rename.
fn edit(path: &Path, change: impl FnOnce(&mut Keytab)) {
    let mut keytab = Keytab::load(path).unwrap();
    change(&mut keytab);
    let new = path.with_extension("new");
    fs::write(&new, keytab.to_bytes()).unwrap();
    fs::rename(new, path).unwrap();
}

#[tokio::test]
async fn a_login_has_client_service_and_end_and_authenticates_the_gateway() {
    let world = World::start();
    let mut token = world
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
async fn a_token_is_accepted_once() {
    let world = World::start();
    let token = world.token().await;
    login(&world.acceptor, &token).await.unwrap();
    let again = login(&world.acceptor, &token).await.unwrap_err();
    assert_eq!(again, AcceptError::Replay);
}

#[tokio::test]
async fn a_start_error_has_the_file_and_its_cause() {
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
    let later = login(&world.acceptor, b"\xa1\x03\x30\x01\x00")
        .await
        .unwrap_err();
    assert_eq!(later, AcceptError::Interrupted);
    for junk in [
        &b"\x60"[..],
        b"rubbish",
        &[0x60; 400],
        &good[..good.len() / 2],
    ] {
        let error = login(&world.acceptor, junk).await.unwrap_err();
        assert!(
            matches!(error, AcceptError::Malformed { .. }),
            "{junk:x?} {error:?}"
        );
    }
    for at in (0..good.len()).step_by(7) {
        let mut damaged = good.clone();
        damaged[at] ^= 0x55;
        // The SPNEGO wrapper is malleable: some damaged tokens still authenticate, but only as alice.
        if let Ok(LoginStep::Done(accepted)) = world.acceptor.accept(damaged, None, None).await {
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

#[tokio::test]
async fn a_replay_is_detected_in_every_encoding_of_the_token() {
    let world = World::start();
    world
        .realm
        .kinit(&world.alice, &world.realm.path("alice.keytab"));
    // With a length in more bytes than it needs, the token is left to GSSAPI and its own replay cache
    // code.
    let padded = |token: &[u8]| match token {
        [0x60, 0x82, rest @ ..] => [&[0x60, 0x83, 0], rest].concat(),
        other => panic!("{other:x?}"),
    };
    let (_, token) = raw_token(&world.proxy);
    assert_eq!(
        login(&world.acceptor, &token).await.unwrap().client,
        world.alice
    );
    let again = login(&world.acceptor, &padded(&token)).await.unwrap_err();
    assert_eq!(again, AcceptError::Replay);
    let (_, token) = raw_token(&world.proxy);
    let accepted = login(&world.acceptor, &padded(&token)).await.unwrap();
    assert_eq!(accepted.client, world.alice);
    let again = login(&world.acceptor, &token).await.unwrap_err();
    assert_eq!(again, AcceptError::Replay);
    // A second acceptor on the same file detects it too.
    let (_, token) = raw_token(&world.proxy);
    login(&world.acceptor, &token).await.unwrap();
    let next = acceptor(&world.realm.path("proxy.keytab"));
    let again = login(&next, &token).await.unwrap_err();
    assert_eq!(again, AcceptError::Replay);
}

#[tokio::test]
async fn a_cached_ticket_gives_the_name_of_its_own_client() {
    let world = World::start();
    let bob = world.realm.principal("bob");
    let keytab = world.realm.add_with_keytab("bob.keytab", &[&bob]);
    let bobs = initiator(&keytab);
    // In turns, so that each ticket follows one of another client that is cached.
    for round in 0..4 {
        for (initiator, user) in [(&world.initiator, &world.alice), (&bobs, &bob)] {
            let token = initiator.token(user, &world.proxy).await.unwrap();
            let accepted = login(&world.acceptor, &token.token).await.unwrap();
            assert_eq!(&accepted.client, user, "round {round}");
            assert_eq!(accepted.service, world.proxy);
            assert!(accepted.reply.is_some());
        }
    }
}

/// A context and its krb5 token, made from the process's default credential cache.
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
async fn a_client_that_offers_ntlm_first_needs_two_tokens() {
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
    let (token, pending) = match world.acceptor.accept(first, None, None).await.unwrap() {
        LoginStep::Continue { token, pending } => (token, pending),
        LoginStep::Done(accepted) => panic!("{accepted:?}"),
    };
    assert_eq!(token[0], 0xa1, "a NegTokenResp");
    let (mut context, ticket) = raw_token(&world.proxy);
    let mic = context.get_mic(&mechanisms).unwrap();
    let response = der(0xa2, &[&der(0x04, &[&ticket])]);
    let mic = der(0xa3, &[&der(0x04, &[&mic])]);
    let second = der(0xa1, &[&der(0x30, &[&response, &mic])]);
    match world
        .acceptor
        .accept(second, Some(pending), None)
        .await
        .unwrap()
    {
        LoginStep::Done(accepted) => {
            assert_eq!(accepted.client, world.alice);
            assert_eq!(accepted.service, world.proxy);
        }
        LoginStep::Continue { .. } => panic!("a third token is needed"),
    }
}

#[tokio::test]
async fn an_expired_ticket_is_distinguished_from_a_clock_difference() {
    let name = "an_expired_ticket_is_distinguished_from_a_clock_difference";
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

/// An acceptor whose only thread hangs in its replay cache as long as the returned file is locked.
fn hanging(world: &World, queue: usize) -> (Acceptor, fs::File) {
    let cache = world.realm.path("slow.rcache2");
    let acceptor = Acceptor::start(AcceptorOptions {
        keytab: world.realm.path("proxy.keytab"),
        replay_cache: ReplayCache::File(cache.clone()),
        threads: 1,
        queue,
        deadline: Duration::from_millis(300),
    })
    .unwrap();
    let file = fs::File::options().write(true).open(&cache).unwrap();
    let lock = rustix::fs::FlockOperation::LockExclusive;
    rustix::fs::fcntl_lock(&file, lock).unwrap();
    (acceptor, file)
}

#[tokio::test]
async fn an_address_that_floods_the_queue_does_not_lock_out_others() {
    let world = World::start();
    let (acceptor, lock) = hanging(&world, 4);
    let from = |token: &[u8], host: u8| {
        let address = std::net::Ipv4Addr::new(192, 0, 2, host);
        acceptor.accept(token.to_vec(), None, Some(address.into()))
    };
    let _hangs = from(&world.token().await, 66);
    while acceptor.waiting().0 > 0 {
        tokio::task::yield_now().await;
    }
    let _flood = [from(b"junk", 66), from(b"junk", 66)];
    assert_eq!(from(b"junk", 66).await.unwrap_err(), AcceptError::Flood);
    let other = from(&world.token().await, 1);
    drop(lock);
    assert!(matches!(other.await, Ok(LoginStep::Done(_))));
}

#[tokio::test]
async fn a_full_queue_is_busy_and_the_deadline_holds() {
    let world = World::start();
    let (acceptor, lock) = hanging(&world, 1);
    let (first, second) = (world.token().await, world.token().await);
    let hangs = acceptor.accept(first, None, None);
    while acceptor.waiting().0 > 0 {
        tokio::task::yield_now().await;
    }
    let dropped = acceptor.accept(second.clone(), None, None);
    let busy = login(&acceptor, &world.token().await).await.unwrap_err();
    assert_eq!(busy, AcceptError::Busy);
    drop(dropped);
    assert_eq!(hangs.await.unwrap_err(), AcceptError::Timeout);
    drop(lock);
    while acceptor.waiting().0 > 0 {
        tokio::task::yield_now().await;
    }
    // The dropped login was not begun, so its token is not in the replay cache.
    login(&acceptor, &second).await.unwrap();
}
