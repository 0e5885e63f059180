//! `spnegate keytab` with the KDC of a temporary realm.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "support/realm.rs"]
mod realm;

use std::{fs, path::Path};

use realm::Realm;
use spnegate::{
    gss::{Keytab, Principal},
    testing::{Enctype, ListArguments, MergeArguments, VerifyArguments, list, merge, verify},
};

fn verified(file: &Path, principal: Option<&Principal>) -> (bool, String) {
    let arguments = VerifyArguments {
        file: file.to_owned(),
        principal: principal.cloned(),
    };
    let mut output = Vec::new();
    let valid = verify(&arguments, &mut output).unwrap();
    (valid, String::from_utf8(output).unwrap())
}

/// The finding for one principal.
fn finding(file: &Path, principal: &Principal) -> String {
    let (valid, output) = verified(file, Some(principal));
    let finding = output
        .trim()
        .strip_prefix(&format!("{principal}: "))
        .unwrap();
    assert_eq!(valid, finding.starts_with("ok"), "{output}");
    finding.to_owned()
}

#[test]
fn verify_reports_every_state_of_a_key() {
    let mut realm = Realm::start();
    let (alice, proxy) = (realm.principal("alice"), realm.spn("proxy"));
    let file = realm.add_with_keytab("k", &[&alice, &proxy]);
    let output = format!("{alice}: ok, as a client\n{proxy}: ok, kvno 1\n");
    assert_eq!(verified(&file, None), (true, output));

    // Another principal requests the ticket, because the KDC refuses the service's own key.
    realm.rotate(&[&proxy]);
    let behind = finding(&file, &proxy);
    assert!(
        behind.starts_with("KVNO BEHIND: the file has 1, the KDC 2;"),
        "{behind}"
    );

    // A merge of the old and the new file is valid.
    let new = realm.keytab("new", &[&proxy]);
    let arguments = MergeArguments {
        output: file.clone(),
        inputs: vec![file.clone(), new],
        prefer: None,
    };
    merge(&arguments, &mut Vec::new()).unwrap();
    assert_eq!(finding(&file, &proxy), "ok, kvno 2");

    let edited = |name: &str, change: &dyn Fn(&mut Keytab)| {
        let mut keytab = Keytab::load(&file).unwrap();
        change(&mut keytab);
        fs::write(realm.path(name), keytab.to_bytes()).unwrap();
        realm.path(name)
    };
    let wrong = edited("wrong", &|keytab| {
        let entries = keytab.entries.iter_mut();
        for entry in entries.filter(|entry| entry.principal == proxy) {
            entry.key[0] ^= 1;
        }
    });
    let text = finding(&wrong, &proxy);
    assert!(text.starts_with("WRONG KEY: same kvno"), "{text}");

    let alone = edited("alone", &|keytab| {
        keytab.entries.retain(|entry| entry.principal == proxy);
        for entry in &mut keytab.entries {
            entry.key[0] ^= 1;
        }
    });
    let text = finding(&alone, &proxy);
    assert!(text.starts_with("WRONG KEY OR OLD KVNO"), "{text}");

    let renumbered = edited("renumbered", &|keytab| {
        for entry in &mut keytab.entries {
            entry.kvno += 5;
        }
    });
    let text = finding(&renumbered, &proxy);
    assert!(
        text.starts_with(
            "KVNO DIFFERS: the key is right, but its version is 7 in the file and 2 at the KDC"
        ),
        "{text}"
    );

    let ahead = edited("ahead", &|keytab| {
        for entry in &mut keytab.entries {
            entry.kvno += 5;
            if entry.principal == proxy {
                entry.key[0] ^= 1;
            }
        }
    });
    let text = finding(&ahead, &proxy);
    assert!(
        text.starts_with("KVNO AHEAD: the file has 7, this KDC 2"),
        "{text}"
    );

    realm.admin(&format!("modprinc -allow_tix {alice}"));
    let text = finding(&file, &alice);
    assert!(text.starts_with("DISABLED"), "{text}");
    realm.admin(&format!("modprinc +allow_tix {alice}"));

    realm.admin(&format!("delprinc -force {proxy}"));
    let text = finding(&file, &proxy);
    assert!(text.starts_with("UNKNOWN PRINCIPAL"), "{text}");

    realm.stop_kdc();
    let (valid, output) = verified(&file, None);
    assert!(!valid);
    assert_eq!(output.matches("KDC UNREACHABLE").count(), 2, "{output}");
}

/// Checks that the finding begins with `start` and names the remedy.
fn assert_finding(file: &Path, principal: &Principal, start: &str, remedy: &str) {
    let text = finding(file, principal);
    assert!(text.starts_with(start) && text.contains(remedy), "{text}");
}

