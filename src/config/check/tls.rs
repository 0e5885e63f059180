//! `tls` of a console: keys and certificates, which are read to make sure that they work.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::pki_types::CertificateDer;
use x509_parser::time::ASN1Time;

use super::{
    super::{
        ServerTls,
        problem::{ConsoleProblem, ValueProblem, WarningKind},
        schema,
        tree::{Table, Value},
    },
    Environment, files,
};
use crate::tls::{KeySource, MinVersion, StoreError, StoreFault, certificate::CertificateInfo};

const NEED_KEY: &str =
    "Write key = \"/etc/spnegate/tls.key\": the private key of the certificate in PEM";
const NEED_CERT: &str =
    "Write cert = \"/etc/spnegate/tls.crt\": the certificate chain in PEM, the server's first";
const NEED_ONE: &str = "Write cert = \"/etc/spnegate/tls.crt\" and key = \"/etc/spnegate/tls.key\", or \
                        keystore = \"/etc/spnegate/server.p12\" and password_file";

pub(super) fn check<'a>(
    console: &Table<'a>,
    hosts: &[Arc<str>],
    environment: &Environment<'_>,
) -> Option<ServerTls> {
    let table = console.table("tls", &schema::TLS)?;
    let min_version = min_version(&table);
    let mut leaves = LeafCertificates::default();
    let certificates = match table.get("certificates") {
        None => {
            let source = key_source(&table, &SERVER_KEYS, environment, &mut leaves);
            Vec::from_iter(source)
        }
        Some(list) => {
            let both = ["cert", "key", "keystore", "password_file", "alias"];
            if both.iter().any(|name| table.get(name).is_some()) {
                list.problem(ConsoleProblem::TlsForm(
                    "`certificates` cannot be combined with `cert`, `key` or `keystore`",
                ));
            }
            let entries = list.list()?;
            if entries.is_empty() {
                list.problem(ValueProblem::Empty { cure: NEED_ONE });
            }
            let one = |value: &Value<'a>| {
                let table = value.table(&schema::CERTIFICATE)?;
                key_source(&table, &SERVER_KEYS, environment, &mut leaves)
            };
            entries.iter().filter_map(one).collect()
        }
    };
    leaves.check(hosts);
    (!certificates.is_empty()).then_some(ServerTls {
        certificates,
        min_version,
        // Browsers and Java clients offer HTTP/2. A login of several steps does not work there,
        // and is sent to HTTP/1.1.
        http2: table
            .get("http2")
            .and_then(|value| value.boolean())
            .unwrap_or(true),
    })
}

pub(super) fn min_version(table: &Table<'_>) -> MinVersion {
    let words = [("1.2", MinVersion::Tls12), ("1.3", MinVersion::Tls13)];
    let value = table.get("min_version");
    value
        .and_then(|value| value.keyword(&words, &[]))
        .unwrap_or_default()
}

/// The names of the keys that describe a certificate: those of clients have a prefix.
pub(super) struct KeyNames {
    pub(super) cert: &'static str,
    pub(super) key: &'static str,
    pub(super) keystore: &'static str,
    pub(super) password_file: &'static str,
    pub(super) alias: &'static str,
}

const SERVER_KEYS: KeyNames = KeyNames {
    cert: "cert",
    key: "key",
    keystore: "keystore",
    password_file: "password_file",
    alias: "alias",
};

/// The leaf certificates that were read, with their files and positions.
#[derive(Default)]
pub(super) struct LeafCertificates<'a>(Vec<LeafCertificate<'a>>);

struct LeafCertificate<'a> {
    value: Value<'a>,
    file: PathBuf,
    info: CertificateInfo,
}

impl LeafCertificates<'_> {
    /// Warns of hosts that no certificate names.
    fn check(&self, hosts: &[Arc<str>]) {
        let Some(first) = self.0.first() else {
            return;
        };
        let unnamed = |host: &&Arc<str>| !self.0.iter().any(|leaf| leaf.info.names(host));
        for host in hosts.iter().filter(unnamed) {
            first.value.warning(WarningKind::CertificateHost {
                files: self.0.iter().map(|leaf| leaf.file.clone()).collect(),
                host: host.to_string(),
            });
        }
    }
}

