//! Whole files: the problems of bad ones, the values of good ones.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use proptest::prelude::*;

use super::{
    super::{Balance, Config, IdentityMode, Problems, Warning},
    kerberos::keytab::KeytabReadError,
    parse_with,
};
use crate::{
    balance::Algorithm,
    gss::{Principal, ReplayCache},
};

mod kerberos;
mod listeners;
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
    reason = "it replaces a function that may fail"
)]
fn keytab(_: &Path) -> Result<Vec<Principal>, KeytabReadError> {
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

/// `key: text` of each warning except that of the missing secret.
fn warnings(text: &str) -> Vec<String> {
    let (_, warnings) = check(text).unwrap();
    let line = |w: &Warning| format!("{}: {}", w.position.key, w.kind);
    let all = warnings.iter().map(line);
    all.filter(|line| !line.starts_with("session: ")).collect()
}

/// `line: key: text` of each problem.
pub(super) fn problems(text: &str) -> Vec<String> {
    let Err(problems) = check(text) else {
        return Vec::new();
    };
    assert!(!problems.list.is_empty());
    let line = |p: &super::super::problem::Problem| {
        let position = &p.position;
        format!("{}: {}: {}", position.line(), position.key, p.kind)
    };
    problems.list.iter().map(line).collect()
}

/// The good file with a part replaced.
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
    assert_eq!(console.balance, Balance::By(Algorithm::First));
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
fn all_problems_of_a_file_are_reported_in_one_run() {
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
        "6: timeouts.head: wrong type: a whole number",
        "7: timeouts.idle: invalid duration `60`",
        "11: kerberos.principal: dir/merged.keytab contains no key of nobody@EXAMPLE.COM",
        "14: session.zookeeper: not supported in this version",
        "17: log.format: invalid value `jsonn`",
        "19: console[0].identity: missing",
        "20: console[0].name: invalid console name `NameNode`",
        "21: console[0].kind: invalid value `generik`",
        "22: console[0].listen: invalid listen address `50070`",
        "23: console[0].hosts[0]: dir/merged.keytab contains no key of HTTP/other.example.com",
        "24: console[0].backends[0]: invalid backend URL `nn1:50470`",
        "24: console[0].backends[1].url: invalid backend URL `http://nn2:50070/dfs`",
        "31: console[1].backends[0]: the backend http://127.0.0.1:8088 is the gateway's own listener \
         0.0.0.0:8088, which would be an endless loop",
        "32: console[1].identity: `hadoop-cookie` is not supported in this version",
        "33: console[1].allow: `allow` lists no users and no groups",
        "34: console[1].nodes.hosts[0]: invalid node pattern `*`",
        "34: console[1].nodes.ports[0]: out of range",
        "35: console[1].redirect_from: `redirect_from` redirects to TLS, but this console has no \
         `tls`",
        "35: console[1].redirect_from: cannot listen on 0.0.0.0:8088: it conflicts with 0.0.0.0:8088 \
         of console `rm`",
        "36: console[1].retry.buffer: invalid size `64KB`",
        "40: stream[0].protocols[1]: invalid value `sctp`",
        "41: stream[0].listen: cannot listen on 0.0.0.0:8088: it conflicts with 0.0.0.0:8088 of \
         console `rm`",
        "41: stream[0].listen: cannot listen on 0.0.0.0:8088: it conflicts with 0.0.0.0:8088 of \
         console `rm`",
        "42: stream[0].backends[0]: invalid server address `kdc1`",
        "42: stream[0].backends[1]: the server 127.0.0.1:8088 is the gateway's own listener \
         0.0.0.0:8088, which would be an endless loop",
        "42: stream[0].backends[1].send_proxy: invalid value `v3`",
        "43: stream[0].allow[0]: invalid network `10.0.0.0/40`",
        "44: stream[0].udp_responses: this key needs \"udp\" in `protocols`",
        "46: kdc_proxy[0].listen: missing",
        "47: kdc_proxy[0].realm: invalid Kerberos realm `EXAMPLE COM`",
        "48: kdc_proxy[0].backends: empty",
    ];
    assert_eq!(found, expected, "{found:#?}");
}

#[test]
fn a_problem_is_shown_with_its_line_and_a_cure() {
    let Err(problems) = check(&with("kind =", "knd =")) else {
        panic!("an unknown key is accepted");
    };
    let shown = problems.to_string();
    assert!(
        shown.contains(
            "\
error: console[0].knd: unknown key
 --> dir/spnegate.toml:8:1
  |
8 | knd = \"generic\"
  | ^^^
  |
  = help: Did you mean `kind`? Valid: name, kind,"
        ),
        "{shown}"
    );
}

#[test]
fn a_missing_section_is_shown_without_a_line() {
    let Err(problems) = check("") else {
        panic!("an empty file is accepted");
    };
    let shown = problems.to_string();
    let first = "error: console: missing\n--> dir/spnegate.toml:1:1\n = help: Add a";
    assert!(shown.starts_with(first), "{shown}");
}

#[test]
fn a_syntax_error_does_not_hide_other_problems() {
    let text = "[server]\nworkers =\n[log]\nformat = \"jsonn\"\nlevel = \"info\"\n";
    assert_eq!(
        problems(text),
        [
            "2: : invalid TOML: string values must be quoted, expected literal string",
            "4: log.format: invalid value `jsonn`",
        ]
    );
}

#[test]
fn consequences_of_a_syntax_error_are_not_reported() {
    let only = |old, new, expected: &str| assert_eq!(problems(&with(old, new)), [expected]);
    only(
        "[kerberos]",
        "[kerberos",
        "2: : invalid TOML: unclosed table, expected `]`",
    );
    only(
        "name = \"files\"",
        "name = \"files",
        "7: : invalid TOML: invalid basic string, expected `\"`",
    );
    only("identity", "listen", "11: : invalid TOML: duplicate key");
}

#[test]
fn a_namenode_without_nodes_is_a_warning() {
    let namenode = with("kind = \"generic\"", "kind = \"namenode\"");
    assert!(warnings(&namenode)[0].starts_with("console[0].nodes: without `nodes`"));
    let nodes = namenode + "nodes = { hosts = [\"*.example.com\"], ports = [9864] }\n";
    assert_eq!(warnings(&nodes), [""; 0]);
}

/// Checks a file and renders everything that is found.
fn render(text: &str) {
    match check(text) {
        Ok((_, warnings)) => warnings
            .iter()
            .for_each(|warning| drop(warning.to_string())),
        Err(problems) => drop(problems.to_string()),
    }
}

proptest! {
    #[test]
    fn arbitrary_text_is_checked_without_panic(text in "\\PC*") {
        render(&text);
    }

    #[test]
    fn a_mutilated_file_is_checked_without_panic(
        at in 0..GOOD.len(), length in 0_usize..40, new in "[\\[\\]{}=\"'a-z0-9.,\n é-]{0,8}",
    ) {
        let mut text = GOOD.to_owned();
        let end = (at + length).min(text.len());
        text.replace_range(at..end, &new);
        render(&text);
    }
}
