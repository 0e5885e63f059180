//! Every kind against answers as its servers give them, and a Presto-shaped kind that shows that
//! the trait is enough for a server of another world.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

/// An answer, built fluently.
#[derive(Default)]
struct Answer {
    status: StatusCode,
    reason: &'static str,
    headers: HeaderMap,
    body: String,
}

fn answer(status: u16) -> Answer {
    let status = StatusCode::from_u16(status).unwrap();
    Answer {
        status,
        ..Answer::default()
    }
}

fn json(status: u16, body: &str) -> Answer {
    answer(status)
        .with("content-type", "application/json;charset=utf-8")
        .body(body)
}

impl Answer {
    fn reason(mut self, reason: &'static str) -> Self {
        self.reason = reason;
        self
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        );
        self
    }

    fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    fn head(&self) -> Head<'_> {
        Head {
            status: self.status,
            reason: self.reason.as_bytes(),
            headers: &self.headers,
        }
    }

    /// The verdict, with the body only where the kind wants it.
    fn verdict(&self, kind: &str, path: &str) -> Verdict {
        let kind = named(kind).unwrap();
        let body = if kind.needs_body(&self.head()) {
            self.body.as_bytes()
        } else {
            b""
        };
        let backends: [Arc<str>; 2] =
            ["rm1.example.com:8088".into(), "rm2.example.com:8088".into()];
        let asked = Asked {
            method: &Method::GET,
            path,
            query: "",
        };
        kind.verdict(&asked, &self.head(), body, &backends)
    }

    fn health(&self, kind: &str) -> Health {
        named(kind)
            .unwrap()
            .health(&self.head(), self.body.as_bytes())
    }

    fn obeys(&self, kind: &str, user: &str) -> Obeys {
        named(kind)
            .unwrap()
            .obeys(&self.head(), self.body.as_bytes(), user)
    }
}

fn remote(status: u16, exception: &str, message: &str) -> Answer {
    json(
        status,
        &format!(
            r#"{{"RemoteException":{{"exception":"{exception}","javaClassName":"x.{exception}","message":"{message}"}}}}"#
        ),
    )
}

#[test]
fn names_are_unique_and_found() {
    for kind in ALL {
        assert_eq!(named(kind.name()).unwrap().name(), kind.name());
        assert_eq!(
            ALL.iter()
                .filter(|other| other.name() == kind.name())
                .count(),
            1
        );
    }
    assert!(named("nonesuch").is_none());
}

#[test]
fn a_failed_login_is_told_from_a_refused_user() {
    for kind in ALL {
        for failed in [
            answer(401)
                .reason("Authentication required")
                .with("www-authenticate", "Negotiate"),
            answer(401),
            answer(403).reason("GSSException: Failure unspecified at GSS-API level"),
            answer(403).reason("java.nio.BufferUnderflowException"),
            answer(403).reason("org.ietf.jgss.GSSException: x"),
        ] {
            assert_eq!(failed.verdict(kind.name(), "/x"), Verdict::LoginFailed);
        }
        for about_the_user in [
            answer(403).reason("Forbidden"),
            answer(403).reason("User: gw is not allowed to impersonate carol"),
            remote(
                403,
                "AuthorizationException",
                "User: gw is not allowed to impersonate carol",
            ),
            remote(
                403,
                "AccessControlException",
                "Permission denied: user=alice",
            ),
        ] {
            assert_eq!(
                about_the_user.verdict(kind.name(), "/webhdfs/v1/x"),
                Verdict::Answer
            );
        }
    }
}

// === namenode ===

