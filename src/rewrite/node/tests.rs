//! Node paths: what is signed comes back, nothing else does.

use proptest::prelude::*;

use super::*;
use crate::config::Nodes;

const TARGET: &str =
    "http://dn1.example.com:50075/webhdfs/v1/f?op=OPEN&delegation=T-o_k&offset=0&x=1";

fn policy() -> NodePolicy {
    NodePolicy::new(&Nodes {
        hosts: vec!["*.example.com".into(), "10.0.0.5".into(), "[::1]".into()],
        ports: vec![50075, 8042],
    })
}

fn signed(target: &str, user: &str) -> String {
    let key = NodeKey::new(hmac::Key::new(hmac::HMAC_SHA256, b"secret"));
    let signer = Signer {
        key: &key,
        user,
        expires: 1000,
    };
    link(&Link::split(target).unwrap(), &policy(), Some(&signer)).unwrap()
}

fn opened(link: &str, user: &str, now: u64) -> Result<(String, bool), NodeError> {
    let key = NodeKey::new(hmac::Key::new(hmac::HMAC_SHA256, b"secret"));
    let (path, query) = link.split_once('?').unwrap_or((link, ""));
    open(path, query, &policy(), &key, user, now).map(|node| {
        (
            format!("{}:{}{}?{}", node.host, node.port, node.path, node.query),
            node.signed,
        )
    })
}

#[test]
fn a_signed_link_comes_back_as_it_was() {
    let link = signed(TARGET, "alice");
    assert!(link.starts_with("/.spnegate/node/http/dn1.example.com:50075/webhdfs/v1/f?op=OPEN&"));
    let back = "dn1.example.com:50075/webhdfs/v1/f?op=OPEN&delegation=T-o_k&offset=0&x=1";
    assert_eq!(opened(&link, "alice", 999), Ok((back.into(), true)));
}

#[test]
fn a_signed_link_is_of_one_user_and_ends() {
    let link = signed(TARGET, "alice");
    assert_eq!(opened(&link, "bob", 999), Err(NodeError::Signature));
    assert_eq!(opened(&link, "alice", 1000), Err(NodeError::Expired));
}

#[test]
fn nothing_of_a_signed_link_can_be_changed() {
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
        (".spnegate=1000", ".spnegate=01000"),
        ("&.spnegate=", "&user.name=bob&.spnegate="),
        ("&.spnegate=", "&.spnegate=1.x&.spnegate="),
    ] {
        let changed = link.replacen(from, to, 1);
        assert_ne!(changed, link, "{from}");
        assert_eq!(
            opened(&changed, "alice", 1),
            Err(NodeError::Signature),
            "{from} {to}"
        );
    }
}

#[test]
fn webhdfs_clients_may_seek_within_a_signed_link() {
    let link = signed(TARGET, "alice").replace("offset=0&", "");
    let (back, signed) = opened(&format!("{link}&offset=4096&Length=10"), "alice", 1).unwrap();
    assert!(
        signed && back.ends_with("&x=1&offset=4096&Length=10"),
        "{back}"
    );
}

#[test]
fn an_unsigned_link_carries_no_token_and_no_identity() {
    let base = "/.spnegate/node/http/nm1.example.com:8042/node";
    assert_eq!(
        opened(&format!("{base}?a=1&doAs=bob"), "alice", 1),
        Ok(("nm1.example.com:8042/node?a=1".into(), false))
    );
    for query in [
        "delegation=T",
        "a&DELEGATI%4fN=T",
        "a;delegation=T",
        "namenoderpcaddress=x",
    ] {
        assert_eq!(
            opened(&format!("{base}?{query}"), "alice", 1),
            Err(NodeError::Unsigned)
        );
    }
    assert!(matches!(
        opened(&format!("{base}?a=1;doas=x"), "alice", 1),
        Err(NodeError::Query(query::QueryError::Hidden))
    ));
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
        assert!(opened(&format!("/.spnegate/node/http/{authority}"), "alice", 1).is_ok());
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
fn another_key_opens_nothing_and_keys_are_not_printed() {
    let other = NodeKey::new(hmac::Key::new(hmac::HMAC_SHA256, b"other"));
    let link = signed(TARGET, "alice");
    let (path, query) = link.split_once('?').unwrap();
    let result = open(path, query, &policy(), &other, "alice", 1);
    assert_eq!(result, Err(NodeError::Signature));
    assert_eq!(format!("{other:?}"), "NodeKey(..)");
}

proptest! {
    #[test]
    fn any_signed_target_comes_back(path in "(/[a-z%0-9]{0,5}){0,3}", query in "[a-z=&;%0-9.]{0,20}") {
        let link = signed(&format!("http://dn1.example.com:50075{path}?{query}"), "alice");
        let path = if path.is_empty() { "/" } else { &path };
        let back = opened(&link, "alice", 1);
        prop_assert_eq!(back, Ok((format!("dn1.example.com:50075{path}?{query}"), true)));
    }

    #[test]
    fn a_flipped_byte_is_never_taken(at in 16_usize..200, byte in 0x21_u8..0x7f) {
        let link = signed("http://dn1.example.com:50075/f?op=OPEN&delegation=T", "alice");
        let mut bytes = link.clone().into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let changed = String::from_utf8(bytes).unwrap();
        if changed != link && changed.is_ascii()
            && let Ok((target, signed)) = opened(&changed, "alice", 1)
        {
            // what is left of a link without its signature is one without its token
            let query = target.split_once('?').map_or("", |(_, query)| query);
            prop_assert!(!signed || target.contains("/f?op=OPEN&delegation=T"), "{target}");
            prop_assert!(signed || !query.contains("delegation"), "{target}");
        }
    }

    #[test]
    fn any_text_is_opened_or_refused(path in "/.spnegate/node/.{0,30}", query in ".{0,30}") {
        let _ = open(&path, &query, &policy(), &NodeKey::new(hmac::Key::new(hmac::HMAC_SHA256, b"s")), "alice", 1);
    }
}
