//! `jobhistory`: the MR2 `JobHistoryServer`.

use super::{
    Health, ImpersonationCheck, ImpersonationDenial, ImpersonationProbe, Kind, Login, Remedy,
    RequestInfo, ResponseInfo, hadoop,
};

const INFO: &str = "/ws/v1/history/info";

/// With Hadoop's plain `AuthenticationFilterInitializer` it ignores `doAs` and serves every page as the
/// gateway. The probe finds that: 200 for a user that does not exist *and* for the empty one.
#[derive(Debug)]
pub(super) struct JobHistory;

impl Kind for JobHistory {
    fn name(&self) -> &'static str {
        "jobhistory"
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

    fn needs_body(&self, head: &ResponseInfo<'_>) -> bool {
        hadoop::may_be_denial(head)
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
            "core-site.xml of the JobHistoryServer",
            "restart it",
            (denial, gateway, user),
        )
    }

    fn body_names_addresses(&self, request: &RequestInfo<'_>) -> bool {
        hadoop::body_names_addresses(request)
    }

    fn pages_name_servers(&self) -> bool {
        true
    }

    fn probe(&self) -> &'static str {
        INFO
    }

    fn health(&self, head: &ResponseInfo<'_>, _body: &[u8]) -> Health {
        hadoop::health_without_standby(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::tests::{json, response};

    #[test]
    fn a_jobhistoryserver_that_responds_is_active() {
        assert_eq!(json(200, "{}").health("jobhistory"), Health::Active);
        assert_eq!(response(404).health("jobhistory"), Health::Down);
    }
}