#[test]
fn a_standby_namenode_sends_elsewhere_and_other_exceptions_are_answers() {
    let standby = remote(
        403,
        "StandbyException",
        "Operation category READ is not supported",
    );
    assert_eq!(
        standby.verdict("namenode", "/webhdfs/v1/tmp"),
        Verdict::Standby
    );
    assert_eq!(standby.verdict("namenode", "/other"), Verdict::Answer);
    let observer = remote(403, "ObserverRetryOnActiveException", "m");
    assert_eq!(
        observer.verdict("namenode", "/webhdfs/v1/tmp"),
        Verdict::Standby
    );
    for exception in [
        "RetriableException",
        "SafeModeException",
        "FileNotFoundException",
    ] {
        let other = remote(403, exception, "StandbyException");
        assert_eq!(
            other.verdict("namenode", "/webhdfs/v1/tmp"),
            Verdict::Answer,
            "{exception}"
        );
    }
    let file = json(
        200,
        r#"{"RemoteException":{"exception":"StandbyException"}}"#,
    );
    assert_eq!(file.verdict("namenode", "/webhdfs/v1/tmp"), Verdict::Answer);
    let cut_off = json(403, r#"{"RemoteException":{"exception":"StandbyExc"#);
    assert_eq!(
        cut_off.verdict("namenode", "/webhdfs/v1/tmp"),
        Verdict::Answer
    );
}

#[test]
fn a_namenode_is_active_standby_or_older_than_its_probe() {
    let plain = |status| answer(status).with("content-type", "text/plain;charset=utf-8");
    let bean = |state: &str| json(200, &format!(r#"{{"beans":[{{"State" : "{state}"}}]}}"#));
    for (probe, health) in [
        (plain(200).body("I am Active!\n"), Health::Active),
        (answer(405).body("I am not Active!"), Health::Standby),
        (answer(404), Health::NoSuchProbe),
        (answer(500), Health::Down),
        (answer(503), Health::Down),
        (bean("active"), Health::Active),
        (bean("standby"), Health::Standby),
        (bean("initializing"), Health::Down),
        (json(200, r#"{"beans":[]}"#), Health::Down),
    ] {
        assert_eq!(
            probe.health("namenode"),
            health,
            "{} {}",
            probe.status,
            probe.body
        );
    }
    assert!(named("namenode").unwrap().probe_fallback().is_some());
}

#[test]
fn webhdfs_proves_that_it_obeys() {
    for kind in ["namenode", "httpfs"] {
        let home = |name: &str| json(200, &format!(r#"{{"Path":"/user/{name}"}}"#));
        for (proof, user, obeys) in [
            (home(PROOF_USER), PROOF_USER, Obeys::Yes),
            (home("HTTP"), PROOF_USER, Obeys::No),
            (
                remote(403, "E", "User: gw is not allowed to impersonate x"),
                PROOF_USER,
                Obeys::Yes,
            ),
            (
                remote(
                    403,
                    "E",
                    "Unauthorized connection for super-user: gw from IP 10.0.0.1",
                ),
                PROOF_USER,
                Obeys::Yes,
            ),
            (
                remote(403, "StandbyException", "m"),
                PROOF_USER,
                Obeys::Unknown,
            ),
            (answer(503), PROOF_USER, Obeys::Unknown),
            (answer(200).body("<html>"), PROOF_USER, Obeys::Unknown),
            (answer(500), "", Obeys::Yes),
            (home("HTTP"), "", Obeys::No),
        ] {
            assert_eq!(
                proof.obeys(kind, user),
                obeys,
                "{} {}",
                proof.status,
                proof.body
            );
        }
    }
}

#[test]
fn webhdfs_hands_out_nodes_and_pages_do_not() {
    let kind = named("namenode").unwrap();
    let asked = |path| Asked {
        method: &Method::PUT,
        path,
        query: "op=CREATE",
    };
    assert!(kind.hands_out_nodes(&asked("/webhdfs/v1/f")));
    assert!(!kind.hands_out_nodes(&asked("/dfshealth.html")));
}

// === resourcemanager ===

#[test]
fn a_standby_resourcemanager_is_known_by_each_of_its_answers() {
    let text = |status| answer(status).with("content-type", "text/plain;charset=utf-8");
    for standby in [
        answer(307).with("location", "http://rm2.example.com:8088/cluster?doAs=alice"),
        answer(307).with("location", "http://rm1.example.com:8088/cluster"),
        text(307)
            .with("location", "http://10.0.0.9:8088/cluster")
            .body("This is standby RM. The redirect url is: /cluster\n"),
        answer(307).with("refresh", "4;url=http://rm2.example.com:8088/cluster"),
        text(307)
            .with("refresh", "4;url=http://10.0.0.9:8088/cluster")
            .body("Can not find any active RM. Will retry in next 4 seconds.\n"),
        text(200)
            .with("refresh", "3; url=http://rm2.example.com:8088/cluster")
            .body("This is standby RM. Redirecting to the current active RM: http://rm2…"),
        answer(200).with("refresh", "3; url=http://rm2.example.com:8088/cluster"),
        text(200)
            .with("content-length", "80")
            .body("There is no active RM right now.\nHA Zookeeper Connection State: CONNECTED\n"),
    ] {
        assert_eq!(
            standby.verdict("resourcemanager", "/cluster"),
            Verdict::Standby,
            "{:?}",
            standby.headers
        );
        assert_eq!(
            standby.verdict("resourcemanager", "/proxy/application_1/"),
            Verdict::Answer
        );
    }
}

#[test]
fn pages_that_redirect_or_reload_are_answers() {
    for page in [
        answer(302).with("location", "http://rm1.example.com:8088/cluster"),
        answer(307).with("location", "http://jhs.example.com:19888/jobhistory"),
        answer(307).with("location", "/cluster/x"),
        answer(307),
        answer(200).with("refresh", "10").body("<html>"),
        answer(200)
            .with("refresh", "10;url=http://rm1.example.com:8088/cluster")
            .body("<html>"),
        answer(200).with("refresh", "10;url=/cluster"),
        answer(200)
            .with("content-type", "text/html")
            .body("This is standby RM"),
    ] {
        assert_eq!(
            page.verdict("resourcemanager", "/cluster"),
            Verdict::Answer,
            "{:?}",
            page.headers
        );
    }
}

#[test]
fn a_resourcemanager_says_its_state() {
    let state = |state: &str| {
        json(
            200,
            &format!(r#"{{"clusterInfo":{{"haState":"{state}"}}}}"#),
        )
    };
    for (probe, health) in [
        (state("ACTIVE"), Health::Active),
        (state("STANDBY"), Health::Standby),
        (state("INITIALIZING"), Health::Down),
        (answer(307), Health::Standby),
        (answer(200).body("This is standby RM."), Health::Standby),
        (answer(500), Health::Down),
    ] {
        assert_eq!(
            probe.health("resourcemanager"),
            health,
            "{} {}",
            probe.status,
            probe.body
        );
    }
}

#[test]
fn a_page_that_does_not_name_the_user_needs_a_second_question() {
    for kind in ["resourcemanager", "jobhistory"] {
        let refused = answer(403).body("User: gw is not allowed to impersonate x");
        for (proof, user, obeys) in [
            (refused, PROOF_USER, Obeys::Yes),
            (answer(200), PROOF_USER, Obeys::AskEmpty),
            (answer(200), "", Obeys::No),
            (answer(500), "", Obeys::Yes),
            (answer(500), PROOF_USER, Obeys::Unknown),
            (answer(503), "", Obeys::Unknown),
            (answer(307), PROOF_USER, Obeys::Unknown),
            (answer(403).reason("Forbidden"), PROOF_USER, Obeys::Unknown),
        ] {
            assert_eq!(
                proof.obeys(kind, user),
                obeys,
                "{kind} {} {user:?}",
                proof.status
            );
        }
    }
}

#[test]
fn a_jobhistoryserver_is_active_when_it_answers() {
    assert_eq!(json(200, "{}").health("jobhistory"), Health::Active);
    assert_eq!(answer(404).health("jobhistory"), Health::Down);
    assert_eq!(json(200, "{}").health("httpfs"), Health::Active);
    assert_eq!(answer(500).health("httpfs"), Health::Down);
}

// === oozie ===

#[test]
fn oozies_401_about_the_user_is_an_answer_and_becomes_a_403() {
    let refused = answer(401)
        .reason("User [alice] not defined as proxyuser")
        .with("www-authenticate", "Negotiate oYGF")
        .with("oozie-error-code", "E1400");
    assert_eq!(refused.verdict("oozie", "/oozie/v1/jobs"), Verdict::Answer);
    let kind = named("oozie").unwrap();
    assert_eq!(
        kind.client_status(&refused.head()),
        Some(StatusCode::FORBIDDEN)
    );
    let not_found = answer(404).with("oozie-error-code", "E0604");
    assert_eq!(kind.client_status(&not_found.head()), None);
    assert_eq!(kind.client_status(&answer(401).head()), None);
}

#[test]
fn oozie_proves_that_it_obeys() {
    for (proof, user, obeys) in [
        (
            answer(401).with("oozie-error-code", "E1400"),
            PROOF_USER,
            Obeys::Yes,
        ),
        (
            answer(500).reason("No groups found for user x"),
            PROOF_USER,
            Obeys::Yes,
        ),
        (answer(500), PROOF_USER, Obeys::Unknown),
        (answer(200), PROOF_USER, Obeys::AskEmpty),
        (
            answer(400).with("oozie-error-code", "E1603"),
            "",
            Obeys::Yes,
        ),
        (answer(200), "", Obeys::No),
        (answer(503), "", Obeys::Unknown),
    ] {
        assert_eq!(
            proof.obeys("oozie", user),
            obeys,
            "{} {user:?}",
            proof.status
        );
    }
}

#[test]
fn oozie_says_its_mode() {
    for (mode, health) in [
        ("NORMAL", Health::Active),
        ("SAFEMODE", Health::Standby),
        ("NOWEBSERVICE", Health::Down),
    ] {
        let probe = json(200, &format!(r#"{{"systemMode":"{mode}"}}"#));
        assert_eq!(probe.health("oozie"), health, "{mode}");
    }
    assert_eq!(answer(503).health("oozie"), Health::Down);
}

// === a kind of another world ===

/// What a Presto coordinator would be: nothing of Hadoop, and no change outside its own file.
#[derive(Debug)]
struct PrestoShaped;

impl Kind for PrestoShaped {
    fn name(&self) -> &'static str {
        "presto-shaped"
    }

    fn services(&self) -> &'static [&'static str] {
        &["HTTP", "presto"]
    }

    fn login(&self) -> Login {
        Login::EveryRequest
    }

    // a 403 is always about the user here
    fn login_failed(&self, head: &Head<'_>) -> bool {
        head.status == StatusCode::UNAUTHORIZED
    }

    fn user_field(&self) -> UserField {
        UserField::Header("x-presto-user")
    }

    fn identity_parameters(&self) -> &'static [&'static str] {
        &[]
    }

    fn identity_headers(&self) -> &'static [&'static str] {
        &["x-presto-user", "x-presto-prefix-url"]
    }

    fn reads_forms(&self) -> bool {
        false
    }

    fn probe(&self) -> &'static str {
        "/v1/info"
    }

    fn health(&self, head: &Head<'_>, body: &[u8]) -> Health {
        let started = hadoop::contains(body, br#""starting":false"#);
        if head.status == StatusCode::OK && started {
            Health::Active
        } else {
            Health::Down
        }
    }
}

#[test]
fn a_kind_of_another_world_needs_one_file() {
    let kind: &dyn Kind = &PrestoShaped;
    let refused = answer(403).reason("java.lang.SecurityException");
    let asked = Asked {
        method: &Method::POST,
        path: "/v1/statement",
        query: "",
    };
    assert_eq!(
        kind.verdict(&asked, &refused.head(), b"", &[]),
        Verdict::Answer
    );
    assert_eq!(
        kind.verdict(&asked, &answer(401).head(), b"", &[]),
        Verdict::LoginFailed
    );
    assert_eq!(
        kind.health(&answer(200).head(), br#"{"starting":false}"#),
        Health::Active
    );
    assert_eq!(
        kind.health(&answer(200).head(), br#"{"starting":true}"#),
        Health::Down
    );

    let mut headers = HeaderMap::new();
    headers.append("X-Presto-User", HeaderValue::from_static("bob"));
    headers.append("x_presto_user", HeaderValue::from_static("bob"));
    headers.append("x-presto-session", HeaderValue::from_static("a=b"));
    crate::identity::headers::strip(&mut headers, kind.identity_headers());
    assert_eq!(
        headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
        ["x-presto-session"]
    );

    let query = crate::identity::query::scrub("doAs=1;doAs=2", kind.identity_parameters());
    assert_eq!(query.unwrap(), "doAs=1;doAs=2");
}
