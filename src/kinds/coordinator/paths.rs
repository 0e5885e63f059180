//! What clients and pages ask a coordinator for: lists of methods and paths.
//!
//! A coordinator serves its internal interface (`/v1/task`, `/v1/announcement`, `/v1/memory` …) on
//! the same port. Who may use that goes by the login, which here is the gateway's. So what is not
//! listed is not passed on, in whatever spelling it comes: the lists are compared with the path's
//! own bytes, and a segment with a `;` (path parameters) fits nothing.

use http::Method;

/// A path that may be request for by any of the methods; `GET` stands for `HEAD` too.
///
/// In the path `*` is one segment, and `**` at its end any number of them, also none.
#[derive(Debug)]
pub(in crate::kinds) struct Entry(
    pub(in crate::kinds) &'static [Method],
    pub(in crate::kinds) &'static str,
);

/// `GET`
pub(in crate::kinds) const GET: &[Method] = &[Method::GET];
/// `POST`
pub(in crate::kinds) const POST: &[Method] = &[Method::POST];
/// `PUT`
pub(in crate::kinds) const PUT: &[Method] = &[Method::PUT];
/// `DELETE`
pub(in crate::kinds) const DELETE: &[Method] = &[Method::DELETE];
/// `GET` and `DELETE`
pub(in crate::kinds) const GET_DELETE: &[Method] = &[Method::GET, Method::DELETE];

/// What all coordinators have: the protocol of queries (`QueuedStatementResource`,
/// `ExecutingStatementResource`), queries as programs look at them and cancel them
/// (`QueryResource`, `QueryStateInfoResource`), and the pages.
///
/// `PUT /v1/statement/<id>` of newer Prestos is not among them: no client sends it, and whoever does
/// chooses the query's id, and with it the coordinator that the gateway would take for its owner.
pub(super) const COMMON: &[Entry] = &[
    Entry(GET, "/"),
    Entry(GET, "/favicon.ico"),
    Entry(GET, "/ui/**"),
    Entry(GET, "/v1/info"),
    // HEAD is how the JDBC driver of Trino asks whether a connection works
    Entry(&[Method::POST, Method::GET], "/v1/statement"),
    Entry(GET_DELETE, "/v1/statement/**"),
    Entry(GET, "/v1/query"),
    Entry(GET_DELETE, "/v1/query/*"),
    Entry(PUT, "/v1/query/*/killed"),
    Entry(PUT, "/v1/query/*/preempted"),
    Entry(GET, "/v1/queryState"),
    Entry(GET, "/v1/queryState/*"),
];

/// Whether one of the entries is for this request.
pub(super) fn lists(entries: &[Entry], method: &Method, path: &str) -> bool {
    let method = if *method == Method::HEAD {
        &Method::GET
    } else {
        method
    };
    let mut entries = entries.iter();
    entries.any(|Entry(methods, pattern)| methods.contains(method) && fits(pattern, path))
}

/// Whether one of the entries is for this path, by whatever method.
pub(super) fn lists_path(entries: &[Entry], path: &str) -> bool {
    entries.iter().any(|Entry(_, pattern)| fits(pattern, path))
}

fn fits(pattern: &str, path: &str) -> bool {
    // as Jersey does, which takes `/v1/query/` for `/v1/query`
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

/// Whether a segment means to every parser what it says.
fn is_plain(segment: &str) -> bool {
    !segment.is_empty() && !segment.contains(';')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_is_one_segment_and_two_are_the_rest() {
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
            assert_eq!(fits(pattern, path), fit, "{pattern} {path}");
        }
    }

    proptest! {
        #[test]
        fn whatever_fits_begins_as_the_pattern_does(path in "(/[a-z1;.%*]{0,8}){0,5}") {
            for Entry(_, pattern) in COMMON {
                let start = pattern.split('*').next().unwrap_or_default().trim_end_matches('/');
                prop_assert!(!fits(pattern, &path) || path.starts_with(start));
            }
        }
    }
}
