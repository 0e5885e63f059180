//! `oozie`: the Oozie server, its REST interface and web console.

use http::StatusCode;
use serde_json::Value;

use super::{
    Health, ImpersonationCheck, ImpersonationDenial, ImpersonationProbe, Kind, Login, Remedy,
    RequestInfo, ResponseInfo, hadoop,
    impersonation::{self, MissingRule},
};

const STATUS: &str = "/oozie/v1/admin/status";

/// Headers from which Oozie's clients read errors (`RestConstants`).
const CODE: &str = "oozie-error-code";
const MESSAGE: &str = "oozie-error-message";

/// The error code of a refused `doAs`.
const DENIED: &str = "E1400";

#[derive(Debug)]
pub(super) struct Oozie;

/// Whether the response comes from Oozie itself (`JsonRestServlet.sendErrorResponse`), not from the
/// authentication filter before it.
fn is_about_the_user(head: &ResponseInfo<'_>) -> bool {
    head.headers.contains_key(CODE)
}

/// Reads the message of `ProxyUserService.validate`.
fn denied(message: &str) -> ImpersonationDenial {
    let between = |before: &str| {
        let (_, rest) = message.split_once(before)?;
        rest.split_once(']').map(|(name, _)| name)
    };
    let gateway = ["User [", "for proxyuser [", "Unauthorized proxyuser ["]
        .into_iter()
        .find_map(between);
    ImpersonationDenial {
        gateway: gateway.and_then(impersonation::short_name),
        missing: match between("Unauthorized host [") {
            Some(host) => MissingRule::Host(impersonation::host(host)),
            None => MissingRule::User,
        },
        message: message.to_owned(),
        exception: None,
        headers: Some((CODE, MESSAGE)),
    }
}

