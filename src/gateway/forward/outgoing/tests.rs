use std::{sync::atomic::AtomicBool, time::Duration};

use http::Request;

use super::*;
use crate::{
    auth::{
        secret::Secret,
        session::{SessionLimits, Sessions},
    },
    gateway::console::ReportedTargets,
    identity::become_rules::{BecomeRule, BecomeRules},
    kinds::Kind,
    rewrite::{link::LinkKey, node::NodeLogin},
    upstream::{
        Timeouts,
        group::{Balance, BalancePolicy},
    },
};

const MODES: [IdentityMode; 4] = [
    IdentityMode::Service,
    IdentityMode::DoAs,
    IdentityMode::Simple,
    IdentityMode::None,
];

/// A user whose name occurs nowhere else in a request.
const USER: &str = "alice";

fn console(kind: &'static dyn Kind, identity: IdentityMode) -> Console {
    let secret = Secret::random().unwrap();
    let second = Duration::from_secs(1);
    let limits = SessionLimits {
        lifetime: second,
        idle: second,
        capacity: 1,
    };
    Console {
        name: "console".into(),
        kind,
        hosts: vec!["proxy.example.com".into()],
        logged: false,
        identity,
        become_rules: BecomeRules::default(),
        forwarded: Forwarded::Off,
        backends: Vec::new(),
        retry_buffer: 0,
        nodes: None,
        node_login: NodeLogin::Link,
        node_trust: None,
        link_key: Arc::new(LinkKey::new(secret.key(LinkKey::PURPOSE))),
        listen: Vec::new(),
        consoles: Arc::default(),
        leaving: ReportedTargets::default(),
        sessions: Sessions::new(limits, &secret),
        timeouts: Timeouts {
            connect: second,
            first_byte: second,
            body_idle: second,
            min_upload_rate: 0,
            hold: second,
        },
        pass_cookies: Arc::new([]),
        withheld: AtomicBool::new(false),
    }
}

/// Sends a request through all steps; the client names `root` everywhere it can.
fn sent(console: &Console) -> Outgoing {
    let policy = BalancePolicy::plain(Balance::Active, 0);
    let group = BackendGroup::new("console".into(), Vec::new(), policy);
    let request = Request::get("/page?doAs=root&user.name=root&keep=1")
        .header("host", "proxy.example.com")
        .header("x-presto-user", "root")
        .header("x-trino-user", "root");
    let (mut parts, ()) = request.body(()).unwrap().into_parts();
    outgoing(console, &group, &mut parts, USER).unwrap()
}

fn headers_with(out: &Outgoing, user: &str) -> Vec<String> {
    let named = out.headers.iter().filter(|(_, value)| *value == user);
    named.map(|(name, _)| name.to_string()).collect()
}

#[test]
fn a_user_claim_in_the_query_is_the_first_parameter_of_the_target() {
    for (name, identity, target) in [
        ("namenode", IdentityMode::DoAs, "/page?doas=alice&keep=1"),
        ("oozie", IdentityMode::DoAs, "/page?doAs=alice&keep=1"),
        ("hiveserver2", IdentityMode::DoAs, "/page?doAs=alice&keep=1"),
        (
            "namenode",
            IdentityMode::Simple,
            "/page?user.name=alice&keep=1",
        ),
    ] {
        let out = sent(&console(kinds::named(name).unwrap(), identity));
        assert_eq!(out.target.to_string(), target, "{name}");
        assert_eq!(out.query, "keep=1", "{name}");
        assert!(headers_with(&out, USER).is_empty(), "{name}");
    }
}

#[test]
fn a_user_claim_in_a_header_replaces_the_clients_own_header() {
    for (name, header) in [("trino", "x-trino-user"), ("presto", "x-presto-user")] {
        for identity in [IdentityMode::DoAs, IdentityMode::Simple] {
            let out = sent(&console(kinds::named(name).unwrap(), identity));
            assert_eq!(headers_with(&out, USER), [header], "{name}");
            assert!(headers_with(&out, "root").is_empty(), "{name}");
            assert_eq!(out.target.to_string(), "/page?keep=1", "{name}");
        }
    }
}

#[test]
fn a_header_names_another_user_where_become_allows_it() {
    let mut console = console(kinds::named("presto").unwrap(), IdentityMode::DoAs);
    console.become_rules = BecomeRules(vec![BecomeRule {
        user: USER.into(),
        as_users: vec!["root".into()],
    }]);
    let out = sent(&console);
    assert_eq!(headers_with(&out, "root"), ["x-presto-user"]);
    assert!(headers_with(&out, USER).is_empty());
}

#[test]
fn without_a_user_claim_neither_the_target_nor_a_header_names_a_user() {
    for (name, identity) in [
        ("namenode", IdentityMode::Service),
        ("trino", IdentityMode::Service),
        ("hiveserver2", IdentityMode::Simple),
    ] {
        let out = sent(&console(kinds::named(name).unwrap(), identity));
        assert_eq!(out.target.to_string(), "/page?keep=1", "{name}");
        assert!(headers_with(&out, USER).is_empty(), "{name}");
        assert!(headers_with(&out, "root").is_empty(), "{name}");
    }
}

#[test]
fn with_identity_none_the_clients_own_claim_passes_unchanged() {
    let out = sent(&console(
        kinds::named("namenode").unwrap(),
        IdentityMode::None,
    ));
    assert_eq!(
        out.target.to_string(),
        "/page?doAs=root&user.name=root&keep=1"
    );
    assert_eq!(
        headers_with(&out, "root"),
        ["x-presto-user", "x-trino-user"]
    );
    assert!(headers_with(&out, USER).is_empty());
}

/// The exhaustive `match` makes a new variant of [`UserClaim`] fail to compile until it is listed.
#[test]
fn every_user_claim_of_every_kind_reaches_the_request() {
    for &kind in kinds::ALL {
        for identity in MODES {
            let console = console(kind, identity);
            let claim = UserClaim::read(&console, &HeaderMap::new(), USER).unwrap();
            let out = sent(&console);
            let target = out.target.to_string();
            let headers = headers_with(&out, USER);
            let case = format!("{} {}", kind.name(), identity.as_str());
            match claim {
                UserClaim::Query(name) => {
                    let start = format!("/page?{name}={USER}");
                    assert!(target.starts_with(&start), "{case}: {target}");
                    assert!(headers.is_empty(), "{case}: {headers:?}");
                }
                UserClaim::Header(name, value) => {
                    assert_eq!(out.headers.get_all(&name).iter().count(), 1, "{case}");
                    assert_eq!(out.headers[&name], value, "{case}");
                    assert!(!target.contains(USER), "{case}: {target}");
                }
                UserClaim::Nothing => {
                    assert!(!target.contains(USER), "{case}: {target}");
                    assert!(headers.is_empty(), "{case}: {headers:?}");
                }
            }
        }
    }
}
