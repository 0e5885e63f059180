//! The layer with a scripted acceptor. A token is `client service` (accepted), `more` (another token is
//! needed) or any other word (refused as a replay).

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Ready, ready},
    net::{IpAddr, Ipv4Addr},
    rc::Rc,
    time::{Duration, SystemTime},
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use http::{HeaderValue, Method, StatusCode, Version, header};
use http_body_util::Full;
use tower::ServiceExt as _;

use super::*;
use crate::{
    auth::{
        names::Mechanism,
        secret::Secret,
        session::{SessionLimits, cookie_name},
    },
    gss::{Accepted, LoginStep},
};

const ALICE: &str = "alice@EXAMPLE.COM HTTP/gw.example.com@EXAMPLE.COM";

/// An address with too many waiting logins.
const FLOODS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 66));

#[derive(Clone)]
struct Script;

#[derive(Debug, thiserror::Error)]
#[error("scripted: {0:?}")]
struct Scripted(Refusal);

impl Accept for Script {
    type Pending = &'static str;
    type Error = Scripted;
    type Future = Ready<Result<LoginStep<&'static str>, Scripted>>;

    fn accept(
        &self,
        token: Vec<u8>,
        pending: Option<&'static str>,
        client: Option<IpAddr>,
    ) -> Self::Future {
        if client.is_some_and(|client| client == FLOODS) {
            return ready(Err(Scripted(Refusal::LoginFlood)));
        }
        let text = String::from_utf8(token).unwrap_or_else(|_| "second token".to_owned());
        let text = match pending {
            Some("first token") if text == "second token" => ALICE.to_owned(),
            Some(other) => panic!("{other} with {text}"),
            None => text,
        };
        ready(match text.split_once(' ') {
            Some((client, service)) => Ok(LoginStep::Done(Accepted {
                client: client.parse().unwrap(),
                service: service.parse().unwrap(),
                expires: SystemTime::now() + Duration::from_secs(3600),
                reply: Some(b"mutual".to_vec()),
            })),
            None if text == "more" => Ok(LoginStep::Continue {
                token: b"go on".to_vec(),
                pending: "first token",
            }),
            None => Err(Scripted(Refusal::TokenReplayed)),
        })
    }

    fn refusal(error: &Scripted) -> Refusal {
        error.0
    }
}

fn policy() -> SpnegoPolicy {
    let names = AuthToLocal::compile(&["DEFAULT"], Mechanism::Hadoop, "EXAMPLE.COM").unwrap();
    let hour = Duration::from_secs(3600);
    let limits = SessionLimits {
        lifetime: hour,
        idle: hour,
        capacity: 100,
    };
    SpnegoPolicy {
        console: "namenode".into(),
        scheme: Scheme::Plain,
        services: vec!["HTTP".into()],
        hosts: vec!["gw.example.com".into()],
        names: Arc::new(names),
        sessions: Sessions::new(limits, &Secret::random().unwrap()),
        challenge_scripts: true,
        cookieless_agents: &[],
        session_in_response: true,
    }
}

fn request() -> http::request::Builder {
    Request::builder()
        .uri("/x")
        .header(header::HOST, "gw.example.com:50070")
}

fn with_token(token: &[u8]) -> http::request::Builder {
    request().header(
        header::AUTHORIZATION,
        format!("Negotiate {}", BASE64_STANDARD.encode(token)),
    )
}

/// Sends one request through the layer of `policy`. The response's body is the user.
async fn send(
    policy: &Arc<SpnegoPolicy>,
    request: http::request::Builder,
) -> Response<Full<Bytes>> {
    let inner = tower::service_fn(async |request: Request<()>| {
        let session = request.extensions().get::<Arc<Session>>().unwrap();
        Ok::<_, Infallible>(Response::new(Full::from(session.user().to_owned())))
    });
    let service = SpnegoLayer::new(Arc::clone(policy), Script).layer(inner);
    service.oneshot(request.body(()).unwrap()).await.unwrap()
}