impl Kind for Oozie {
    fn name(&self) -> &'static str {
        "oozie"
    }

    fn login(&self) -> Login {
        Login::Cookie {
            path: "/oozie/versions",
        }
    }

    // A refused user is a 401 too, with `oozie-error-code: E1400`, a valid mutual token and a valid
    // cookie. To log in again because of it would loop.
    fn login_failed(&self, head: &ResponseInfo<'_>) -> bool {
        !is_about_the_user(head)
            && (head.status == StatusCode::UNAUTHORIZED || hadoop::token_rejected(head))
    }

    // `JsonRestServlet.service` reads the user before anything else, for this page too.
    fn impersonation_probe(&self) -> Option<ImpersonationProbe> {
        Some(ImpersonationProbe {
            path: STATUS,
            query: "",
        })
    }

    fn check_impersonation(
        &self,
        head: &ResponseInfo<'_>,
        body: &[u8],
        user: &str,
    ) -> ImpersonationCheck {
        let code = head.headers.get(CODE).map(http::HeaderValue::as_bytes);
        if user.is_empty() {
            return hadoop::check_empty_user(head);
        }
        if code == Some(DENIED.as_bytes()) {
            ImpersonationCheck::Honoured
        } else if head.status == StatusCode::INTERNAL_SERVER_ERROR
            && [head.reason, body]
                .iter()
                .any(|text| hadoop::contains(text, b"No groups found for"))
        {
            // The rule names groups, and the user of the probe has none (`Groups.getGroups`).
            ImpersonationCheck::Honoured
        } else if head.status == StatusCode::OK {
            ImpersonationCheck::RetryEmpty
        } else {
            ImpersonationCheck::Inconclusive
        }
    }

    fn impersonation_denial(
        &self,
        _asked: &RequestInfo<'_>,
        head: &ResponseInfo<'_>,
        _body: &[u8],
    ) -> Option<ImpersonationDenial> {
        let header = |name| head.headers.get(name)?.to_str().ok();
        (header(CODE)? == DENIED).then(|| denied(header(MESSAGE).unwrap_or_default()))
    }

    fn remedy(&self, denial: &ImpersonationDenial, gateway: &str, user: &str) -> Remedy {
        // `ProxyUserService` reads `.groups` and `.hosts`, but no `.users`.
        let prefix = "oozie.service.ProxyUserService.proxyuser.";
        let who = (denial, gateway, user);
        Remedy::properties(prefix, false, "oozie-site.xml", "restart Oozie", who)
    }

    /// `consoleUrl` of a workflow leads to Oozie, that of an action to the `ResourceManager`.
    fn body_names_addresses(&self, request: &RequestInfo<'_>) -> bool {
        request.path.starts_with("/oozie/v")
    }

    fn probe(&self) -> &'static str {
        STATUS
    }

    fn health(&self, head: &ResponseInfo<'_>, body: &[u8]) -> Health {
        if head.status != StatusCode::OK {
            return Health::Down;
        }
        let value: Option<Value> = serde_json::from_slice(body).ok();
        match value
            .as_ref()
            .and_then(|value| value["systemMode"].as_str())
        {
            Some("NORMAL") => Health::Active,
            // It serves reads and responds to writes with 503.
            Some("SAFEMODE") => Health::Standby,
            Some(_) | None => Health::Down,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::{
        IMPERSONATION_PROBE_USER, Verdict, named,
        tests::{json, response},
    };

    #[test]
    fn a_401_about_the_user_is_not_a_failed_login() {
        let refused = response(401)
            .reason("User [alice] not defined as proxyuser")
            .with("www-authenticate", "Negotiate oYGF")
            .with("oozie-error-code", "E1400");
        assert_eq!(refused.verdict("oozie", "/oozie/v1/jobs"), Verdict::Final);
    }

    #[test]
    fn oozie_shows_whether_it_honours_the_user() {
        for (proof, user, obeys) in [
            (
                response(401).with("oozie-error-code", "E1400"),
                IMPERSONATION_PROBE_USER,
                ImpersonationCheck::Honoured,
            ),
            (
                response(500).reason("No groups found for user x"),
                IMPERSONATION_PROBE_USER,
                ImpersonationCheck::Honoured,
            ),
            (
                response(500),
                IMPERSONATION_PROBE_USER,
                ImpersonationCheck::Inconclusive,
            ),
            (
                response(200),
                IMPERSONATION_PROBE_USER,
                ImpersonationCheck::RetryEmpty,
            ),
            (
                response(400).with("oozie-error-code", "E1603"),
                "",
                ImpersonationCheck::Honoured,
            ),
            (response(200), "", ImpersonationCheck::Ignored),
            (response(503), "", ImpersonationCheck::Inconclusive),
        ] {
            assert_eq!(
                proof.check_impersonation("oozie", user),
                obeys,
                "{} {user:?}",
                proof.status
            );
        }
    }

    #[test]
    fn a_denial_of_oozie_names_the_gateway_and_the_missing_rule() {
        let read = |message: &str| {
            let said = response(401)
                .with("oozie-error-code", "E1400")
                .with("oozie-error-message", message);
            said.denial("oozie").unwrap()
        };
        let unknown =
            read("E1400: doAs (impersonation) failure, User [gw] not defined as proxyuser");
        assert_eq!(unknown.gateway.as_deref(), Some("gw"));
        assert_eq!(unknown.missing, MissingRule::User);
        let remedy = named("oozie").unwrap().remedy(&unknown, "gw", "carol");
        assert_eq!(
            remedy.rules,
            [
                "oozie.service.ProxyUserService.proxyuser.gw.groups must name a group of carol",
                "oozie.service.ProxyUserService.proxyuser.gw.hosts must name the gateway's host",
            ]
        );
        let host = read("Unauthorized host [gw.example.com] for proxyuser [gw]");
        assert_eq!(host.gateway.as_deref(), Some("gw"));
        assert_eq!(host.missing, MissingRule::Host("gw.example.com".into()));
        let groups = read("Unauthorized proxyuser [gw] for user [carol], not in proxyuser groups");
        assert_eq!(
            (groups.gateway.as_deref(), groups.missing),
            (Some("gw"), MissingRule::User)
        );
        assert_eq!(read("x").gateway, None);
        assert_eq!(
            response(401)
                .with("oozie-error-code", "E0604")
                .denial("oozie"),
            None
        );
    }

    #[test]
    fn the_system_mode_is_the_health() {
        for (mode, health) in [
            ("NORMAL", Health::Active),
            ("SAFEMODE", Health::Standby),
            ("NOWEBSERVICE", Health::Down),
        ] {
            let probe = json(200, &format!(r#"{{"systemMode":"{mode}"}}"#));
            assert_eq!(probe.health("oozie"), health, "{mode}");
        }
        assert_eq!(response(503).health("oozie"), Health::Down);
    }
}
