//! What servers of `HiveServer2`'s Thrift protocol over HTTP have in common: `hiveserver2` and `impala`.

use http::StatusCode;

use super::{Health, Kind, Login, ResponseInfo};

/// The path that clients post calls to.
const PATH: &str = "/cliservice";

/// What differs between them.
#[derive(Debug)]
pub(super) struct Thrift {
    pub(super) name: &'static str,
    pub(super) services: &'static [&'static str],
    pub(super) simple_identity_obstacle: Option<&'static str>,
}

impl Kind for Thrift {
    fn name(&self) -> &'static str {
        self.name
    }

    fn services(&self) -> &'static [&'static str] {
        self.services
    }

    /// A GET is an empty call. The response is an error, but an authenticated one with the cookie.
    fn login(&self) -> Login {
        Login::Cookie { path: PATH }
    }

    /// The response to a bad token or cookie is 401, with or without a challenge. What a user is not
    /// allowed to do is a Thrift error in a 200.
    fn login_failed(&self, head: &ResponseInfo<'_>) -> bool {
        head.status == StatusCode::UNAUTHORIZED
    }

    /// `doAs` is read with every request, and refused unless a rule allows it. Everything else that can
    /// name a user is in the body, which is checked: see [`Kind::speaks_thrift`].
    fn user_field_is_authoritative(&self) -> bool {
        true
    }

    /// `ThriftHttpServlet` of Hive.
    fn identity_headers(&self) -> &'static [&'static str] {
        &["x-hive-delegation-token"]
    }

    fn reads_forms(&self) -> bool {
        false
    }

    fn speaks_thrift(&self) -> bool {
        true
    }

    fn simple_identity_obstacle(&self) -> Option<&'static str> {
        self.simple_identity_obstacle
    }

    fn probe(&self) -> &'static str {
        PATH
    }

    /// The response to an empty call is 500 (`HiveServer2`) or 400, which only a running server sends.
    fn health(&self, head: &ResponseInfo<'_>, _body: &[u8]) -> Health {
        // These come from a proxy, or from a servlet container without the service.
        match head.status {
            StatusCode::NOT_FOUND
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Health::Down,
            _ => Health::Active,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::tests::response;

    #[test]
    fn an_error_about_the_call_is_a_sign_of_life() {
        for (status, health) in [
            (200, Health::Active),
            (500, Health::Active),
            (405, Health::Active),
            (404, Health::Down),
            (503, Health::Down),
        ] {
            assert_eq!(response(status).health("hiveserver2"), health, "{status}");
        }
    }
}
