//! `rewrite::location`, `rewrite::json`, `rewrite::url`: a delegation token is sent only in signed links.
#![no_main]

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use ring::hmac;
use spnegate::testing::{
    Link, Nodes, json,
    link::{LinkKey, Signer},
    location::{self, LinkRewrite},
    node::NodePolicy,
};

fuzz_target!(|input: (&str, bool)| {
    let (link, signs) = input;
    let nodes = Nodes {
        hosts: vec!["*.example.com".into()],
        ports: vec![50075],
    };
    let policy = NodePolicy::new(&nodes);
    let key = LinkKey::new(hmac::Key::new(hmac::HMAC_SHA256, b"fuzz"));
    let backends: [Arc<str>; 1] = ["rm1.example.com:8088".into()];
    let signer = Signer {
        key: &key,
        user: "alice",
        session: &[1; 16],
        expires: 1,
    };
    let links = LinkRewrite {
        backends: &backends,
        parameters: &["doas", "delegation"],
        nodes: Some(&policy),
        signer: signs.then_some(signer),
        own: signs.then_some(("rm", signer)),
        ..LinkRewrite::default()
    };
    let _ = json::rewrite_location(link.as_bytes(), &links);
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(link) {
        headers.insert(header::REFRESH, value);
        let _ = location::apply(&mut headers, &links);
    }
    let Ok(rewritten) = location::rewrite(link, &links) else {
        return;
    };
    let left = rewritten.as_deref().unwrap_or(link);
    if let Some(link) = Link::split(left) {
        assert!(!link.is_one_of(&backends), "{left}");
        let query = link
            .rest
            .split('#')
            .next()
            .and_then(|rest| rest.split_once('?'));
        let has_token = query.is_some_and(|(_, query)| {
            query
                .split(['&', ';'])
                .any(|piece| piece.starts_with("delegation="))
        });
        assert!(!has_token, "{left}");
    }
});
