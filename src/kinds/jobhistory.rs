//! `jobhistory`: the MR2 `JobHistoryServer`.

use super::{Asked, Cure, Denial, Head, Health, Kind, Login, Obeys, Proof, hadoop};

const INFO: &str = "/ws/v1/history/info";

/// The `JobHistoryServer`.
///
/// Under Hadoop's plain `AuthenticationFilterInitializer` it ignores `doAs` and shows every page as
/// the gateway: the proof finds that (200 for a user whom nobody has *and* for the empty one).
#[derive(Debug)]
pub(super) struct JobHistory;

impl Kind for JobHistory {
    fn name(&self) -> &'static str {
        "jobhistory"
    }

    fn login(&self) -> Login {
        Login::Cookie { path: INFO }
    }

    fn proof(&self) -> Option<Proof> {
        Some(Proof::page(INFO))
    }

    fn obeys(&self, head: &Head<'_>, body: &[u8], user: &str) -> Obeys {
        hadoop::page_obeys(head, body, user)
    }

    fn needs_body(&self, head: &Head<'_>) -> bool {
        hadoop::may_be_denial(head)
    }

    fn denial(&self, _asked: &Asked<'_>, head: &Head<'_>, body: &[u8]) -> Option<Denial> {
        hadoop::denial(head, body)
    }

    fn cure(&self, denial: &Denial, gateway: &str, user: &str) -> Cure {
        hadoop::cure(
            "core-site.xml of the JobHistoryServer",
            "restart it",
            (denial, gateway, user),
        )
    }

    fn names_addresses(&self, asked: &Asked<'_>) -> bool {
        hadoop::names_addresses(asked)
    }

    fn pages_name_servers(&self) -> bool {
        true
    }

    fn probe(&self) -> &'static str {
        INFO
    }

    fn health(&self, head: &Head<'_>, _body: &[u8]) -> Health {
        hadoop::health_of_one(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::tests::{answer, json};

    #[test]
    fn a_jobhistoryserver_is_active_when_it_answers() {
        assert_eq!(json(200, "{}").health("jobhistory"), Health::Active);
        assert_eq!(answer(404).health("jobhistory"), Health::Down);
    }
}
