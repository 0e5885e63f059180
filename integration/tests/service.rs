//! Consoles with `identity = "service"` in front of real servers: credentials of the gateway do not
//! reach clients, although each server would issue them.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::sync::OnceLock;

use lab::{Console, Filter, GATEWAY, Gateway, Lab, Server};

struct Stage {
    lab: Lab,
    gateway: Gateway,
}

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| {
        let patience = std::time::Duration::from_secs(600);
        let lab = Lab::builder()
            .with(Server::YARN)
            .with([Server::Httpfs])
            // the ResourceManager then has Hadoop's `DelegationTokenAuthenticationHandler`
            .filter(Filter::Plain)
            .wait_for_turn(patience)
            .start()
            .unwrap();
        let mut builder = Gateway::builder(&lab);
        for console in [Console::NameNode, Console::ResourceManager, Console::HttpFs] {
            builder = builder.console_as(console, "service");
        }
        let gateway = builder.start().unwrap();
        Stage { lab, gateway }
    })
}

/// What each server would hand out: console, curl's arguments, path, and what is in the answer.
const TOKENS: &[(Console, &[&str], &str, &str)] = &[
    (
        Console::NameNode,
        &[],
        "/webhdfs/v1/?op=GETDELEGATIONTOKEN",
        "urlString",
    ),
    (
        Console::NameNode,
        &["-X", "PUT"],
        "/webhdfs/v1/tmp/x?op=CREATE&noredirect=true",
        "delegation=",
    ),
    (
        Console::HttpFs,
        &[],
        "/webhdfs/v1/any/path?op=getdelegationtoken",
        "urlString",
    ),
    (
        Console::ResourceManager,
        &[],
        "/cluster?op=GETDELEGATIONTOKEN",
        "urlString",
    ),
    (
        Console::ResourceManager,
        &[],
        "/any/path?a=b&op=GetDelegationToken&renewer=alice",
        "urlString",
    ),
    (
        Console::ResourceManager,
        &[
            "-X",
            "POST",
            "-H",
            "Content-Type: application/json",
            "-d",
            "{\"renewer\":\"alice\"}",
        ],
        "/ws/v1/cluster/delegation-token",
        "\"token\"",
    ),
];

#[test]
fn no_delegation_token_of_the_gateway_is_issued_though_each_server_would() {
    let Stage { lab, gateway } = stage();
    for (console, arguments, path, secret) in TOKENS {
        let with = |url: &str| [arguments, &[url][..]].concat().join("\u{1}");
        let fetch = |user: &str, url: String| {
            let line = with(&url);
            let arguments: Vec<&str> = line.split('\u{1}').collect();
            lab.fetch(user, &arguments).unwrap()
        };
        // the servers themselves, asked by the gateway's principal
        let backends = console.backends(lab);
        let issued = backends.iter().filter(|backend| {
            let answer = fetch(GATEWAY, format!("{backend}{path}"));
            let got = answer.status == 200 && answer.body.contains(secret);
            println!(
                "{backend}{path}: {} {}",
                answer.status,
                if got { "a token" } else { "-" }
            );
            got
        });
        assert!(
            issued.count() > 0,
            "{console:?} {path}: no server issues it"
        );
        let refused = fetch("alice", Gateway::url(*console, path));
        assert_eq!(refused.status, 403, "{console:?} {path}: {refused:?}");
        assert_eq!(
            refused.headers("x-spnegate-reason"),
            ["credential_denied"],
            "{console:?} {path}: {refused:?}"
        );
        assert!(!refused.body.contains(secret), "{refused:?}");
    }
    let word = "spnegate_refusals_total{reason=\"credential_denied\"}";
    assert!(gateway.metric(word).unwrap() > 5.5);
}

#[test]
fn other_requests_run_as_the_gateway() {
    let Stage { lab, .. } = stage();
    for (console, path, words) in [
        (
            Console::NameNode,
            "/webhdfs/v1/?op=GETHOMEDIRECTORY",
            "/user/spnegate",
        ),
        (
            Console::ResourceManager,
            "/ws/v1/cluster/metrics",
            "clusterMetrics",
        ),
    ] {
        let answer = lab.fetch("alice", &[&Gateway::url(console, path)]).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains(words), "{answer:?}");
    }
}