async fn text(response: Response<Full<Bytes>>) -> String {
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap()
        .to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

fn challenge(response: &Response<Full<Bytes>>) -> Option<&str> {
    response
        .headers()
        .get(header::WWW_AUTHENTICATE)
        .map(|v| v.to_str().unwrap())
}

#[tokio::test]
async fn without_credentials_every_method_gets_the_challenge() {
    let policy = Arc::new(policy());
    for method in [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::POST,
        Method::PUT,
    ] {
        let response = send(&policy, request().method(&method)).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(challenge(&response), Some("Negotiate"));
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
        assert!(!response.headers().contains_key(header::CONNECTION));
        assert_eq!(text(response).await.is_empty(), method == Method::HEAD);
    }
}

#[tokio::test]
async fn a_token_logs_in_and_later_requests_need_only_the_cookie() {
    let policy = Arc::new(policy());
    let response = send(&policy, with_token(ALICE.as_bytes())).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(challenge(&response), Some("Negotiate bXV0dWFs"));
    assert_eq!(response.headers()[header::CACHE_CONTROL], "private");
    let cookie = response.headers()[header::SET_COOKIE]
        .to_str()
        .unwrap()
        .to_owned();
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(text(response).await, "alice");

    let response = send(&policy, request().header(header::COOKIE, cookie)).await;
    assert_eq!(challenge(&response), None);
    assert!(!response.headers().contains_key(header::SET_COOKIE));
    assert_eq!(text(response).await, "alice");

    // PyHive and browsers repeat the token beside the cookie; it is not read.
    let replayed = with_token(b"replayed").header(header::COOKIE, cookie);
    assert_eq!(text(send(&policy, replayed).await).await, "alice");
}

#[tokio::test]
async fn a_stale_cookie_requires_a_login_and_a_token_beside_it_is_accepted() {
    let policy = Arc::new(policy());
    let stale = format!("{}=stale", cookie_name(Scheme::Plain));
    let response = send(&policy, request().header(header::COOKIE, &stale)).await;
    assert_eq!(challenge(&response), Some("Negotiate"));
    assert!(text(response).await.contains("session_ended"));
    let response = send(
        &policy,
        with_token(ALICE.as_bytes()).header(header::COOKIE, stale),
    )
    .await;
    assert_eq!(response.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_refused_login_has_its_reason_and_challenge() {
    let policy = Arc::new(policy());
    let negotiate = |value: &str| request().header(header::AUTHORIZATION, value);
    let duplicate = negotiate("Negotiate YQ==").header(header::AUTHORIZATION, "Negotiate YQ==");
    let presto = b"alice@EXAMPLE.COM presto/gw.example.com@EXAMPLE.COM";
    let host = b"alice@EXAMPLE.COM HTTP/other.example.com@EXAMPLE.COM";
    let realm = b"alice@CORP.COM HTTP/GW.example.com@EXAMPLE.COM";
    // With an accepted ticket a refusal carries the mutual authentication token too.
    let (bare, mutual) = (Some("Negotiate"), Some("Negotiate bXV0dWFs"));
    for (request, refusal, expected) in [
        (negotiate("Basic YTpi"), Refusal::LoginRequired, bare),
        (negotiate("Negotiate"), Refusal::BadAuthorization, bare),
        (negotiate("Negotiate TlRMTVNTUAABAAAA"), Refusal::Ntlm, None),
        (duplicate, Refusal::DuplicateAuthorization, None),
        (with_token(b"replayed"), Refusal::TokenReplayed, bare),
        (with_token(presto), Refusal::WrongService, mutual),
        (with_token(host), Refusal::WrongService, mutual),
        (with_token(realm), Refusal::NameUnmapped, mutual),
    ] {
        let response = send(&policy, request).await;
        assert_eq!(response.status(), refusal.status());
        assert_eq!(challenge(&response), expected, "{refusal:?}");
        assert!(!response.headers().contains_key(header::SET_COOKIE));
        let text = text(response).await;
        assert!(text.contains(refusal.reason()), "{refusal:?} {text}");
    }
}

#[tokio::test]
async fn the_connection_of_a_refused_upload_is_closed() {
    let policy = Arc::new(policy());
    for (name, value, close) in [
        (header::CONTENT_LENGTH, "5", true),
        (header::TRANSFER_ENCODING, "chunked", true),
        (header::CONTENT_LENGTH, "0", false),
    ] {
        let upload = request().method(Method::PUT).header(name, value);
        let response = send(&policy, upload).await;
        assert_eq!(response.headers().contains_key(header::CONNECTION), close);
    }
    let http2 = request()
        .version(Version::HTTP_2)
        .header(header::CONTENT_LENGTH, "5");
    assert!(
        !send(&policy, http2)
            .await
            .headers()
            .contains_key(header::CONNECTION)
    );
}

#[tokio::test]
async fn scripts_are_challenged_unless_configured_otherwise() {
    let script = || request().header("x-requested-with", "XMLHttpRequest");
    let mut policy = policy();
    assert!(challenge(&send(&Arc::new(policy.clone()), script()).await).is_some());
    policy.challenge_scripts = false;
    let policy = Arc::new(policy);
    assert!(challenge(&send(&policy, script()).await).is_none());
    let cors = request().header("sec-fetch-mode", "cors");
    assert!(challenge(&send(&policy, cors).await).is_none());
    assert!(challenge(&send(&policy, request()).await).is_some());
}

#[tokio::test]
async fn a_login_of_two_tokens_finishes_on_its_connection() {
    let policy = Arc::new(policy());
    let slot = LoginSlot::<&'static str>::new();
    let response = send(&policy, with_token(b"more").extension(slot.clone())).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(challenge(&response), Some("Negotiate Z28gb24="));
    let response = send(&policy, with_token(b"\xa1\xff").extension(slot)).await;
    assert_eq!(challenge(&response), Some("Negotiate bXV0dWFs"));
    assert_eq!(text(response).await, "alice");
}

#[tokio::test]
async fn a_login_of_two_tokens_is_interrupted_on_http2_and_on_another_connection() {
    let policy = Arc::new(policy());
    let interrupted = async |request| {
        let response = send(&policy, request).await;
        text(response).await.contains("login_interrupted")
    };
    // HTTP/2: no slot, or one that keeps nothing.
    assert!(interrupted(with_token(b"more")).await);
    let stream = LoginSlot::<&'static str>::of_stream(Ipv4Addr::LOCALHOST.into());
    assert!(interrupted(with_token(b"more").extension(stream.clone())).await);
    assert!(interrupted(with_token(b"\xa1\xff").extension(stream)).await);
    // The second token on another connection.
    let other = LoginSlot::<&'static str>::new();
    assert!(interrupted(with_token(b"\xa1\xff").extension(other)).await);
}

#[tokio::test]
async fn a_first_token_ends_an_unfinished_login_of_another_user() {
    let policy = Arc::new(policy());
    let slot = LoginSlot::<&'static str>::new();
    let _ = send(&policy, with_token(b"more").extension(slot.clone())).await;
    let bob = b"bob@EXAMPLE.COM HTTP/gw.example.com@EXAMPLE.COM";
    let response = send(&policy, with_token(bob).extension(slot.clone())).await;
    assert_eq!(text(response).await, "bob");
    assert!(slot.take(Instant::now()).is_none());
}

#[test]
fn the_future_is_send_when_the_inner_one_is() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let policy = Arc::new(policy());
        tokio::spawn(async move { send(&policy, with_token(ALICE.as_bytes())).await })
            .await
            .unwrap()
    });
}

