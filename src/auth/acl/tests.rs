use std::{
    convert::Infallible,
    time::{Duration, SystemTime},
};

use http::Method;
use http_body_util::{BodyExt as _, Full};
use tower::ServiceExt as _;

use super::{groups::tests::scripted, *};
use crate::auth::{
    names::{AuthToLocal, Mechanism},
    secret::Secret,
    session::{SessionLimits, Sessions, unix_now},
};

fn session(user: &str) -> Arc<Session> {
    let hour = Duration::from_secs(3600);
    let limits = SessionLimits {
        lifetime: hour,
        idle: hour,
        capacity: 1,
    };
    let sessions = Sessions::new(limits, &Secret::random().unwrap());
    let names = AuthToLocal::compile(&["DEFAULT"], Mechanism::Hadoop, "R").unwrap();
    let principal = format!("{user}@R").parse().unwrap();
    let expires = SystemTime::now() + hour;
    sessions
        .begin(&principal, expires, Scheme::Plain, &names, unix_now())
        .unwrap()
        .session
}

/// The result of a user's request: the reason of the refusal, or `passed`.
async fn outcome(allow: impl Into<Option<Allowed>>, request: http::request::Builder) -> String {
    let policy = AclPolicy {
        console: "rm".into(),
        scheme: Scheme::Plain,
        hosts: vec!["gw.example.com".into()],
        allow: allow.into(),
    };
    let inner = tower::service_fn(async |_: Request<()>| {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("passed")))
    });
    let request = request.header(header::HOST, "gw.example.com:8088");
    let request = request
        .header(header::ACCEPT, "application/json")
        .body(())
        .unwrap();
    let response = AclLayer::new(policy)
        .layer(inner)
        .oneshot(request)
        .await
        .unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(&body) else {
        return String::from_utf8(body.to_vec()).unwrap();
    };
    assert_eq!(json["refusal"]["status"], status);
    json["refusal"]["reason"].as_str().unwrap().to_owned()
}

fn by(user: &str) -> http::request::Builder {
    Request::builder().extension(session(user))
}

fn allowed(users: &[&str], groups: Option<&[&str]>) -> Allowed {
    let set = |names: &[&str]| names.iter().map(|n| Arc::from(*n)).collect();
    let groups = groups.map(|names| (set(names), scripted()));
    Allowed {
        users: set(users),
        groups,
    }
}

#[tokio::test]
async fn a_user_passes_by_its_name_or_by_one_of_its_groups() {
    assert_eq!(outcome(None, by("carol")).await, "passed");
    assert_eq!(
        outcome(allowed(&["alice"], None), by("alice")).await,
        "passed"
    );
    assert_eq!(
        outcome(allowed(&["alice"], None), by("Alice")).await,
        "user_denied"
    );
    assert_eq!(
        outcome(allowed(&[], None), by("alice")).await,
        "user_denied"
    );
    assert_eq!(
        outcome(allowed(&[], Some(&["ops"])), by("alice")).await,
        "passed"
    );
    assert_eq!(
        outcome(allowed(&["carol"], Some(&["ops"])), by("carol")).await,
        "passed"
    );
    assert_eq!(
        outcome(allowed(&["alice"], Some(&["ops"])), by("carol")).await,
        "user_denied"
    );
}

#[tokio::test]
async fn a_failed_group_look_up_refuses_all_users_that_are_not_listed() {
    assert_eq!(
        outcome(allowed(&[], Some(&["ops"])), by("bob")).await,
        "groups_unavailable"
    );
    assert_eq!(
        outcome(allowed(&["bob"], Some(&["ops"])), by("bob")).await,
        "passed"
    );
}

#[tokio::test]
async fn cached_groups_are_used_without_a_look_up() {
    let allow = allowed(&[], Some(&["ops"]));
    let (_, system) = allow.groups.as_ref().unwrap();
    system.look_up("alice").await.unwrap();
    assert!(matches!(allow.decide("alice"), AccessDecision::Pass));
}

#[tokio::test]
async fn a_request_without_a_session_is_refused() {
    assert_eq!(outcome(None, Request::builder()).await, "login_required");
}

#[tokio::test]
async fn other_sites_are_refused_before_the_user_is_checked() {
    let post = |origin: &str| {
        by("alice")
            .method(Method::POST)
            .header(header::ORIGIN, origin)
    };
    assert_eq!(
        outcome(allowed(&[], None), post("http://evil.org")).await,
        "cross_site"
    );
    assert_eq!(
        outcome(None, post("http://gw.example.com:50070")).await,
        "passed"
    );
}
