use std::{fs, path::Path};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use tempfile::TempDir;

use super::super::tests::{check, problems, with};

struct Pair {
    directory: TempDir,
    cert: String,
    key: String,
}

fn pair(names: &[&str], from: i32, to: i32) -> Pair {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    let key = KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    let pair = Pair {
        directory: tempfile::tempdir().unwrap(),
        cert: cert.pem(),
        key: key.serialize_pem(),
    };
    pair.write(&pair.cert, &pair.key);
    pair
}

impl Pair {
    fn write(&self, cert: &str, key: &str) {
        fs::write(self.directory.path().join("c.pem"), cert).unwrap();
        fs::write(self.directory.path().join("k.pem"), key).unwrap();
    }

    fn text(&self) -> String {
        let file = |name| self.directory.path().join(name).display().to_string();
        let tls = format!(
            "tls = {{ cert = \"{}\", key = \"{}\" }}\nidentity",
            file("c.pem"),
            file("k.pem")
        );
        with("identity", &tls)
    }

    fn warnings(&self) -> Vec<String> {
        let (_, warnings) = check(&self.text()).unwrap();
        let of_tls = |w: &&super::super::super::Warning| w.position.key.ends_with("tls.cert");
        warnings
            .iter()
            .filter(of_tls)
            .map(ToString::to_string)
            .collect()
    }
}

#[test]
fn a_matching_pair_gives_no_warnings() {
    let good = pair(&["*.example.com"], 2000, 4000);
    assert!(good.warnings().is_empty(), "{:?}", good.warnings());
    let (config, _) = check(&good.text()).unwrap();
    let cert = config.consoles[0].tls.as_ref().unwrap().certificates[0].file();
    assert_eq!(cert.file_name(), Some(Path::new("c.pem").as_os_str()));
}

#[test]
fn an_expired_certificate_or_one_for_other_hosts_is_a_warning() {
    let warnings = pair(&["proxy.example.com"], 2000, 2001).warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].contains("is not valid after Jan  1 00:00:00 2001"),
        "{warnings:?}"
    );
    assert!(
        warnings[1].contains("does not name door.example.com"),
        "{warnings:?}"
    );
    let warnings = pair(&["*.example.com"], 4000, 4001).warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("is not valid before"), "{warnings:?}");
}

#[test]
fn a_problem_names_the_file_that_does_not_match() {
    let one = pair(&["*.example.com"], 2000, 4000);
    let only = |expected: &str| {
        let found = problems(&one.text());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    };
    one.write(&one.cert, &pair(&["a"], 2000, 4000).key);
    only("do not work together");
    one.write(&one.cert, &one.cert);
    only("k.pem contains no private key");
    one.write(&one.key, &one.key);
    only("c.pem contains no certificate");
    one.write(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        &one.key,
    );
    only("do not work together");
    one.write("-----BEGIN CERTIFICATE-----\nA*\n", &one.key);
    only("c.pem is not readable as PEM");
    fs::remove_file(one.directory.path().join("k.pem")).unwrap();
    one.write(&one.cert, &one.key);
    fs::remove_file(one.directory.path().join("k.pem")).unwrap();
    only("cannot read");
}

/// Warnings or problems of a console with that `tls`; `DIR` is the directory of the pair.
fn findings(pair: &Pair, tls: &str) -> Vec<String> {
    let directory = pair.directory.path().display().to_string();
    let line = format!("tls = {tls}\nidentity").replace("DIR", &directory);
    match check(&with("identity", &line)) {
        Ok((_, warnings)) => warnings.iter().map(ToString::to_string).collect(),
        Err(problems) => problems.list.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_certificate_is_configured_in_exactly_one_way() {
    let pair = pair(&["*.example.com"], 2000, 4000);
    for (tls, expected) in [
        ("{ }", "tls.cert: missing"),
        ("{ key = \"DIR/k.pem\" }", "tls.cert: missing"),
        ("{ cert = \"DIR/c.pem\" }", "tls.key: missing"),
        (
            "{ keystore = \"DIR/c.pem\", key = \"DIR/k.pem\" }",
            "tls.keystore: `keystore` cannot be combined with",
        ),
        (
            "{ cert = \"DIR/c.pem\", key = \"DIR/k.pem\", alias = \"a\" }",
            "tls.alias: this key needs `keystore`",
        ),
        ("{ certificates = [] }", "tls.certificates: empty"),
        (
            "{ certificates = [{ cert = \"DIR/c.pem\", key = \"DIR/k.pem\" }], alias = \"a\" }",
            "tls.certificates: `certificates` cannot be combined with",
        ),
        (
            "{ cert = \"DIR/c.pem\", key = \"DIR/k.pem\", min_version = \"1.1\" }",
            "tls.min_version: invalid value `1.1`",
        ),
        (
            "{ keystore = \"DIR/c.pem\" }",
            "c.pem contains no private key",
        ),
        (
            "{ keystore = \"DIR/none.p12\" }",
            "tls.keystore: cannot read",
        ),
        (
            "{ keystore = \"DIR/k.pem\", password_file = \"DIR/none\" }",
            "tls.password_file: cannot read",
        ),
    ] {
        let found = findings(&pair, tls);
        assert!(
            found.iter().any(|p| p.contains(expected)),
            "{tls}: {found:?}"
        );
    }
}

#[test]
fn each_host_needs_a_name_in_one_of_several_certificates() {
    let pair = pair(&["other.example.org"], 2000, 4000);
    let one = "{ cert = \"DIR/c.pem\", key = \"DIR/k.pem\" }";
    let found = findings(
        &pair,
        &format!("{{ certificates = [{one}], min_version = \"1.3\" }}"),
    );
    assert!(
        found
            .iter()
            .any(|w| w.contains("does not name proxy.example.com")),
        "{found:?}"
    );
    let both = super::tests::pair(&["*.example.com"], 2000, 4000);
    let there = both.directory.path().display();
    let two = format!("{{ cert = \"{there}/c.pem\", key = \"{there}/k.pem\" }}");
    let found = findings(&pair, &format!("{{ certificates = [{one}, {two}] }}"));
    assert!(
        !found.iter().any(|w| w.contains("does not name")),
        "{found:?}"
    );
}

#[test]
fn a_leaf_without_its_chain_is_a_warning() {
    let pair = pair(&["*.example.com"], 2000, 4000);
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.distinguished_name
        .push(rcgen::DnType::CommonName, "Our CA");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = KeyPair::generate().unwrap();
    let ca_cert = ca.self_signed(&ca_key).unwrap().pem();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["*.example.com".to_owned()]).unwrap();
    let leaf = leaf
        .signed_by(&key, &rcgen::Issuer::new(ca, ca_key))
        .unwrap()
        .pem();
    let one = "{ cert = \"DIR/c.pem\", key = \"DIR/k.pem\" }";
    let expect = |chain: &str, expected: &str| {
        pair.write(chain, &key.serialize_pem());
        let found = findings(&pair, one);
        assert!(found.iter().any(|w| w.contains(expected)), "{found:?}");
    };
    expect(
        &leaf,
        "contains only the server's own certificate, which CN=Our CA signed",
    );
    expect(&(leaf.clone() + &pair.cert), "is incomplete: CN");
    pair.write(&(leaf + &ca_cert), &key.serialize_pem());
    assert!(
        !findings(&pair, one)
            .iter()
            .any(|w| w.contains("certificate")),
        "{:?}",
        findings(&pair, one)
    );
}
