//! `httpfs`: `HttpFS`, the `WebHDFS` of a gateway host; it streams data itself.

use super::{Asked, Cure, Denial, Head, Health, Kind, Login, Obeys, Proof, hadoop};

/// Names the user and touches nothing.
const HOME: &str = "/webhdfs/v1/?op=GETHOMEDIRECTORY";

/// `HttpFS`.
#[derive(Debug)]
pub(super) struct HttpFs;

impl Kind for HttpFs {
    fn name(&self) -> &'static str {
        "httpfs"
    }

    fn login(&self) -> Login {
        Login::Cookie { path: HOME }
    }

    fn proof(&self) -> Option<Proof> {
        Some(hadoop::HOME)
    }

    fn obeys(&self, head: &Head<'_>, body: &[u8], user: &str) -> Obeys {
        hadoop::home_obeys(head, body, user)
    }

    fn needs_body(&self, head: &Head<'_>) -> bool {
        hadoop::may_be_denial(head)
    }

    fn denial(&self, _asked: &Asked<'_>, head: &Head<'_>, body: &[u8]) -> Option<Denial> {
        hadoop::denial(head, body)
    }

    /// `HttpFS` acts for the user at the `NameNode` in its turn, under a name of its own.
    fn cure(&self, denial: &Denial, gateway: &str, user: &str) -> Cure {
        let who = (denial, gateway, user);
        if gateway == "httpfs" {
            return hadoop::cure(
                "core-site.xml of the NameNodes",
                "run `hdfs dfsadmin -refreshSuperUserGroupsConfiguration`",
                who,
            );
        }
        Cure::properties(
            "httpfs.proxyuser.",
            true,
            "httpfs-site.xml",
            "restart HttpFS",
            who,
        )
    }

    fn probe(&self) -> &'static str {
        HOME
    }

    fn health(&self, head: &Head<'_>, _body: &[u8]) -> Health {
        hadoop::health_of_one(head)
    }

    fn serves_webhdfs(&self) -> bool {
        true
    }

    fn hands_out_nodes(&self, asked: &Asked<'_>) -> bool {
        hadoop::is_webhdfs(asked)
    }

    fn discards_body(&self, asked: &Asked<'_>) -> bool {
        hadoop::is_first_step_of_write(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::tests::{answer, json};

    #[test]
    fn an_httpfs_is_active_when_it_answers() {
        assert_eq!(json(200, "{}").health("httpfs"), Health::Active);
        assert_eq!(answer(500).health("httpfs"), Health::Down);
    }
}
