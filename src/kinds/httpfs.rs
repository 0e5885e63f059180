//! `httpfs`: `HttpFS`, the server of `WebHDFS` that streams the data itself.

use super::{
    Health, ImpersonationCheck, ImpersonationDenial, ImpersonationProbe, Kind, Login, Remedy,
    RequestInfo, ResponseInfo, hadoop,
};

/// Returns the home of the user without reading the file system.
const HOME: &str = "/webhdfs/v1/?op=GETHOMEDIRECTORY";

#[derive(Debug)]
pub(super) struct HttpFs;

impl Kind for HttpFs {
    fn name(&self) -> &'static str {
        "httpfs"
    }

    fn login(&self) -> Login {
        Login::Cookie { path: HOME }
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

    /// `HttpFS` itself acts for the user at the `NameNode`, under its own name: that may be denied too.
    fn remedy(&self, denial: &ImpersonationDenial, gateway: &str, user: &str) -> Remedy {
        let who = (denial, gateway, user);
        // By default HttpFS logs in to the NameNode as `httpfs`, so a denial of that name comes from there.
        if gateway == "httpfs" {
            return hadoop::remedy(
                "core-site.xml of the NameNodes",
                "run `hdfs dfsadmin -refreshSuperUserGroupsConfiguration`",
                who,
            );
        }
        Remedy::properties(
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

    fn health(&self, head: &ResponseInfo<'_>, _body: &[u8]) -> Health {
        hadoop::health_without_standby(head)
    }

    fn serves_webhdfs(&self) -> bool {
        true
    }

    fn redirects_to_nodes(&self, request: &RequestInfo<'_>) -> bool {
        hadoop::is_webhdfs(request)
    }

    fn discards_body(&self, request: &RequestInfo<'_>) -> bool {
        hadoop::is_first_step_of_write(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::tests::{json, response};

    #[test]
    fn an_httpfs_that_responds_is_active() {
        assert_eq!(json(200, "{}").health("httpfs"), Health::Active);
        assert_eq!(response(500).health("httpfs"), Health::Down);
    }
}
