//! Which key of the keytab decrypts a ticket, and for which service name it is accepted.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use spnegate::{
    gss::Keytab,
    testing::{Enctype, Refusal},
};

use crate::{
    backend::unreachable_url,
    proxy::{Gateway, gateway},
    tickets::{fresh_token, log_in, plain, service_of_its_own, with_keys},
    world::{negotiate, world},
};

#[test]
pub fn a_service_without_a_key_is_reported_as_no_key_for_service() {
    let (spn, _) = service_of_its_own(world(), "keyless");
    log_in(&plain(), &fresh_token(world(), &spn)).is(Refusal::NoKeyForService);
}

#[test]
pub fn a_ticket_of_an_enctype_without_key_is_reported_as_no_key_of_enctype() {
    let (spn, file) = service_of_its_own(world(), "enctype");
    let mut keys = Keytab::load(&file).unwrap();
    keys.entries.retain(|entry| entry.enctype == Enctype(17));
    std::fs::write(&file, keys.to_bytes()).unwrap();
    let gateway = with_keys(&file, spn.host().unwrap(), "gss = \"5s\"");
    log_in(&gateway, &fresh_token(world(), &spn)).is(Refusal::NoKeyOfEnctype);
}

/// A gateway whose keytab has the key of `HTTP/proxy` under these names too, in this order.
fn with_names(names: &[&str]) -> Gateway {
    let mut keys = Keytab::load(&world().keytab).unwrap();
    let spn = world().realm.spn("proxy");
    let (proxy, others): (Vec<_>, Vec<_>) = keys
        .entries
        .into_iter()
        .partition(|entry| entry.principal == spn);
    keys.entries = Vec::new();
    for name in names {
        for mut entry in proxy.clone() {
            entry.principal = world().realm.principal(name);
            keys.entries.push(entry);
        }
    }
    keys.entries.extend(others);
    let file = world().file("keytab");
    std::fs::write(&file, keys.to_bytes()).unwrap();
    let hosts = format!("hosts = [\"{}\"]", world().proxy);
    let gateway = gateway().keytab(file).console("generic");
    gateway.with(&hosts).url(&unreachable_url()).run()
}

/// As in Active Directory: one account with one key and several SPNs, compared without case.
#[test]
fn a_ticket_is_accepted_by_its_service_name_in_any_order_of_the_keytab() {
    let spn = |host: &str| format!("HTTP/{host}.{}", world().realm.domain());
    let (proxy, other) = (spn("proxy"), spn("other"));
    for names in [
        [&*proxy, &*other, "svc"],
        [&*other, "svc", &*proxy],
        ["svc", &*proxy, &*other],
    ] {
        let gateway = with_names(&names);
        for (host, refusal) in [
            ("proxy", None),
            ("PROXY", None),
            ("pRoXy", None),
            ("other", Some(Refusal::WrongService)),
            // this SPN is not in the keytab, but the account's key decrypts its tickets
            ("third", Some(Refusal::WrongService)),
        ] {
            let token = world().authorization("alice");
            let token = BASE64_STANDARD.decode(token.strip_prefix("Negotiate ").unwrap());
            let mut token = token.unwrap();
            let at = token.windows(6).position(|part| part == b"proxy.").unwrap();
            token[at..at + 5].copy_from_slice(host.as_bytes());
            let answer = log_in(&gateway, &negotiate(&token));
            match refusal {
                Some(refusal) => answer.is(refusal),
                None => assert_eq!(answer.status, 200, "{names:?} {host} {}", answer.all_text()),
            }
        }
    }
}

/// .NET clients may request tickets for `HTTP/host:port`.
#[test]
fn a_ticket_for_a_service_name_with_a_port_is_accepted_where_hosts_is_set() {
    let (spn, file) = service_of_its_own(world(), "ported");
    let host = spn.host().unwrap();
    let port = world().realm.principal(&format!("HTTP/{host}:50070"));
    let ported = world().realm.add_with_keytab("port.keytab", &[&port]);
    let mut keys = Keytab::load(&file).unwrap();
    keys.entries.extend(Keytab::load(&ported).unwrap().entries);
    std::fs::write(&file, keys.to_bytes()).unwrap();
    let gateway = with_keys(&file, host, "gss = \"5s\"");
    let answer = log_in(&gateway, &fresh_token(world(), &port));
    assert_eq!(answer.status, 200, "{}", answer.all_text());
}
