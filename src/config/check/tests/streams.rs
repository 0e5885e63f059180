//! `[[stream]]` and `[[kdc_proxy]]`.

use super::*;

#[test]
fn a_gateway_may_have_streams_only() {
    let text = r#"
[[stream]]
name = "kdc"
kind = "kdc"
listen = "127.0.0.1:88"
backends = ["KDC1.example.com:88", { address = "[2001:DB8::1]:88", weight = 3 }]
"#;
    let (config, warnings) = check(text).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(config.kerberos.keytab, None);
    let stream = &config.streams[0];
    assert!(stream.tcp && stream.udp, "the default of a KDC");
    assert_eq!(&*stream.backends[0].address, "kdc1.example.com:88");
    assert_eq!(&*stream.backends[1].address, "[2001:db8::1]:88");
    assert_eq!(stream.backends[1].weight, 3);
}

#[test]
fn tcp_and_udp_of_one_port_may_be_different_streams() {
    let stream = |name: &str, protocol: &str| {
        format!(
            "[[stream]]\nname = \"{name}\"\nprotocols = [\"{protocol}\"]\n\
             listen = \"127.0.0.1:514\"\nbackends = [\"logs.example.com:514\"]\n"
        )
    };
    let both = format!("{}{}", stream("a", "tcp"), stream("b", "udp"));
    assert!(problems(&both).is_empty());
    let same = format!("{}{}", stream("a", "udp"), stream("b", "udp"));
    assert_eq!(
        problems(&same),
        [
            "9: stream[1].listen: cannot listen on 127.0.0.1:514: it conflicts with 127.0.0.1:514 of \
             stream `a`"
        ]
    );
}

#[test]
fn a_kdc_proxy_shares_the_listener_of_a_console() {
    let proxy = |realm: &str| {
        format!(
            "[[kdc_proxy]]\nlisten = \"127.0.0.1:50070\"\nrealm = \"{realm}\"\n\
             backends = [\"kdc1.example.com:88\"]\n"
        )
    };
    let good = format!("{GOOD}{}{}", proxy("A.EXAMPLE.COM"), proxy("B.EXAMPLE.COM"));
    let (config, warnings) = check(&good).unwrap();
    assert_eq!(config.kdc_proxies.len(), 2);
    assert!(
        warnings
            .iter()
            .any(|w| w.to_string().contains("without TLS"))
    );
    let twice = format!("{GOOD}{}{}", proxy("A.EXAMPLE.COM"), proxy("a.example.com"));
    assert_eq!(
        problems(&twice),
        [
            "18: kdc_proxy[1].realm: duplicate realm a.example.com on 127.0.0.1:50070: kdc_proxy[0] has it \
          already"
        ]
    );
}
