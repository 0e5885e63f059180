//! Reads a file of keys or certificates in any of the supported formats.

use std::{fs, io, path::Path};

use rustls::{
    crypto::ring,
    pki_types::{
        CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer,
        pem::{self, PemObject},
    },
    sign::CertifiedKey,
};
use zeroize::Zeroizing;

use super::{
    KeySource,
    jks::{self, JksError},
    pkcs12::{self, Pkcs12Error},
};

mod fault;

pub(crate) use fault::{StoreError, StoreFault};

/// More than any keystore has, in bytes.
const MAX_SIZE: u64 = 16 << 20;

#[derive(Debug)]
pub struct KeyPair {
    /// Leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Chain and key, for rustls.
    pub certified: CertifiedKey,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) alias: String,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl KeySource {
    /// Reads key and chain.
    ///
    /// # Errors
    /// `StoreError`, naming the file.
    pub fn load(&self) -> Result<KeyPair, StoreError> {
        match self {
            Self::Pem { cert, key } => {
                let chain = pem_certificates(&read(cert)?)
                    .and_then(some)
                    .map_err(|fault| at(cert, fault))?;
                let private = pem_key(&read(key)?).map_err(|fault| at(key, fault))?;
                pair(chain, private, cert, Some(key))
            }
            Self::Keystore {
                file,
                password_file,
                alias,
            } => {
                let password = password_file.as_deref().map(password).transpose()?;
                let data = read(file)?;
                let entries = keys(&data, password.as_ref().map(|p| p.as_str()));
                let entry = entries
                    .and_then(|entries| choose(entries, alias.as_deref()))
                    .map_err(|fault| at(file, fault))?;
                if entry.chain.is_empty() {
                    return Err(at(file, StoreFault::NoChain(entry.alias)));
                }
                pair(entry.chain, entry.key, file, None)
            }
        }
    }
}

fn pair(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    path: &Path,
    key_file: Option<&Path>,
) -> Result<KeyPair, StoreError> {
    match CertifiedKey::from_der(chain.clone(), key, &ring::default_provider()) {
        Ok(certified) => Ok(KeyPair { chain, certified }),
        Err(source) => {
            let key = key_file.map(Path::to_path_buf);
            Err(at(path, StoreFault::Unusable { key, source }))
        }
    }
}

/// The certificates of a truststore. The certificates of keys count too, as in Java.
///
/// # Errors
/// [`StoreError`], naming the file.
pub(crate) fn trusted(
    path: &Path,
    password_file: Option<&Path>,
) -> Result<Vec<CertificateDer<'static>>, StoreError> {
    let password = password_file.map(password).transpose()?;
    let data = read(path)?;
    certificates(&data, password.as_ref().map(|p| p.as_str()))
        .and_then(some)
        .map_err(|fault| at(path, fault))
}

/// A file's password: its first line.
///
/// # Errors
/// [`StoreError`], naming the file.
pub(crate) fn password(path: &Path) -> Result<Zeroizing<String>, StoreError> {
    let bytes = read(path)?;
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.lines().next())
        .filter(|line| !line.is_empty())
        .map(|line| Zeroizing::new(line.to_owned()))
        .ok_or_else(|| at(path, StoreFault::EmptyPassword))
}

/// The certificates in a file's bytes, in any format.
///
/// # Errors
/// `StoreFault`
pub fn certificates(
    data: &[u8],
    password: Option<&str>,
) -> Result<Vec<CertificateDer<'static>>, StoreFault> {
    match Format::of(data)? {
        Format::Pem => pem_certificates(data),
        Format::Der => Ok(vec![CertificateDer::from(data.to_vec())]),
        Format::Jks => {
            let jks = jks::parse(data, password).map_err(of_jks)?;
            let chains = jks.keys.into_iter().flat_map(|key| key.chain);
            let all = jks.trusted.into_iter().map(|(_, der)| der).chain(chains);
            Ok(all.map(CertificateDer::from).collect())
        }
        Format::Pkcs12 => {
            let store = open_pkcs12(data, password)?;
            let chains = store.keys.into_iter().flat_map(|entry| entry.chain);
            let mut all = store.trusted;
            // The CA of a chain is often a trusted entry of the same file as well: `keytool -importcert` of
            // a CA's reply needs it there.
            for der in chains {
                if !all.contains(&der) {
                    all.push(der);
                }
            }
            Ok(all)
        }
    }
}

