//! Responses for the tests of every kind, and a kind outside Hadoop that shows that the trait is enough
//! for any server.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

#[derive(Default)]
pub(super) struct Response {
    pub(super) status: StatusCode,
    reason: &'static str,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

pub(super) fn response(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    Response {
        status,
        ..Response::default()
    }
}

pub(super) fn json(status: u16, body: &str) -> Response {
    response(status)
        .with("content-type", "application/json;charset=utf-8")
        .body(body)
}

impl Response {
    pub(super) fn reason(mut self, reason: &'static str) -> Self {
        self.reason = reason;
        self
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_str(value).unwrap(),
        );
        self
    }

    pub(super) fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    pub(super) fn head(&self) -> ResponseInfo<'_> {
        ResponseInfo {
            status: self.status,
            reason: self.reason.as_bytes(),
            headers: &self.headers,
        }
    }

    /// The verdict. The kind gets the body only if it needs it, as in the attempt loop.
    pub(super) fn verdict(&self, kind: &str, path: &str) -> Verdict {
        let kind = named(kind).unwrap();
        let body = if kind.needs_body(&self.head()) {
            self.body.as_bytes()
        } else {
            b""
        };
        let backends: [Arc<str>; 2] =
            ["rm1.example.com:8088".into(), "rm2.example.com:8088".into()];
        let request = RequestInfo {
            method: &Method::GET,
            path,
            query: "",
        };
        kind.verdict(&request, &self.head(), body, &backends)
    }

    pub(super) fn denial(&self, kind: &str) -> Option<ImpersonationDenial> {
        let kind = named(kind).unwrap();
        let body = if kind.needs_body(&self.head()) {
            self.body.as_bytes()
        } else {
            b""
        };
        let request = RequestInfo {
            method: &Method::GET,
            path: "/x",
            query: "",
        };
        kind.impersonation_denial(&request, &self.head(), body)
    }

    pub(super) fn health(&self, kind: &str) -> Health {
        named(kind)
            .unwrap()
            .health(&self.head(), self.body.as_bytes())
    }

    pub(super) fn check_impersonation(&self, kind: &str, user: &str) -> ImpersonationCheck {
        named(kind)
            .unwrap()
            .check_impersonation(&self.head(), self.body.as_bytes(), user)
    }
}

pub(super) fn remote(status: u16, exception: &str, message: &str) -> Response {
    json(
        status,
        &format!(
            r#"{{"RemoteException":{{"exception":"{exception}","javaClassName":"x.{exception}","message":"{message}"}}}}"#
        ),
    )
}

#[test]
fn names_are_unique() {
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
fn a_failed_login_is_distinguished_from_a_refused_user() {
    // these do not have Hadoop's `AuthenticationFilter`, which responds with 403 to a token
    let without = ["hiveserver2", "impala", "presto", "trino"];
    for kind in ALL {
        assert_eq!(
            response(401).verdict(kind.name(), "/x"),
            Verdict::LoginFailed
        );
        for failed in [
            response(401)
                .reason("Authentication required")
                .with("www-authenticate", "Negotiate"),
            response(401),
            response(403).reason("GSSException: Failure unspecified at GSS-API level"),
            response(403).reason("java.nio.BufferUnderflowException"),
            response(403).reason("org.ietf.jgss.GSSException: x"),
        ] {
            if !without.contains(&kind.name()) {
                assert_eq!(failed.verdict(kind.name(), "/x"), Verdict::LoginFailed);
            }
        }
        for about_the_user in [
            response(403).reason("Forbidden"),
            response(403).reason("User: gw is not allowed to impersonate carol"),
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
                Verdict::Final
            );
        }
    }
}

/// A kind that shares nothing with Hadoop and needs no change outside its own file.
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

    // a 403 is always about the user
    fn login_failed(&self, head: &ResponseInfo<'_>) -> bool {
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

    fn health(&self, head: &ResponseInfo<'_>, body: &[u8]) -> Health {
        let started = hadoop::contains(body, br#""starting":false"#);
        if head.status == StatusCode::OK && started {
            Health::Active
        } else {
            Health::Down
        }
    }
}

#[test]
fn a_kind_outside_hadoop_needs_one_file() {
    let kind: &dyn Kind = &PrestoShaped;
    let refused = response(403).reason("java.lang.SecurityException");
    let request = RequestInfo {
        method: &Method::POST,
        path: "/v1/statement",
        query: "",
    };
    assert_eq!(
        kind.verdict(&request, &refused.head(), b"", &[]),
        Verdict::Final
    );
    assert_eq!(
        kind.verdict(&request, &response(401).head(), b"", &[]),
        Verdict::LoginFailed
    );
    assert_eq!(
        kind.health(&response(200).head(), br#"{"starting":false}"#),
        Health::Active
    );
    assert_eq!(
        kind.health(&response(200).head(), br#"{"starting":true}"#),
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
