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
        let of_tls = |w: &&super::super::super::Warning| w.place.key.ends_with("tls.cert");
        warnings
            .iter()
            .filter(of_tls)
            .map(ToString::to_string)
            .collect()
    }
}

#[test]
fn a_pair_that_fits_is_taken_without_a_word() {
    let good = pair(&["*.example.com"], 2000, 4000);
    assert!(good.warnings().is_empty(), "{:?}", good.warnings());
    let (config, _) = check(&good.text()).unwrap();
    let cert = &config.consoles[0].tls.as_ref().unwrap().cert;
    assert_eq!(cert.file_name(), Some(Path::new("c.pem").as_os_str()));
}

#[test]
fn an_expired_certificate_or_one_for_other_hosts_is_warned_of() {
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
fn files_that_do_not_belong_together_are_named() {
    let one = pair(&["*.example.com"], 2000, 4000);
    let only = |expected: &str| {
        let found = problems(&one.text());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    };
    one.write(&one.cert, &pair(&["a"], 2000, 4000).key);
    only("do not work together");
    one.write(&one.cert, &one.cert);
    only("k.pem holds no PEM private key");
    one.write(&one.key, &one.key);
    only("c.pem holds no PEM certificate");
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

#[test]
fn a_keystore_is_promised_but_not_here_yet() {
    let found = problems(&with(
        "identity",
        "tls = { keystore = \"a.p12\" }\nidentity",
    ));
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found
            .iter()
            .any(|p| p == "11: console[0].tls.keystore: not in this version")
    );
}