fn keys(data: &[u8], password: Option<&str>) -> Result<Vec<Entry>, StoreFault> {
    match Format::of(data)? {
        Format::Pem => Ok(vec![Entry {
            alias: String::new(),
            chain: pem_certificates(data)?,
            key: pem_key(data)?,
        }]),
        Format::Der => Err(StoreFault::NoKey),
        Format::Jks => {
            let password = password.ok_or(StoreFault::NoPassword("JKS"))?;
            let open = |key: jks::Key| match key.open(password) {
                Ok(plain) => Ok(Entry {
                    chain: key.chain.into_iter().map(CertificateDer::from).collect(),
                    key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(plain.to_vec())),
                    alias: key.alias,
                }),
                // The store's own password is correct: its digest was verified below.
                Err(JksError::Password) => Err(StoreFault::KeyPassword(key.alias)),
                Err(other) => Err(of_jks(other)),
            };
            let jks = jks::parse(data, Some(password)).map_err(of_jks)?;
            jks.keys.into_iter().map(open).collect()
        }
        Format::Pkcs12 => Ok(open_pkcs12(data, password)?.keys),
    }
}

fn choose(entries: Vec<Entry>, alias: Option<&str>) -> Result<Entry, StoreFault> {
    let known: Vec<String> = entries.iter().map(|e| format!("`{}`", e.alias)).collect();
    let mut entries = entries.into_iter();
    if known.is_empty() {
        return Err(StoreFault::NoKey);
    }
    match alias {
        // Java's JKS compares aliases without regard to case.
        Some(alias) => entries
            .find(|entry| entry.alias.to_lowercase() == alias.to_lowercase())
            .ok_or_else(|| StoreFault::NoAlias {
                alias: alias.to_owned(),
                known,
            }),
        None => match (entries.next(), entries.next()) {
            (Some(only), None) => Ok(only),
            (_, _) => Err(StoreFault::SeveralKeys { known }),
        },
    }
}

fn open_pkcs12(data: &[u8], password: Option<&str>) -> Result<pkcs12::Pkcs12, StoreFault> {
    pkcs12::parse(data, password.unwrap_or("")).map_err(|error| match (error, password) {
        (Pkcs12Error::Password, None) => StoreFault::NoPassword("PKCS#12"),
        (Pkcs12Error::Password, Some(_)) => StoreFault::WrongPassword,
        (Pkcs12Error::Damaged(text), _) => StoreFault::Damaged {
            format: "PKCS#12",
            text,
        },
    })
}

fn of_jks(error: JksError) -> StoreFault {
    match error {
        JksError::Password => StoreFault::WrongPassword,
        JksError::Damaged | JksError::Method => StoreFault::Damaged {
            format: "JKS",
            text: error.to_string(),
        },
    }
}

fn pem_certificates(data: &[u8]) -> Result<Vec<CertificateDer<'static>>, StoreFault> {
    CertificateDer::pem_slice_iter(data)
        .collect::<Result<_, _>>()
        .map_err(StoreFault::Pem)
}

fn pem_key(data: &[u8]) -> Result<PrivateKeyDer<'static>, StoreFault> {
    PrivateKeyDer::from_pem_slice(data).map_err(|error| match error {
        pem::Error::NoItemsFound if contains(data, b"-----BEGIN ENCRYPTED PRIVATE KEY-----") => {
            StoreFault::EncryptedKey
        }
        pem::Error::NoItemsFound => StoreFault::NoKey,
        other => StoreFault::Pem(other),
    })
}

fn some(chain: Vec<CertificateDer<'static>>) -> Result<Vec<CertificateDer<'static>>, StoreFault> {
    if chain.is_empty() {
        return Err(StoreFault::NoCertificate);
    }
    Ok(chain)
}

fn at(path: &Path, fault: StoreFault) -> StoreError {
    StoreError {
        path: path.to_path_buf(),
        fault,
    }
}

/// The format of a file, recognised by its contents.
enum Format {
    Pem,
    /// A single certificate.
    Der,
    Pkcs12,
    Jks,
}

impl Format {
    fn of(data: &[u8]) -> Result<Self, StoreFault> {
        if data.starts_with(&jks::MAGIC) {
            return Ok(Self::Jks);
        }
        if data.starts_with(&jks::JCEKS_MAGIC) {
            return Err(StoreFault::Jceks);
        }
        // Anywhere in the file: `openssl pkcs12` writes `Bag Attributes` before each certificate, and
        // `openssl x509 -text` a description.
        if contains(data, b"-----BEGIN ") {
            return Ok(Self::Pem);
        }
        if data.first() == Some(&0x30) {
            // PKCS#12 and a certificate both begin with a SEQUENCE. Only a certificate can be parsed as
            // one up to the last byte.
            let one = x509_parser::parse_x509_certificate(data);
            return Ok(match one {
                Ok(([], _)) => Self::Der,
                Ok(_) | Err(_) => Self::Pkcs12,
            });
        }
        Err(StoreFault::Unknown)
    }
}

fn contains(data: &[u8], text: &[u8]) -> bool {
    memchr::memmem::find(data, text).is_some()
}

/// Reads a regular file only: reading a device or a pipe might never end.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let bytes = fs::metadata(path).and_then(|found| {
        if !found.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        if found.len() > MAX_SIZE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        fs::read(path)
    });
    bytes
        .map(Zeroizing::new)
        .map_err(|error| at(path, StoreFault::Read(error)))
}

#[cfg(test)]
mod tests;
