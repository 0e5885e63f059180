//! The checks as a whole: what a bad file gives, what a good one becomes.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use proptest::prelude::*;

use super::{
    super::{Balance, Config, IdentityMode, Problems, ReplayCache, Warning},
    keytab::Unread,
    parse_with,
};
use crate::gss::Principal;

mod streams;

const GOOD: &str = r#"
[kerberos]
keytab = "merged.keytab"
principal = "spnegate/proxy.example.com@EXAMPLE.COM"

[[console]]
name = "files"
kind = "generic"
listen = ["127.0.0.1:50070", "[::1]:50070"]
backends = ["http://NN1.example.com:50070", { url = "http://[::1]:50071", spn = "HTTP/nn2.example.com" }]
identity = "service"
"#;

#[expect(
    clippy::unnecessary_wraps,
    reason = "it stands in for one that may fail"
)]
fn keytab(_: &Path) -> Result<Vec<Principal>, Unread> {
    let names = [
        "HTTP/proxy.example.com@EXAMPLE.COM",
        "HTTP/door.example.com@EXAMPLE.COM",
        "spnegate/proxy.example.com@EXAMPLE.COM",
    ];
    Ok(names.iter().map(|name| name.parse().unwrap()).collect())
}

pub(super) fn check(text: &str) -> Result<(Config, Vec<Warning>), Problems> {
    parse_with(text, Path::new("dir/spnegate.toml"), &keytab)
}

/// `key: concern` of each warning but that of the missing secret.
fn warnings(text: &str) -> Vec<String> {
    let (_, warnings) = check(text).unwrap();
    let line = |w: &Warning| format!("{}: {}", w.place.key, w.concern);
    let all = warnings.iter().map(line);
    all.filter(|line| !line.starts_with("session: ")).collect()
}

/// `line: key: fault` of each problem.
pub(super) fn problems(text: &str) -> Vec<String> {
    let Err(problems) = check(text) else {
        return Vec::new();
    };
    assert!(!problems.list.is_empty());
    let line = |p: &super::super::problem::Problem| {
        format!("{}: {}: {}", p.place.line, p.place.key, p.fault)
    };
    problems.list.iter().map(line).collect()
}

/// The good file with something put in place of something else.
pub(super) fn with(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    GOOD.replacen(old, new, 1)
}

#[test]
fn a_small_file_gets_its_defaults() {
    let (config, warnings) = check(GOOD).unwrap();
    let keytab = config.kerberos.keytab;
    assert_eq!(keytab, Some(PathBuf::from("dir/merged.keytab")));
    let local = "alice@EXAMPLE.COM".parse().unwrap();
    assert_eq!(config.kerberos.auth_to_local.map(&local).unwrap(), "alice");
    assert!(matches!(config.kerberos.replay_cache, ReplayCache::File(_)));
    assert_eq!(config.timeouts.first_byte, Duration::from_secs(300));
    assert_eq!(config.session.lifetime, Duration::from_secs(36_000));
    assert_eq!(config.server.max_connections, 20_000);
    let console = &config.consoles[0];
    assert_eq!(&*console.hosts[0], "door.example.com");
    assert_eq!(console.hosts.len(), 2);
    assert_eq!(
        console.listen[1],
        "[::1]:50070".parse::<SocketAddr>().unwrap()
    );
    assert_eq!(console.balance, Balance::First);
    assert_eq!(console.identity, IdentityMode::Service);
    assert_eq!(console.retry_buffer, 65_536);
    assert_eq!(console.probe.interval, Duration::from_millis(500));
    assert_eq!(&*console.backends[0].url, "http://nn1.example.com:50070");
    let spn = |i: usize| console.backends[i].spn.as_ref().unwrap().to_string();
    assert_eq!(spn(0), "HTTP/nn1.example.com@EXAMPLE.COM");
    assert_eq!(spn(1), "HTTP/nn2.example.com@EXAMPLE.COM");
    assert_eq!(&*console.backends[1].host, "[::1]");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
}

