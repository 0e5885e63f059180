//! Acceptor and initiator on a throwaway realm.

#[path = "support/realm.rs"]
mod realm;

use std::{fs, path::Path, time::Duration};

use realm::Realm;
use spnegate::gss::{
    AcceptError, Accepted, Acceptor, AcceptorOptions, InitiateError, Initiator, InitiatorOptions,
    Keytab, Principal, ReplayCache, Step,
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
async fn a_token_is_accepted_once() {
    let world = World::start();
    let token = world.token().await;
    login(&world.acceptor, &token).await.unwrap();
    let again = login(&world.acceptor, &token).await.unwrap_err();
    assert_eq!(again, AcceptError::Replay);
}
