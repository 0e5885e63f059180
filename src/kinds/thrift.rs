//! What servers of `HiveServer2`'s Thrift protocol over HTTP have in common.

use http::StatusCode;

use super::{Health, Kind, Login, ResponseInfo};

/// Where calls are posted to.
const PATH: &str = "/cliservice";

/// What one of them calls itself, and what else sets it apart.
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

    /// A GET there is an empty call: an error, but an authenticated one, and the cookie comes with it.
    fn login(&self) -> Login {
        Login::Cookie { path: PATH }
    }

    /// Bad tokens and cookies are 401, with a challenge or without; what a user may not do is a Thrift
    /// error in a 200.
    fn login_failed(&self, head: &ResponseInfo<'_>) -> bool {
        head.status == StatusCode::UNAUTHORIZED
    }

    /// `doAs` is read with every request, and refused where no rule allows it. Every other way to name
    /// a user is in the body, which is read: see [`Kind::speaks_thrift`].
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

    /// An empty call is answered by 500 (`HiveServer2`) or 400: whoever says that, serves.
    fn health(&self, head: &ResponseInfo<'_>, _body: &[u8]) -> Health {
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
    use crate::kinds::tests::answer;

    #[test]
    fn an_error_about_the_call_is_a_sign_of_life() {
        for (status, health) in [
            (200, Health::Active),
            (500, Health::Active),
            (405, Health::Active),
            (404, Health::Down),
            (503, Health::Down),
        ] {
            assert_eq!(answer(status).health("hiveserver2"), health, "{status}");
        }
    }
}
