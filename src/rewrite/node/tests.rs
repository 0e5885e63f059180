//! Node paths: what is signed comes back, nothing else does.

use proptest::prelude::*;
use ring::hmac;

use super::*;
use crate::rewrite::node::Nodes;

const TARGET: &str =
    "http://dn1.example.com:50075/webhdfs/v1/f?op=OPEN&delegation=T-o_k&offset=0&x=1";

fn policy() -> NodePolicy {
    NodePolicy::new(&Nodes {
        hosts: vec!["*.example.com".into(), "10.0.0.5".into(), "[::1]".into()],
        ports: vec![50075, 8042],
    })
}

fn signed(target: &str, user: &str) -> String {
    let key = LinkKey::new(hmac::Key::new(hmac::HMAC_SHA256, b"secret"));
    let signer = Signer {
        key: &key,
        user,
        session: &[7; 16],
        expires: 1000,
    };
    link(&Link::split(target).unwrap(), &policy(), &signer).unwrap()
}

/// What a link leads to for a user.
fn opened(link: &str, user: &str, now: u64) -> Result<String, NodeError> {
    let key = LinkKey::new(hmac::Key::new(hmac::HMAC_SHA256, b"secret"));
    let (path, query) = link.split_once('?').unwrap_or((link, ""));
    let node = open(path, query, &policy(), &key, now)?;
    assert_eq!((node.grant.session, node.grant.expires), ([7; 16], 1000));
    node.grant.check_user(user)?;
    Ok(format!(
        "{}:{}{}?{}",
        node.host, node.port, node.path, node.query
    ))
}

#[test]
fn a_signed_link_is_read_back_unchanged() {
    let link = signed(TARGET, "alice");
    assert!(link.starts_with("/.spnegate/node/http/dn1.example.com:50075/webhdfs/v1/f?op=OPEN&"));
    let back = "dn1.example.com:50075/webhdfs/v1/f?op=OPEN&delegation=T-o_k&offset=0&x=1";
    assert_eq!(opened(&link, "alice", 999), Ok(back.into()));
}

#[test]
fn a_signed_link_is_for_one_user_and_expires() {
    let link = signed(TARGET, "alice");
    assert_eq!(
        opened(&link, "bob", 999),
        Err(NodeError::Link(LinkFault::Foreign))
    );
    assert_eq!(
        opened(&link, "alice", 1000),
        Err(NodeError::Link(LinkFault::Expired))
    );
}

#[test]
fn no_part_of_a_signed_link_can_be_changed() {
    let link = signed(TARGET, "alice");
    for (from, to) in [
        ("op=OPEN", "op=CREATE"),
        ("/f?", "/g?"),
        ("dn1", "dn2"),
        ("node/http/", "node/https/"),
        (":50075", ":8042"),
        ("T-o_k", "T-o_l"),
        ("&x=1", ""),
        ("offset=0", "offset=0;op=CREATE"),
        ("offset=0", "offset=x"),
        (".spnegate=1000", ".spnegate=2000"),
        // the name of another user
        (".YWxpY2U.", ".Ym9i."),
        // another session
        ("BwcHBw", "CAgICA"),
        ("op=OPEN", "op%3DOPEN"),
        ("/v1/f", "/v1%2Ff"),
        ("&x=1", "&x=1&_=1;op=CREATE"),
        (".spnegate=1000", ".spnegate=01000"),
        ("&.spnegate=", "&user.name=bob&.spnegate="),
        ("&.spnegate=", "&.spnegate=1.x&.spnegate="),
    ] {
        let changed = link.replacen(from, to, 1);
        assert_ne!(changed, link, "{from}");
        assert_eq!(
            opened(&changed, "alice", 1),
            Err(NodeError::Link(LinkFault::Signature)),
            "{from} {to}"
        );
    }
}

#[test]
fn webhdfs_clients_may_seek_within_a_signed_link() {
    let link = signed(TARGET, "alice").replace("offset=0&", "");
    let back = opened(&format!("{link}&offset=4096&Length=10"), "alice", 1).unwrap();
    assert!(back.ends_with("&x=1&offset=4096&Length=10"), "{back}");
}

#[test]
fn equivalent_spellings_of_a_signed_link_are_accepted() {
    let target = "http://dn1.example.com:50075/webhdfs/v1/~a%20b%5Cc'd?op=OPEN&x='%7E&delegation=T";
    let link = signed(target, "alice");
    for (from, to) in [
        ("/~a", "/%7Ea"),
        ("/~a", "/%7ea"),
        ("b%5Cc", "b%5cc"),
        ("x='%7E", "x=%27~"),
        ("c'd", "c%27d"),
        ("&delegation", "&&delegation"),
        ("&.spnegate", "&_=1730000000000&.spnegate"),
    ] {
        let other = link.replacen(from, to, 1);
        assert_ne!(other, link, "{from}");
        assert!(opened(&other, "alice", 1).is_ok(), "{other}");
    }
    assert!(opened(&format!("{link}&_=1730000000000"), "alice", 1).is_ok());
}

