//! The names that rules make, and the principals that are refused.

use proptest::prelude::*;

use super::*;

fn rules(entries: &[&str]) -> AuthToLocal {
    AuthToLocal::compile(entries, Mechanism::Hadoop, "EXAMPLE.COM").unwrap()
}

fn mapped(entries: &[&str], principal: &str) -> Option<String> {
    rules(entries).map(&principal.parse().unwrap()).ok()
}

#[test]
fn names_are_mapped_as_hadoop_maps_them() {
    // rules, principal, short name; the first block is Hadoop's own TestKerberosName
    let yahoo: &[&str] = &[
        "RULE:[1:$1@$0](.*@YAHOO\\.COM)s/@.*//",
        "RULE:[2:$1](johndoe)s/^.*$/guest/",
        "RULE:[2:$1;$2](^.*;admin$)s/;admin$//",
        "RULE:[2:$2](root)",
        "DEFAULT",
    ];
    let table: &[(&[&str], &str, Option<&str>)] = &[
        (yahoo, "omalley@EXAMPLE.COM", Some("omalley")),
        (yahoo, "hdfs/10.0.0.1@EXAMPLE.COM", Some("hdfs")),
        (yahoo, "oom@YAHOO.COM", Some("oom")),
        (yahoo, "johndoe/zoo@FOO.COM", Some("guest")),
        (yahoo, "joe/admin@FOO.COM", Some("joe")),
        (yahoo, "joe/root@FOO.COM", Some("root")),
        (yahoo, "foo@ACME.COM", None),
        // No entries mean DEFAULT.
        (&[], "alice@EXAMPLE.COM", Some("alice")),
        (&[], "HTTP/gw.example.com@EXAMPLE.COM", Some("HTTP")),
        (&[], "alice@CORP.EXAMPLE.COM", None),
        // The usual rules of Cloudera and Ambari.
        (
            &["RULE:[2:$1@$0](rm@EXAMPLE.COM)s/.*/yarn/"],
            "rm/h@EXAMPLE.COM",
            Some("yarn"),
        ),
        (
            &["RULE:[2:$1@$0](rm@EXAMPLE.COM)s/.*/yarn/"],
            "nm/h@EXAMPLE.COM",
            None,
        ),
        (
            &["RULE:[1:$1@$0](.*@\\QCORP.COM\\E$)s/@\\QCORP.COM\\E$//"],
            "bob@CORP.COM",
            Some("bob"),
        ),
        (
            &["RULE:[1:$1@$0](.*@\\QCORP.COM\\E$)s/@\\QCORP.COM\\E$///L"],
            "BOB@CORP.COM",
            Some("bob"),
        ),
        (&["RULE:[1:$1]/L"], "ALICE@ANY.REALM", Some("alice")),
        (&["RULE:[1:$1]L"], "ALICE@ANY.REALM", Some("alice")),
        // Hadoop reads DEFAULT/L as DEFAULT.
        (&["DEFAULT/L"], "ALICE@EXAMPLE.COM", Some("ALICE")),
        // Several rules in one entry, as in core-site.xml.
        (
            &["\n RULE:[2:$1](x)\n  DEFAULT "],
            "alice@EXAMPLE.COM",
            Some("alice"),
        ),
        // The regular expression has to match the whole text.
        (&["RULE:[1:$1](ali)"], "alice@EXAMPLE.COM", None),
        // The first match only, and all matches.
        (&["RULE:[1:$1]s/a/b/"], "anna@R", Some("bnna")),
        (&["RULE:[1:$1]s/a/b/g"], "anna@R", Some("bnnb")),
        // Java finds one more match, the empty text after a match of everything.
        (&["RULE:[1:$1]s/.*/x/g"], "anna@R", Some("xx")),
        (&["RULE:[1:$1]s/x*/-/g"], "axc@R", Some("-a--c-")),
        (&["RULE:[1:$1]s/(.)(.*)/$2$1/"], "anna@R", Some("nnaa")),
        // A reference and text in one format.
        (&["RULE:[2:svc-$1]"], "hive/h@R", Some("svc-hive")),
        // The name is not simple: an error even if a later rule would match.
        (&["RULE:[1:$1@$0]", "DEFAULT"], "alice@EXAMPLE.COM", None),
        // Hadoop would give the empty name.
        (&["RULE:[1:$1]s/.*//"], "alice@EXAMPLE.COM", None),
    ];
    for (entries, principal, expected) in table {
        assert_eq!(
            mapped(entries, principal).as_deref(),
            *expected,
            "{entries:?} {principal}"
        );
    }
}

