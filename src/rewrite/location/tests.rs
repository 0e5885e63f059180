//! Redirects, as real servers write them.

use proptest::prelude::*;
use ring::hmac;

use super::*;
use crate::rewrite::{consoles::PublishedConsole, link::LinkKey, node::Nodes};

/// `signed`: node links are signed; `absolute`: links have the console's origin.
fn with<T>(signed: bool, absolute: bool, run: impl FnOnce(&LinkRewrite<'_>) -> T) -> T {
    let policy = NodePolicy::new(&Nodes {
        hosts: vec!["*.example.com".into()],
        ports: vec![50075, 8042],
    });
    let key = LinkKey::new(hmac::Key::new(hmac::HMAC_SHA256, b"secret"));
    let backends: [Arc<str>; 2] = ["rm1.example.com:8088".into(), "rm2.example.com:8088".into()];
    let by = Signer {
        key: &key,
        user: "alice",
        session: &[7; 16],
        expires: 100,
    };
    let consoles = Consoles::new(vec![PublishedConsole {
        servers: vec!["jhs.example.com:19888".into()],
        hosts: vec!["gw".into()],
        path: None,
        tls: true,
        listen: vec!["0.0.0.0:19890".parse().unwrap()],
    }]);
    let here = ClientOrigin {
        origin: "https://gw:8088",
        host: "gw",
        tls: true,
        listen: &["0.0.0.0:8088".parse().unwrap()],
    };
    run(&LinkRewrite {
        backends: &backends,
        parameters: &["doas", "user.name", "delegation"],
        nodes: Some(&policy),
        signer: signed.then_some(by),
        own: signed.then_some(("rm", by)),
        consoles: Some((&consoles, here)),
        origin: absolute.then_some("https://gw:8088"),
    })
}

fn plain(link: &str) -> Result<Option<String>, LinkError> {
    with(false, false, |links| rewrite(link, links))
}

#[test]
fn a_link_to_a_backend_of_the_console_leads_to_the_console() {
    for (link, rewritten) in [
        ("http://rm1.example.com:8088/cluster", "/cluster"),
        ("http://RM2.example.com:8088/a?b=c&doAs=alice#d", "/a?b=c#d"),
        ("http://rm2.example.com:8088/a?doAs=alice", "/a"),
        ("http://rm1.example.com:8088", "/"),
        ("//rm1.example.com:8088/x", "/x"),
        ("http://rm1.example.com:8088//evil.com/x", "/evil.com/x"),
        ("http://rm1.example.com:8088/\\evil.com", "/evil.com"),
    ] {
        assert_eq!(plain(link), Ok(Some(rewritten.into())), "{link}");
    }
    let absolute = with(false, true, |links| {
        rewrite("http://rm1.example.com:8088/x?y", links)
    });
    assert_eq!(absolute, Ok(Some("https://gw:8088/x?y".into())));
}

#[test]
fn foreign_and_relative_links_stay() {
    for link in [
        "http://tez.example.com:9999/tez-ui/",
        "https://jhs.example.com:19889/jobhistory/job/job_1",
        // a node that wants a login, which a link does not carry
        "http://nm1.example.com:8042/node",
        "hdfs://mycluster/user/alice/f",
        "/cluster?x=1",
        "index.html",
        "http://rm1.example.com:8089/",
        "http://x@rm1.example.com:8088/",
        "http://[bad",
        "",
    ] {
        assert_eq!(plain(link), Ok(None), "{link}");
    }
}

#[test]
fn the_gateways_own_parameter_is_removed_from_links() {
    assert_eq!(
        plain("/cluster?doAs=alice&x=1"),
        Ok(Some("/cluster?x=1".into()))
    );
    assert_eq!(
        plain("http://tez.example.com:9999/x?user.name=alice"),
        Ok(Some("http://tez.example.com:9999/x".into()))
    );
}

#[test]
fn a_link_to_an_allow_listed_node_leads_through_the_gateway() {
    let link = "http://dn1.example.com:50075/webhdfs/v1/f?op=OPEN&delegation=T&user.name=x";
    let rewritten = with(true, true, |links| rewrite(link, links))
        .unwrap()
        .unwrap();
    let start = "https://gw:8088/.spnegate/node/http/dn1.example.com:50075/webhdfs/v1/f?op=OPEN&delegation=T&user.name=x&.spnegate=100.";
    assert!(rewritten.starts_with(start), "{rewritten}");
}

#[test]
fn a_link_to_a_server_of_another_console_leads_to_that_console() {
    for (link, rewritten) in [
        (
            "http://jhs.example.com:19888/jobhistory/job/job_1?doAs=alice&a=b#c",
            "https://gw:19890/jobhistory/job/job_1?a=b#c",
        ),
        ("//JHS.example.com:19888", "https://gw:19890/"),
        ("http://jhs.example.com:19888?a", "https://gw:19890/?a"),
    ] {
        assert_eq!(plain(link), Ok(Some(rewritten.into())), "{link}");
    }
    let secret = "http://jhs.example.com:19888/x?delegation=T";
    assert_eq!(plain(secret), Err(LinkError::Secret));
}

#[test]
fn the_second_step_at_the_console_itself_is_signed() {
    let rewritten = |link: &str| {
        with(true, true, |links| rewrite(link, links))
            .unwrap()
            .unwrap()
    };
    let step = "http://rm1.example.com:8088/webhdfs/v1/f?op=CREATE&doAs=alice&data=true";
    let start = "https://gw:8088/.spnegate/link/webhdfs/v1/f?op=CREATE&data=true&.spnegate=100.";
    assert!(rewritten(step).starts_with(start), "{}", rewritten(step));
    for other in [
        "/webhdfs/v1/f?op=CREATE",
        "/x?data=true",
        "/webhdfs/v1/?a=data=true",
    ] {
        let link = format!("http://rm1.example.com:8088{other}");
        assert_eq!(rewritten(&link), format!("https://gw:8088{other}"));
    }
}

#[test]
fn another_port_of_a_known_host_is_reported() {
    for (link, known) in [
        (
            "https://jhs.example.com:19889/x",
            Some("jhs.example.com:19889"),
        ),
        ("http://jhs.example.com:19888/x", None),
        ("http://tez.example.com:9999/", None),
        ("https://gw:8088/x", None),
        ("/x", None),
    ] {
        let before = HeaderValue::from_str(link).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::LOCATION, before.clone());
        let left = with(false, false, |links| {
            apply(&mut headers, links).unwrap();
            unpublished_target(&before, &headers, links).map(str::to_owned)
        });
        assert_eq!(left.as_deref(), known, "{link}");
    }
}