#[test]
fn an_unsigned_link_is_not_followed() {
    let base = "/.spnegate/node/http/nm1.example.com:8042/node";
    for query in ["", "a=1", "a=1&doAs=bob", "delegation=T", "x;.spnegate=1"] {
        assert_eq!(
            opened(&format!("{base}?{query}"), "alice", 1),
            Err(NodeError::Link(LinkFault::Unsigned)),
            "{query}"
        );
    }
}

#[test]
fn only_allow_listed_nodes_are_reached() {
    for (authority, error) in [
        ("evil.com:8042", NodeError::Denied),
        ("example.com:8042", NodeError::Denied),
        (".example.com:8042", NodeError::Denied),
        ("a..example.com:8042", NodeError::Denied),
        ("nm1.example.com.:8042", NodeError::Denied),
        ("NM1.example.com:8042", NodeError::Denied),
        ("nm1.example.com.evil.com:8042", NodeError::Denied),
        ("evil.com#.example.com:8042", NodeError::Denied),
        ("u@nm1.example.com:8042", NodeError::Denied),
        ("evil.com:1@nm1.example.com:8042", NodeError::Denied),
        ("nm1.example.com:22", NodeError::Denied),
        ("10.0.0.6:8042", NodeError::Denied),
        ("10.0.0.05:8042", NodeError::Denied),
        ("[::2]:8042", NodeError::Denied),
        ("nm1.example.com", NodeError::Malformed),
        ("nm1.example.com:", NodeError::Denied),
        ("nm1.example.com:08042", NodeError::Malformed),
        ("nm1.example.com:+8042", NodeError::Malformed),
        ("nm1.example.com:73578", NodeError::Malformed),
    ] {
        let link = format!("/.spnegate/node/http/{authority}/x");
        let error = if authority.ends_with(':') {
            NodeError::Malformed
        } else {
            error
        };
        assert_eq!(opened(&link, "alice", 1), Err(error), "{authority}");
    }
    for authority in [
        "nm1.example.com:8042",
        "a.b.example.com:50075",
        "10.0.0.5:8042",
        "[::1]:8042",
    ] {
        let link = signed(&format!("http://{authority}/x"), "alice");
        assert!(opened(&link, "alice", 1).is_ok(), "{authority}");
    }
    for path in [
        "/.spnegate/node/",
        "/.spnegate/node/ftp/nm1.example.com:8042/",
        "/other",
    ] {
        assert_eq!(
            opened(path, "alice", 1),
            Err(NodeError::Malformed),
            "{path}"
        );
    }
}

#[test]
fn another_key_verifies_nothing_and_keys_are_not_printed() {
    let other = LinkKey::new(hmac::Key::new(hmac::HMAC_SHA256, b"other"));
    let link = signed(TARGET, "alice");
    let (path, query) = link.split_once('?').unwrap();
    let result = open(path, query, &policy(), &other, 1);
    assert_eq!(result, Err(NodeError::Link(LinkFault::Signature)));
    assert_eq!(format!("{other:?}"), "LinkKey(..)");
}

proptest! {
    #[test]
    fn any_signed_target_is_read_back(path in "(/[a-z%0-9]{0,5}){0,3}", query in "[a-z=&;%0-9.]{0,20}") {
        let link = signed(&format!("http://dn1.example.com:50075{path}?{query}"), "alice");
        let path = if path.is_empty() { "/" } else { &path };
        let back = opened(&link, "alice", 1);
        prop_assert_eq!(back, Ok(format!("dn1.example.com:50075{path}?{query}")));
    }

    #[test]
    fn a_changed_byte_is_never_accepted(at in 16_usize..200, byte in 0x21_u8..0x7f) {
        let link = signed("http://dn1.example.com:50075/f?op=OPEN&delegation=T", "alice");
        let mut bytes = link.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let changed = String::from_utf8(bytes).unwrap();
        if changed != link {
            prop_assert!(opened(&changed, "alice", 1).is_err(), "{changed}");
        }
    }

    #[test]
    fn any_text_is_opened_or_refused(path in "/.spnegate/node/.{0,30}", query in ".{0,30}") {
        let _ = open(&path, &query, &policy(), &LinkKey::new(hmac::Key::new(hmac::HMAC_SHA256, b"s")), 1);
    }
}
