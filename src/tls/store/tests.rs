//! Keystores as `openssl` and `keytool` make them.

use std::{fs, path::PathBuf, process::Command};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair as Key};
use tempfile::TempDir;

use super::*;

const PASSWORD: &str = "change it";

/// A CA, a certificate of it for `localhost` with its key, and the password, as PEM files.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name
            .push(rcgen::DnType::CommonName, "CA of the test");
        let ca_key = Key::generate().unwrap();
        let ca_cert = ca.self_signed(&ca_key).unwrap();
        let key = Key::generate().unwrap();
        let mut leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        leaf.distinguished_name
            .push(rcgen::DnType::CommonName, "leaf");
        let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
        let files = Self(tempfile::tempdir().unwrap());
        files.write("ca.pem", ca_cert.pem());
        files.write("leaf.pem", leaf.pem());
        files.write("chain.pem", leaf.pem() + &ca_cert.pem());
        files.write("key.pem", key.serialize_pem());
        files.write("bundle.pem", key.serialize_pem() + &leaf.pem());
        files.write("password", format!("{PASSWORD}\nanything"));
        files.write("wrong", "wrong\n");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Runs a command in the directory.
    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.0.path());
        // the JVM reads its command line by the locale
        let output = command.env("LC_ALL", "C.UTF-8").output().unwrap();
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn openssl_p12(&self, out: &str, more: &[&str]) {
        let pass = format!("pass:{PASSWORD}");
        let mut all = vec!["pkcs12", "-export", "-out", out, "-passout", &pass];
        all.extend(more);
        self.run("openssl", &all);
    }

    fn keytool(&self, arguments: &[&str]) {
        let mut all = vec!["-J-Xshare:auto", "-J-XX:TieredStopAtLevel=1"];
        all.extend(arguments);
        self.run("keytool", &all);
    }

    fn keystore(&self, name: &str, password: Option<&str>, alias: Option<&str>) -> KeySource {
        KeySource::Keystore {
            file: self.path(name),
            password_file: password.map(|name| self.path(name)),
            alias: alias.map(str::to_owned),
        }
    }

    /// Loads a keystore: the chain's common names.
    fn chain(&self, name: &str) -> Vec<String> {
        let pair = self.keystore(name, Some("password"), None).load().unwrap();
        let subject = |der: &CertificateDer<'_>| {
            crate::tls::certificate::CertificateInfo::of(der)
                .unwrap()
                .subject
        };
        pair.chain.iter().map(subject).collect()
    }

    fn fault(&self, name: &str, password: Option<&str>, alias: Option<&str>) -> StoreFault {
        self.keystore(name, password, alias)
            .load()
            .unwrap_err()
            .fault
    }
}

const CHAIN: [&str; 2] = ["CN=leaf", "CN=CA of the test"];

#[test]
fn pkcs12_of_openssl_opens_in_every_encryption() {
    let files = Files::new();
    let pair = ["-inkey", "key.pem", "-in", "chain.pem", "-name", "Door"];
    files.openssl_p12("new.p12", &pair);
    let old = [
        "-legacy",
        "-keypbe",
        "PBE-SHA1-3DES",
        "-certpbe",
        "PBE-SHA1-RC2-40",
    ];
    files.openssl_p12("old.p12", &[&pair[..], &old].concat());
    files.openssl_p12("bare.p12", &[&pair[..], &["-nomac"]].concat());
    for name in ["new.p12", "old.p12", "bare.p12"] {
        assert_eq!(files.chain(name), CHAIN, "{name}");
        let wrong = files.fault(name, Some("wrong"), None);
        assert!(
            matches!(wrong, StoreFault::WrongPassword),
            "{name}: {wrong:?}"
        );
        let none = files.fault(name, None, None);
        assert!(
            matches!(none, StoreFault::NoPassword(_)),
            "{name}: {none:?}"
        );
    }
    assert!(
        files
            .keystore("new.p12", Some("password"), Some("door"))
            .load()
            .is_ok()
    );
    let StoreFault::NoAlias { known, .. } = files.fault("new.p12", Some("password"), Some("x"))
    else {
        panic!()
    };
    assert_eq!(known, ["`Door`"]);
}

#[test]
fn a_truststore_of_any_format_gives_its_certificates() {
    let files = Files::new();
    files.openssl_p12("trust.p12", &["-nokeys", "-in", "ca.pem"]);
    files.run(
        "openssl",
        &["x509", "-in", "ca.pem", "-outform", "DER", "-out", "ca.der"],
    );
    for (out, kind) in [("trust.jks", "JKS"), ("java.p12", "PKCS12")] {
        files.keytool(&[
            "-importcert",
            "-noprompt",
            "-alias",
            "ca",
            "-file",
            "ca.pem",
            "-keystore",
            out,
            "-storetype",
            kind,
            "-storepass",
            PASSWORD,
        ]);
    }
    let password = files.path("password");
    let ca = trusted(&files.path("ca.pem"), None).unwrap();
    for (name, with) in [
        ("trust.p12", true),
        ("java.p12", true),
        ("trust.jks", true),
        // certificates of a JKS stand in the clear, as in Java
        ("trust.jks", false),
        ("ca.der", false),
    ] {
        let found = trusted(&files.path(name), with.then_some(password.as_path()));
        assert_eq!(found.unwrap(), ca, "{name}");
    }
    for name in ["trust.p12", "java.p12", "trust.jks"] {
        let wrong = files.path("wrong");
        let fault = trusted(&files.path(name), Some(&wrong)).unwrap_err().fault;
        assert!(
            matches!(fault, StoreFault::WrongPassword),
            "{name}: {fault:?}"
        );
        let fault = files.fault(name, Some("password"), None);
        assert!(matches!(fault, StoreFault::NoKey), "{name}: {fault:?}");
    }
}

