//! The examples of `conf/`: each is a valid configuration, and the reference has every key.

use std::{collections::BTreeSet, fs, path::Path};

use crate::{
    balance::Algorithm,
    config::{Config, Problems, Warning, parse, schema},
    gss::{
        Principal,
        keytab::{Enctype, Entry, Keytab},
    },
    identity::IdentityMode,
    upstream::group::Balance,
};
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use proptest::prelude::*;
use tempfile::TempDir;
use toml::de::{DeTable, DeValue};

const EXAMPLES: [(&str, &str); 10] = [
    ("cluster.toml", include_str!("../../conf/cluster.toml")),
    (
        "ha-namenodes.toml",
        include_str!("../../conf/ha-namenodes.toml"),
    ),
    ("kdc.toml", include_str!("../../conf/kdc.toml")),
    (
        "presto-stream.toml",
        include_str!("../../conf/presto-stream.toml"),
    ),
    ("oozie.toml", include_str!("../../conf/oozie.toml")),
    ("presto.toml", include_str!("../../conf/presto.toml")),
    ("reference.toml", include_str!("../../conf/reference.toml")),
    (
        "resourcemanager.toml",
        include_str!("../../conf/resourcemanager.toml"),
    ),
    ("simple.toml", include_str!("../../conf/simple.toml")),
    ("tls.toml", include_str!("../../conf/tls.toml")),
];

/// A machine on which the files that the examples name exist.
struct Machine {
    directory: TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        machine.write("merged.keytab", &keytab().to_bytes());
        machine.write("secret", &[7; 32]);
        let certified = rcgen::generate_simple_self_signed(["proxy.example.com".into()]).unwrap();
        machine.write("tls.crt", certified.cert.pem().as_bytes());
        machine.write("tls.key", certified.signing_key.serialize_pem().as_bytes());
        machine.write("ca.pem", certified.cert.pem().as_bytes());
        machine.write("server.p12", &keystore());
        machine.write("server.password", b"changeit\n");
        machine
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.directory.path().join(name), bytes).unwrap();
    }

    /// Parses an example with its paths changed to this directory.
    fn parse(&self, name: &str, text: &str) -> Result<(Config, Vec<Warning>), Problems> {
        let here = self.directory.path().to_str().unwrap();
        let text = text
            .replace("/etc/spnegate", here)
            .replace("/var/tmp", here);
        parse(&text, Path::new(name))
    }
}

/// A PKCS#12 keystore with a key `proxy`.
fn keystore() -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(["proxy.example.com".into()]).unwrap();
    let key = PrivateKey::from_der(&made.signing_key.serialize_der()).unwrap();
    let cert = Certificate::from_der(made.cert.der()).unwrap();
    let chain = PrivateKeyChain::new("1", key, [cert]);
    let mut store = KeyStore::new();
    store.add_entry("proxy", KeyStoreEntry::PrivateKeyChain(chain));
    store.writer("changeit").write().unwrap()
}

fn keytab() -> Keytab {
    let entry = |name: &str| Entry {
        principal: name.parse::<Principal>().unwrap(),
        name_type: 1,
        timestamp: 0,
        kvno: 1,
        enctype: Enctype(18),
        key: vec![1; 32].into(),
    };
    let names = [
        "HTTP/proxy.example.com@EXAMPLE.COM",
        "spnegate/proxy.example.com@EXAMPLE.COM",
    ];
    Keytab {
        entries: names.map(entry).into(),
    }
}

fn example(name: &str) -> Config {
    let (_, text) = EXAMPLES.iter().find(|(n, _)| *n == name).unwrap();
    Machine::new().parse(name, text).unwrap().0
}

#[test]
fn every_file_of_conf_is_tested_here() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    let files = fs::read_dir(directory).unwrap();
    let found: BTreeSet<String> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension() == Some("toml".as_ref()))
        .collect();
    let tested: BTreeSet<String> = EXAMPLES
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    assert_eq!(found, tested);
}

#[test]
fn every_example_is_a_configuration() {
    let machine = Machine::new();
    for (name, text) in EXAMPLES {
        if let Err(problems) = machine.parse(name, text) {
            panic!("{problems}");
        }
    }
}

#[test]
fn a_pair_of_namenodes_is_an_active_and_a_standby() {
    let console = &example("ha-namenodes.toml").consoles[0];
    assert_eq!(console.kind.name(), "namenode");
    assert_eq!(console.balance, Balance::Active);
    assert_eq!(console.identity, IdentityMode::DoAs);
    assert_eq!(console.nodes.as_ref().unwrap().ports, [50075, 9864]);
    assert_eq!(console.hosts.len(), 1);
}

#[test]
fn a_cluster_keeps_its_usual_ports() {
    let config = example("cluster.toml");
    let ports: Vec<u16> = config.consoles.iter().map(|c| c.listen[0].port()).collect();
    assert_eq!(ports, [50070, 8088, 19888, 11000, 14000]);
    assert_eq!(
        config.consoles[1].balance,
        Balance::Active,
        "the default of a ResourceManager"
    );
    assert_eq!(config.consoles[2].balance, Balance::By(Algorithm::First));
}

#[test]
fn a_console_without_kerberos_needs_no_principal() {
    let config = example("simple.toml");
    assert_eq!(config.kerberos.principal, None);
    assert_eq!(config.consoles[0].backends[0].spn, None);
}

#[test]
fn two_consoles_share_an_address_by_path() {
    let config = example("tls.toml");
    assert_eq!(config.consoles[0].listen, config.consoles[1].listen);
    assert_eq!(config.consoles[1].path.as_deref(), Some("/oozie"));
    assert_eq!(config.consoles[0].redirect_from.len(), 2);
}

#[test]
fn the_reference_has_every_key() {
    let (_, text) = EXAMPLES
        .iter()
        .find(|(name, _)| *name == "reference.toml")
        .unwrap();
    let tree = DeTable::parse(text).unwrap();
    let top = DeValue::Table(tree.into_inner());
    for section in schema::SECTIONS {
        let mut found = vec![&top];
        for step in section.name.split('.').filter(|step| !step.is_empty()) {
            found = found
                .into_iter()
                .flat_map(|value| below(value, step))
                .collect();
        }
        for key in section.keys {
            let there = found.iter().any(|table| table.get(*key).is_some());
            assert!(there, "conf/reference.toml lacks {}.{key}", section.name);
        }
    }
}

/// The value of a key, or the elements of a list.
fn below<'a, 'i>(table: &'a DeValue<'i>, key: &str) -> Vec<&'a DeValue<'i>> {
    match table.get(key).map(toml::Spanned::get_ref) {
        Some(DeValue::Array(list)) => list.iter().map(toml::Spanned::get_ref).collect(),
        Some(other) => vec![other],
        None => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_damaged_example_is_refused_or_accepted_without_panic(
        example in 0..EXAMPLES.len(), at in 0.0..1.0_f64, length in 0_usize..60,
        new in "[\\[\\]{}=\"'a-z0-9.,\n é/:*-]{0,12}",
    ) {
        let mut text = EXAMPLES[example].1.to_owned();
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
        let start = text.floor_char_boundary((at * text.len() as f64) as usize);
        let end = text.floor_char_boundary((start + length).min(text.len()));
        text.replace_range(start..end, &new);
        if let Err(problems) = parse(&text, Path::new("mutilated.toml")) {
            let lines = text.lines().count() + 1;
            prop_assert!(!problems.list.is_empty());
            prop_assert!(problems.list.iter().all(|p| p.position.line() <= lines));
        }
    }
}
