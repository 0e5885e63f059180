//! Requests for credentials of the authenticated principal: delegation tokens and block tokens.
//!
//! On the request path: before anything is sent, on consoles with `identity = "service"`. There the
//! server would issue the gateway's own token, whose holder is the gateway; or renew and cancel one
//! in the gateway's name. One rule for all kinds, since Hadoop serves such requests in many places:
//!
//! - `op=GETDELEGATIONTOKEN`, `RENEW…` and `CANCEL…` on **any** path
//!   (`DelegationTokenAuthenticationHandler`: `ResourceManager`, timeline server, KMS, `HttpFS`, Solr)
//!   and of `WebHDFS`;
//! - `op=GET_BLOCK_LOCATIONS` of `WebHDFS`, whose response holds block tokens;
//! - `/getDelegationToken`, `/renewDelegationToken` and `/cancelDelegationToken` of Hadoop 2's
//!   `NameNode`;
//! - `/ws/v1/cluster/delegation-token` of the `ResourceManager` and what is below it.
//!
//! The rule looks at letters, not at parameters: what a server could read as such a word is refused
//! wherever it stands in the query, however it is escaped and in any letters that Java folds to it.
//! That refuses a little too much (a file of that name as a rename's destination) and nothing too
//! little.

use super::query::{decode, fold};

/// How deep escapes may be nested before a request is refused unread. The limit bounds the work for
/// `%252525…`.
const DEPTH: usize = 4;

/// Words that a query must not contain; letters and digits only.
const IN_QUERIES: [&str; 2] = ["delegationtoken", "getblocklocations"];

/// Segments that a path must not contain; letters and digits only.
const SEGMENTS: [&str; 4] = [
    "delegationtoken",
    "getdelegationtoken",
    "renewdelegationtoken",
    "canceldelegationtoken",
];

/// Whether the response to a request could contain such a credential, or the request renew or cancel one
/// in the gateway's name. `query` as the client sent it, without `?`.
pub fn asks_for_one(path: &str, query: &str) -> bool {
    some_reading(path, |path| {
        // Whole segments of the path, because a file may have such a name; any part of the query, because
        // parsers differ in where a parameter begins.
        path.split(['/', '\\']).any(|segment| {
            // Servlet containers cut path parameters off (`;jsessionid=…`) before they map the path.
            let name = segment.split(';').next().unwrap_or_default();
            SEGMENTS.iter().any(|word| letters(name).eq(word.chars()))
        })
    }) || some_reading(query, |query| {
        IN_QUERIES.iter().any(|word| mentions(query, word))
    })
}

/// Whether a query asks for a redirect as JSON (`noredirect=true` of `WebHDFS`), whose link may hold
/// a token.
pub(crate) fn asks_for_link(query: &str) -> bool {
    some_reading(query, |query| mentions(query, "noredirect"))
}

/// Whether `is` holds for a text as it came, or decoded up to [`DEPTH`] times.
fn some_reading(text: &str, is: impl Fn(&str) -> bool) -> bool {
    if is(text) {
        return true;
    }
    if !text.contains('%') {
        return false;
    }
    let mut text = text.to_owned();
    for _ in 0..DEPTH {
        let decoded = String::from_utf8_lossy(&decode(text.as_bytes())).into_owned();
        if decoded == text {
            return false;
        }
        if is(&decoded) {
            return true;
        }
        text = decoded;
    }
    // Escaped more deeply than any client does by accident: treated as a match, so that it is refused.
    true
}

/// Whether the letters and digits of a text contain this word.
fn mentions(text: &str, word: &str) -> bool {
    // Runs for every query of a `service` console, so nothing is allocated: the rest is compared only
    // where the first letter fits.
    let first = word.chars().next();
    text.char_indices().any(|(at, c)| {
        Some(fold(c)) == first && {
            let mut rest = letters(&text[at..]);
            word.chars().all(|wanted| rest.next() == Some(wanted))
        }
    })
}

