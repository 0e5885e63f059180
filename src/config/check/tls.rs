//! `tls` of a console: certificate and key, read once to see that they will work.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    sign::CertifiedKey,
};
use x509_parser::{extensions::GeneralName, prelude::X509Certificate, time::ASN1Time};
use zeroize::Zeroizing;

use super::{
    super::{
        TlsFiles,
        problem::{Concern, ConsoleFault},
        schema,
        tree::{Node, Table},
    },
    Surroundings, files,
};

const NEED_CERT: &str = "Write cert = \"/etc/spnegate/tls.crt\": a PEM chain, leaf first";
const NEED_KEY: &str = "Write key = \"/etc/spnegate/tls.key\": the PEM key of the certificate";

pub(super) fn check(
    console: &Table<'_>,
    hosts: &[Arc<str>],
    surroundings: &Surroundings<'_>,
) -> Option<TlsFiles> {
    let table = console.table("tls", &schema::TLS)?;
    let cert = table.require("cert", NEED_CERT);
    let key = table.require("key", NEED_KEY);
    let chain = cert.as_ref().and_then(|node| chain(node, surroundings));
    let private = key
        .as_ref()
        .and_then(|node| private_key(node, surroundings));
    let ((cert_file, chain), (key_file, private)) = chain.zip(private)?;
    let node = cert?;
    if let Some(leaf) = chain.first() {
        inspect(&node, &cert_file, leaf, hosts);
    }
    let files = TlsFiles {
        cert: cert_file,
        key: key_file,
    };
    if let Err(source) = CertifiedKey::from_der(chain, private, &ring::default_provider()) {
        let (cert, key) = (files.cert.clone(), files.key.clone());
        node.problem(ConsoleFault::TlsPair { cert, key, source });
    }
    Some(files)
}

fn chain(
    node: &Node<'_>,
    surroundings: &Surroundings<'_>,
) -> Option<(PathBuf, Vec<CertificateDer<'static>>)> {
    let file = surroundings.path(node.text()?);
    let text = files::read(node, &file)?;
    match CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>() {
        Ok(chain) if chain.is_empty() => {
            node.problem(ConsoleFault::NoPem {
                file,
                what: "certificate",
            });
            None
        }
        Ok(chain) => Some((file, chain)),
        Err(source) => {
            node.problem(ConsoleFault::Pem { file, source });
            None
        }
    }
}

fn private_key(
    node: &Node<'_>,
    surroundings: &Surroundings<'_>,
) -> Option<(PathBuf, PrivateKeyDer<'static>)> {
    let file = surroundings.path(node.text()?);
    let text = Zeroizing::new(files::read(node, &file)?);
    files::warn_if_world_readable(node, &file);
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Some((file, key)),
        Err(pem::Error::NoItemsFound) => {
            node.problem(ConsoleFault::NoPem {
                file,
                what: "private key",
            });
            None
        }
        Err(source) => {
            node.problem(ConsoleFault::Pem { file, source });
            None
        }
    }
}

/// Warns of a certificate that browsers will not like; rustls reports one it cannot read.
fn inspect(node: &Node<'_>, file: &Path, leaf: &CertificateDer<'_>, hosts: &[Arc<str>]) {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(leaf) else {
        return;
    };
    let validity = certificate.validity();
    let now = ASN1Time::now();
    let time = |when, date: ASN1Time| {
        let concern = Concern::CertificateTime {
            file: file.to_path_buf(),
            when,
            date: date.to_string(),
        };
        node.warning(concern);
    };
    if now > validity.not_after {
        time("after", validity.not_after);
    } else if now < validity.not_before {
        time("before", validity.not_before);
    }
    for host in hosts.iter().filter(|host| !names(&certificate, host)) {
        let host = host.to_string();
        node.warning(Concern::CertificateHost {
            file: file.to_path_buf(),
            host,
        });
    }
}

/// Whether a subject alternative name covers the host (RFC 6125 section 6.4).
fn names(certificate: &X509Certificate<'_>, host: &str) -> bool {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return false;
    };
    let octets = host
        .parse::<std::net::Ipv4Addr>()
        .ok()
        .map(|address| address.octets());
    let tail = host.split_once('.').map(|(_, tail)| tail);
    extension.value.general_names.iter().any(|name| {
        if let GeneralName::DNSName(name) = name {
            let wildcard = name.strip_prefix("*.").zip(tail);
            name.eq_ignore_ascii_case(host)
                || wildcard.is_some_and(|(domain, tail)| domain.eq_ignore_ascii_case(tail))
        } else if let GeneralName::IPAddress(bytes) = name {
            octets.is_some_and(|octets| octets == *bytes)
        } else {
            false
        }
    })
}

#[cfg(test)]
mod tests;
