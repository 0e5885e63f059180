//! Reads the names, issuer and validity of a certificate.

use std::net::IpAddr;

use x509_parser::{extensions::GeneralName, prelude::X509Certificate, time::ASN1Time};

#[derive(Clone, Debug)]
pub(crate) struct CertificateInfo {
    /// The subject's distinguished name, as text.
    pub subject: String,
    /// The issuer's distinguished name, as text.
    pub issuer: String,
    /// Lower-case DNS names among the subject alternative names.
    pub dns: Vec<String>,
    /// IP addresses among the subject alternative names.
    pub addresses: Vec<IpAddr>,
    /// The lower-case common name; only where there are no alternative names at all. `keytool -dname
    /// CN=…` creates such certificates, and Java's clients accept them.
    pub common_name: Option<String>,
    pub not_before: ASN1Time,
    pub not_after: ASN1Time,
}

impl CertificateInfo {
    /// `None` if the bytes are not a certificate in DER.
    pub(crate) fn of(der: &[u8]) -> Option<Self> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
        let mut dns = Vec::new();
        let mut addresses = Vec::new();
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        for name in alternatives.iter().flat_map(|e| &e.value.general_names) {
            if let GeneralName::DNSName(name) = name {
                dns.push(name.to_ascii_lowercase());
            } else if let GeneralName::IPAddress(bytes) = name {
                addresses.extend(address(bytes));
            }
        }
        let validity = certificate.validity();
        Some(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            common_name: match alternatives {
                Some(_) => None,
                None => common_name(&certificate),
            },
            dns,
            addresses,
            not_before: validity.not_before,
            not_after: validity.not_after,
        })
    }

    pub(crate) fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whether an alternative name matches this host, a lower-case name or an address (RFC 6125
    /// section 6.4).
    pub(crate) fn names(&self, host: &str) -> bool {
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => self.addresses.contains(&address),
            Err(_) => self.dns.iter().any(|name| covers(name, host)),
        }
    }

    /// All names, for messages.
    pub(crate) fn all_names(&self) -> String {
        let addresses = self.addresses.iter().map(ToString::to_string);
        let names = self.dns.iter().chain(&self.common_name).cloned();
        let all: Vec<String> = names.chain(addresses).collect();
        if all.is_empty() {
            return "no host".to_owned();
        }
        all.join(", ")
    }
}

/// `*.` matches one label (RFC 6125 section 6.4.3).
pub(crate) fn covers(pattern: &str, host: &str) -> bool {
    let tail = host.split_once('.').map(|(_, tail)| tail);
    pattern == host
        || pattern
            .strip_prefix("*.")
            .zip(tail)
            .is_some_and(|(domain, tail)| domain == tail && domain.contains('.'))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let name = certificate.subject().iter_common_name().last()?;
    name.as_str().ok().map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn facts(names: &[&str], common_name: &str) -> CertificateInfo {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        let key = KeyPair::generate().unwrap();
        CertificateInfo::of(params.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn the_common_name_is_ignored_where_there_are_alternative_names() {
        let facts = facts(&["*.Example.com", "10.0.0.1", "::1"], "other.example.org");
        for good in ["a.example.com", "10.0.0.1", "::1", "[::1]"] {
            assert!(facts.names(good), "{good}");
        }
        for bad in [
            "example.com",
            "a.b.example.com",
            "10.0.0.2",
            "other.example.org",
        ] {
            assert!(!facts.names(bad), "{bad}");
        }
    }

    #[test]
    fn the_common_name_is_only_shown() {
        let facts = facts(&[], "Presto.example.com");
        assert!(!facts.names("presto.example.com"));
        assert_eq!(facts.all_names(), "presto.example.com");
    }

    #[test]
    fn a_wildcard_needs_a_domain_with_a_dot() {
        assert!(!covers("*.com", "example.com"));
        assert!(!covers("*", "example"));
        assert!(covers("*.b.c", "a.b.c"));
    }
}
