//! Which service a ticket is for, and whose key opens it.

use std::path::PathBuf;

use spnegate::{
    gss::{AcceptError, Keytab},
    testing::Enctype,
};

use crate::{World, acceptor, edit, login};

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
        matches!(&error, AcceptError::NoKey { keys, .. } if keys.ticket.service == other),
        "{error:?}"
    );
    let said = error.to_string();
    assert!(
        said.contains(&other.to_string()) && said.contains(&world.proxy.to_string()),
        "{said}"
    );
}

/// A token whose ticket names another host of as many letters. The name is not encrypted: Active
/// Directory writes there what the client asked for.
fn renamed(token: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let at = token
        .windows(from.len())
        .position(|part| part == from.as_bytes())
        .unwrap();
    let mut token = token.to_vec();
    token[at..at + to.len()].copy_from_slice(to.as_bytes());
    token
}

/// A keytab that has the key of `HTTP/proxy` under these names, in this order.
fn account(world: &World, file: &str, names: &[&str]) -> PathBuf {
    let path = world.realm.keytab(file, &[&world.proxy]);
    edit(&path, |keytab| {
        let keys = std::mem::take(&mut keytab.entries);
        for name in names {
            for key in &keys {
                let mut entry = key.clone();
                entry.principal = world.realm.principal(name);
                keytab.entries.push(entry);
            }
        }
    });
    path
}

#[tokio::test]
async fn a_ticket_keeps_its_own_name_in_any_order_of_a_keytab_with_one_key() {
    let world = World::start();
    let domain = world.realm.domain();
    let spn = |host: &str| format!("HTTP/{host}.{domain}");
    let (proxy, other, capitals) = (spn("proxy"), spn("other"), spn("PROXY"));
    let orders: [&[&str]; 6] = [
        &[&proxy, &other, "svc"],
        &["svc", &other, &proxy],
        &[&other, "svc", &proxy],
        &[&proxy],
        &[&capitals],
        &["svc", &capitals, &other],
    ];
    for (number, names) in orders.iter().enumerate() {
        let acceptor = acceptor(&account(&world, &format!("order{number}.keytab"), names));
        for host in ["proxy", "PROXY", "Proxy", "other", "third"] {
            let token = renamed(&world.token().await, "proxy", host);
            let accepted = login(&acceptor, &token).await.unwrap();
            assert_eq!(accepted.client, world.alice);
            assert_eq!(accepted.service, world.realm.spn(host), "{names:?}");
            assert!(accepted.reply.is_some());
        }
    }
}

#[tokio::test]
async fn a_ticket_for_another_service_does_not_become_one_by_its_name() {
    let world = World::start();
    let alias = world.realm.spn("alias");
    world.realm.add(&[&alias]);
    let keytab = world.realm.keytab("two.keytab", &[&alias, &world.proxy]);
    for reversed in [false, true] {
        if reversed {
            edit(&keytab, |keytab| keytab.entries.reverse());
        }
        let acceptor = acceptor(&keytab);
        // the version and type of a key of `HTTP/proxy`, and the key of `HTTP/alias`
        for host in ["proxy", "PROXY"] {
            let token = world.initiator.token(&world.alice, &alias).await.unwrap();
            let error = login(&acceptor, &renamed(&token.token, "alias", host))
                .await
                .unwrap_err();
            assert!(
                matches!(
                    error,
                    AcceptError::WrongKey { .. } | AcceptError::OtherService { .. }
                ),
                "{error:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_port_in_a_service_s_name_finds_the_key_of_the_host() {
    let world = World::start();
    let port = world
        .realm
        .principal(&format!("HTTP/proxy.{}:50070", world.realm.domain()));
    let keytab = world.realm.add_with_keytab("port.keytab", &[&port]);
    edit(&keytab, |keytab| {
        for entry in &mut keytab.entries {
            entry.principal = world.proxy.clone();
        }
    });
    let token = world.initiator.token(&world.alice, &port).await.unwrap();
    let accepted = login(&acceptor(&keytab), &token.token).await.unwrap();
    assert_eq!(accepted.service, port);
    assert_eq!(accepted.service.host_name(), world.proxy.host());
}

/// Drops all keys but one type.
fn only(keytab: &mut Keytab, enctype: u16) {
    keytab
        .entries
        .retain(|entry| entry.enctype == Enctype(enctype));
    assert!(!keytab.entries.is_empty());
}

#[tokio::test]
async fn a_key_of_another_type_is_told_from_another_key() {
    let world = World::start();
    let keytab = world.realm.keytab("types.keytab", &[&world.proxy]);
    edit(&keytab, |keytab| only(keytab, 17));
    let error = login(&acceptor(&keytab), &world.token().await)
        .await
        .unwrap_err();
    assert!(matches!(error, AcceptError::NoEnctype { .. }), "{error:?}");
    let said = error.to_string();
    for part in [
        "kvno 1, aes256-cts",
        "has kvno 1 aes128-cts",
        &world.proxy.to_string(),
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }

    let keytab = world.realm.keytab("others.keytab", &[&world.proxy]);
    edit(&keytab, |keytab| {
        keytab
            .entries
            .iter_mut()
            .for_each(|entry| entry.key[0] ^= 1);
    });
    let error = login(&acceptor(&keytab), &world.token().await)
        .await
        .unwrap_err();
    assert!(matches!(error, AcceptError::WrongKey { .. }), "{error:?}");
    let said = error.to_string();
    assert!(
        said.contains("kvno 1, aes256-cts") && said.contains("has kvno 1 aes"),
        "{said}"
    );
}

#[tokio::test]
async fn messages_that_are_no_ticket_are_told_apart() {
    let world = World::start();
    let framed = |number: u8, message: &[u8]| {
        let body = [
            b"\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02",
            &[number, 0][..],
            message,
        ]
        .concat();
        [&[0x60, u8::try_from(body.len()).unwrap()], &body[..]].concat()
    };
    let krb_error = b"\x7e\x0c\x30\x0a\xa1\x03\x02\x01\x1e\xa6\x03\x02\x01\x25";
    for token in [krb_error.to_vec(), framed(3, krb_error)] {
        let error = login(&world.acceptor, &token).await.unwrap_err();
        assert_eq!(error, AcceptError::KrbError(Some(37)));
    }
    for token in [b"\x6f\x02\x30\x00".to_vec(), framed(2, b"\x6f\x02\x30\x00")] {
        assert_eq!(
            login(&world.acceptor, &token).await.unwrap_err(),
            AcceptError::ApRep
        );
    }
    for token in [b"\x6a\x02\x30\x00".to_vec(), framed(4, b"x")] {
        assert_eq!(
            login(&world.acceptor, &token).await.unwrap_err(),
            AcceptError::NoTicket
        );
    }
}
