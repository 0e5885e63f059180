//! Removes secrets from paths and queries before they are logged.

use percent_encoding::percent_decode_str;

/// Lower-case names of parameters whose values are credentials: Hadoop's delegation tokens and cookies,
/// OAuth codes, signatures, Trino's slugs.
const SECRET: &[&str] = &[
    "access_token",
    "code",
    "delegation",
    "hadoop.auth",
    "password",
    "sig",
    "signature",
    "slug",
    "ticket",
    "token",
];
/// Prefix of the gateway's own parameters, which sign node links.
const OWN_PREFIX: &str = ".spnegate";

/// Appends a query with `-` in place of each secret value; `push` gets its pieces.
///
/// `&` and `;` both separate parameters, and names are compared decoded and without case, because some
/// backend may read them so.
pub(super) fn query<'q>(query: &'q str, mut push: impl FnMut(&'q str)) {
    let mut rest = query;
    while !rest.is_empty() {
        let end = rest.find(['&', ';']).unwrap_or(rest.len());
        let (pair, after) = rest.split_at(end);
        match pair.find('=') {
            Some(at) if is_secret(&pair[..at]) => {
                push(&pair[..=at]);
                push("-");
            }
            _ => push(pair),
        }
        let separator = after.len().min(1);
        push(&after[..separator]);
        rest = &after[separator..];
    }
}

/// Appends a path, with `-` in place of the slug of a Trino query:
/// `/v1/statement/executing/<query>/<slug>/<n>`. A client that knows the slug can fetch the results.
pub(super) fn path<'p>(path: &'p str, mut push: impl FnMut(&'p str)) {
    let secret = path.strip_prefix("/v1/statement/").and_then(|rest| {
        let mut pieces = rest.split('/');
        let (_state, _query, slug) = (pieces.next()?, pieces.next()?, pieces.next()?);
        // Presto has no slug: the third segment is the number then, and nothing follows it.
        pieces.next().map(|_number| slug)
    });
    match secret {
        Some(slug) => {
            // The slug is a slice of `path`, so the difference is its offset.
            let at = slug.as_ptr() as usize - path.as_ptr() as usize;
            push(&path[..at]);
            push("-");
            push(&path[at + slug.len()..]);
        }
        None => push(path),
    }
}

/// Appends a URL without the secrets of its query.
pub(super) fn url<'u>(url: &'u str, mut push: impl FnMut(&'u str)) {
    match url.find('?') {
        Some(at) => {
            push(&url[..=at]);
            query(&url[at + 1..], push);
        }
        None => push(url),
    }
}

fn is_secret(name: &str) -> bool {
    let matches = |name: &str| {
        SECRET
            .iter()
            .any(|secret| name.eq_ignore_ascii_case(secret))
            || name
                .get(..OWN_PREFIX.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(OWN_PREFIX))
    };
    if name.contains(['%', '+']) {
        // Invalid UTF-8 may be replaced, because no name of the list contains the replacement.
        // Blanks (`+`) and NUL at the ends are removed, because some backend may ignore them.
        let decoded = percent_decode_str(name).decode_utf8_lossy();
        matches(decoded.trim_matches(|c: char| c.is_whitespace() || c == '+' || c == '\0'))
    } else {
        matches(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scrubbed(text: &str) -> String {
        let mut out = String::new();
        query(text, |piece| out.push_str(piece));
        out
    }

    #[test]
    fn secret_values_are_replaced_in_all_spellings_of_their_names() {
        for (raw, clean) in [
            (
                "op=OPEN&delegation=abc&offset=0",
                "op=OPEN&delegation=-&offset=0",
            ),
            ("a;Delegation=abc;b", "a;Delegation=-;b"),
            ("%64elegation=abc", "%64elegation=-"),
            ("token=a=b", "token=-"),
            (
                ".spnegate.sig=abc&.spnegate=x",
                ".spnegate.sig=-&.spnegate=-",
            ),
            ("token", "token"),
            ("", ""),
            ("&&", "&&"),
        ] {
            assert_eq!(scrubbed(raw), clean);
        }
    }

    #[test]
    fn a_slug_is_removed_from_a_path() {
        for (raw, clean) in [
            (
                "/v1/statement/executing/20261126_1_2_abcde/y12af/7",
                "/v1/statement/executing/20261126_1_2_abcde/-/7",
            ),
            (
                "/v1/statement/queued/20261126_1_2_abcde/y12af/7/x",
                "/v1/statement/queued/20261126_1_2_abcde/-/7/x",
            ),
            (
                "/v1/statement/queued/20261126_1_2_abcde/7",
                "/v1/statement/queued/20261126_1_2_abcde/7",
            ),
            ("/v1/statement", "/v1/statement"),
            ("/webhdfs/v1/a/b/c/d", "/webhdfs/v1/a/b/c/d"),
        ] {
            let mut out = String::new();
            path(raw, |piece| out.push_str(piece));
            assert_eq!(out, clean);
        }
    }

    #[test]
    fn other_parameters_stay_unchanged() {
        let query = "op=LISTSTATUS&doAs=bob&destination=/a;b&x=%zz";
        assert_eq!(scrubbed(query), query);
    }

    proptest! {
        #[test]
        fn secrets_are_removed_from_any_query(before in "[a-z=&;%]{0,20}", after in "[a-z=&;%]{0,20}") {
            let text = scrubbed(&format!("{before}&token=SECRET&{after}"));
            prop_assert!(!text.contains("SECRET"));
        }
    }
}