#[test]
fn a_file_with_many_mistakes_gives_all_of_them_at_once() {
    let text = r#"[server]
workres = 2
max_connections = 0

[timeouts]
head = 8
idle = "60"

[kerberos]
keytab = "merged.keytab"
principal = "nobody@EXAMPLE.COM"

[session]
zookeeper = { hosts = "zk1" }

[log]
format = "jsonn"

[[console]]
name = "NameNode"
kind = "generik"
listen = "50070"
hosts = ["other.example.com"]
backends = ["nn1:50470", { url = "http://nn2:50070/dfs", weight = 2 }]
balance = "roundrobin"

[[console]]
name = "rm"
kind = "generic"
listen = "0.0.0.0:8088"
backends = ["http://127.0.0.1:8088"]
identity = "hadoop-cookie"
allow = {}
nodes = { hosts = ["*"], ports = [0] }
redirect_from = "0.0.0.0:8088"
retry = { buffer = "64KB" }

[[stream]]
name = "kdc"
protocols = ["tcp", "sctp"]
listen = "0.0.0.0:8088"
backends = ["kdc1", { address = "127.0.0.1:8088", send_proxy = "v3" }]
allow = ["10.0.0.0/40"]
udp_responses = 1

[[kdc_proxy]]
realm = "EXAMPLE COM"
backends = []
"#;
    let found = problems(text);
    let expected = [
        "2: server.workres: unknown key",
        "3: server.max_connections: out of range",
        "6: timeouts.head: this is a whole number",
        "7: timeouts.idle: `60` is no duration",
        "11: kerberos.principal: nobody@EXAMPLE.COM is not in dir/merged.keytab",
        "14: session.zookeeper: not in this version",
        "17: log.format: `jsonn` is not known here",
        "19: console[0].identity: missing",
        "20: console[0].name: `NameNode` is no console name",
        "21: console[0].kind: `generik` is not known here",
        "22: console[0].listen: `50070` is no address with a port",
        "23: console[0].hosts[0]: dir/merged.keytab holds no key for HTTP/other.example.com",
        "24: console[0].backends[0]: `nn1:50470` is no backend URL",
        "24: console[0].backends[1].url: `http://nn2:50070/dfs` is no backend URL",
        "31: console[1].backends[0]: http://127.0.0.1:8088 is the gateway's own listener \
         0.0.0.0:8088: requests would run in a circle",
        "32: console[1].identity: `hadoop-cookie` is not in this version",
        "33: console[1].allow: nobody is allowed",
        "34: console[1].nodes.hosts[0]: `*` is no node pattern",
        "34: console[1].nodes.ports[0]: out of range",
        "35: console[1].redirect_from: a redirect leads from a plain port to TLS, and this \
         console has no `tls`",
        "35: console[1].redirect_from: 0.0.0.0:8088 and 0.0.0.0:8088 of console `rm` cannot both \
         be opened",
        "36: console[1].retry.buffer: `64KB` is no size",
        "40: stream[0].protocols[1]: `sctp` is not known here",
        "41: stream[0].listen: 0.0.0.0:8088 and 0.0.0.0:8088 of console `rm` cannot both be opened",
        "41: stream[0].listen: 0.0.0.0:8088 and 0.0.0.0:8088 of console `rm` cannot both be opened",
        "42: stream[0].backends[0]: `kdc1` is no server of a stream",
        "42: stream[0].backends[1]: 127.0.0.1:8088 is the gateway's own listener 0.0.0.0:8088: \
         connections would run in a circle",
        "42: stream[0].backends[1].send_proxy: `v3` is not known here",
        "43: stream[0].allow[0]: `10.0.0.0/40` is no network",
        "44: stream[0].udp_responses: this stream has no udp in its `protocols`",
        "46: kdc_proxy[0].listen: missing",
        "47: kdc_proxy[0].realm: `EXAMPLE COM` is no Kerberos realm",
        "48: kdc_proxy[0].backends: empty",
    ];
    assert_eq!(found, expected, "{found:#?}");
}

#[test]
fn a_mistake_in_toml_itself_does_not_hide_the_others() {
    let text = "[server]\nworkers =\n[log]\nformat = \"jsonn\"\nlevel = \"info\"\n";
    assert_eq!(
        problems(text),
        [
            "2: : not TOML: string values must be quoted, expected literal string",
            "4: log.format: `jsonn` is not known here",
        ]
    );
}

