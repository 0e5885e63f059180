//! The scrubber against reference parsers that split both ways.

use proptest::prelude::*;

use super::*;

const FORBIDDEN: &[&str] = &["doas", "user.name", "delegation"];

fn scrubbed(query: &str) -> Result<String, QueryError> {
    scrub(query, FORBIDDEN).map(Cow::into_owned)
}

#[test]
fn every_plain_spelling_is_cut_and_all_else_stays() {
    for (query, left) in [
        ("", ""),
        ("doAs=bob", ""),
        ("a=1&doAs=bob", "a=1"),
        ("doas=bob&a=1", "a=1"),
        ("a=1&DOAS=bob&b=2", "a=1&b=2"),
        ("do%41s=bob&a=%2f", "a=%2f"),
        ("%64%6f%61%73&a", "a"),
        ("user%2Ename=x&op=LISTSTATUS", "op=LISTSTATUS"),
        ("doas=1&doAs=2&a&doas", "a"),
        ("&a&&doAs=x&&b&", "&a&&&b&"),
        ("doAs==x", ""),
        ("doAs=b;c=d&e", "e"),
        ("delegation=abc&offset=0", "offset=0"),
    ] {
        assert_eq!(scrubbed(query).as_deref(), Ok(left), "{query}");
    }
}

#[test]
fn what_is_legal_passes_byte_for_byte() {
    for query in [
        "op=RENAME&destination=/a;b",
        "a=1;b=2",
        "x=doAs=bob",
        "x=%26doAs%3Dbob",
        "qry=Hadoop:service=NameNode,name=NameNodeStatus",
        "doAsX=1&xdoAs=2&do.as=3&username=x",
        "a=%FF&b=+%20+",
        "na%20me=1&na+me=2&100%25=x",
    ] {
        let result = scrub(query, FORBIDDEN);
        assert!(
            matches!(result, Ok(Cow::Borrowed(same)) if same == query),
            "{query}"
        );
    }
}

#[test]
fn what_only_some_parsers_would_read_is_refused() {
    for query in [
        "a=1;doAs=bob",
        "destination=/a;doas=b",
        ";doAs=bob",
        "a;DO%41S",
        "do%2541s=bob",
        "do%252541s=bob",
        "doAs+=bob",
        "+doAs=bob",
        "doAs%20=bob",
        "do%0aAs=bob",
        "do%C2%ADas=bob",
        "doa%C5%BF=bob",
        "doaſ=bob",
        "delegat%C4%B1on=x",
        "delegat%C4%B0on=x",
        "%EF%BD%84oAs=bob",
        "x%26doAs=bob",
        "x%3bdoAs=bob",
        "doAs%3Dbob",
        "%2525252525252541=x",
    ] {
        assert_eq!(scrubbed(query), Err(QueryError::Hidden), "{query}");
    }
}

#[test]
fn kelvin_folds_to_k() {
    assert!(looks_like("to\u{212a}en", "token"));
}

#[test]
fn nul_bad_escapes_and_bad_names_are_refused_anywhere() {
    for query in ["a=\0", "a=%00", "doAs%00=x", "%00"] {
        assert_eq!(scrubbed(query), Err(QueryError::Nul), "{query}");
    }
    for query in [
        "a=%",
        "a=%4",
        "a=%u0041",
        "a=%&doAs=x",
        "%u0064oAs=x",
        "a=100%",
        "%x1",
    ] {
        assert_eq!(scrubbed(query), Err(QueryError::Escape), "{query}");
    }
    for query in ["do%c1%81s=x", "%ff=x", "a%e9=1", "%ed%a0%80=1"] {
        assert_eq!(scrubbed(query), Err(QueryError::Encoding), "{query}");
    }
}

#[test]
fn the_gateway_speaks_first_and_once() {
    assert_eq!(
        compose(Some(("doAs", "alice")), "op=OPEN"),
        "doAs=alice&op=OPEN"
    );
    assert_eq!(compose(Some(("doAs", "")), ""), "doAs=");
    assert_eq!(compose(None, "a=b"), "a=b");
    assert_eq!(
        compose(Some(("user.name", "a&b=c d/ü+%")), ""),
        "user.name=a%26b%3Dc%20d%2F%C3%BC%2B%25"
    );
}

#[test]
fn a_backends_query_loses_only_plain_spellings() {
    assert_eq!(cut("doAs=alice&a=%zz", FORBIDDEN), "a=%zz");
    assert!(matches!(cut("a=%zz;doAs=x", FORBIDDEN), Cow::Borrowed(_)));
}

#[test]
fn a_backends_query_mentions_a_name_however_it_is_written() {
    for query in [
        "delegation=x",
        "a=%zz&Delegation=x",
        "a;delegation=x",
        "%ff&delegatio%6e=x",
    ] {
        assert!(mentions(query, FORBIDDEN), "{query}");
    }
    for query in ["", "a=100%", "%ff=x", "a=\0"] {
        assert!(!mentions(query, FORBIDDEN), "{query}");
    }
}

/// What a parser sees that splits at `separators`: names decoded once, lower case.
fn names(query: &str, separators: &[char]) -> Vec<String> {
    query
        .split(separators)
        .map(|piece| piece.split('=').next().unwrap_or_default())
        .map(|name| String::from_utf8_lossy(&decode(name.as_bytes())).to_lowercase())
        .collect()
}

fn piece() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just("doAs".to_owned()),
        Just("do%41s".to_owned()),
        Just("DELEGATION".to_owned()),
        Just("user%2ename".to_owned()),
        Just("doa%C5%BF".to_owned()),
        "[a-z]{0,3}",
        "[a-zA-Z%;+. =&]{0,8}",
        ".{0,4}",
    ];
    let value = prop_oneof!["[a-z]{0,3}", "[ -~]{0,6}", Just("x;doAs=y".to_owned())];
    (name, value).prop_map(|(name, value)| format!("{name}={value}"))
}

proptest! {
    #[test]
    fn no_parser_sees_a_forbidden_name(pieces in prop::collection::vec(piece(), 0..6)) {
        let query = pieces.join("&");
        if let Ok(left) = scrub(&query, FORBIDDEN) {
            let sent = compose(Some(("doAs", "alice")), &left);
            for separators in [&['&'][..], &['&', ';'][..]] {
                let seen = names(&sent, separators);
                prop_assert_eq!(&seen[0], "doas");
                prop_assert!(seen[1..].iter().all(|name| !FORBIDDEN.contains(&name.as_str())));
            }
        }
    }

    #[test]
    fn all_other_parameters_keep_bytes_and_order(pieces in prop::collection::vec(piece(), 0..6)) {
        let query = pieces.join("&");
        if let Ok(left) = scrub(&query, FORBIDDEN) {
            let kept: Vec<&str> = query
                .split('&')
                .filter(|piece| !FORBIDDEN.contains(&names(piece, &['&'])[0].as_str()))
                .collect();
            prop_assert_eq!(left.as_ref(), kept.join("&"));
            prop_assert_eq!(scrub(&left, FORBIDDEN).unwrap(), left.as_ref());
        }
    }

    #[test]
    fn any_text_is_scrubbed_or_refused(query in ".*") {
        let _ = scrub(&query, FORBIDDEN);
        let _ = cut(&query, FORBIDDEN);
    }
}
