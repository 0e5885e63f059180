//! `namenode`: HDFS `NameNode`, its pages and `WebHDFS`.

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use super::{
    Health, ImpersonationCheck, ImpersonationDenial, ImpersonationProbe, Kind, Login, Remedy,
    RequestInfo, ResponseInfo, UserField, Verdict,
    hadoop::{self, RemoteException, is_media_type},
};

/// A small page that all versions have, active or standby, and that is always protected.
///
/// `/isActive` would do too (the filter sets the cookie before the servlet responds with 405), but
/// Hadoop 2.7 does not have it.
const STATUS_BEAN: &str = "/jmx?qry=Hadoop:service=NameNode,name=NameNodeStatus";

/// Exceptions of a NameNode that is not active and did nothing.
///
/// The second comes from an observer (HDFS-12943). `SafeModeException`, alone or inside a
/// `RetriableException`, is for the client: the active one is in safe mode itself then.
const ELSEWHERE: [&str; 2] = ["StandbyException", "ObserverRetryOnActiveException"];

/// Errors of a NameNode that does not serve yet, by exception and a part of its message:
/// `NamenodeWebHdfsMethods` without an RPC server, `NameNodeRpcServer.checkNNStartup`, and
/// `chooseDatanode` without a namesystem (the spelling is Hadoop's). Each is thrown before anything is
/// done.
const STARTING: [(&str, &str); 3] = [
    ("RetriableException", "startup mode"),
    ("RetriableException", "still not started"),
    ("IOException", "has not been intialized yet"),
];

/// Whether this NameNode did nothing, so that another is to be asked.
fn is_elsewhere(said: &RemoteException) -> bool {
    let starting = |(exception, message): &(&str, &str)| {
        said.exception == *exception && said.message.contains(message)
    };
    ELSEWHERE.contains(&said.exception.as_str()) || STARTING.iter().any(starting)
}

#[derive(Debug)]
pub(super) struct NameNode;

impl Kind for NameNode {
    fn name(&self) -> &'static str {
        "namenode"
    }

    fn login(&self) -> Login {
        Login::Cookie { path: STATUS_BEAN }
    }

    /// The spelling that `JspHelper.getUGI` reads (`DoAsParam.NAME`). Others are understood too, but for
    /// a capital letter `ParamFilter` builds the URI again and `AuthFilter` the parameters, which
    /// was measured at 2 to 3 % of a small request.
    fn user_field(&self) -> UserField {
        UserField::Query("doas")
    }

    fn impersonation_probe(&self) -> Option<ImpersonationProbe> {
        Some(hadoop::HOME)
    }

    fn check_impersonation(
        &self,
        head: &ResponseInfo<'_>,
        body: &[u8],
        user: &str,
    ) -> ImpersonationCheck {
        hadoop::check_home_directory(head, body, user)
    }

    fn has_active(&self) -> bool {
        true
    }

    fn probe(&self) -> &'static str {
        "/isActive"
    }

    fn probe_fallback(&self) -> Option<&'static str> {
        Some(STATUS_BEAN)
    }

    fn health(&self, head: &ResponseInfo<'_>, body: &[u8]) -> Health {
        match head.status {
            StatusCode::OK if is_media_type(head, "application/json") => bean_health(body),
            StatusCode::OK => Health::Active,
            StatusCode::METHOD_NOT_ALLOWED => Health::Standby,
            StatusCode::NOT_FOUND => Health::NoSuchProbe,
            _ => Health::Down,
        }
    }

    fn needs_body(&self, head: &ResponseInfo<'_>) -> bool {
        hadoop::may_be_denial(head)
    }

    fn verdict(
        &self,
        request: &RequestInfo<'_>,
        head: &ResponseInfo<'_>,
        body: &[u8],
        _backends: &[Arc<str>],
    ) -> Verdict {
        if self.login_failed(head) {
            return Verdict::LoginFailed;
        }
        // Only WebHDFS: in other responses the same JSON may be content.
        let elsewhere = self.needs_body(head)
            && hadoop::is_webhdfs(request)
            && hadoop::remote_exception(body).is_some_and(|said| is_elsewhere(&said));
        if elsewhere {
            Verdict::Standby
        } else {
            Verdict::Final
        }
    }

    fn serves_webhdfs(&self) -> bool {
        true
    }

    fn impersonation_denial(
        &self,
        _asked: &RequestInfo<'_>,
        head: &ResponseInfo<'_>,
        body: &[u8],
    ) -> Option<ImpersonationDenial> {
        hadoop::denial(head, body)
    }

    fn remedy(&self, denial: &ImpersonationDenial, gateway: &str, user: &str) -> Remedy {
        hadoop::remedy(
            "core-site.xml of the NameNodes",
            "run `hdfs dfsadmin -refreshSuperUserGroupsConfiguration`",
            (denial, gateway, user),
        )
    }

    fn redirects_to_nodes(&self, request: &RequestInfo<'_>) -> bool {
        hadoop::is_webhdfs(request)
    }

    fn depends_on_nodes(&self) -> bool {
        true
    }

    fn discards_body(&self, request: &RequestInfo<'_>) -> bool {
        hadoop::is_first_step_of_write(request)
    }
}

