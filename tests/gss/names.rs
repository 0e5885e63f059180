//! The service that a ticket names, and the key that decrypts it.

use std::path::PathBuf;

use spnegate::{
    gss::{AcceptError, Keytab},
    testing::Enctype,
};

use crate::{World, acceptor, edit, login};

#[tokio::test]
async fn a_login_has_the_service_of_its_ticket() {
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
async fn a_service_without_a_key_is_named_in_the_error() {
    let world = World::start();
    let other = world.realm.spn("other");
    world.realm.add(&[&other]);
    let token = world.initiator.token(&world.alice, &other).await.unwrap();
    let error = login(&world.acceptor, &token.token).await.unwrap_err();
    assert!(
        matches!(&error, AcceptError::NoKey { keys, .. } if keys.ticket.service == other),
        "{error:?}"
    );
    let text = error.to_string();
    assert!(
        text.contains(&other.to_string()) && text.contains(&world.proxy.to_string()),
        "{text}"
    );
}

/// A token whose ticket names another host of the same length. The name is not encrypted: Active
/// Directory sets it to the name that the client requested.
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

/// A keytab with the key of `HTTP/proxy` under these names, in this order.
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
async fn a_login_has_the_ticket_s_own_name_in_any_order_of_the_keytab() {
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
async fn a_renamed_ticket_of_another_service_is_refused() {
    let world = World::start();
    let alias = world.realm.spn("alias");
    world.realm.add(&[&alias]);
    let keytab = world.realm.keytab("two.keytab", &[&alias, &world.proxy]);
    for reversed in [false, true] {
        if reversed {
            edit(&keytab, |keytab| keytab.entries.reverse());
        }
        let acceptor = acceptor(&keytab);
        // The ticket has the version and type of a key of `HTTP/proxy`, but is encrypted with that of
        // `HTTP/alias`.
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

/// Keeps only the keys of one type.
fn only(keytab: &mut Keytab, enctype: u16) {
    keytab
        .entries
        .retain(|entry| entry.enctype == Enctype(enctype));
    assert!(!keytab.entries.is_empty());
}

#[tokio::test]
async fn a_missing_key_type_is_distinguished_from_a_wrong_key() {
    let world = World::start();
    let keytab = world.realm.keytab("types.keytab", &[&world.proxy]);
    edit(&keytab, |keytab| only(keytab, 17));
    let error = login(&acceptor(&keytab), &world.token().await)
        .await
        .unwrap_err();
    assert!(matches!(error, AcceptError::NoEnctype { .. }), "{error:?}");
    let text = error.to_string();
    for part in [
        "kvno 1, aes256-cts",
        "has kvno 1 aes128-cts",
        &world.proxy.to_string(),
    ] {
        assert!(text.contains(part), "{part}: {text}");
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
    let text = error.to_string();
    assert!(
        text.contains("kvno 1, aes256-cts") && text.contains("has kvno 1 aes"),
        "{text}"
    );
}

#[tokio::test]
async fn kerberos_messages_that_are_not_tickets_are_distinguished() {
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
