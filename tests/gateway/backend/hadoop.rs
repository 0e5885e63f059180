//! Responses that Hadoop's servers produce themselves: to logins, probes and impersonation checks.

use std::sync::atomic::Ordering;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use spnegate::testing::IMPERSONATION_PROBE_USER;

use super::{Impersonation, Inner, Logins, Reply, Role, Seen, reply};

impl Inner {
    /// Headers for the response, or the refusal as `Err`.
    pub(super) fn authenticate(&self, seen: &Seen) -> Result<Vec<(String, String)>, Reply> {
        let (logins, issued) = {
            let state = self.state.lock().unwrap();
            (state.logins, state.issued.clone())
        };
        let challenge = || {
            reply(401)
                .with("WWW-Authenticate", "Negotiate")
                .with("Set-Cookie", "hadoop.auth=; Path=/; HttpOnly")
                .with("X-Of-The-Refusal", "secret")
                .body("secret page of the refusal")
        };
        let token = seen
            .headers
            .iter()
            .find_map(|(name, value)| name.eq_ignore_ascii_case("authorization").then_some(value));
        let token = token.and_then(|value| value.strip_prefix("Negotiate "));
        match logins {
            Logins::Open => return Ok(Vec::new()),
            Logins::Unauthorized => {
                return Err(challenge().body(format!("secret {}", token.unwrap_or("no token"))));
            }
            Logins::GssException => {
                return Err(reply(403)
                    .reason("GSSException: Failure unspecified at GSS-API level (secret)")
                    .with("X-Of-The-Refusal", "secret")
                    .body("secret page of the refusal"));
            }
            Logins::Cookie | Logins::EveryRequest | Logins::WrongMutual => {}
        }
        let cookies: Vec<&str> = seen
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("cookie"))
            .flat_map(|(_, value)| value.split("; "))
            .collect();
        // AuthenticationFilter reads the first cookie of its name
        let own = cookies.iter().find_map(|c| c.strip_prefix("hadoop.auth="));
        if own.is_some_and(|value| issued.contains(value)) {
            return Ok(Vec::new());
        }
        let Some(token) = token else {
            return Err(challenge());
        };
        let token = BASE64_STANDARD.decode(token).unwrap_or_default();
        let Some(mutual) = self.world.accept(&token) else {
            return Err(reply(403).reason("GSSException: Defective token detected"));
        };
        let number = self.logins.fetch_add(1, Ordering::AcqRel) + 1;
        let mut headers = vec![(
            "WWW-Authenticate".to_owned(),
            crate::world::negotiate(&mutual),
        )];
        match logins {
            Logins::WrongMutual => {
                headers[0].1 = crate::world::negotiate(&[mutual, b"x".to_vec()].concat()[1..]);
            }
            Logins::EveryRequest => {}
            Logins::Cookie | Logins::Unauthorized | Logins::GssException | Logins::Open => {
                let end = std::time::SystemTime::now() + std::time::Duration::from_secs(36_000);
                let end = end
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap()
                    .as_millis();
                let value = format!(
                    "\"u=spnegate&p=spnegate/proxy&t=kerberos&e={end}&s={}-{number}\"",
                    self.name
                );
                self.state.lock().unwrap().issued.insert(value.clone());
                headers.push((
                    "Set-Cookie".to_owned(),
                    format!("hadoop.auth={value}; Path=/; HttpOnly"),
                ));
            }
        }
        Ok(headers)
    }

    /// Responses to probes, impersonation checks and login requests, by the paths that the kinds
    /// define.
    pub(super) fn respond_as_hadoop(&self, seen: &Seen) -> Reply {
        let (role, impersonation) = {
            let state = self.state.lock().unwrap();
            (state.role, state.impersonation)
        };
        let json = |status, body: &str| {
            reply(status)
                .with("Content-Type", "application/json")
                .body(body)
        };
        if let Some(user) = seen.do_as() {
            let oozie = seen.path().starts_with("/oozie");
            return match impersonation {
                Impersonation::Later => reply(503),
                Impersonation::No if oozie => json(200, r#"{"systemMode":"NORMAL"}"#),
                Impersonation::No => json(200, r#"{"Path":"/user/spnegate"}"#),
                Impersonation::Yes if user != IMPERSONATION_PROBE_USER => reply(400),
                Impersonation::Yes if oozie => reply(401).with("oozie-error-code", "E1400"),
                Impersonation::Yes => json(
                    403,
                    r#"{"RemoteException":{"exception":"AuthorizationException","message":"User: spnegate is not allowed to impersonate x"}}"#,
                ),
            };
        }
        match (seen.path(), role) {
            ("/v1/info", Role::Active) => json(200, r#"{"coordinator":true,"starting":false}"#),
            ("/v1/info", _) => json(200, r#"{"coordinator":true,"starting":true}"#),
            (_, Role::Sick) => reply(500),
            ("/isActive", Role::Standby) => reply(405).body("I am not Active!"),
            ("/isActive", Role::Active) => reply(200).body("I am Active!"),
            ("/ws/v1/cluster/info", Role::Active) => {
                json(200, r#"{"clusterInfo":{"haState":"ACTIVE"}}"#)
            }
            ("/ws/v1/cluster/info", Role::Standby) => {
                json(200, r#"{"clusterInfo":{"haState":"STANDBY"}}"#)
            }
            ("/oozie/v1/admin/status", _) => json(200, r#"{"systemMode":"NORMAL"}"#),
            _ => json(200, "{}"),
        }
    }
}