/// Reads `State` of the bean `NameNodeStatus`.
fn bean_health(body: &[u8]) -> Health {
    let value: Option<Value> = serde_json::from_slice(body).ok();
    match value
        .as_ref()
        .and_then(|value| value["beans"][0]["State"].as_str())
    {
        Some("active") => Health::Active,
        Some("standby" | "observer") => Health::Standby,
        Some(_) | None => Health::Down,
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::kinds::{
        named,
        tests::{json, remote, response},
    };

    #[test]
    fn a_standby_is_recognised_and_other_exceptions_are_for_the_client() {
        let standby = remote(
            403,
            "StandbyException",
            "Operation category READ is not supported",
        );
        assert_eq!(
            standby.verdict("namenode", "/webhdfs/v1/tmp"),
            Verdict::Standby
        );
        assert_eq!(standby.verdict("namenode", "/other"), Verdict::Final);
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
                Verdict::Final,
                "{exception}"
            );
        }
        let file = json(
            200,
            r#"{"RemoteException":{"exception":"StandbyException"}}"#,
        );
        assert_eq!(file.verdict("namenode", "/webhdfs/v1/tmp"), Verdict::Final);
        let cut_off = json(403, r#"{"RemoteException":{"exception":"StandbyExc"#);
        assert_eq!(
            cut_off.verdict("namenode", "/webhdfs/v1/tmp"),
            Verdict::Final
        );
    }

    #[test]
    fn a_namenode_that_has_not_started_did_nothing_and_safe_mode_is_for_the_client() {
        for (exception, message, verdict) in [
            (
                "RetriableException",
                "Namenode is in startup mode",
                Verdict::Standby,
            ),
            (
                "RetriableException",
                "NameNode still not started",
                Verdict::Standby,
            ),
            (
                "IOException",
                "Namesystem has not been intialized yet.",
                Verdict::Standby,
            ),
            (
                "SafeModeException",
                "Cannot create file. Name node is in safe mode.",
                Verdict::Final,
            ),
            (
                "RetriableException",
                "SafeModeException: Cannot create file. Name node is in safe mode.",
                Verdict::Final,
            ),
            (
                "FileNotFoundException",
                "File /Namenode is in startup mode not found.",
                Verdict::Final,
            ),
        ] {
            let said = remote(403, exception, message);
            assert_eq!(
                said.verdict("namenode", "/webhdfs/v1/tmp"),
                verdict,
                "{exception}: {message}"
            );
        }
    }

    #[test]
    fn a_namenode_is_active_or_standby_or_too_old_for_the_probe() {
        let plain = |status| response(status).with("content-type", "text/plain;charset=utf-8");
        let bean = |state: &str| json(200, &format!(r#"{{"beans":[{{"State" : "{state}"}}]}}"#));
        for (probe, health) in [
            (plain(200).body("I am Active!\n"), Health::Active),
            (response(405).body("I am not Active!"), Health::Standby),
            (response(404), Health::NoSuchProbe),
            (response(500), Health::Down),
            (response(503), Health::Down),
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
    fn webhdfs_redirects_to_nodes_and_pages_do_not() {
        let kind = named("namenode").unwrap();
        let request = |path| RequestInfo {
            method: &Method::PUT,
            path,
            query: "op=CREATE",
        };
        assert!(kind.redirects_to_nodes(&request("/webhdfs/v1/f")));
        assert!(!kind.redirects_to_nodes(&request("/dfshealth.html")));
    }
}