#[test]
fn verify_reports_the_state_of_an_account() {
    let realm = Realm::start();
    let [locked, disabled, expired, old] =
        ["locked", "disabled", "expired", "old"].map(|name| realm.principal(name));
    let file = realm.add_with_keytab("k", &[&locked, &disabled, &expired, &old]);
    realm.admin("addpol -maxfailure 1 -lockoutduration 1h strict");
    realm.admin(&format!(
        "modprinc -policy strict +requires_preauth {locked}"
    ));
    let mut wrong = Keytab::load(&file).unwrap();
    for entry in &mut wrong.entries {
        entry.key[0] ^= 1;
    }
    let other = realm.path("wrong");
    fs::write(&other, wrong.to_bytes()).unwrap();
    assert_finding(&other, &locked, "WRONG KEY OR OLD KVNO", "export");
    assert_finding(&file, &locked, "LOCKED", "modprinc -unlock");
    realm.admin(&format!("modprinc -unlock {locked}"));
    assert_eq!(finding(&file, &locked), "ok, as a client");
    realm.admin(&format!("modprinc -allow_tix {disabled}"));
    assert_finding(&file, &disabled, "DISABLED", "modprinc +allow_tix");
    realm.admin(&format!("modprinc -expire 2001-01-01 {expired}"));
    assert_finding(&file, &expired, "EXPIRED", "modprinc -expire never");
    realm.admin(&format!("modprinc -pwexpire 2001-01-01 {old}"));
    assert_finding(&file, &old, "PASSWORD EXPIRED", "modprinc -pwexpire never");
    realm.admin(&format!("delprinc -force {old}"));
    assert_finding(&file, &old, "UNKNOWN PRINCIPAL", "renamed");
}

#[test]
fn verify_distinguishes_a_missing_key_type_from_a_wrong_key() {
    let realm = Realm::start();
    let (alice, proxy) = (realm.principal("alice"), realm.spn("proxy"));
    realm.add(&[&alice]);
    realm.admin(&format!("addprinc -e aes128-cts:normal -randkey {proxy}"));
    let file = realm.keytab("k", &[&alice, &proxy]);
    assert_eq!(finding(&file, &proxy), "ok, kvno 1");
    let mut other = Keytab::load(&file).unwrap();
    for entry in &mut other.entries {
        if entry.principal == proxy {
            entry.enctype = Enctype(18);
            entry.key = vec![7; 32].into();
        }
    }
    let path = realm.path("other");
    fs::write(&path, other.to_bytes()).unwrap();
    assert_finding(
        &path,
        &proxy,
        "NO KEY OF THIS TYPE: the KDC makes aes128-cts-hmac-sha1-96 tickets, the file has only \
         aes256-cts-hmac-sha1-96",
        "export the keytab again",
    );
}

/// The KDC counts each wrong key against the account, so many SPNs with one key must cost one try.
#[test]
fn verify_tries_each_key_once() {
    let realm = Realm::start();
    let alice = realm.principal("alice");
    let spns: Vec<Principal> = (0..6).map(|n| realm.spn(&format!("host{n}"))).collect();
    let mut all: Vec<&Principal> = spns.iter().collect();
    all.insert(0, &alice);
    let file = realm.add_with_keytab("k", &all);
    realm.admin("addpol -maxfailure 5 -failurecountinterval 1h strict");
    realm.admin(&format!(
        "modprinc -policy strict +requires_preauth {alice}"
    ));
    for spn in &spns {
        // As in Active Directory, where an SPN is not a client.
        realm.admin(&format!("modprinc -allow_tix {spn}"));
    }
    realm.rotate(&[&alice]);
    let (valid, output) = verified(&file, None);
    assert!(
        !valid && output.starts_with(&format!("{alice}: WRONG KEY OR OLD KVNO")),
        "{output}"
    );
    let shown = realm.admin(&format!("getprinc {alice}"));
    assert!(shown.contains("Failed password attempts: 1"), "{shown}");
}

#[test]
fn list_shows_the_entries_of_mit_s_tools_without_their_keys() {
    let realm = Realm::start();
    let proxy = realm.spn("proxy");
    let file = realm.add_with_keytab("k", &[&proxy]);
    let show = |json| {
        let mut out = Vec::new();
        let file = file.clone();
        list(&ListArguments { file, json }, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let table = show(false);
    assert_eq!(table.matches(&proxy.to_string()).count(), 2, "{table}");
    assert!(table.contains("aes256-cts-hmac-sha1-96"), "{table}");
    let rows: serde_json::Value = serde_json::from_str(&show(true)).unwrap();
    assert_eq!(rows[1]["enctype_number"], 17);
    assert_eq!(rows[0]["kvno"], 1);
    assert_eq!(rows[0].as_object().unwrap().len(), 6);
}

#[test]
fn mit_s_tools_read_a_merged_file() {
    let realm = Realm::start();
    let (alice, proxy) = (realm.principal("alice"), realm.spn("proxy"));
    let inputs = vec![
        realm.add_with_keytab("a", &[&alice]),
        realm.add_with_keytab("b", &[&proxy]),
    ];
    let output = realm.path("merged");
    let arguments = MergeArguments {
        output: output.clone(),
        inputs,
        prefer: None,
    };
    merge(&arguments, &mut Vec::new()).unwrap();
    let shown = realm.run("klist", &["-k", output.to_str().unwrap()]);
    assert_eq!(shown.matches(&proxy.to_string()).count(), 2, "{shown}");
    realm.kinit(&alice, &output);
}
