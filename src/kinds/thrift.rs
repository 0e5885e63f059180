//! What servers of `HiveServer2`'s Thrift protocol over HTTP have in common.

use http::StatusCode;

use super::{Head, Health, Login};

/// Where calls are posted to.
pub(super) const PATH: &str = "/cliservice";

/// A GET there is an empty call: an error, but an authenticated one, and the cookie comes with it.
pub(super) const LOGIN: Login = Login::Cookie { path: PATH };

/// Bad tokens and cookies are 401, with a challenge or without; what a user may not do is a Thrift
/// error in a 200.
pub(super) fn login_failed(head: &Head<'_>) -> bool {
    head.status == StatusCode::UNAUTHORIZED
}

/// An empty call is answered by 500 (`HiveServer2`) or 400: whoever says that, serves.
pub(super) fn health(head: &Head<'_>) -> Health {
    match head.status {
        StatusCode::NOT_FOUND
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Health::Down,
        _ => Health::Active,
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
