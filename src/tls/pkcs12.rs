//! PKCS#12 as Java, OpenSSL and Windows write it: keys with their chains, and certificates.

use p12_keystore::{CertificateBag, Pkcs12Archive, PrivateKeyBag, error::Error};
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};

use super::store::Entry;

/// The longest chain that is followed.
const LONGEST: usize = 16;

/// Why a file is not read.
#[derive(Debug)]
pub(super) enum Pkcs12Error {
    Password,
    Damaged(String),
}

/// A file's keys and certificates.
#[derive(Debug)]
pub(super) struct Pkcs12 {
    pub(super) keys: Vec<Entry>,
    /// All certificates that are no key's own.
    pub(super) trusted: Vec<CertificateDer<'static>>,
}

pub(super) fn parse(data: &[u8], password: &str) -> Result<Pkcs12, Pkcs12Error> {
    let archive = Pkcs12Archive::from_pkcs12(data, password).map_err(|error| match error {
        // the check over the whole file, or the padding of a part of one that has none
        Error::MacError(_) | Error::UnpadError => Pkcs12Error::Password,
        Error::Pkcs5Error(_) if !has_mac(data) => Pkcs12Error::Password,
        other => Pkcs12Error::Damaged(other.to_string()),
    })?;
    let keys: Vec<Entry> = archive
        .keys
        .iter()
        .map(|bag| entry(bag, &archive.certs))
        .collect();
    let of_a_key = |der: &[u8]| {
        keys.iter()
            .any(|e| e.chain.first().is_some_and(|c| **c == *der))
    };
    let trusted = archive
        .certs
        .iter()
        .map(|bag| bag.cert.as_der())
        .filter(|der| !of_a_key(der))
        .map(|der| CertificateDer::from(der.to_vec()))
        .collect();
    Ok(Pkcs12 { keys, trusted })
}

/// Whether a third element follows in the outermost sequence. Only a wrong password makes a file
/// without it unreadable, as far as one can tell.
fn has_mac(data: &[u8]) -> bool {
    use x509_parser::asn1_rs::{Any, FromDer};
    let Ok((_, outer)) = Any::from_der(data) else {
        return true;
    };
    let after = |rest: &[u8]| Any::from_der(rest).map(|(rest, _)| rest.len());
    let Ok(version) = after(outer.data) else {
        return true;
    };
    let rest = &outer.data[outer.data.len() - version..];
    !matches!(after(rest), Ok(0))
}

fn entry(bag: &PrivateKeyBag, certs: &[CertificateBag]) -> Entry {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(bag.key.as_der().to_vec()));
    let leaf = leaf(bag, &key, certs);
    let mut chain = Vec::new();
    let mut next = leaf;
    while let Some(bag) = next.filter(|_| chain.len() < LONGEST) {
        let cert = &bag.cert;
        chain.push(CertificateDer::from(cert.as_der().to_vec()));
        let above = |other: &&CertificateBag| {
            other.cert.subject() == cert.issuer()
                && chain.iter().all(|known| **known != *other.cert.as_der())
        };
        next = certs.iter().find(above);
    }
    Entry {
        alias: bag.friendly_name.clone().unwrap_or_default(),
        chain,
        key,
    }
}

/// The certificate that shares the key's id, or, where the file has no ids, the key itself.
fn leaf<'c>(
    bag: &PrivateKeyBag,
    key: &PrivateKeyDer<'static>,
    certs: &'c [CertificateBag],
) -> Option<&'c CertificateBag> {
    let same_id = |cert: &&CertificateBag| {
        bag.local_key_id
            .as_ref()
            .zip(cert.local_key_id.as_ref())
            .is_some_and(|(key, cert)| key.as_ref() == cert.as_slice())
    };
    let same_key = |cert: &&CertificateBag| {
        let chain = vec![CertificateDer::from(cert.cert.as_der().to_vec())];
        CertifiedKey::from_der(chain, key.clone_key(), &ring::default_provider()).is_ok()
    };
    certs
        .iter()
        .find(same_id)
        .or_else(|| certs.iter().find(same_key))
}
