//! `tls` of a console: keys and certificates, read once to see that they will work.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::pki_types::CertificateDer;
use x509_parser::time::ASN1Time;

use super::{
    super::{
        ServerTls,
        problem::{Concern, ConsoleFault, ValueFault},
        schema,
        tree::{Node, Table},
    },
    Surroundings, files,
};
use crate::tls::{KeySource, MinVersion, StoreError, StoreFault, facts::Facts};

const NEED_KEY: &str = "Write key = \"/etc/spnegate/tls.key\": the PEM key of the certificate";
const NEED_CERT: &str = "Write cert = \"/etc/spnegate/tls.crt\": a PEM chain, leaf first";
const NEED_ONE: &str = "Write cert = \"/etc/spnegate/tls.crt\" and key = \"/etc/spnegate/tls.key\", or \
                        keystore = \"/etc/spnegate/server.p12\" and password_file";

pub(super) fn check<'a>(
    console: &Table<'a>,
    hosts: &[Arc<str>],
    surroundings: &Surroundings<'_>,
) -> Option<ServerTls> {
    let table = console.table("tls", &schema::TLS)?;
    let min_version = min_version(&table);
    let mut of_hosts = Leaves::default();
    let certificates = match table.get("certificates") {
        None => {
            let source = key_source(&table, &SERVER_KEYS, surroundings, &mut of_hosts);
            Vec::from_iter(source)
        }
        Some(list) => {
            let both = ["cert", "key", "keystore", "password_file", "alias"];
            if both.iter().any(|name| table.get(name).is_some()) {
                list.problem(ConsoleFault::TlsForm(
                    "certificates stand here beside a certificate of their table",
                ));
            }
            let nodes = list.list()?;
            if nodes.is_empty() {
                list.problem(ValueFault::Empty { cure: NEED_ONE });
            }
            let one = |node: &Node<'a>| {
                let table = node.table(&schema::CERTIFICATE)?;
                key_source(&table, &SERVER_KEYS, surroundings, &mut of_hosts)
            };
            nodes.iter().filter_map(one).collect()
        }
    };
    of_hosts.check(hosts);
    (!certificates.is_empty()).then_some(ServerTls {
        certificates,
        min_version,
        http2: table
            .get("http2")
            .and_then(|node| node.boolean())
            .unwrap_or(true),
    })
}

/// `min_version` of a table.
pub(super) fn min_version(table: &Table<'_>) -> MinVersion {
    let words = [("1.2", MinVersion::Tls12), ("1.3", MinVersion::Tls13)];
    let node = table.get("min_version");
    node.and_then(|node| node.word(&words, &[]))
        .unwrap_or_default()
}

/// The keys under which a table names a certificate with its key.
pub(super) struct Names {
    pub(super) cert: &'static str,
    pub(super) key: &'static str,
    pub(super) keystore: &'static str,
    pub(super) password_file: &'static str,
    pub(super) alias: &'static str,
}

const SERVER_KEYS: Names = Names {
    cert: "cert",
    key: "key",
    keystore: "keystore",
    password_file: "password_file",
    alias: "alias",
};

/// The leaf certificates that were read, and where.
#[derive(Default)]
pub(super) struct Leaves<'a>(Vec<Leaf<'a>>);

struct Leaf<'a> {
    node: Node<'a>,
    file: PathBuf,
    facts: Facts,
}

impl Leaves<'_> {
    /// Warns of hosts that none of them names.
    fn check(&self, hosts: &[Arc<str>]) {
        let Some(first) = self.0.first() else {
            return;
        };
        let unnamed = |host: &&Arc<str>| !self.0.iter().any(|leaf| leaf.facts.names(host));
        for host in hosts.iter().filter(unnamed) {
            first.node.warning(Concern::CertificateHost {
                files: self.0.iter().map(|leaf| leaf.file.clone()).collect(),
                host: host.to_string(),
            });
        }
    }
}

