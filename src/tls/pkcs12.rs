//! Reads PKCS#12 as Java, OpenSSL and Windows write it: keys with their chains, and certificates.

use p12_keystore::{CertificateBag, Pkcs12Archive, PrivateKeyBag, error::Error};
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};

use super::store::Entry;

/// The most certificates of a chain.
const MAX_CHAIN: usize = 16;

#[derive(Debug)]
pub(super) enum Pkcs12Error {
    Password,
    Damaged(String),
}

#[derive(Debug)]
pub(super) struct Pkcs12 {
    pub(super) keys: Vec<Entry>,
    /// The certificates that do not belong to a key.
    pub(super) trusted: Vec<CertificateDer<'static>>,
}

pub(super) fn parse(data: &[u8], password: &str) -> Result<Pkcs12, Pkcs12Error> {
    let archive = Pkcs12Archive::from_pkcs12(data, password).map_err(|error| match error {
        // A wrong password shows in the MAC of the file or, in a file without MAC, in the padding of
        // a decrypted part.
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

/// Whether the file has a MAC: a third element in the outermost sequence (RFC 7292 section 4). In a
/// file without one, a wrong password cannot be distinguished from damage; it is the likelier cause.
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
    while let Some(bag) = next.filter(|_| chain.len() < MAX_CHAIN) {
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

/// The certificate with the key's local id or, where the file has no ids, with the same public key.
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
