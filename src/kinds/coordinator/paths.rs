//! What clients and pages request from a coordinator: lists of methods and paths.
//!
//! A coordinator serves its internal interface (`/v1/task`, `/v1/announcement`, `/v1/memory` …) on the
//! same port, and allows it by the login, which here is the gateway's. So nothing is forwarded that is
//! not listed, in any spelling: the rules are compared with the bytes of the path, and a segment with a
//! `;` (path parameters) matches nothing.

use http::Method;

/// Methods and a path. `GET` includes `HEAD`.
///
/// In the path `*` is one segment, and `**` at the end any number of them, including none.
#[derive(Debug)]
pub(in crate::kinds) struct PathRule(
    pub(in crate::kinds) &'static [Method],
    pub(in crate::kinds) &'static str,
);

pub(in crate::kinds) const GET: &[Method] = &[Method::GET];
pub(in crate::kinds) const POST: &[Method] = &[Method::POST];
pub(in crate::kinds) const PUT: &[Method] = &[Method::PUT];
pub(in crate::kinds) const DELETE: &[Method] = &[Method::DELETE];
pub(in crate::kinds) const GET_DELETE: &[Method] = &[Method::GET, Method::DELETE];

/// What all coordinators have: the protocol of queries (`QueuedStatementResource`,
/// `ExecutingStatementResource`), the interface by which programs list and cancel them
/// (`QueryResource`, `QueryStateInfoResource`), and the pages.
///
/// `PUT /v1/statement/<id>` of newer Prestos is missing on purpose: no known client sends it, and it
/// lets the client choose the query's id, and with it the coordinator that the gateway takes for the
/// owner.
pub(super) const COMMON: &[PathRule] = &[
    PathRule(GET, "/"),
    PathRule(GET, "/favicon.ico"),
    PathRule(GET, "/ui/**"),
    PathRule(GET, "/v1/info"),
    // the JDBC driver of Trino tests a connection with HEAD
    PathRule(&[Method::POST, Method::GET], "/v1/statement"),
    PathRule(GET_DELETE, "/v1/statement/**"),
    PathRule(GET, "/v1/query"),
    PathRule(GET_DELETE, "/v1/query/*"),
    PathRule(PUT, "/v1/query/*/killed"),
    PathRule(PUT, "/v1/query/*/preempted"),
    PathRule(GET, "/v1/queryState"),
    PathRule(GET, "/v1/queryState/*"),
];

/// Whether one of the rules matches the request.
pub(super) fn lists(entries: &[PathRule], method: &Method, path: &str) -> bool {
    let method = if *method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let mut entries = entries.iter();
    entries.any(|PathRule(methods, pattern)| methods.contains(method) && matches(pattern, path))
}

/// Whether one of the rules matches the path, with any method.
pub(super) fn lists_path(entries: &[PathRule], path: &str) -> bool {
    entries
        .iter()
        .any(|PathRule(_, pattern)| matches(pattern, path))
}

fn matches(pattern: &str, path: &str) -> bool {
    // Jersey treats `/v1/query/` as `/v1/query`
    let path = match path.strip_suffix('/') {
        None | Some("") => path,
        Some(shorter) => shorter,
    };
    let mut segments = path.split('/');
    let mut wanted = pattern.split('/');
    loop {
        match (wanted.next(), segments.next()) {
            (None | Some("**"), None) => return true,
            (Some("**"), Some(first)) => {
                return is_plain(first) && segments.all(is_plain);
            }
            (Some("*"), Some(segment)) if is_plain(segment) => {}
            (Some(name), Some(segment)) if name == segment && name != "*" => {}
            (Some(_), None | Some(_)) | (None, Some(_)) => return false,
        }
    }
}

/// Whether every parser reads a segment alike.
fn is_plain(segment: &str) -> bool {
    !segment.is_empty() && !segment.contains(';')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_star_is_a_segment_and_two_are_the_rest() {
        for (pattern, path, fit) in [
            ("/", "/", true),
            ("/", "/x", false),
            ("/v1/info", "/v1/info", true),
            ("/v1/info", "/v1/info/", true),
            ("/v1/info", "/v1/info/state", false),
            ("/v1/info", "/V1/info", false),
            ("/v1/info", "/v1//info", false),
            ("/v1/query/*", "/v1/query/a", true),
            ("/v1/query/*", "/v1/query/", false),
            ("/v1/query/*", "/v1/query/a/b", false),
            ("/v1/query/*", "/v1/query/a;b", false),
            ("/v1/query/*/killed", "/v1/query/a/killed", true),
            ("/ui/**", "/ui", true),
            ("/ui/**", "/ui/", true),
            ("/ui/**", "/ui/a/b.js", true),
            ("/ui/**", "/ui/a//b", false),
            ("/ui/**", "/ui;x/a", false),
            ("/ui/**", "/uix", false),
        ] {
            assert_eq!(matches(pattern, path), fit, "{pattern} {path}");
        }
    }

    proptest! {
        #[test]
        fn a_path_that_matches_begins_like_the_pattern(path in "(/[a-z1;.%*]{0,8}){0,5}") {
            for PathRule(_, pattern) in COMMON {
                let start = pattern.split('*').next().unwrap_or_default().trim_end_matches('/');
                prop_assert!(!matches(pattern, &path) || path.starts_with(start));
            }
        }
    }
}