/// The files of a certificate and its key; both are read, and problems with them reported.
pub(super) fn key_source<'a>(
    table: &Table<'a>,
    names: &KeyNames,
    environment: &Environment<'_>,
    leaves: &mut LeafCertificates<'a>,
) -> Option<KeySource> {
    let (cert, key) = (table.get(names.cert), table.get(names.key));
    let keystore = table.get(names.keystore);
    let (password, alias) = (table.get(names.password_file), table.get(names.alias));
    let path = |value: &Value<'_>| value.text().map(|text| environment.path(text));
    let (main, source) = match (keystore, cert, key) {
        (None, None, None) => {
            table.problem_at(names.cert, ValueProblem::Missing { cure: NEED_ONE });
            return None;
        }
        (Some(value), None, None) => {
            let source = KeySource::Keystore {
                file: path(&value)?,
                password_file: match &password {
                    Some(password) => Some(path(password)?),
                    None => None,
                },
                alias: match &alias {
                    Some(alias) => Some(alias.text()?.to_owned()),
                    None => None,
                },
            };
            (value, source)
        }
        (Some(value), _, _) => {
            value.problem(ConsoleProblem::TlsForm(
                "`keystore` cannot be combined with `cert` and `key`",
            ));
            return None;
        }
        (None, Some(cert), Some(key)) => {
            if let Some(value) = password.as_ref().or(alias.as_ref()) {
                value.problem(ConsoleProblem::TlsForm("this key needs `keystore`"));
            }
            let source = KeySource::Pem {
                cert: path(&cert)?,
                key: path(&key)?,
            };
            (cert, source)
        }
        (None, None, Some(_)) => {
            table.problem_at(names.cert, ValueProblem::Missing { cure: NEED_CERT });
            return None;
        }
        (None, Some(_), None) => {
            table.problem_at(names.key, ValueProblem::Missing { cure: NEED_KEY });
            return None;
        }
    };
    // A problem with a file is reported at the key that names this file.
    let position = |file: &Path| {
        let secrets = [names.key, names.password_file].into_iter();
        secrets
            .filter_map(|name| table.get(name))
            .find(|value| path(value).is_some_and(|path| path == file))
            .unwrap_or_else(|| main.clone())
    };
    for file in source.files() {
        let value = position(&file);
        // A PEM certificate is public; keys, keystores and passwords are not.
        let holds_secret = !matches!(&source, KeySource::Pem { cert, .. } if *cert == file);
        if holds_secret && file.exists() {
            files::warn_if_world_readable(&value, &file);
        }
    }
    match source.load() {
        Ok(pair) => {
            let file = source.file().clone();
            if let Some(info) = inspect(&main, &file, &pair.chain) {
                leaves.0.push(LeafCertificate {
                    value: main,
                    file,
                    info,
                });
            }
        }
        Err(error) => report(&position(&error.path), error),
    }
    Some(source)
}

pub(super) fn report(value: &Value<'_>, error: StoreError) {
    match error.fault {
        StoreFault::Read(source) => value.problem(ValueProblem::Unreadable {
            file: error.path,
            source,
        }),
        fault => value.problem(ConsoleProblem::Tls(StoreError {
            path: error.path,
            fault,
        })),
    }
}

/// Warns of a chain that clients may refuse; returns the leaf.
fn inspect(
    value: &Value<'_>,
    file: &Path,
    chain: &[CertificateDer<'_>],
) -> Option<CertificateInfo> {
    let mut chain: Vec<CertificateInfo> = chain
        .iter()
        .filter_map(|der| CertificateInfo::of(der))
        .collect();
    for info in &chain {
        warn_of_time(value, file, info);
    }
    let file = file.to_path_buf();
    // Names only: signatures are verified by clients, and a wrong order is the usual mistake.
    let broken = chain
        .windows(2)
        .find(|pair| pair[0].issuer != pair[1].subject);
    if let Some([last, _]) = broken {
        value.warning(WarningKind::ChainBroken {
            file,
            subject: last.subject.clone(),
            issuer: last.issuer.clone(),
        });
    } else if let [only] = &*chain
        && !only.is_self_signed()
    {
        value.warning(WarningKind::ChainMissing {
            file,
            issuer: only.issuer.clone(),
        });
    }
    chain.truncate(1);
    chain.pop()
}

pub(super) fn warn_of_time(value: &Value<'_>, file: &Path, info: &CertificateInfo) {
    // Only a warning: a changed file is used without a restart, so it may be replaced later.
    let now = ASN1Time::now();
    let time = |when, date: ASN1Time| {
        let warning = WarningKind::CertificateTime {
            file: file.to_path_buf(),
            when,
            date: date.to_string(),
        };
        value.warning(warning);
    };
    if now > info.not_after {
        time("after", info.not_after);
    } else if now < info.not_before {
        time("before", info.not_before);
    }
}

#[cfg(test)]
mod tests;