#[test]
fn an_inner_service_need_not_be_send() {
    let count = Rc::new(Cell::new(0));
    let seen = Rc::clone(&count);
    let inner = tower::service_fn(move |_: Request<Rc<()>>| {
        let seen = Rc::clone(&seen);
        async move {
            seen.set(seen.get() + 1);
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    let service = SpnegoLayer::new(policy(), Script).layer(inner);
    let request = with_token(ALICE.as_bytes()).body(Rc::new(())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let response = tokio::task::LocalSet::new()
        .block_on(&runtime, async {
            tokio::task::spawn_local(service.oneshot(request)).await
        })
        .unwrap()
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(count.get(), 1);
}

#[test]
fn responses_become_private_unless_they_are_private_or_not_stored() {
    let after = |value: Option<&'static str>| {
        let mut response = Response::new(());
        if let Some(value) = value {
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, HeaderValue::from_static(value));
        }
        ResponseExtras::default().add_to(&mut response);
        let values = response.headers().get_all(header::CACHE_CONTROL).iter();
        values
            .map(|v| v.to_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(after(None), ["private"]);
    assert_eq!(after(Some("No-Store")), ["No-Store"]);
    assert_eq!(
        after(Some("public, max-age=60")),
        ["public, max-age=60", "private"]
    );
}

#[tokio::test]
async fn an_address_with_too_many_logins_is_refused_and_others_are_not() {
    let policy = Arc::new(policy());
    for slot_of in [LoginSlot::<&'static str>::of, LoginSlot::of_stream] {
        let from = |address| {
            let slot = slot_of(address);
            send(&policy, with_token(ALICE.as_bytes()).extension(slot))
        };
        let refused = from(FLOODS).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.headers()[header::RETRY_AFTER], "2");
        assert_eq!(challenge(&refused), None);
        assert!(text(refused).await.contains("login_flood"));
        let served = from(Ipv4Addr::LOCALHOST.into()).await;
        assert_eq!(served.status(), StatusCode::OK);
    }
}