/// The letters and digits of a text, as Java folds their case.
fn letters(text: &str) -> impl Iterator<Item = char> {
    text.chars().map(fold).filter(|c| c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_way_to_a_token_is_known_in_every_spelling() {
        for (path, query) in [
            ("/webhdfs/v1/", "op=GETDELEGATIONTOKEN"),
            ("/webhdfs/v1/", "op=getdelegationtokens&renewer=x"),
            ("/webhdfs/v1/f", "op=GET_BLOCK_LOCATIONS&length=1"),
            ("/webhdfs/v1/f", "op=get%5Fblock%5flocations"),
            ("/cluster", "op=GETDELEGATIONTOKEN"),
            ("/", "x&op=RenewDelegationToken&token=T"),
            ("/kms/v1/", "op=CANCELDELEGATIONTOKEN&token=T"),
            ("/ws/v1/timeline/", "%6fp=%47ETDELEGATIONTOKEN"),
            ("/x", "op=GETDELEGATION%54OKEN"),
            ("/x", "op=GETDELEGATION%2554OKEN"),
            ("/x", "op=getdelegat\u{131}ontoken"),
            ("/x", "op=getdelegat%C4%B1ontoken"),
            ("/x", "op=get%EF%BC%A4elegationtoken"),
            ("/x", "a=1;op=getdelegationtoken"),
            ("/getDelegationToken", ""),
            ("/getDelegationToken/", "renewer=x"),
            ("/GETDELEGATIONTOKEN;jsessionid=1", ""),
            ("/renewDelegationToken", "token=T"),
            ("/cancelDelegationToken", "token=T"),
            ("/ws/v1/cluster/delegation-token", ""),
            ("/ws/v1/cluster/delegation-token/expiration", ""),
            ("/ws/v1/cluster;a=b/Delegation-Token;c/", ""),
            ("/ws/v1/cluster/delegation%2Dtoken", ""),
            ("/ws/v1/cluster%2fdelegation-token%2f", ""),
            ("/x", "a=%252525252525252541"),
        ] {
            assert!(asks_for_one(path, query), "{path}?{query}");
        }
    }

    #[test]
    fn other_requests_are_none() {
        for (path, query) in [
            ("/", ""),
            ("/webhdfs/v1/user/a", "op=LISTSTATUS"),
            ("/webhdfs/v1/user/a", "op=GETFILEBLOCKLOCATIONS"),
            ("/webhdfs/v1/my-delegation-token.txt", "op=OPEN"),
            ("/webhdfs/v1/a%2525b", "op=RENAME&destination=/a%2525;b"),
            (
                "/webhdfs/v1/100%25",
                "op=MKDIRS&permission=7%25+5&a=%C3%BC%FF",
            ),
            ("/jmx", "qry=Hadoop:*"),
        ] {
            assert!(!asks_for_one(path, query), "{path}?{query}");
        }
    }

    #[test]
    fn a_redirect_as_json_is_known_in_every_spelling() {
        for query in ["noredirect=true", "op=OPEN&NoRedirect", "no%72edirect=1"] {
            assert!(asks_for_link(query), "{query}");
        }
        assert!(!asks_for_link("op=OPEN&redirect=no"));
    }

    proptest! {
        #[test]
        fn no_escape_and_no_case_hides_the_operation(
            before in "[a-z=&;+.]{0,8}", after in "[a-z=&;+.]{0,8}",
            caps in prop::collection::vec(any::<bool>(), 18),
            escaped in prop::collection::vec(0_u8..3, 18),
        ) {
            let mut query = before;
            for ((c, upper), escapes) in "getdelegationtoken".chars().zip(caps).zip(escaped) {
                let c = if upper { c.to_ascii_uppercase() } else { c };
                let escape = format!("%{:02x}", c as u32);
                query += &match escapes {
                    0 => c.to_string(),
                    1 => escape,
                    _ => percent_encode(escape.as_bytes(), NON_ALPHANUMERIC).to_string(),
                };
            }
            query.push_str(&after);
            prop_assert!(asks_for_one("/x", &query), "{}", query);
        }

        #[test]
        fn any_text_has_a_result(path in ".*", query in ".*") {
            let _ = (asks_for_one(&path, &query), asks_for_link(&query));
        }
    }
}