#[test]
fn the_mit_mechanism_accepts_special_names_and_unmatched_principals() {
    let mit = |entries: &[&str], principal: &str| {
        let rules = AuthToLocal::compile(entries, Mechanism::Mit, "EXAMPLE.COM").unwrap();
        rules.map(&principal.parse().unwrap()).ok()
    };
    assert_eq!(
        mit(&["DEFAULT"], "bob@CORP.COM").as_deref(),
        Some("bob@CORP.COM")
    );
    assert_eq!(
        mit(&["RULE:[1:$1@$0]"], "bob@CORP.COM").as_deref(),
        Some("bob@CORP.COM")
    );
    assert_eq!(
        mit(&["DEFAULT"], "hdfs/nn@EXAMPLE.COM").as_deref(),
        Some("hdfs")
    );
    // KerberosName reads at most two components with this mechanism too.
    assert_eq!(mit(&["RULE:[3:$3]"], "a/b/c@R"), None);
    assert_eq!(mit(&["DEFAULT"], "a/b/c@EXAMPLE.COM"), None);
}

#[test]
fn enterprise_names_and_control_characters_never_become_users() {
    for mechanism in [Mechanism::Hadoop, Mechanism::Mit] {
        let rules = AuthToLocal::compile(&["RULE:[1:$1]", "DEFAULT"], mechanism, "R").unwrap();
        for parts in [
            &["alice@corp.com"],
            &["a\\b"],
            &["a/b"],
            &["a\nb"],
            &["a\u{2028}"],
        ] {
            let principal = Principal::new(*parts, "R").unwrap();
            assert!(matches!(rules.map(&principal), Err(NameError::Malformed)));
        }
    }
}

#[test]
fn a_well_known_name_is_not_a_user() {
    for mechanism in [Mechanism::Hadoop, Mechanism::Mit] {
        let rules =
            AuthToLocal::compile(&["RULE:[1:$1]", "RULE:[2:$2]/L"], mechanism, "R").unwrap();
        for name in [
            "WELLKNOWN/ANONYMOUS@R",
            "WELLKNOWN/ANONYMOUS@WELLKNOWN:ANONYMOUS",
            "WELLKNOWN@R",
            "alice@WELLKNOWN:COM.HEIMDAL.DIGEST",
        ] {
            let refused = rules.map(&name.parse().unwrap());
            assert!(matches!(refused, Err(NameError::WellKnown)), "{name}");
        }
    }
}

#[test]
fn a_rule_that_depends_on_the_version_of_java_is_refused_only_for_names_beyond_ascii() {
    let names = rules(&[r"RULE:[1:$1](.*\bb)s/b$/c/", "RULE:[1:$1]/L"]);
    let mapped = |name: &str| names.map(&Principal::new([name], "R").unwrap());
    assert_eq!(mapped("a.b").unwrap(), "a.c");
    assert_eq!(mapped("ALICE").unwrap(), "alice");
    assert!(matches!(
        mapped("é.b"),
        Err(NameError::Ambiguous { index: 0 })
    ));
    let lower = rules(&["RULE:[1:$1]/L"]);
    let cherokee = lower.map(&Principal::new(["\u{13A0}"], "R").unwrap());
    assert!(matches!(cherokee, Err(NameError::Ambiguous { index: 0 })));
}

#[test]
fn three_components_are_refused_as_in_hadoop() {
    let refused = rules(&["DEFAULT"]).map(&"a/b/c@EXAMPLE.COM".parse().unwrap());
    assert!(matches!(refused, Err(NameError::Components)));
}

#[test]
fn every_invalid_rule_is_reported_with_its_position() {
    let errors = AuthToLocal::compile(
        &["DEFAULT", "RULE[1:$1]", "RULE:[1:$1](a*", "RULE:[1:$2]"],
        Mechanism::Hadoop,
        "R",
    )
    .unwrap_err();
    assert_eq!(
        errors.iter().map(|e| e.entry).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    assert!(
        errors[0].to_string().starts_with("rule 2 `RULE[1:$1]`: "),
        "{}",
        errors[0]
    );
}

#[test]
fn each_set_of_rules_has_its_own_generation() {
    assert_ne!(rules(&[]).generation(), rules(&[]).generation());
}

proptest! {
    #[test]
    fn a_mapped_name_is_always_simple(
        parts in prop::collection::vec("[^\0]{1,6}", 1..4),
        realm in prop_oneof![Just("EXAMPLE.COM".to_owned()), "[^\0]{1,8}"],
    ) {
        let rules = rules(&["RULE:[1:$1@$0](.*@X)s/@.*//", "RULE:[2:$2$1]s/[a-m]*//g/L", "DEFAULT"]);
        if let Ok(name) = rules.map(&Principal::new(parts, realm).unwrap()) {
            prop_assert!(!name.is_empty());
            let bad = |c: char| matches!(c, '/' | '@' | '\\') || c.is_control();
            prop_assert!(!name.contains(bad), "{:?}", name);
        }
    }

    #[test]
    fn any_rule_text_compiles_or_is_refused(text in ".*", tail in ".*") {
        let _ = AuthToLocal::compile(&[&text], Mechanism::Hadoop, "R");
        let _ = AuthToLocal::compile(&[format!("RULE:[1:$1]{tail}")], Mechanism::Hadoop, "R");
        let rule = format!("RULE:[1:$1]s/{text}/{tail}/");
        if let Ok(rules) = AuthToLocal::compile(&[rule], Mechanism::Hadoop, "R") {
            let _ = rules.map(&"alice@R".parse().unwrap());
        }
    }
}
