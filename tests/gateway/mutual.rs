//! Mutual authentication: every response to an accepted ticket carries the mutual token, whatever
//! its status.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use spnegate::{gss::ClientToken, testing::Refusal};

use crate::{
    backend::{backend, reply, unreachable_url},
    client::RawResponse,
    proxy::{Gateway, gateway},
    world::{block_on, negotiate, world},
};

fn token(user: &str, host: &str) -> ClientToken {
    let clients = world().fresh_clients();
    let user = world().realm.principal(user);
    block_on(clients.token(&user, &world().realm.spn(host))).unwrap()
}

/// Logs in with a request; the client's Kerberos library verifies the token of the response.
fn proven(gateway: &Gateway, line: &str, user: &str, host: &str) -> RawResponse {
    let mut token = token(user, host);
    let authorization = negotiate(&token.token);
    let answer = gateway
        .ask(line)
        .header("Authorization", &authorization)
        .response();
    let proof = answer.header("www-authenticate").unwrap_or_default();
    let proof = proof.strip_prefix("Negotiate ").unwrap_or_default();
    let proof = BASE64_STANDARD.decode(proof).unwrap();
    token
        .verify(&proof)
        .unwrap_or_else(|error| panic!("{error}: {}", answer.all_text()));
    answer
}

#[test]
fn every_response_to_an_accepted_ticket_carries_the_mutual_token() {
    let backend = backend();
    backend.set_response(|seen| match &*seen.target {
        "/gone" => reply(404).body("no such file"),
        _ => reply(200).body("hello"),
    });
    let gateway = gateway().console("generic").backend(&backend).run();
    proven(&gateway, "GET /x", "alice", "proxy").is_ok("hello");
    for (target, status) in [
        ("/gone", 404),
        ("/.spnegate/whoami", 200),
        ("/.spnegate/nothing", 404),
    ] {
        let answer = proven(&gateway, &format!("GET {target}"), "alice", "proxy");
        assert_eq!(answer.status, status, "{}", answer.all_text());
    }
    proven(&gateway, "GET /x?a=%zz", "alice", "proxy").is(Refusal::BadQuery);
}

#[test]
fn refusals_after_an_accepted_ticket_carry_the_mutual_token_too() {
    let down = || gateway().console("generic").url(&unreachable_url());
    // alias is in the keytab, but is not a host of this console
    proven(&down().run(), "GET /x", "alice", "alias").is(Refusal::WrongService);
    let answer = proven(&down().run(), "GET /x", "alice", "proxy");
    answer.is(Refusal::BackendDown);
    let allow = down().with("allow = { users = [\"carol\"] }").run();
    proven(&allow, "GET /x", "alice", "proxy").is(Refusal::UserDenied);
    let unmapped = down()
        .set("kerberos", "auth_to_local = [\"RULE:[1:$1](carol)\"]")
        .run();
    proven(&unmapped, "GET /x", "alice", "proxy").is(Refusal::NameUnmapped);
}

/// As in Hadoop, a request with a valid session is answered without a token, and a token beside the
/// cookie is ignored. Of the Python clients only requests-gssapi with `REQUIRED` needs more.
#[test]
fn a_response_within_a_session_carries_no_token() {
    let backend = backend();
    let gateway = gateway().console("generic").backend(&backend).run();
    let token = negotiate(&token("alice", "proxy").token);
    for authorization in ["Basic YTpi", &token] {
        let asking = gateway.ask("GET /x").by("alice");
        let answer = asking.header("Authorization", authorization).response();
        answer.is_ok("nobody");
        assert_eq!(answer.header("www-authenticate"), None);
    }
    let login = gateway
        .ask("GET /x")
        .header("Authorization", &token)
        .response();
    assert_eq!(
        login.status,
        200,
        "it is still unused: {}",
        login.all_text()
    );
}
