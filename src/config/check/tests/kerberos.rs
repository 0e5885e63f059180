//! `[kerberos]`, its keytab and its rules, and the principals and users that depend on them.

use super::*;

#[test]
fn an_spn_without_realm_gets_the_default_realm() {
    let realm = |extra: &str| {
        let text = with("[[console]]", &format!("{extra}\n[[console]]"));
        let (config, _) = check(&text).unwrap();
        let spn = config.consoles[0].backends[0].spn.clone().unwrap();
        let local = |realm: &str| {
            let principal = format!("alice@{realm}").parse().unwrap();
            config.kerberos.auth_to_local.map(&principal).is_ok()
        };
        assert_ne!(local("EXAMPLE.COM"), local("CLUSTER"));
        assert!(local(spn.realm()));
        spn.realm().to_owned()
    };
    assert_eq!(realm(""), "EXAMPLE.COM");
    assert_eq!(realm("default_realm = \"CLUSTER\""), "CLUSTER");
    let principal = "principal = \"spnegate/proxy.example.com@EXAMPLE.COM\"";
    let found = problems(&with(principal, ""));
    assert_eq!(
        found,
        [
            "10: console[0].backends[0]: no Kerberos principal is configured for the login to http://nn1.example.com:50070",
            "10: console[0].backends[1].url: no Kerberos principal is configured for the login to http://[::1]:50071",
        ]
    );
}

#[test]
fn each_broken_rule_is_a_problem() {
    let rules = "auth_to_local = [\"RULE:[1:$1\", \"DEFAULT\", \"RULE\"]\n[[console]]";
    let found = problems(&with("[[console]]", rules));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("6: kerberos.auth_to_local[0]: rule 1 `"),
        "{found:?}"
    );
    assert!(
        found[1].starts_with("6: kerberos.auth_to_local[2]: rule 3 `"),
        "{found:?}"
    );
}

#[test]
fn a_broken_rule_is_reported_with_its_number_and_text() {
    let rules =
        r"auth_to_local = ['DEFAULT RULE:[1:$1],RULE:[2:$1] RULE:[1:$9]', 'RULE:[1:$1] (a)']";
    let found = problems(&with("[[console]]", &format!("{rules}\n[[console]]")));
    let wanted = [
        "kerberos.auth_to_local[0]: rule 2 `RULE:[1:$1],RULE:[2:$1]`: rules are separated by white \
         space or written as separate entries, not separated by `,`",
        "kerberos.auth_to_local[0]: rule 3 `RULE:[1:$9]`: $9 in the format, but the rule is for 1 \
         component(s)",
        "kerberos.auth_to_local[1]: rule 4 `RULE:[1:$1] (a)`: a blank inside the rule: its parts \
         must follow each other without one",
    ];
    let found: Vec<&str> = found
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|l| l.1)
        .collect();
    assert_eq!(found, wanted);
}

#[test]
fn rules_without_effect_are_warnings() {
    let rules = r"auth_to_local = ['RULE:[1:$1](.*@EXAMPLE.COM)s/@.*//', 'RULE:[2:$1]s/a/ /', 'RULE:[1:$1] DEFAULT']";
    let found = warnings(&with("[[console]]", &format!("{rules}\n[[console]]")));
    assert_eq!(found.len(), 4, "{found:?}");
    let begin = |text: &str, of: usize| assert!(found[of].starts_with(text), "{found:?}");
    begin(
        "kerberos.auth_to_local[0]: rule 1 `RULE:[1:$1](.*@EXAMPLE.COM)s/@.*//` never applies",
        0,
    );
    begin(
        "kerberos.auth_to_local[1]: rule 2 `RULE:[2:$1]s/a/ /` writes a blank into the name",
        1,
    );
    begin(
        "kerberos.auth_to_local[2]: rule 3 `RULE:[1:$1]` gives users of every trusted realm",
        2,
    );
    begin(
        "kerberos.auth_to_local[2]: rule 4 `DEFAULT` never applies: rule 3 already applies",
        3,
    );
}

#[test]
fn the_mechanism_is_case_insensitive_as_in_hadoop() {
    for (word, can_be) in [
        ("MIT", true),
        ("Mit", true),
        ("HADOOP", false),
        ("hadoop", false),
    ] {
        let text = with(
            "[[console]]",
            &format!("auth_to_local_mechanism = \"{word}\"\n[[console]]"),
        );
        let (config, _) = check(&text).unwrap();
        assert_eq!(
            config.kerberos.auth_to_local.can_be("alice@CORP"),
            can_be,
            "{word}"
        );
    }
    assert_eq!(
        problems(&with(
            "[[console]]",
            "auth_to_local_mechanism = \"heimdal\"\n[[console]]"
        ))
        .len(),
        1
    );
}

