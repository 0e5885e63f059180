//! Coordinators of Presto and Trino: rewritten URIs, queries that belong to one of several
//! coordinators, and the user a client may name.

use spnegate::testing::Refusal;

use crate::{
    backend::{Backend, Logins, Role, backend, reply, second},
    proxy::{Gateway, Setup, gateway},
    realm::eventually,
    world::world,
};

const QUERY: &str = "20261126_101500_00042_";
const TRANSACTIONS: [&str; 2] = [
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "7c9e6679-7425-40de-944b-e07fc1f90ae7",
];

/// A coordinator whose query ids end in `word`.
fn coordinator(backend: Backend, word: &'static str) -> Backend {
    let address = backend.address();
    backend.logins(Logins::EveryRequest).responds(move |seen| {
        let id = format!("{QUERY}{word}");
        let path = seen.path();
        let json = |status, text: String| {
            reply(status).with("Content-Type", "application/json").body(text)
        };
        if path.starts_with("/ui/") {
            reply(200).body(word)
        } else if seen.method == "DELETE" && !path.starts_with("/v1/statement/") {
            // `QueryResource` and `StageResource` send this for unknown queries
            reply(204)
        } else if seen.method == "POST" {
            json(200, format!(
                r#"{{"id":"{id}","infoUri":"http://{address}/ui/query.html?{id}","partialCancelUri":"http://10.9.9.9:9092/v1/stage/{id}.0","nextUri":"http://{address}/v1/statement/queued/{id}/1","stats":{{"state":"QUEUED"}}}}"#
            ))
        } else if path.contains(&id) {
            json(200, format!(r#"{{"id":"{id}","data":[["{word}"]]}}"#))
        } else {
            reply(404).body("Query not found")
        }
    })
}

fn pair(one: &Backend, two: &Backend) -> Setup {
    gateway()
        .console("presto")
        .identity("doas")
        .backend(one)
        .backend(two)
        .with("balance = \"roundrobin\"")
}

fn both_are_known(gateway: &Gateway) {
    eventually("the probes have seen both", || {
        gateway.admin("/?format=json").matches("\"active\"").count() >= 2
    });
}

fn single(setup: impl FnOnce(Setup) -> Setup) -> (Backend, Gateway) {
    let backend = coordinator(backend(), "aaaaa");
    let gateway = setup(
        gateway()
            .console("presto")
            .identity("doas")
            .backend(&backend),
    )
    .run();
    (backend, gateway)
}

/// Trino's Python client keeps cookies and by default requires a mutual token in every response
/// (`KerberosAuthentication`), but a response to a cookie carries none.
#[test]
fn a_client_that_requires_mutual_authentication_receives_no_cookie() {
    let (_backend, gateway) = single(|setup| setup);
    let session = |agent: &str| {
        let token = world().authorization("alice");
        let request = gateway
            .ask("POST /v1/statement")
            .header("User-Agent", agent);
        let answer = request.header("Authorization", &token).response();
        let proof = answer.header("www-authenticate").unwrap();
        assert!(proof.starts_with("Negotiate "), "{proof}");
        answer.session()
    };
    assert_eq!(session("Trino Python Client/0.340.0"), None);
    assert_eq!(session("python-requests/2.34"), None);
    assert!(session("StatementClientV1/0.296").is_some());
    assert!(session("Mozilla/5.0").is_some());
}

#[test]
fn every_uri_points_to_the_gateway_and_every_request_has_its_own_token() {
    let (backend, gateway) = single(|setup| setup);
    for _ in 0..2 {
        let answer = gateway
            .ask("POST /v1/statement")
            .by("alice")
            .header("Accept-Encoding", "gzip")
            .body("SELECT 1")
            .response();
        assert_eq!(answer.status, 200, "{}", answer.all_text());
        let text = answer.text();
        let host = answer_host(&gateway);
        for path in ["/ui/query.html?", "/v1/stage/", "/v1/statement/queued/"] {
            assert!(
                text.contains(&format!("\"{host}{path}{QUERY}aaaaa")),
                "{text}"
            );
        }
        assert!(!text.contains(&backend.address().to_string()), "{text}");
    }
    // gateways of one process share this counter
    let logins = "spnegate_logins_total{side=\"backend\",result=\"ok\"} ";
    let metrics = gateway.admin("/metrics");
    let counted = metrics.lines().find_map(|line| line.strip_prefix(logins));
    assert!(counted.unwrap().parse::<u64>().unwrap() >= 2);
    let seen = backend.seen();
    let tokens: Vec<_> = seen
        .iter()
        .map(|seen| seen.header("authorization"))
        .collect();
    assert!(tokens[0].is_some() && tokens[0] != tokens[1]);
    assert_eq!(seen[0].header("x-presto-user"), Some("alice"));
    assert_eq!(seen[0].header("accept-encoding"), None);
    assert_eq!(seen[0].body, b"SELECT 1");
}

fn answer_host(gateway: &Gateway) -> String {
    format!(
        "http://{}:{}",
        gateway.world.proxy,
        gateway.address().port()
    )
}

#[test]
fn the_user_is_taken_from_the_ticket_and_client_claims_are_removed() {
    let (backend, gateway) = single(|setup| {
        setup
            .with("become = [{ user = \"etl\", as = [\"bob\"] }, { user = \"hue\", as = [\"*\"] }]")
    });
    for (user, named, told) in [
        ("alice", "bob", "alice"),
        ("alice", "alice", "alice"),
        ("etl", "bob", "bob"),
        ("etl", "carol", "etl"),
        ("hue", "carol", "carol"),
        ("hue", "", "hue"),
    ] {
        backend.forget();
        gateway
            .ask("POST /v1/statement")
            .by(user)
            .header("X-Presto-User", named)
            .header("x_presto_user", "root")
            .header("X-Presto-Prefix-Url", "http://evil/")
            .body("SELECT 1")
            .response();
        let seen = backend.only();
        assert_eq!(
            seen.header("x-presto-user"),
            Some(told),
            "{user} as {named}"
        );
        assert_eq!(seen.header("x_presto_user"), None);
        assert_eq!(seen.header("x-presto-prefix-url"), None);
    }
    backend.forget();
    gateway
        .ask("POST /v1/statement")
        .by("hue")
        .header("X-Presto-User", "bob")
        .header("X-Presto-User", "carol")
        .body("SELECT 1")
        .response();
    assert_eq!(backend.only().header("x-presto-user"), Some("hue"));
}

#[test]
fn a_query_reaches_the_coordinator_that_runs_it() {
    let (one, two) = (
        coordinator(backend(), "aaaaa"),
        coordinator(second(), "bbbbb"),
    );
    let gateway = pair(&one, &two).run();
    both_are_known(&gateway);
    for _ in 0..8 {
        let answer = gateway
            .ask("POST /v1/statement")
            .by("alice")
            .body("SELECT 1")
            .response()
            .text();
        let word = if answer.contains("aaaaa") {
            "aaaaa"
        } else {
            "bbbbb"
        };
        let next = format!("GET /v1/statement/queued/{QUERY}{word}/1");
        let answer = gateway.ask(&next).by("alice").response();
        assert!(answer.text().contains(word), "{}", answer.all_text());
    }
    let strays = |backend: &Backend, word: &str| {
        let seen = backend.seen();
        seen.iter()
            .filter(|seen| seen.method == "GET" && !seen.target.contains(word))
            .count()
    };
    assert_eq!((strays(&one, "aaaaa"), strays(&two, "bbbbb")), (0, 0));
}

#[test]
fn a_query_started_through_another_replica_is_found() {
    let (one, two) = (
        coordinator(backend(), "aaaaa"),
        coordinator(second(), "bbbbb"),
    );
    let gateway = pair(&one, &two).run();
    both_are_known(&gateway);
    for word in ["aaaaa", "bbbbb"] {
        for _ in 0..3 {
            let next = format!("GET /v1/statement/executing/{QUERY}{word}/1");
            let answer = gateway.ask(&next).by("alice").response();
            assert!(answer.text().contains(word), "{}", answer.all_text());
        }
    }
    // at most one wrong guess for each query, after which its coordinator is known
    assert!(one.seen().len() + two.seen().len() <= 8);
    let gone = gateway
        .ask(&format!("GET /v1/statement/executing/{QUERY}zzzzz/1"))
        .by("alice")
        .response();
    assert_eq!(
        (gone.status, gone.text().as_str()),
        (404, "Query not found")
    );
}

#[test]
fn a_drained_coordinator_still_receives_requests_for_its_own_queries() {
    let (one, two) = (
        coordinator(backend(), "aaaaa"),
        coordinator(second(), "bbbbb"),
    );
    let gateway = pair(&one, &two).run();
    both_are_known(&gateway);
    let name = one.address().to_string();
    assert!(crate::balance::spnegate(&gateway, &["backend", "drain", "presto", &name]).0);
    let next = format!("GET /v1/statement/executing/{QUERY}aaaaa/1");
    let answer = gateway.ask(&next).by("alice").response();
    assert!(answer.text().contains("aaaaa"), "{}", answer.all_text());
    gateway
        .ask("POST /v1/statement")
        .by("alice")
        .body("SELECT 1")
        .response();
    assert!(one.seen().iter().all(|seen| seen.method == "GET"));
}

#[test]
pub fn a_query_whose_coordinator_is_down_is_reported_as_owner_gone() {
    let (one, two) = (
        coordinator(backend(), "aaaaa"),
        coordinator(second(), "bbbbb"),
    );
    let gateway = pair(&one, &two).run();
    both_are_known(&gateway);
    let next = format!("GET /v1/statement/executing/{QUERY}aaaaa/1");
    gateway.ask(&next).by("alice").response();
    one.set_role(Role::Standby);
    eventually("the probe has seen it", || {
        gateway.admin("/?format=json").contains("\"down\"")
    });
    gateway
        .ask(&next)
        .by("alice")
        .response()
        .is(Refusal::OwnerGone);
    one.set_role(Role::Active);
    eventually("it is back", || {
        gateway.ask(&next).by("alice").response().status == 200
    });
}

#[test]
fn a_transaction_stays_on_the_coordinator_that_started_it() {
    let (one, two) = (backend(), second());
    let (one, two) = (
        one.logins(Logins::EveryRequest),
        two.logins(Logins::EveryRequest),
    );
    for (server, id) in [(&one, TRANSACTIONS[0]), (&two, TRANSACTIONS[1])] {
        server.set_response(move |seen| {
            let answer = reply(200)
                .with("Content-Type", "application/json")
                .body("{}");
            match seen.header("x-presto-transaction-id") {
                Some("NONE") => answer.with("X-Presto-Started-Transaction-Id", id),
                _ => answer,
            }
        });
    }
    let gateway = pair(&one, &two).run();
    both_are_known(&gateway);
    let post = |id: &str| {
        gateway
            .ask("POST /v1/statement")
            .by("alice")
            .header("X-Presto-Transaction-Id", id)
            .body("SELECT 1")
            .response()
    };
    let id = post("NONE")
        .header("x-presto-started-transaction-id")
        .unwrap()
        .to_owned();
    let home = if id == TRANSACTIONS[0] { &one } else { &two };
    home.forget();
    for _ in 0..5 {
        assert_eq!(post(&id).status, 200);
    }
    assert_eq!(home.seen().len(), 5);
}

/// A Trino coordinator with spooled results that knows only its own segments.
fn spooling(backend: Backend, word: &'static str) -> Backend {
    let address = backend.address();
    backend.logins(Logins::EveryRequest).responds(move |seen| {
        let id = format!("{QUERY}{word}");
        let path = seen.path();
        if path == format!("/v1/spooled/download/{word}") || path == format!("/v1/spooled/ack/{word}") {
            return reply(200).with("Content-Type", "application/octet-stream").body(word);
        }
        if path.starts_with("/v1/spooled/") {
            return reply(500).body("Could not decode segment identifier from URI");
        }
        reply(200).with("Content-Type", "application/json").body(format!(
            r#"{{"id":"{id}","data":{{"encoding":"json","segments":[{{"type":"spooled","uri":"http://{address}/v1/spooled/download/{word}","ackUri":"http://{address}/v1/spooled/ack/{word}","metadata":{{"rowsCount":1}}}},{{"type":"spooled","uri":"https://bucket.example.com/v1/{word}?X-Amz-Signature=1","ackUri":"http://{address}/v1/spooled/ack/{word}"}},{{"type":"inline","data":"W10="}}]}}}}"#
        ))
    })
}

/// Trino's drivers fetch segments by a client without authentication
/// (`unauthenticatedClientBuilder`).
#[test]
fn spooled_results_are_fetched_without_a_login_from_the_coordinator_that_wrote_them() {
    let (one, two) = (spooling(backend(), "aaaaa"), spooling(second(), "bbbbb"));
    let gateway = gateway()
        .console("trino")
        .identity("doas")
        .backend(&one)
        .backend(&two)
        .with("balance = \"roundrobin\"")
        .run();
    both_are_known(&gateway);
    let here = answer_host(&gateway);
    let fetch = |address: &str| {
        let path = address.strip_prefix(&here).expect(address);
        gateway.ask(&format!("GET {path}")).response()
    };
    for word in ["aaaaa", "bbbbb"] {
        let next = format!("GET /v1/statement/executing/{QUERY}{word}/x/1");
        let statement = loop {
            let answer = gateway.ask(&next).by("alice").response();
            let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            if answer["id"].as_str().unwrap().ends_with(word) {
                break answer;
            }
        };
        let segments = &statement["data"]["segments"];
        let text = |field: &str| segments[0][field].as_str().unwrap().to_owned();
        for _ in 0..3 {
            for field in ["uri", "ackUri"] {
                let answer = fetch(&text(field));
                assert_eq!((answer.status, answer.text().as_str()), (200, word));
            }
        }
        let seen = if word == "aaaaa" {
            one.seen()
        } else {
            two.seen()
        };
        let last = seen.last().unwrap();
        assert_eq!(last.target, format!("/v1/spooled/ack/{word}"));
        assert_eq!(last.header("x-trino-user"), Some("alice"));
        assert!(last.header("authorization").is_some());
        // an object storage is not a coordinator: its address is unchanged
        let storage = format!("https://bucket.example.com/v1/{word}?X-Amz-Signature=1");
        assert_eq!(segments[1]["uri"], storage);
        assert_eq!(segments[2]["data"], "W10=");

        let before = one.seen().len() + two.seen().len();
        fetch(&text("uri").replace("download", "ack")).is(Refusal::NodeLink);
        fetch(&text("uri").replace("spnegate-server=", "spnegate-server=0")).is(Refusal::NodeLink);
        let unsigned = format!("{here}/v1/spooled/download/{word}");
        fetch(&unsigned).is(Refusal::LoginRequired);
        assert_eq!(one.seen().len() + two.seen().len(), before);
    }
}

/// `protocol.spooling.retrieval-mode = WORKER_PROXY`
#[test]
fn spooled_results_on_a_worker_are_fetched_by_a_signed_link_without_a_login() {
    let worker = second()
        .logins(Logins::Open)
        .responds(|_| reply(200).body("rows"));
    let elsewhere = format!("{}/v1/spooled/download/a", worker.url());
    let coordinator = backend();
    let address = coordinator.address();
    let coordinator = coordinator.logins(Logins::EveryRequest).responds(move |seen| {
        if seen.path().starts_with("/v1/spooled/") {
            return reply(303).with("Location", &elsewhere);
        }
        let json = reply(200).with("Content-Type", "application/json");
        json.body(format!(
            r#"{{"id":"{QUERY}aaaaa","data":{{"segments":[{{"uri":"http://{address}/v1/spooled/download/a"}}]}}}}"#
        ))
    });
    let gateway = gateway()
        .console("trino")
        .identity("doas")
        .backend(&coordinator)
        .with(&format!(
            "nodes = {{ hosts = [\"{}\"], ports = [{}] }}",
            worker.address().ip(),
            worker.address().port()
        ))
        .run();
    let here = answer_host(&gateway);
    let statement = format!("GET /v1/statement/executing/{QUERY}aaaaa/x/1");
    let statement = gateway.ask(&statement).by("alice").response();
    let statement: serde_json::Value = serde_json::from_slice(&statement.body).unwrap();
    let path = |link: &str| link.strip_prefix(&here).expect(link).to_owned();
    let segment = path(statement["data"]["segments"][0]["uri"].as_str().unwrap());
    let sent = gateway.ask(&format!("GET {segment}")).response();
    assert_eq!(sent.status, 303, "{}", sent.all_text());
    let link = path(sent.header("location").unwrap());
    gateway.ask(&format!("GET {link}")).response().is_ok("rows");
    assert_eq!(worker.only().target, "/v1/spooled/download/a");
    assert_eq!(worker.only().header("authorization"), None);
}

/// `self` is the address under which the workers know their coordinator.
#[test]
fn uris_with_a_coordinators_own_name_are_rewritten_to_the_gateway() {
    let backend = backend().logins(Logins::EveryRequest).responds(|_| {
        let json = reply(200).with("Content-Type", "application/json");
        json.body(format!(
            r#"[{{"queryId":"{QUERY}aaaaa","self":"http://10.9.9.9:9092/v1/query/{QUERY}aaaaa","query":"http://10.9.9.9:9092/v1/query/x","outputStage":{{"self":"http://10.9.9.9:9092/v1/stage/{QUERY}aaaaa.0","tasks":[{{"taskStatus":{{"self":"http://10.1.1.1:9092/v1/task/{QUERY}aaaaa.0.0.0.0"}}}}]}}}}]"#
        ))
    });
    let gateway = gateway()
        .console("presto")
        .identity("doas")
        .backend(&backend)
        .run();
    let here = answer_host(&gateway);
    let answer = gateway.ask("GET /v1/query").by("alice").response();
    let answer: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let query = &answer[0];
    assert_eq!(query["self"], format!("{here}/v1/query/{QUERY}aaaaa"));
    let stage = &query["outputStage"];
    assert_eq!(stage["self"], format!("{here}/v1/stage/{QUERY}aaaaa.0"));
    // a task is not published, and the text of a statement may look like anything
    let task = format!("http://10.1.1.1:9092/v1/task/{QUERY}aaaaa.0.0.0.0");
    assert_eq!(stage["tasks"][0]["taskStatus"]["self"], task);
    assert_eq!(query["query"], "http://10.9.9.9:9092/v1/query/x");
}

/// Two coordinators, and a gateway that has not seen the start of any query.
fn restarted() -> (Backend, Backend, Gateway) {
    let (one, two) = (
        coordinator(backend(), "aaaaa"),
        coordinator(second(), "bbbbb"),
    );
    let gateway = pair(&one, &two).run();
    both_are_known(&gateway);
    (one, two, gateway)
}

fn poll(gateway: &Gateway, word: &str) -> u16 {
    let next = format!("GET /v1/statement/executing/{QUERY}{word}/1");
    gateway.ask(&next).by("alice").response().status
}

#[test]
fn a_page_that_mentions_a_query_does_not_assign_it_to_a_coordinator() {
    let (_one, _two, gateway) = restarted();
    for word in ["aaaaa", "bbbbb"] {
        // each coordinator receives one request for each query
        for _ in 0..2 {
            let page = format!("GET /ui/query.html?{QUERY}{word}");
            assert_eq!(gateway.ask(&page).by("alice").response().status, 200);
        }
        for _ in 0..4 {
            assert_eq!(poll(&gateway, word), 200);
        }
    }
}

#[test]
fn a_transaction_id_invented_by_the_client_is_not_assigned_to_a_coordinator() {
    let (_one, _two, gateway) = restarted();
    for id in ["aaaaa", "bbbbb", TRANSACTIONS[0]] {
        for _ in 0..2 {
            let statement = gateway
                .ask("POST /v1/statement")
                .by("mallory")
                .header("X-Presto-Transaction-Id", id);
            assert_eq!(statement.body("SELECT 1").response().status, 200);
        }
    }
    for word in ["aaaaa", "bbbbb", "aaaaa", "bbbbb"] {
        assert_eq!(poll(&gateway, word), 200);
    }
}

/// The suffix of query ids is drawn at random when a coordinator starts.
#[test]
fn a_query_unknown_to_its_expected_coordinator_is_looked_for_on_the_others() {
    let (one, two, gateway) = restarted();
    assert_eq!(
        (poll(&gateway, "aaaaa"), poll(&gateway, "bbbbb")),
        (200, 200)
    );
    let swapped = |word: &'static str| {
        move |seen: &crate::backend::Seen| {
            let id = format!("{QUERY}{word}");
            if seen.path().contains(&id) {
                let json = reply(200).with("Content-Type", "application/json");
                json.body(format!(r#"{{"id":"{id}"}}"#))
            } else {
                reply(404).body("Query not found")
            }
        }
    };
    one.set_response(swapped("bbbbb"));
    two.set_response(swapped("aaaaa"));
    assert_eq!(
        (poll(&gateway, "aaaaa"), poll(&gateway, "bbbbb")),
        (200, 200)
    );
    // the location is cached
    one.forget();
    assert_eq!(poll(&gateway, "aaaaa"), 200);
    assert_eq!(one.seen().len(), 0);
    assert_eq!(poll(&gateway, "zzzzz"), 404);
}

#[test]
fn a_cancel_reaches_the_coordinator_that_runs_the_query() {
    let (one, two, gateway) = restarted();
    for path in [
        format!("/v1/stage/{QUERY}bbbbb.0"),
        format!("/v1/query/{QUERY}aaaaa"),
    ] {
        one.forget();
        two.forget();
        let cancel = gateway
            .ask(&format!("DELETE {path}"))
            .by("alice")
            .response();
        assert_eq!(cancel.status, 204, "{}", cancel.all_text());
        assert_eq!((one.seen().len(), two.seen().len()), (1, 1), "{path}");
    }
}

/// Servers of a cluster would be reached with the gateway's login, and `TaskResource` takes the
/// user from the body.
#[test]
pub fn the_internal_interface_is_not_published() {
    for (kind, published, internal) in [
        (
            "presto",
            [
                "GET /",
                "GET /ui/",
                "GET /ui/assets/presto.css",
                "GET /v1/info",
                "GET /v1/cluster",
                "GET /v1/query",
                "GET /v1/query/20261126_101500_00042_aaaaa",
                "PUT /v1/query/20261126_101500_00042_aaaaa/killed",
                "GET /v1/resourceGroupState/global",
                "GET /v1/worker/node-1/thread",
            ],
            [
                "POST /v1/task/20261126_101500_00042_aaaaa.0.0.0.0",
                "GET /v1/task/20261126_101500_00042_aaaaa.0.0.0.0/results/0/0",
                "GET /v1/task/async/20261126_101500_00042_aaaaa.0.0.0.0/results/0/0",
                "PUT /v1/proxy_header/node-1",
                "GET /v1/service",
                "POST /v1/memory",
                "GET /v1/memory/general",
                "GET /v1/thread",
                "PUT /v1/heartbeat",
                "GET /v1/status",
                "GET /v1/node",
                "PUT /v1/info/state",
                "GET /v1/jmx/mbean",
                "GET /v1//task",
                "GET /V1/task",
                "GET /v1;x/task",
                "GET /ui;/../v1",
                "GET /v1/statement/;x/task",
                "PUT /v1/statement/20261126_101500_00042_aaaaa?slug=x",
                "OPTIONS /v1/task",
            ]
            .as_slice(),
        ),
        (
            "trino",
            [
                "GET /",
                "GET /ui/",
                "GET /ui/api/stats",
                "GET /ui/preview/assets/index.js",
                "PUT /ui/api/query/20261126_101500_00042_aaaaa/killed",
                "HEAD /v1/statement",
                "GET /v1/info",
                "DELETE /v1/statement/executing/partialCancel/20261126_101500_00042_aaaaa/1/x/2",
                "GET /v1/spooled/download/abc",
                "GET /v1/spooled/ack/abc",
            ],
            [
                "POST /v1/task/20261126_101500_00042_aaaaa.0.0.0",
                "POST /v1/task/pruneCatalogs",
                "GET /v1/memory",
                "PUT /v1/proxy_header/node-1",
                "GET /v1/thread",
                "GET /v1/node",
                "GET /v1/status",
                "GET /v1/maxActiveSplits",
                "PUT /v1/info/state",
                "GET /metrics",
                "GET /v1/integrations/gateway/query",
                "GET /oauth2/callback",
                "POST /v1/spooled/download/abc",
                // with these headers a client would name its own user
                "POST /ui/login",
                "POST /ui/preview/auth/login",
            ]
            .as_slice(),
        ),
    ] {
        let backend = coordinator(backend(), "aaaaa");
        let setup = gateway().console(kind).identity("doas");
        let gateway = setup.backend(&backend).run();
        for line in published {
            backend.forget();
            let answer = gateway.ask(line).by("alice").response();
            assert_eq!(backend.seen().len(), 1, "{line}: {}", answer.all_text());
        }
        backend.forget();
        for line in internal {
            let answer = gateway.ask(line).by("alice").body("{}").response();
            assert!([400, 403].contains(&answer.status), "{line}");
            if !line.contains("..") {
                answer.is(Refusal::NotPublished);
            }
            assert_eq!(backend.seen().len(), 0, "{line}");
        }
    }
}

#[test]
fn a_form_that_names_a_user_is_accepted_only_by_consoles_without_login() {
    let backend = coordinator(backend(), "aaaaa").logins(Logins::Open);
    let setup = gateway().console("trino").identity("none");
    let gateway = setup.backend(&backend).run();
    gateway
        .ask("POST /ui/login")
        .form("username=alice")
        .response();
    assert_eq!(backend.only().body, b"username=alice");
    gateway
        .ask("POST /v1/task/x")
        .body("{}")
        .response()
        .is(Refusal::NotPublished);
}

#[test]
fn a_statement_is_not_sent_twice_when_its_connection_breaks() {
    let (one, two) = (
        coordinator(backend(), "aaaaa"),
        coordinator(second(), "bbbbb"),
    );
    let gateway = pair(&one, &two).run();
    both_are_known(&gateway);
    for server in [&one, &two] {
        server.set_response(|_| {
            crate::backend::raw(b"HTTP/1.1 2").then(crate::backend::AfterResponse::Close)
        });
    }
    let answer = gateway
        .ask("POST /v1/statement")
        .by("alice")
        .body("INSERT")
        .response();
    answer.is(Refusal::BackendBroken);
    assert_eq!(one.seen().len() + two.seen().len(), 1);
}

#[test]
fn without_login_the_clients_user_header_is_passed_on() {
    let backend = coordinator(backend(), "aaaaa").logins(Logins::Open);
    let gateway = gateway()
        .console("presto")
        .identity("none")
        .backend(&backend)
        .run();
    let answer = gateway
        .ask("POST /v1/statement")
        .header("X-Presto-User", "carol")
        .header("X-Presto-Prefix-Url", "http://evil/")
        .header("Authorization", "Basic YTpi")
        .body("SELECT 1")
        .response();
    assert_eq!(answer.status, 200, "{}", answer.all_text());
    assert!(
        answer.text().contains(&answer_host(&gateway)),
        "{}",
        answer.text()
    );
    let seen = backend.only();
    assert_eq!(seen.header("x-presto-user"), Some("carol"));
    assert_eq!(seen.header("x-presto-prefix-url"), None);
    assert_eq!(seen.header("authorization"), None);
}

#[test]
fn a_coordinator_without_kerberos_receives_the_user_of_the_ticket() {
    let backend = coordinator(backend(), "aaaaa").logins(Logins::Open);
    let gateway = gateway()
        .console("presto")
        .identity("simple")
        .backend(&backend)
        .run();
    let ask = || gateway.ask("POST /v1/statement").body("SELECT 1");
    ask().response().is(Refusal::LoginRequired);
    ask().by("alice").response();
    let seen = backend.only();
    assert_eq!(seen.header("x-presto-user"), Some("alice"));
    assert_eq!((seen.header("authorization"), seen.query()), (None, ""));
}

#[test]
fn options_for_the_whole_server_is_sent_as_the_user() {
    let backend = backend();
    let gateway = gateway()
        .console("namenode")
        .identity("doas")
        .backend(&backend)
        .run();
    let answer = gateway.ask("OPTIONS *").by("alice").response();
    answer.is_ok("alice");
    assert_eq!(backend.only().target, "/?doas=alice");
}
