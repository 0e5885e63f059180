//! `rewrite::node`: only allow-listed nodes are reached, and no token without a signature.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ring::hmac;
use spnegate::{
    config::Nodes,
    rewrite::node::{self, NodeKey, NodePolicy, Signer},
    rewrite::url::Link,
};

fuzz_target!(|input: (&str, &str)| {
    let (rest, query) = input;
    let nodes = Nodes { hosts: vec!["*.example.com".into()], ports: vec![50075] };
    let policy = NodePolicy::new(&nodes);
    let key = NodeKey::new(hmac::Key::new(hmac::HMAC_SHA256, b"fuzz"));
    let path = format!("{}{rest}", node::PREFIX);
    if let Ok(target) = node::open(&path, query, &policy, &key, "alice", 1) {
        assert!(target.host.ends_with(".example.com") && target.port == 50075);
        assert!(target.path.starts_with('/'));
        assert!(!target.signed && !node::has_secret(&target.query));
    }
    let link = format!("http://dn1.example.com:50075/{rest}?{query}");
    let signer = Signer { key: &key, user: "alice", expires: 2 };
    if let Some(link) = Link::split(&link)
        && let Some(written) = node::link(&link, &policy, Some(&signer))
    {
        let written = written.split('#').next().unwrap_or_default();
        let (path, query) = written.split_once('?').expect("a signature");
        if !link.rest.contains(".spnegate=") {
            assert!(node::open(path, query, &policy, &key, "alice", 1).expect("our own").signed);
            assert!(node::open(path, query, &policy, &key, "bob", 1).is_err());
        }
    }
});
