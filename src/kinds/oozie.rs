//! `oozie`: the Oozie server, its REST interface and web console.

use http::StatusCode;
use serde_json::Value;

use super::{Head, Health, Kind, Login, Obeys, Proof, hadoop};

const STATUS: &str = "/oozie/v1/admin/status";

/// The Oozie server.
#[derive(Debug)]
pub(super) struct Oozie;

/// Whether the answer comes from Oozie itself (`JsonRestServlet.sendErrorResponse`), not from the
/// filter before it.
fn is_about_the_user(head: &Head<'_>) -> bool {
    head.headers.contains_key("oozie-error-code")
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

    // A refused user is a 401 too, with `oozie-error-code: E1400`, a successful token and a valid
    // cookie: whoever logs in again for it loops.
    fn login_failed(&self, head: &Head<'_>) -> bool {
        !is_about_the_user(head)
            && (head.status == StatusCode::UNAUTHORIZED || hadoop::token_refused(head))
    }

    // `JsonRestServlet.service` reads the user before anything else, for this page too.
    fn proof(&self) -> Option<Proof> {
        Some(Proof {
            path: STATUS,
            query: "",
        })
    }

    fn obeys(&self, head: &Head<'_>, body: &[u8], user: &str) -> Obeys {
        let code = head
            .headers
            .get("oozie-error-code")
            .map(http::HeaderValue::as_bytes);
        if user.is_empty() {
            return hadoop::empty_user_read(head);
        }
        if code == Some(b"E1400") {
            Obeys::Yes
        } else if head.status == StatusCode::INTERNAL_SERVER_ERROR
            && [head.reason, body]
                .iter()
                .any(|text| hadoop::contains(text, b"No groups found for"))
        {
            // a proxyuser rule by groups, asked about a user who has none
            Obeys::Yes
        } else if head.status == StatusCode::OK {
            Obeys::AskEmpty
        } else {
            Obeys::Unknown
        }
    }

    fn probe(&self) -> &'static str {
        STATUS
    }

    fn health(&self, head: &Head<'_>, body: &[u8]) -> Health {
        if head.status != StatusCode::OK {
            return Health::Down;
        }
        let value: Option<Value> = serde_json::from_slice(body).ok();
        match value
            .as_ref()
            .and_then(|value| value["systemMode"].as_str())
        {
            Some("NORMAL") => Health::Active,
            // reads are served, writes get 503
            Some("SAFEMODE") => Health::Standby,
            Some(_) | None => Health::Down,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::{
        PROOF_USER, Verdict,
        tests::{answer, json},
    };

    #[test]
    fn oozies_401_about_the_user_is_an_answer() {
        let refused = answer(401)
            .reason("User [alice] not defined as proxyuser")
            .with("www-authenticate", "Negotiate oYGF")
            .with("oozie-error-code", "E1400");
        assert_eq!(refused.verdict("oozie", "/oozie/v1/jobs"), Verdict::Answer);
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
}