#[test]
fn what_follows_from_a_mistake_in_toml_is_not_reported() {
    let only = |old, new, expected: &str| assert_eq!(problems(&with(old, new)), [expected]);
    only(
        "[kerberos]",
        "[kerberos",
        "2: : not TOML: unclosed table, expected `]`",
    );
    only(
        "name = \"files\"",
        "name = \"files",
        "7: : not TOML: invalid basic string, expected `\"`",
    );
    only("identity", "listen", "11: : not TOML: duplicate key");
}

#[test]
fn consoles_on_one_address_are_told_apart_by_host_or_path() {
    let second = |more: &str| {
        let text = "[[console]]\nname = \"b\"\nkind = \"generic\"\nidentity = \"service\"\n\
                    backends = [\"http://b.example.com:80\"]\n";
        problems(&format!("{GOOD}{text}{more}"))
    };
    let same = "listen = \"127.0.0.1:50070\"\n";
    assert_eq!(
        second(same),
        [
            "17: console[1].listen: console `files` answers 127.0.0.1:50070 for door.example.com too, \
          with the same path"
        ]
    );
    assert!(second(&format!("{same}path = \"/b\"\n")).is_empty());
    assert_eq!(
        second("listen = \"0.0.0.0:50070\"\n").len(),
        1,
        "a wildcard takes the port"
    );
    for key in ["accept_proxy", "trusted_proxies"] {
        let more = format!("{same}path = \"/b\"\n{key} = \"10.0.0.1\"\n");
        let expected = format!(
            "17: console[1].listen: 127.0.0.1:50070 is shared with console `files`, whose `{key}` differs"
        );
        assert_eq!(second(&more), [expected]);
    }
    assert!(second("listen = \"0.0.0.0:50071\"\n").is_empty());
    assert!(
        second("listen = [\"0.0.0.0:1\", \"[::]:1\"]\n").is_empty(),
        "two families"
    );
    assert_eq!(second("listen = [\"0.0.0.0:1\", \"0.0.0.0:1\"]\n").len(), 1);
    let other = second("listen = \"127.0.0.1:1\"\nname = \"files\"\n");
    assert_eq!(
        other.len(),
        1,
        "TOML itself refuses the second name: {other:?}"
    );
}

#[test]
fn a_resourcemanager_in_one_origin_with_another_console_is_a_warning() {
    let console = |name: &str, kind: &str, listen: &str, rest: &str| {
        format!(
            "[[console]]\nname = \"{name}\"\nkind = \"{kind}\"\nlisten = \"{listen}\"\n\
             backends = [\"http://{name}.example.com:1\"]\nidentity = \"service\"\n{rest}\n"
        )
    };
    let start = &GOOD[..GOOD.find("[[console]]").unwrap()];
    let warned = |rm: &str, nn: &str| {
        let text = format!("{start}{rm}{nn}");
        let (_, warnings) = check(&text).unwrap();
        let shared = "console `rm` shares 127.0.0.1:80 with console `nn`";
        warnings
            .iter()
            .any(|warning| warning.concern.to_string().contains(shared))
    };
    let here = "127.0.0.1:80";
    let rm = console("rm", "resourcemanager", here, "");
    assert!(warned(
        &rm,
        &console("nn", "namenode", here, "path = \"/webhdfs\"")
    ));
    // another address, or another name, is another origin
    assert!(!warned(&rm, &console("nn", "namenode", "127.0.0.1:81", "")));
    let door = "hosts = [\"door.example.com\"]";
    let proxy = "hosts = [\"proxy.example.com\"]";
    assert!(!warned(
        &console("rm", "resourcemanager", here, proxy),
        &console("nn", "namenode", here, door)
    ));
}

#[test]
fn a_backend_under_a_name_of_the_gateway_is_a_warning_only() {
    let text = with("http://NN1.example.com", "http://proxy.example.com");
    let (_, warnings) = check(&text).unwrap();
    assert!(
        warnings
            .iter()
            .any(|w| w.to_string().contains("run in a circle")),
        "{warnings:?}"
    );
    let found = problems(&with("http://NN1.example.com", "http://127.0.0.1"));
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn every_principal_has_its_realm() {
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
            "10: console[0].backends[0]: nobody to log in to http://nn1.example.com:50070 as",
            "10: console[0].backends[1].url: nobody to log in to http://[::1]:50071 as",
        ]
    );
}

