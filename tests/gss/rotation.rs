//! Keys that change while clients log in.

use std::fs;

use spnegate::gss::{AcceptError, Keytab, KeytabError, KeytabStatus, LoginStep};

use crate::{World, acceptor, edit, login};

#[tokio::test]
async fn a_wrong_key_is_distinguished_from_a_missing_one() {
    let world = World::start();
    let keytab = world.realm.path("proxy.keytab");
    edit(&keytab, |keytab| {
        for entry in &mut keytab.entries {
            entry.key[3] ^= 1;
        }
    });
    world.acceptor.reload().unwrap();
    let error = login(&world.acceptor, &world.token().await)
        .await
        .unwrap_err();
    assert!(matches!(error, AcceptError::WrongKey { .. }), "{error:?}");
}

#[tokio::test]
async fn a_key_under_another_version_number_still_decrypts_the_ticket() {
    let world = World::start();
    let keytab = world.realm.path("proxy.keytab");
    edit(&keytab, |keytab| {
        for entry in &mut keytab.entries {
            entry.kvno = 9;
        }
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
        matches!(&error, AcceptError::TicketOutOfDate { keys, .. } if keys.ticket.kvno == Some(1)),
        "{error:?}"
    );
}

#[tokio::test]
async fn tickets_of_the_old_key_are_accepted_after_the_file_has_only_the_new_one() {
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
async fn a_ticket_newer_than_the_file_waits_for_its_key() {
    let world = World::start();
    world.realm.rotate(&[&world.proxy]);
    let new = world.realm.keytab("new.keytab", &[&world.proxy]);
    let token = world.token().await;
    let error = login(&world.acceptor, &token).await.unwrap_err();
    assert!(
        matches!(&error, AcceptError::KeytabOutOfDate { keys, .. } if keys.ticket.kvno == Some(2)),
        "{error:?}"
    );

    let waiting = tokio::spawn(world.acceptor.accept(token, None, None));
    while world.acceptor.waiting().1 == 0 {
        tokio::task::yield_now().await;
    }
    fs::rename(new, world.realm.path("proxy.keytab")).unwrap();
    let step = waiting.await.unwrap().unwrap();
    assert!(matches!(step, LoginStep::Done(accepted) if accepted.client == world.alice));
}

#[tokio::test]
async fn held_logins_do_not_delay_others() {
    let mut world = World::start();
    let good: Vec<_> = [world.token().await, world.token().await].into();
    world.realm.rotate(&[&world.proxy]);
    world.fresh();
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(tokio::spawn(world.acceptor.accept(
            world.token().await,
            None,
            None,
        )));
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
async fn a_broken_file_is_reported_and_the_old_keys_stay_in_use() {
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
        status.wait_for(KeytabStatus::valid).await.unwrap();
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
    status.wait_for(KeytabStatus::valid).await.unwrap();
    assert_eq!(
        status.borrow().generation,
        1,
        "the content was always the same"
    );
}

#[tokio::test]
async fn no_login_fails_during_thousands_of_reloads() {
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
