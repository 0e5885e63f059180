//! The JSON of a `noredirect=true`: `{"Location":"http://dn1…"}`.
//!
//! In a request's way: on JSON answers of requests that hand out nodes. Real `NameNode`s send it
//! **chunked**, without a length, so [`may_be_location`] looks at the start of each such body:
//! listings stream on, a link is held back whole (it has less than [`crate::kinds::PREFIX`] bytes)
//! and rewritten. It holds a delegation token: what may be a link and cannot be rewritten must not
//! go out. The `NameNode`'s file browser uploads this way.

use bytes::Bytes;
use serde_json::Value;

use super::location::{self, LinkError, LinkRewrite};

/// Whether a body that starts so may be such an answer; `true` for as long as it cannot be told.
pub(crate) fn may_be_location(start: &[u8]) -> bool {
    const START: &[u8] = b"{\"Location\"";
    let mut letters = start.iter().filter(|byte| !byte.is_ascii_whitespace());
    START
        .iter()
        .all(|wanted| letters.next().is_none_or(|byte| byte == wanted))
}

/// Rewrites the link of such an answer, other fields kept; `None`: it is not one, or its link
/// stays as it is.
///
/// Fails as [`location::rewrite`] does. The answer's `Content-Length` must then be set anew.
pub fn rewrite_location(body: &[u8], links: &LinkRewrite<'_>) -> Result<Option<Bytes>, LinkError> {
    let Ok(mut answer) = serde_json::from_slice::<Value>(body) else {
        return Ok(None);
    };
    let Some(Value::String(link)) = answer.get_mut("Location") else {
        return Ok(None);
    };
    let Some(rewritten) = location::rewrite(link, links)? else {
        return Ok(None);
    };
    *link = rewritten;
    Ok(Some(Bytes::from(answer.to_string())))
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
    fn a_noredirect_answer_leads_through_the_gateway() {
        let body =
            r#"{"Location":"http://dn1.example.com:50075/webhdfs/v1/f?op=CREATE&delegation=T"}"#;
        let text = String::from_utf8(rewritten(body).unwrap().unwrap().to_vec()).unwrap();
        let start = r#"{"Location":"http://gw:50070/.spnegate/node/http/dn1.example.com:50075/webhdfs/v1/f?op=CREATE&delegation=T&.spnegate=100."#;
        assert!(text.starts_with(start), "{text}");
    }

    #[test]
    fn a_token_for_an_unknown_node_does_not_leave() {
        let body = r#"{"Location":"http://evil:50075/webhdfs/v1/f?delegation=T"}"#;
        assert_eq!(rewritten(body), Err(LinkError::Secret));
    }

    #[test]
    fn a_link_is_told_from_a_listing_by_its_first_bytes() {
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