/// Where a table says that a certificate and its key are; both have been read.
pub(super) fn key_source<'a>(
    table: &Table<'a>,
    names: &Names,
    surroundings: &Surroundings<'_>,
    leaves: &mut Leaves<'a>,
) -> Option<KeySource> {
    let (cert, key) = (table.get(names.cert), table.get(names.key));
    let keystore = table.get(names.keystore);
    let (password, alias) = (table.get(names.password_file), table.get(names.alias));
    let path = |node: &Node<'_>| node.text().map(|text| surroundings.path(text));
    let (main, source) = match (keystore, cert, key) {
        (None, None, None) => {
            table.problem_at(names.cert, ValueFault::Missing { cure: NEED_ONE });
            return None;
        }
        (Some(node), None, None) => {
            let source = KeySource::Keystore {
                file: path(&node)?,
                password_file: match &password {
                    Some(password) => Some(path(password)?),
                    None => None,
                },
                alias: match &alias {
                    Some(alias) => Some(alias.text()?.to_owned()),
                    None => None,
                },
            };
            (node, source)
        }
        (Some(node), _, _) => {
            node.problem(ConsoleFault::TlsForm(
                "a keystore stands here beside PEM files",
            ));
            return None;
        }
        (None, Some(cert), Some(key)) => {
            if let Some(node) = password.as_ref().or(alias.as_ref()) {
                node.problem(ConsoleFault::TlsForm("this is for a keystore only"));
            }
            let source = KeySource::Pem {
                cert: path(&cert)?,
                key: path(&key)?,
            };
            (cert, source)
        }
        (None, None, Some(_)) => {
            table.problem_at(names.cert, ValueFault::Missing { cure: NEED_CERT });
            return None;
        }
        (None, Some(_), None) => {
            table.problem_at(names.key, ValueFault::Missing { cure: NEED_KEY });
            return None;
        }
    };
    // what is wrong with a file is said where that file is named
    let place = |file: &Path| {
        let secrets = [names.key, names.password_file].into_iter();
        secrets
            .filter_map(|name| table.get(name))
            .find(|node| path(node).is_some_and(|path| path == file))
            .unwrap_or_else(|| main.clone())
    };
    for file in source.files() {
        let node = place(&file);
        let holds_secret = !matches!(&source, KeySource::Pem { cert, .. } if *cert == file);
        if holds_secret && file.exists() {
            files::warn_if_world_readable(&node, &file);
        }
    }
    match source.load() {
        Ok(pair) => {
            let file = source.file().clone();
            if let Some(facts) = inspect(&main, &file, &pair.chain) {
                leaves.0.push(Leaf {
                    node: main,
                    file,
                    facts,
                });
            }
        }
        Err(error) => report(&place(&error.path), error),
    }
    Some(source)
}

/// Reports what is wrong with a file.
pub(super) fn report(node: &Node<'_>, error: StoreError) {
    match error.fault {
        StoreFault::Read(source) => node.problem(ValueFault::Unreadable {
            file: error.path,
            source,
        }),
        fault => node.problem(ConsoleFault::Tls(StoreError {
            path: error.path,
            fault,
        })),
    }
}

/// Warns of a chain that clients will not like, and says what its leaf says.
fn inspect(node: &Node<'_>, file: &Path, chain: &[CertificateDer<'_>]) -> Option<Facts> {
    let mut chain: Vec<Facts> = chain.iter().filter_map(|der| Facts::of(der)).collect();
    for facts in &chain {
        warn_of_time(node, file, facts);
    }
    let file = file.to_path_buf();
    let broken = chain
        .windows(2)
        .find(|pair| pair[0].issuer != pair[1].subject);
    if let Some([last, _]) = broken {
        node.warning(Concern::ChainBroken {
            file,
            subject: last.subject.clone(),
            issuer: last.issuer.clone(),
        });
    } else if let [only] = &*chain
        && !only.is_self_signed()
    {
        node.warning(Concern::ChainMissing {
            file,
            issuer: only.issuer.clone(),
        });
    }
    chain.truncate(1);
    chain.pop()
}

/// Warns of a certificate that is past its time or before it: the file may be replaced while the
/// gateway runs.
pub(super) fn warn_of_time(node: &Node<'_>, file: &Path, facts: &Facts) {
    let now = ASN1Time::now();
    let time = |when, date: ASN1Time| {
        let concern = Concern::CertificateTime {
            file: file.to_path_buf(),
            when,
            date: date.to_string(),
        };
        node.warning(concern);
    };
    if now > facts.not_after {
        time("after", facts.not_after);
    } else if now < facts.not_before {
        time("before", facts.not_before);
    }
}

#[cfg(test)]
mod tests;
