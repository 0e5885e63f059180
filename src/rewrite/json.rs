//! The JSON response to `noredirect=true`: `{"Location":"http://dn1…"}`.
//!
//! On the request path: for JSON responses to requests that may redirect to nodes. The file browser of
//! the `NameNode` uploads this way. Real `NameNode`s send the JSON **chunked**, without a length, so
//! [`may_be_location`] reads the start of each body: listings are streamed on, a link is held back whole
//! (it has less than `kinds::PREFIX` bytes) and rewritten. It contains a delegation token, so a body that
//! may be a link and cannot be rewritten must not reach the client.

use bytes::Bytes;
use serde_json::Value;

use super::location::{self, LinkError, LinkRewrite};

/// Whether a body with this start may be such a response; `true` while that is undecided.
pub(crate) fn may_be_location(start: &[u8]) -> bool {
    const START: &[u8] = b"{\"Location\"";
    // Blanks are skipped, because JSON allows them anywhere between tokens.
    let mut letters = start.iter().filter(|byte| !byte.is_ascii_whitespace());
    START
        .iter()
        .all(|wanted| letters.next().is_none_or(|byte| byte == wanted))
}

/// Rewrites the link of such a response and keeps the other fields. `None`: it is another response, or its
/// link stays as it is.
///
/// Fails like [`location::rewrite`]. The caller has to set `Content-Length` again.
pub fn rewrite_location(body: &[u8], links: &LinkRewrite<'_>) -> Result<Option<Bytes>, LinkError> {
    let Ok(mut response) = serde_json::from_slice::<Value>(body) else {
        return Ok(None);
    };
    let Some(Value::String(link)) = response.get_mut("Location") else {
        return Ok(None);
    };
    let Some(rewritten) = location::rewrite(link, links)? else {
        return Ok(None);
    };
    *link = rewritten;
    Ok(Some(Bytes::from(response.to_string())))
}

#[cfg(test)]
mod tests {
    use ring::hmac;

    use super::*;
    use crate::rewrite::{
        link::{LinkKey, Signer},
        node::{NodePolicy, Nodes},
    };

    fn rewritten(body: &str) -> Result<Option<Bytes>, LinkError> {
        let policy = NodePolicy::new(&Nodes {
            hosts: vec!["*.example.com".into()],
            ports: vec![50075],
        });
        let key = LinkKey::new(hmac::Key::new(hmac::HMAC_SHA256, b"secret"));
        rewrite_location(
            body.as_bytes(),
            &LinkRewrite {
                backends: &[],
                parameters: &["doas"],
                nodes: Some(&policy),
                signer: Some(Signer {
                    key: &key,
                    user: "alice",
                    session: &[7; 16],
                    expires: 100,
                }),
                origin: Some("http://gw:50070"),
                ..LinkRewrite::default()
            },
        )
    }

    #[test]
    fn a_noredirect_response_leads_through_the_gateway() {
        let body =
            r#"{"Location":"http://dn1.example.com:50075/webhdfs/v1/f?op=CREATE&delegation=T"}"#;
        let text = String::from_utf8(rewritten(body).unwrap().unwrap().to_vec()).unwrap();
        let start = r#"{"Location":"http://gw:50070/.spnegate/node/http/dn1.example.com:50075/webhdfs/v1/f?op=CREATE&delegation=T&.spnegate=100."#;
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn a_token_is_not_sent_to_an_unknown_node() {
        let body = r#"{"Location":"http://evil:50075/webhdfs/v1/f?delegation=T"}"#;
        assert_eq!(rewritten(body), Err(LinkError::Secret));
    }

    #[test]
    fn a_link_is_distinguished_from_a_listing_by_its_first_bytes() {
        for start in ["", " ", "{", "{\n \"Loc", "{\"Location\" : \"http://dn1"] {
            assert!(may_be_location(start.as_bytes()), "{start}");
        }
        for start in [
            "[",
            "{\"Path\"",
            "{\"FileStatuses\"",
            "{\"Locations\"",
            "{\"LocatedBlocks\"",
        ] {
            assert!(!may_be_location(start.as_bytes()), "{start}");
        }
    }

    #[test]
    fn other_json_stays() {
        for body in [
            "",
            "[]",
            r#"{"Location":1}"#,
            r#"{"Path":"/user/a"}"#,
            r#"{"Location":"/x","b":1}"#,
            r#"{"a":{"Location":"http://evil/?delegation=T"}}"#,
        ] {
            assert_eq!(rewritten(body), Ok(None), "{body}");
        }
    }
}
