//! `resourcemanager`: YARN's `ResourceManager`.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header};
use serde_json::Value;

use super::{
    Health, ImpersonationCheck, ImpersonationDenial, ImpersonationProbe, Kind, Login, Remedy,
    RequestInfo, ResponseInfo, Verdict,
    hadoop::{self, is_media_type},
};
use crate::rewrite::url;

/// Served by active and standby without a redirect (`RMWebAppFilter.shouldRedirect`).
const INFO: &str = "/ws/v1/cluster/info";

/// How the bodies of `RMWebAppFilter` begin. The last one, when it gives up, has no `Refresh`.
const STANDBY_TEXTS: [&[u8]; 3] = [
    b"This is standby RM",
    b"Can not find any active RM",
    b"There is no active RM right now",
];

/// The texts of a standby are short; a longer body is a page.
const LONGEST_STANDBY_TEXT: u64 = 2048;

/// YARN's `ResourceManager`.
///
/// A standby responds before any servlet: with 307 to the active one or, about to take over, to itself.
/// If there is no active one it is 307, in old versions 200, with `Refresh` and without `Location`.
#[derive(Debug)]
pub(super) struct ResourceManager;

impl Kind for ResourceManager {
    fn name(&self) -> &'static str {
        "resourcemanager"
    }

    fn login(&self) -> Login {
        Login::Cookie { path: INFO }
    }

    fn impersonation_probe(&self) -> Option<ImpersonationProbe> {
        Some(ImpersonationProbe::page(INFO))
    }

    fn check_impersonation(
        &self,
        head: &ResponseInfo<'_>,
        body: &[u8],
        user: &str,
    ) -> ImpersonationCheck {
        hadoop::check_page(head, body, user)
    }

    fn has_active(&self) -> bool {
        true
    }

    fn body_names_addresses(&self, request: &RequestInfo<'_>) -> bool {
        hadoop::body_names_addresses(request)
    }

    fn probe(&self) -> &'static str {
        INFO
    }

    fn health(&self, head: &ResponseInfo<'_>, body: &[u8]) -> Health {
        match head.status {
            StatusCode::TEMPORARY_REDIRECT => Health::Standby,
            StatusCode::OK if says_standby(body) => Health::Standby,
            StatusCode::OK => {
                let value: Option<Value> = serde_json::from_slice(body).ok();
                match value
                    .as_ref()
                    .and_then(|value| value["clusterInfo"]["haState"].as_str())
                {
                    Some("ACTIVE") => Health::Active,
                    Some("STANDBY") => Health::Standby,
                    Some(_) | None => Health::Down,
                }
            }
            _ => Health::Down,
        }
    }

    fn pages_name_servers(&self) -> bool {
        true
    }

    fn needs_body(&self, head: &ResponseInfo<'_>) -> bool {
        match head.status {
            StatusCode::TEMPORARY_REDIRECT => true,
            StatusCode::OK => {
                let length = head.headers.get(header::CONTENT_LENGTH);
                let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
                // Reading a body delays the response, so only those are read that the standby's filter can
                // have written: it sends a Refresh, or a short plain text with a length.
                head.headers.contains_key(header::REFRESH)
                    || (is_media_type(head, "text/plain")
                        && length.is_some_and(|length| length <= LONGEST_STANDBY_TEXT))
            }
            _ => hadoop::may_be_denial(head),
        }
    }

    fn impersonation_denial(
        &self,
        request: &RequestInfo<'_>,
        head: &ResponseInfo<'_>,
        body: &[u8],
    ) -> Option<ImpersonationDenial> {
        (!is_below_proxy(request)).then(|| hadoop::denial(head, body))?
    }

    fn remedy(&self, denial: &ImpersonationDenial, gateway: &str, user: &str) -> Remedy {
        hadoop::remedy(
            "core-site.xml of the ResourceManagers",
            "run `yarn rmadmin -refreshSuperUserGroupsConfiguration`",
            (denial, gateway, user),
        )
    }

    fn hosts_foreign_pages(&self) -> bool {
        true
    }

    fn verdict(
        &self,
        request: &RequestInfo<'_>,
        head: &ResponseInfo<'_>,
        body: &[u8],
        backends: &[Arc<str>],
    ) -> Verdict {
        if self.login_failed(head) {
            return Verdict::LoginFailed;
        }
        if is_below_proxy(request) {
            return Verdict::Final;
        }
        let ours = |link: Option<&str>| {
            link.and_then(url::Link::split)
                .is_some_and(|link| link.is_one_of(backends))
        };
        let location = head.headers.get(header::LOCATION).and_then(text);
        let refresh = head.headers.get(header::REFRESH).and_then(text);
        let standby = match head.status {
            StatusCode::TEMPORARY_REDIRECT => match location {
                Some(location) => says_standby(body) || ours(Some(location)),
                None => refresh.is_some(),
            },
            // Pages that reload themselves have a Refresh too. So the text decides, or, without one
            // (HEAD), whether the Refresh leads to a ResourceManager.
            StatusCode::OK if body.is_empty() => ours(refresh.and_then(url::refresh_target)),
            StatusCode::OK => says_standby(body),
            _ => false,
        };
        if standby {
            Verdict::Standby
        } else {
            Verdict::Final
        }
    }
}

