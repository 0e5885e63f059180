use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const GATEWAY: &str = "https://gw.example.com:7778";

/// A coordinator's own fields lead to the gateway, and so does whatever names `known`.
fn lead(field: &str, address: &str) -> Option<String> {
    let rest = address.splitn(4, '/').nth(3)?;
    let own = [
        "nextUri",
        "infoUri",
        "partialCancelUri",
        "self",
        "uri",
        "ackUri",
    ]
    .contains(&field);
    (own || address.starts_with("http://known/")).then(|| format!("{GATEWAY}/{rest}"))
}

/// The response as the client gets it, and the id, when it comes in pieces that end at `cuts`.
fn rewritten(body: &str, cuts: &[usize]) -> (String, Option<String>) {
    let mut addresses = Addresses::new(Box::new(lead));
    let body = Bytes::copy_from_slice(body.as_bytes());
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (body.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(body.len());
    let mut out = Vec::new();
    let mut from = 0;
    for cut in cuts {
        addresses.feed(&body.slice(from..cut));
        from = cut;
        while let Some(piece) = addresses.pop() {
            out.extend_from_slice(&piece);
        }
    }
    addresses.finish();
    while let Some(piece) = addresses.pop() {
        out.extend_from_slice(&piece);
    }
    (String::from_utf8(out).unwrap(), addresses.take_id())
}

#[test]
fn all_addresses_of_a_response_are_rewritten() {
    let body = r#"{"id":"20261126_101500_00042_abcde","infoUri":"http://presto.example.com:9090/ui/query.html?20261126_101500_00042_abcde","partialCancelUri":"http://10.0.0.7:9092/v1/stage/20261126_101500_00042_abcde.0","nextUri":"http://presto.example.com:9090/v1/statement/queued/20261126_101500_00042_abcde/1?slug=x1","data":[["http://presto.example.com:9090/x",{"self":"http://known/x"}]],"stats":{"state":"QUEUED","nextUri":"http://x/"}}"#;
    let (text, id) = rewritten(body, &[]);
    assert_eq!(id.as_deref(), Some("20261126_101500_00042_abcde"));
    let response: Value = serde_json::from_str(&text).unwrap();
    for (field, path) in [
        ("infoUri", "/ui/query.html?20261126_101500_00042_abcde"),
        (
            "partialCancelUri",
            "/v1/stage/20261126_101500_00042_abcde.0",
        ),
        (
            "nextUri",
            "/v1/statement/queued/20261126_101500_00042_abcde/1?slug=x1",
        ),
    ] {
        assert_eq!(response[field], format!("{GATEWAY}{path}"));
    }
    // Rows are data and stay as they are.
    assert_eq!(
        response["data"],
        json!([["http://presto.example.com:9090/x", {"self": "http://known/x"}]])
    );
    assert_eq!(response["stats"]["nextUri"], format!("{GATEWAY}/"));
}

#[test]
fn addresses_are_found_at_any_depth() {
    let segment = json!({"type": "spooled", "uri": "http://c:1/v1/spooled/download/a", "ackUri": "http://c:1/v1/spooled/ack/a"});
    let body = json!({
        "id": "q", "data": {"encoding": "json", "segments": [segment, segment]},
        "apps": {"app": [{"trackingUrl": "HTTP://known/proxy/1/".replace("HTTP", "http"), "name": "http", "list": ["http://known/a", 1, "http://other/a"]}]},
        "deep": [[[{"self": "https://x/y"}]]],
    });
    let (text, id) = rewritten(&body.to_string(), &[]);
    let response: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(id.as_deref(), Some("q"));
    let segments = response["data"]["segments"].as_array().unwrap();
    for segment in segments {
        assert_eq!(segment["uri"], format!("{GATEWAY}/v1/spooled/download/a"));
        assert_eq!(segment["ackUri"], format!("{GATEWAY}/v1/spooled/ack/a"));
    }
    let app = &response["apps"]["app"][0];
    assert_eq!(app["trackingUrl"], format!("{GATEWAY}/proxy/1/"));
    assert_eq!(app["name"], "http");
    assert_eq!(
        app["list"],
        json!([format!("{GATEWAY}/a"), 1, "http://other/a"])
    );
    assert_eq!(response["deep"][0][0][0]["self"], format!("{GATEWAY}/y"));
}

#[test]
fn endless_nesting_passes_unchanged() {
    let body = "[".repeat(3 * DEPTH) + "\"http://known/\"" + &"]".repeat(3 * DEPTH);
    assert_eq!(rewritten(&body, &[7, 2000]).0, body);
}

#[test]
fn strings_that_are_not_addresses_stay() {
    for body in [
        "",
        "[]",
        "not json at all \" nextUri",
        r#"{"nextUri":null,"id":7,"a":"nextUri"}"#,
        r#"{"nextUri":"/relative","infoUri":""}"#,
        r#"["nextUri","http://x/"]"#,
        r#"{"nextUri":"ftp://x/","self":"http"}"#,
        r#"{"nextUri":"","a":{"http://known/":1}}"#,
        r#""http://known/""#,
        r#"{"nextUri""#,
        r#"{"nextUri":"http://unfinished"#,
    ] {
        assert_eq!(rewritten(body, &[]).0, body);
    }
}

#[test]
fn escapes_are_decoded_and_encoded() {
    let body = r#"{"a\"b":"\\","nextUri":"http:\/\/x\/v1?a=\"b"}"#;
    let (text, _) = rewritten(body, &[]);
    let response: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(response["nextUri"], format!("{GATEWAY}/v1?a=\"b"));
}

#[test]
fn an_endless_string_is_not_buffered() {
    let body = format!("{{\"nextUri\":\"http://x/{}\"}}", "y".repeat(3 * LONGEST));
    assert_eq!(rewritten(&body, &[]).0, body);
}

proptest! {
    #[test]
    fn the_result_does_not_depend_on_the_pieces(
        row in "[ -~é]{0,40}",
        path in "[a-z0-9/?=_.-]{0,30}",
        number: i64,
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let body = json!({
            "id": row, "nextUri": format!("http://presto:9090/{path}"),
            "data": [[row, number, {"nextUri": "http://presto:9090/"}]], "infoUri": row, "stats": {"a": row},
        }).to_string();
        let whole = rewritten(&body, &[]);
        prop_assert_eq!(&rewritten(&body, &cuts), &whole);
        let response: Value = serde_json::from_str(&whole.0).unwrap();
        prop_assert_eq!(&response["nextUri"], &json!(format!("{GATEWAY}/{path}")));
        prop_assert_eq!(&response["data"][0][0], &json!(row));
    }

    #[test]
    fn any_other_text_passes_unchanged(
        text in "[\\[\\]{}\",:\\\\a-z]{0,80}", cuts in prop::collection::vec(any::<usize>(), 0..6),
    ) {
        prop_assert_eq!(rewritten(&text, &cuts).0, text);
    }
}