#[test]
fn a_delegation_token_is_sent_only_in_signed_links_to_allow_listed_nodes() {
    let secret = "webhdfs/v1/f?op=OPEN&delegation=T";
    for (link, signed) in [
        (format!("http://dn1.example.com:50075/{secret}"), false),
        (format!("http://dn1.evil.com:50075/{secret}"), true),
        (format!("http://dn1.example.com:22/{secret}"), true),
        (format!("http://u@dn1.example.com:50075/{secret}"), true),
        (format!("//dn1.evil.com/{secret}"), true),
        (
            String::from("http://dn1.evil.com:50075/x?a=1;delegation=T"),
            true,
        ),
    ] {
        let result = with(signed, true, |links| rewrite(&link, links));
        assert_eq!(result, Err(LinkError::Secret), "{link}");
    }
}

#[test]
fn a_link_with_control_bytes_is_refused() {
    assert_eq!(plain("ht\ttp://evil/"), Err(LinkError::Malformed));
}

#[test]
fn all_redirecting_headers_are_rewritten() {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("location", "http://rm1.example.com:8088/a"),
        ("content-location", "http://rm1.example.com:8088/b"),
        ("refresh", "3; url=http://rm2.example.com:8088/c?doAs=x"),
        ("link", "http://rm1.example.com:8088/d"),
    ] {
        headers.append(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    with(false, false, |links| apply(&mut headers, links)).unwrap();
    assert_eq!(headers["location"], "/a");
    assert_eq!(headers["content-location"], "/b");
    assert_eq!(headers["refresh"], "3; url=/c");
    assert_eq!(headers["link"], "http://rm1.example.com:8088/d");
}

#[test]
fn only_the_first_of_two_locations_stays() {
    let mut headers = HeaderMap::new();
    headers.append(
        header::LOCATION,
        HeaderValue::from_static("http://rm1.example.com:8088/a"),
    );
    headers.append(
        header::LOCATION,
        HeaderValue::from_static("http://dn.evil/?delegation=T"),
    );
    let _ = with(false, false, |links| apply(&mut headers, links));
    let left: Vec<_> = headers.get_all(header::LOCATION).iter().collect();
    assert!(
        !left
            .iter()
            .any(|value| value.to_str().unwrap().contains("delegation")),
        "{left:?}"
    );
}

proptest! {
    #[test]
    fn no_link_to_another_host_keeps_a_token(
        head in prop_oneof![Just("http://"), Just("//"), Just("https:/"), Just("/\\")],
        host in prop_oneof![Just("dn1.example.com:50075"), Just("evil.com"), Just("rm1.example.com:8088")],
        tail in "/[a-z]{0,3}(\\?[a-z=&;]{0,6}[&;]?delegation=T)?",
    ) {
        let link = format!("{head}{host}{tail}");
        for signed in [false, true] {
            let result = with(signed, false, |links| rewrite(&link, links));
            let left = match result {
                Ok(rewritten) => rewritten.unwrap_or(link.clone()),
                Err(_) => continue,
            };
            let names_token = left.contains("&delegation=") || left.contains("?delegation=");
            prop_assert!(!names_token || left.contains(".spnegate="), "{link} -> {left}");
        }
    }

    #[test]
    fn any_text_is_rewritten_or_refused(link in ".*") {
        let _ = plain(&link);
    }
}