/// Below `/proxy/` an application's own pages respond, on a standby too. They may contain anything, so
/// nothing is read from them.
fn is_below_proxy(request: &RequestInfo<'_>) -> bool {
    request.path == "/proxy" || request.path.starts_with("/proxy/")
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

fn says_standby(body: &[u8]) -> bool {
    STANDBY_TEXTS.iter().any(|start| body.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::tests::{json, response};

    #[test]
    fn a_standby_is_recognised_by_each_of_its_responses() {
        let text = |status| response(status).with("content-type", "text/plain;charset=utf-8");
        for standby in [
            response(307).with("location", "http://rm2.example.com:8088/cluster?doAs=alice"),
            response(307).with("location", "http://rm1.example.com:8088/cluster"),
            text(307)
                .with("location", "http://10.0.0.9:8088/cluster")
                .body("This is standby RM. The redirect url is: /cluster\n"),
            response(307).with("refresh", "4;url=http://rm2.example.com:8088/cluster"),
            text(307)
                .with("refresh", "4;url=http://10.0.0.9:8088/cluster")
                .body("Can not find any active RM. Will retry in next 4 seconds.\n"),
            text(200)
                .with("refresh", "3; url=http://rm2.example.com:8088/cluster")
                .body("This is standby RM. Redirecting to the current active RM: http://rm2…"),
            response(200).with("refresh", "3; url=http://rm2.example.com:8088/cluster"),
            text(200).with("content-length", "80").body(
                "There is no active RM right now.\nHA Zookeeper Connection State: CONNECTED\n",
            ),
        ] {
            assert_eq!(
                standby.verdict("resourcemanager", "/cluster"),
                Verdict::Standby,
                "{:?}",
                standby.headers
            );
            assert_eq!(
                standby.verdict("resourcemanager", "/proxy/application_1/"),
                Verdict::Final
            );
        }
    }

    #[test]
    fn pages_that_redirect_or_reload_are_for_the_client() {
        for page in [
            response(302).with("location", "http://rm1.example.com:8088/cluster"),
            response(307).with("location", "http://jhs.example.com:19888/jobhistory"),
            response(307).with("location", "/cluster/x"),
            response(307),
            response(200).with("refresh", "10").body("<html>"),
            response(200)
                .with("refresh", "10;url=http://rm1.example.com:8088/cluster")
                .body("<html>"),
            response(200).with("refresh", "10;url=/cluster"),
            response(200)
                .with("content-type", "text/html")
                .body("This is standby RM"),
        ] {
            assert_eq!(
                page.verdict("resourcemanager", "/cluster"),
                Verdict::Final,
                "{:?}",
                page.headers
            );
        }
    }

    #[test]
    fn the_ha_state_is_the_health() {
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
            (response(307), Health::Standby),
            (response(200).body("This is standby RM."), Health::Standby),
            (response(500), Health::Down),
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
}