#[test]
fn broken_rules_are_named_one_by_one() {
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
fn each_broken_rule_of_an_entry_is_named_by_number_and_text() {
    let rules =
        r"auth_to_local = ['DEFAULT RULE:[1:$1],RULE:[2:$1] RULE:[1:$9]', 'RULE:[1:$1] (a)']";
    let found = problems(&with("[[console]]", &format!("{rules}\n[[console]]")));
    let wanted = [
        "kerberos.auth_to_local[0]: rule 2 `RULE:[1:$1],RULE:[2:$1]`: rules are separated by white \
         space, or are entries of their own, not by `,`",
        "kerberos.auth_to_local[0]: rule 3 `RULE:[1:$9]`: $9 in the format, but the rule is for 1 \
         component(s)",
        "kerberos.auth_to_local[1]: rule 4 `RULE:[1:$1] (a)`: a blank inside the rule: its parts \
         follow each other without one",
    ];
    let found: Vec<&str> = found
        .iter()
        .filter_map(|line| line.split_once(": "))
        .map(|l| l.1)
        .collect();
    assert_eq!(found, wanted);
}

#[test]
fn rules_that_cannot_be_meant_are_warned_of() {
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
        "kerberos.auth_to_local[2]: rule 4 `DEFAULT` never applies: rule 3 takes",
        3,
    );
}

#[test]
fn the_mechanism_is_read_in_any_case_as_hadoop_does() {
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
fn a_name_that_nobody_has_and_a_group_that_is_not_there_are_warned_of() {
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
fn a_namenode_without_nodes_is_warned_of() {
    let namenode = with("kind = \"generic\"", "kind = \"namenode\"");
    assert!(warnings(&namenode)[0].starts_with("console[0].nodes: without `nodes`"));
    let nodes = namenode + "nodes = { hosts = [\"*.example.com\"], ports = [9864] }\n";
    assert_eq!(warnings(&nodes), [""; 0]);
}

#[test]
fn a_service_console_with_the_principal_of_a_doas_console_is_warned_of() {
    let doas = "[[console]]\nname = \"rm\"\nkind = \"resourcemanager\"\nlisten = \"127.0.0.1:8088\"\n\
                backends = [\"http://rm1.example.com:8088\"]\nidentity = \"doas\"\n";
    let both = format!("{GOOD}{doas}");
    let found = warnings(&both);
    assert_eq!(found.len(), 1, "{found:?}");
    let begin = "console[0].backends[0]: everybody who may use this console is \
                 spnegate/proxy.example.com@EXAMPLE.COM there";
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
fn rules_are_checked_even_where_no_realm_is_known() {
    let text = with("spnegate/proxy", "spnegate@proxy");
    let text = text.replace("[[console]]", "auth_to_local = [\"RULE\"]\n[[console]]");
    let found = problems(&text);
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn hosts_are_those_of_the_keytab_without_case_and_port() {
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
    let with_keytab = |unread: fn() -> Result<Vec<Principal>, Unread>| {
        let read = move |_: &Path| unread();
        let Err(problems) = parse_with(GOOD, Path::new("f"), &read) else {
            return Vec::new();
        };
        problems.list.iter().map(|p| p.fault.to_string()).collect()
    };
    let missing = || Err(Unread::Io(std::io::ErrorKind::NotFound.into()));
    assert_eq!(
        with_keytab(missing),
        ["cannot read merged.keytab: entity not found"]
    );
    assert_eq!(
        with_keytab(|| Ok(Vec::new())),
        ["merged.keytab holds no keys"]
    );
    let found = with_keytab(|| Ok(vec!["a@EXAMPLE.COM".parse().unwrap()]));
    assert_eq!(
        found,
        [
            "merged.keytab holds no HTTP/… key: no client could log in",
            "spnegate/proxy.example.com@EXAMPLE.COM is not in merged.keytab",
        ]
    );
}

proptest! {
    #[test]
    fn arbitrary_text_is_checked_without_panic(text in "\\PC*") {
        let _ = check(&text);
    }

    #[test]
    fn a_mutilated_file_is_checked_without_panic(
        at in 0..GOOD.len(), length in 0_usize..40, new in "[\\[\\]{}=\"'a-z0-9.,\n é-]{0,8}",
    ) {
        let mut text = GOOD.to_owned();
        let end = (at + length).min(text.len());
        text.replace_range(at..end, &new);
        let _ = check(&text);
    }
}