#[test]
fn keystores_of_keytool_open_by_alias_and_each_fault_is_told_apart() {
    let files = Files::new();
    files.openssl_p12(
        "in.p12",
        &["-inkey", "key.pem", "-in", "chain.pem", "-name", "door"],
    );
    let import = |out: &str, kind: &str| {
        files.keytool(&[
            "-importkeystore",
            "-noprompt",
            "-srckeystore",
            "in.p12",
            "-srcstorepass",
            PASSWORD,
            "-destkeystore",
            out,
            "-deststoretype",
            kind,
            "-deststorepass",
            PASSWORD,
        ]);
    };
    import("one.jks", "JKS");
    import("one.p12", "PKCS12");
    import("one.jceks", "JCEKS");
    for name in ["one.jks", "one.p12"] {
        assert_eq!(files.chain(name), CHAIN, "{name}");
        let wrong = files.fault(name, Some("wrong"), None);
        assert!(
            matches!(wrong, StoreFault::WrongPassword),
            "{name}: {wrong:?}"
        );
        let none = files.fault(name, None, None);
        assert!(
            matches!(none, StoreFault::NoPassword(_)),
            "{name}: {none:?}"
        );
        // a second key, with a certificate that has no alternative names
        files.keytool(&[
            "-genkeypair",
            "-alias",
            "Presto",
            "-keyalg",
            "RSA",
            "-dname",
            "CN=presto.example.com",
            "-keystore",
            name,
            "-storepass",
            PASSWORD,
            "-keypass",
            PASSWORD,
        ]);
        let several = files.fault(name, Some("password"), None);
        assert!(
            matches!(several, StoreFault::SeveralKeys { .. }),
            "{name}: {several:?}"
        );
        for alias in ["PRESTO", "door"] {
            let source = files.keystore(name, Some("password"), Some(alias));
            assert!(source.load().is_ok(), "{name} {alias}");
        }
    }
    assert!(matches!(
        files.fault("one.jceks", Some("password"), None),
        StoreFault::Jceks
    ));
    files.keytool(&[
        "-keypasswd",
        "-alias",
        "door",
        "-keystore",
        "one.jks",
        "-storepass",
        PASSWORD,
        "-keypass",
        PASSWORD,
        "-new",
        "another",
    ]);
    let fault = files.fault("one.jks", Some("password"), Some("door"));
    assert!(
        matches!(&fault, StoreFault::KeyPassword(alias) if alias == "door"),
        "{fault:?}"
    );
}

#[test]
fn pem_files_are_told_apart_by_what_they_hold() {
    let files = Files::new();
    assert!(files.keystore("bundle.pem", None, None).load().is_ok());
    assert!(matches!(
        files.fault("leaf.pem", None, None),
        StoreFault::NoKey
    ));
    assert!(matches!(
        files.fault("key.pem", None, None),
        StoreFault::NoChain(_)
    ));
    assert!(matches!(
        files.fault("password", None, None),
        StoreFault::Unknown
    ));
    assert!(matches!(
        files.fault("missing", None, None),
        StoreFault::Read(_)
    ));
    files.run(
        "openssl",
        &[
            "pkey",
            "-in",
            "key.pem",
            "-aes256",
            "-passout",
            "pass:a",
            "-out",
            "locked.pem",
        ],
    );
    let locked = KeySource::Pem {
        cert: files.path("leaf.pem"),
        key: files.path("locked.pem"),
    };
    let error = locked.load().unwrap_err();
    assert!(matches!(error.fault, StoreFault::EncryptedKey), "{error}");
    assert_eq!(error.path, files.path("locked.pem"));
    let other = KeySource::Pem {
        cert: files.path("ca.pem"),
        key: files.path("key.pem"),
    };
    let error = other.load().unwrap_err();
    assert!(
        error.to_string().contains("do not work together"),
        "{error}"
    );
}

#[test]
fn a_password_is_the_first_line() {
    let files = Files::new();
    assert_eq!(*password(&files.path("password")).unwrap(), PASSWORD);
    for nothing in [&b""[..], b"\nsecret", b"\xff\xfe"] {
        files.write("none", nothing);
        let fault = password(&files.path("none")).unwrap_err().fault;
        assert!(matches!(fault, StoreFault::EmptyPassword), "{fault:?}");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(
        start in "(|-----BEGIN CERTIFICATE-----\n|0\u{82}|0\u{80})",
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)
    ) {
        let mut data = start.into_bytes();
        data.extend(bytes);
        let _ = (certificates(&data, None), certificates(&data, Some("p")));
        let _ = keys(&data, Some("p"));
    }
}