#[test]
fn impossible_user_names_and_missing_groups_are_warnings() {
    let allow = "allow = { users = [\"alice\", \"bob@EXAMPLE.COM\", \"carol \"], \
                 groups = [\"root\", \"no-such-group\"] }\nidentity";
    let found = warnings(&with("identity", allow));
    let key = |n: usize| found[n].split(": ").next().unwrap();
    assert_eq!(found.len(), 3, "{found:?}");
    let wanted = [
        "console[0].allow.users[1]",
        "console[0].allow.users[2]",
        "console[0].allow.groups[1]",
    ];
    assert_eq!([key(0), key(1), key(2)], wanted);
    // principals are names where they need no rule
    let mit = with(
        "identity",
        "allow = { users = [\"bob@EXAMPLE.COM\"] }\nidentity",
    );
    let mit = mit.replace(
        "[[console]]",
        "auth_to_local_mechanism = \"mit\"\n[[console]]",
    );
    assert_eq!(warnings(&mit), [""; 0]);
}

#[test]
fn a_service_console_with_the_principal_of_a_doas_console_is_a_warning() {
    let doas = "[[console]]\nname = \"rm\"\nkind = \"resourcemanager\"\nlisten = \"127.0.0.1:8088\"\n\
                backends = [\"http://rm1.example.com:8088\"]\nidentity = \"doas\"\n";
    let both = format!("{GOOD}{doas}");
    let found = warnings(&both);
    assert_eq!(found.len(), 1, "{found:?}");
    let begin = "console[0].backends[0]: every user of this console acts as \
                 spnegate/proxy.example.com@EXAMPLE.COM";
    assert!(
        found[0].starts_with(begin) && found[0].contains("`rm`"),
        "{found:?}"
    );
    let own = "{ url = \"http://nn1.example.com:50070\", principal = \"HTTP/door.example.com@EXAMPLE.COM\" }";
    let apart = both.replacen("\"http://NN1.example.com:50070\"", own, 1);
    let apart = apart.replacen(
        "spn = \"HTTP/nn2",
        "principal = \"HTTP/door.example.com@EXAMPLE.COM\", spn = \"HTTP/nn2",
        1,
    );
    assert_eq!(warnings(&apart), [""; 0]);
}

#[test]
fn rules_are_checked_even_if_no_realm_is_known() {
    let text = with("spnegate/proxy", "spnegate@proxy");
    let text = text.replace("[[console]]", "auth_to_local = [\"RULE\"]\n[[console]]");
    let found = problems(&text);
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn hosts_are_taken_from_the_keytab_without_case_and_port() {
    let names = |_: &Path| {
        let names = [
            "http/Proxy.example.com:50070@EXAMPLE.COM",
            "HTTP/proxy.example.com@EXAMPLE.COM",
            "spnegate/proxy.example.com@EXAMPLE.COM",
        ];
        Ok(names.iter().map(|name| name.parse().unwrap()).collect())
    };
    for hosts in ["", "\nhosts = [\"proxy.example.com\"]"] {
        let text = format!("{}{hosts}", GOOD.trim_end());
        let (config, _) = parse_with(&text, Path::new("spnegate.toml"), &names).unwrap();
        assert_eq!(*config.consoles[0].hosts, ["proxy.example.com".into()]);
    }
}

#[test]
fn a_keytab_that_cannot_be_read_is_one_problem() {
    let with_keytab = |unread: fn() -> Result<Vec<Principal>, KeytabReadError>| {
        let read = move |_: &Path| unread();
        let Err(problems) = parse_with(GOOD, Path::new("f"), &read) else {
            return Vec::new();
        };
        problems.list.iter().map(|p| p.kind.to_string()).collect()
    };
    let missing = || Err(KeytabReadError::Io(std::io::ErrorKind::NotFound.into()));
    assert_eq!(
        with_keytab(missing),
        ["cannot read merged.keytab: entity not found"]
    );
    assert_eq!(
        with_keytab(|| Ok(Vec::new())),
        ["merged.keytab contains no keys"]
    );
    let found = with_keytab(|| Ok(vec!["a@EXAMPLE.COM".parse().unwrap()]));
    assert_eq!(
        found,
        [
            "merged.keytab contains no key of an HTTP/… principal, so no client could log in",
            "merged.keytab contains no key of spnegate/proxy.example.com@EXAMPLE.COM",
        ]
    );
}
