//! `rewrite::node`, `rewrite::own_link`, `rewrite::link`: only allow-listed nodes are reached,
//! and only with a signature.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ring::hmac;
use spnegate::testing::{
    Link, Nodes,
    link::{LinkKey, Signer},
    node::{self, NodePolicy},
    own_link,
};

fuzz_target!(|input: (&str, &str)| {
    let (rest, query) = input;
    let nodes = Nodes {
        hosts: vec!["*.example.com".into()],
        ports: vec![50075],
    };
    let policy = NodePolicy::new(&nodes);
    let key = LinkKey::new(hmac::Key::new(hmac::HMAC_SHA256, b"fuzz"));
    let path = format!("{}{rest}", node::PREFIX);
    assert!(node::open(&path, query, &policy, &key, 1).is_err());
    let path = format!("{}{rest}", own_link::PREFIX);
    assert!(own_link::open(&path, query, "namenode", &key, 1).is_err());
    let link = format!("http://dn1.example.com:50075/{rest}?{query}");
    let signer = Signer {
        key: &key,
        user: "alice",
        session: &[1; 16],
        expires: 2,
    };
    if let Some(link) = Link::split(&link)
        && let Some(written) = node::link(&link, &policy, &signer)
    {
        let written = written.split('#').next().unwrap_or_default();
        let (path, query) = written.split_once('?').expect("a signature");
        if !link.rest.contains(".spnegate=") {
            let target = node::open(path, query, &policy, &key, 1).expect("our own");
            assert!(target.host.ends_with(".example.com") && target.port == 50075);
            assert!(target.path.starts_with('/'));
            assert_eq!(target.grant.user, "alice");
            assert!(node::open(path, query, &policy, &key, 2).is_err());
        }
    }
});
