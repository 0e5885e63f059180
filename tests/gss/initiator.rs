//! Tokens that the gateway makes for backends.

use std::{fs, time::Duration};

use spnegate::{
    gss::{InitiateError, Principal},
    testing::{Peek, peek},
};

use crate::{World, edit, initiator, initiator_within, login, realm::Realm};

#[tokio::test]
async fn a_mutual_token_of_another_login_is_refused() {
    let world = World::start();
    let mut first = world
        .initiator
        .token(&world.alice, &world.proxy)
        .await
        .unwrap();
    let mut second = world
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
async fn a_frozen_kdc_delays_neither_logins_nor_tokens_from_cached_tickets() {
    let world = World::start();
    let other = world.realm.spn("other");
    world.realm.add(&[&other]);
    let impatient = initiator_within(&world.realm.path("alice.keytab"), Duration::from_secs(1));
    impatient.token(&world.alice, &world.proxy).await.unwrap();
    world.realm.freeze_kdc();
    let refused = impatient.token(&world.alice, &other).await.unwrap_err();
    assert_eq!(refused, InitiateError::Timeout);
    // Further callers do not wait behind an exchange that hangs.
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
async fn each_failure_has_its_own_error() {
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
    // Tickets that were cached before are still used.
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
async fn a_reload_renews_tickets_with_the_present_keytab() {
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
    // The old ticket is used until the new one has been received.
    let mut kvno = Some(1);
    for _ in 0..500 {
        let token = world.token().await;
        kvno = match peek(&token) {
            Peek::Ticket(ticket) => ticket.kvno,
            other => panic!("{other:?}"),
        };
        login(&world.acceptor, &token).await.unwrap();
        if kvno == Some(2) {
            break;
        }
    }
    assert_eq!(kvno, Some(2));
}

/// The pause between two checks of a condition.
const POLL: Duration = Duration::from_millis(20);

fn kvno(token: &[u8]) -> u32 {
    match peek(token) {
        Peek::Ticket(ticket) => ticket.kvno.unwrap(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_refused_ticket_is_replaced_once_in_ten_seconds() {
    let world = World::start();
    let token = || world.initiator.token(&world.alice, &world.proxy);
    let first = token().await.unwrap();
    assert!(
        !world.initiator.refused(&first),
        "the ticket was requested for this token: a new one would be the same"
    );
    let cached = token().await.unwrap();
    world.realm.rotate(&[&world.proxy]);
    let still = token().await.unwrap();
    assert_eq!((kvno(&cached.token), kvno(&still.token)), (1, 1));
    assert!(world.initiator.refused(&cached));
    assert!(
        world.initiator.refused(&still),
        "the replacement is in flight already"
    );
    assert_eq!(kvno(&token().await.unwrap().token), 2);
    // A backend that refuses every login must not cost a ticket each time.
    assert!(!world.initiator.refused(&token().await.unwrap()));
    // A late report about the ticket that was replaced.
    assert!(world.initiator.refused(&cached));
    assert_eq!(kvno(&token().await.unwrap().token), 2);
}

#[tokio::test]
async fn a_refused_ticket_is_replaced_while_the_gateway_s_own_key_is_refused() {
    let world = World::start();
    world.token().await;
    world.realm.rotate(&[&world.alice, &world.proxy]);
    let cached = world
        .initiator
        .token(&world.alice, &world.proxy)
        .await
        .unwrap();
    assert!(world.initiator.refused(&cached));
    assert_eq!(kvno(&world.token().await), 2);
}

#[tokio::test]
async fn a_refused_ticket_stays_in_use_while_no_kdc_responds() {
    let mut world = World::start();
    world.token().await;
    let cached = world
        .initiator
        .token(&world.alice, &world.proxy)
        .await
        .unwrap();
    world.realm.stop_kdc();
    assert!(world.initiator.refused(&cached));
    for _ in 0..3 {
        assert_eq!(kvno(&world.token().await), 1);
    }
}

/// The number of wrong keys that the KDC has counted for a principal.
fn counted(realm: &Realm, principal: &Principal) -> u32 {
    let shown = realm.admin(&format!("getprinc {principal}"));
    let line = shown
        .lines()
        .find_map(|line| line.strip_prefix("Failed password attempts: "));
    line.unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_outdated_key_does_not_lock_the_account_and_a_new_one_is_used_immediately() {
    let world = World::start();
    let realm = &world.realm;
    realm.admin("addpol -maxfailure 5 -failurecountinterval 30m -lockoutduration 30m strict");
    realm.admin(&format!(
        "modprinc -policy strict +requires_preauth {}",
        world.alice
    ));
    realm.rotate(&[&world.alice]);
    let outdated = initiator(&realm.path("alice.keytab"));
    let refused = outdated
        .token(&world.alice, &world.proxy)
        .await
        .unwrap_err();
    assert!(
        matches!(refused, InitiateError::KeyWrong { .. }),
        "{refused:?}"
    );
    let status = || {
        let mut clients = outdated.clients();
        assert_eq!(clients.len(), 1);
        clients.remove(0)
    };
    // Until the pause is too long for a test to wait for.
    while status().pause < Duration::from_secs(60) {
        let again = outdated.token(&world.alice, &world.proxy).await;
        assert_eq!(again.unwrap_err(), refused);
        tokio::time::sleep(POLL).await;
    }
    outdated.reload();
    for _ in 0..100 {
        let again = outdated.token(&world.alice, &world.proxy).await;
        assert_eq!(again.unwrap_err(), refused);
    }
    assert_eq!(counted(realm, &world.alice), 3);
    let shown = status();
    assert_eq!((shown.logged_in, shown.error), (false, Some(refused)));

    realm.keytab("alice.keytab", &[&world.alice]);
    outdated.reload();
    outdated.token(&world.alice, &world.proxy).await.unwrap();
    let shown = status();
    assert_eq!(
        (shown.logged_in, shown.error, shown.pause),
        (true, None, Duration::ZERO)
    );
    assert_eq!(counted(realm, &world.alice), 0);
}

#[tokio::test]
async fn a_locked_account_is_tried_again_after_a_pause() {
    let world = World::start();
    world
        .realm
        .admin(&format!("modprinc -allow_tix {}", world.alice));
    let locked = initiator(&world.realm.path("alice.keytab"));
    let refused = locked.token(&world.alice, &world.proxy).await.unwrap_err();
    assert!(
        matches!(refused, InitiateError::ClientRevoked { .. }),
        "{refused:?}"
    );
    assert!(locked.clients()[0].pause > Duration::ZERO);
    world
        .realm
        .admin(&format!("modprinc +allow_tix {}", world.alice));
    while locked.token(&world.alice, &world.proxy).await.is_err() {
        tokio::time::sleep(POLL).await;
    }
}
