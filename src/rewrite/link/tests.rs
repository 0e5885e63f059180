//! Signatures: what is signed is verified, nothing else is.

use proptest::prelude::*;

use super::*;

const NODE: LinkTarget<'_> = LinkTarget::Node {
    scheme: Scheme::Plain,
    host: "dn1.example.com",
    port: 9864,
};

fn key() -> LinkKey {
    LinkKey::new(hmac::Key::new(hmac::HMAC_SHA256, b"secret"))
}

/// The query of a signed link.
fn signed(target: LinkTarget<'_>, path: &str, query: Option<&str>, user: &str) -> String {
    let signer = Signer {
        key: &key(),
        user,
        session: &[9; 16],
        expires: 5000,
    };
    let mut link = query.map_or(String::new(), |query| format!("?{query}"));
    sign(&mut link, target, path, query, &signer);
    link.split_off(1)
}

#[test]
fn a_link_has_its_user_session_and_expiry() {
    let query = signed(NODE, "/f", Some("op=OPEN"), "alice");
    let grant = verify(&key(), NODE, "/f", &query, 4999).unwrap();
    assert_eq!((grant.user.as_str(), grant.expires), ("alice", 5000));
    assert_eq!(grant.session, [9; 16]);
    assert_eq!(grant.check_user("alice"), Ok(()));
    assert_eq!(grant.check_user("bob"), Err(LinkFault::Foreign));
    assert_eq!(without_signature(&query), "op=OPEN");
}

#[test]
fn forged_expired_and_unsigned_links_are_distinguished() {
    let query = signed(NODE, "/f", None, "alice");
    let verified = |path: &str, query: &str, now| verify(&key(), NODE, path, query, now);
    assert_eq!(verified("/f", &query, 5000), Err(LinkFault::Expired));
    // a forged link is not reported as expired
    assert_eq!(verified("/g", &query, 5000), Err(LinkFault::Signature));
    assert_eq!(verified("/f", "", 1), Err(LinkFault::Unsigned));
    for odd in [
        ".spnegate=",
        ".spnegate=1",
        ".spnegate=1.YQ.YQ.YQ",
        ".spnegate=1.YQ.AAAAAAAAAAAAAAAAAAAAAA.YQ.YQ",
        ".spnegate=1.!.AAAAAAAAAAAAAAAAAAAAAA.YQ",
        ".spnegate=-1.YQ.AAAAAAAAAAAAAAAAAAAAAA.YQ",
        ".spnegate=1./w.AAAAAAAAAAAAAAAAAAAAAA.YQ",
    ] {
        assert_eq!(verified("/f", odd, 1), Err(LinkFault::Signature), "{odd}");
    }
    assert_eq!(format!("{:?}", key()), "LinkKey(..)");
}

#[test]
fn a_link_to_a_console_is_not_valid_for_a_node() {
    let here = LinkTarget::Console("dn1.example.com");
    let query = signed(here, "/f", None, "alice");
    assert!(verify(&key(), here, "/f", &query, 1).is_ok());
    for elsewhere in [NODE, LinkTarget::Console("other")] {
        let result = verify(&key(), elsewhere, "/f", &query, 1);
        assert_eq!(result, Err(LinkFault::Signature));
    }
}

#[test]
fn no_byte_can_be_moved_between_fields() {
    let query = signed(NODE, "/f", Some("ab=1&c=2"), "alice");
    for other in ["ab=1c=2", "a&b=1&c=2", "c=2&ab=1", "ab=1"] {
        let other = query.replace("ab=1&c=2", other);
        let result = verify(&key(), NODE, "/f", &other, 1);
        assert_eq!(result, Err(LinkFault::Signature), "{other}");
    }
}

proptest! {
    #[test]
    fn any_signed_link_is_verified(path in "/.{0,20}", query in "[ -~]{0,20}", user in ".{0,12}") {
        let signed = signed(NODE, &path, Some(&query), &user);
        let grant = verify(&key(), NODE, &path, &signed, 1);
        prop_assert_eq!(grant.map(|grant| grant.user), Ok(user));
    }

    #[test]
    fn any_text_is_verified_or_refused(path in ".{0,20}", query in "(.spnegate=)?[0-9]{0,3}[.a-zA-Z&]{0,80}") {
        prop_assert!(verify(&key(), NODE, &path, &query, 1).is_err());
    }
}
