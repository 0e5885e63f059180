//! Verifies a server's certificate: chain, validity and name.
//!
//! As rustls does, but with two rules of Java, because the certificates of Hadoop's servers are made
//! for Java's clients: a certificate that is itself in the truststore needs no CA (`keytool` creates
//! self-signed ones), and one without any alternative name is matched by its common name.

use std::{collections::HashSet, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor, verify_server_name,
    },
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};
use x509_parser::time::ASN1Time;

use super::certificate::{CertificateInfo, covers};

/// Why a certificate is rejected. Each text continues a sentence that begins with the server's name.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CertificateRejected {
    /// It is not signed by a trusted CA.
    #[error(
        "its certificate ({subject}) was signed by {issuer}, a CA that is not in {trust}; add the \
         CA's certificate there, or the missing intermediate certificates on the server"
    )]
    UnknownIssuer {
        /// Its subject.
        subject: String,
        /// Its issuer.
        issuer: String,
        /// The truststore.
        trust: Arc<str>,
    },
    /// It does not name the host.
    #[error(
        "its certificate names {names}, not {wanted}; set one of these names as \
         tls = {{ server_name = \"…\" }}"
    )]
    Name {
        /// The name of the server in the configuration.
        wanted: String,
        /// The names in the certificate.
        names: String,
    },
    /// It has expired.
    #[error("its certificate ({subject}) has expired: {date}; renew it on the server")]
    Expired {
        /// Its subject.
        subject: String,
        /// The end of its validity.
        date: String,
    },
    /// It is not valid yet.
    #[error(
        "its certificate ({subject}) is not valid before {date}; check the clock of this machine"
    )]
    NotYet {
        /// Its subject.
        subject: String,
        /// The beginning of its validity.
        date: String,
    },
    /// Anything else.
    #[error("its certificate ({subject}) cannot be used: {source}")]
    Other {
        /// Its subject.
        subject: String,
        /// The reason.
        #[source]
        source: rustls::Error,
    },
}

/// Verifies against one truststore.
#[derive(Debug)]
pub(super) struct Verifier {
    roots: RootCertStore,
    /// Certificates of the truststore, which are trusted without a CA.
    pinned: HashSet<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    trust: Arc<str>,
}

impl Verifier {
    /// `certificates`: CAs, or servers' own. `trust`: the truststore's name in messages.
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>, trust: Arc<str>) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            // An outdated or odd certificate among the system's many must not disable the others,
            // and a server's own certificate need not be valid as a CA's.
            let _skipped = roots.add(certificate.clone());
        }
        Self {
            roots,
            pinned: certificates.into_iter().collect(),
            algorithms: ring::default_provider().signature_verification_algorithms,
            trust,
        }
    }

    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), CertificateRejected> {
        let info = CertificateInfo::of(leaf);
        let subject = info.as_ref().map_or("unreadable", |info| &info.subject);
        let other = |source| CertificateRejected::Other {
            subject: subject.to_owned(),
            source,
        };
        let parsed = ParsedCertificate::try_from(leaf).map_err(other)?;
        let Some(info) = &info else {
            return Err(other(CertificateError::BadEncoding.into()));
        };
        check_validity(info, now)?;
        if !self.pinned.contains(leaf) {
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &self.roots,
                intermediates,
                now,
                self.algorithms.all,
            )
            .map_err(|error| match error {
                rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                    let top = intermediates
                        .last()
                        .and_then(|der| CertificateInfo::of(der));
                    CertificateRejected::UnknownIssuer {
                        subject: subject.to_owned(),
                        issuer: top.map_or_else(|| info.issuer.clone(), |top| top.issuer),
                        trust: Arc::clone(&self.trust),
                    }
                }
                source => other(source),
            })?;
        }
        let wanted = name.to_str();
        let by_common_name = |name: &String| covers(name, &wanted.to_ascii_lowercase());
        if verify_server_name(&parsed, name).is_ok()
            || info.common_name.as_ref().is_some_and(by_common_name)
        {
            return Ok(());
        }
        Err(CertificateRejected::Name {
            wanted: wanted.into_owned(),
            names: info.all_names(),
        })
    }
}

/// rustls checks the validity as well, but its error has no date.
fn check_validity(info: &CertificateInfo, now: UnixTime) -> Result<(), CertificateRejected> {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let of = |date: ASN1Time| (info.subject.clone(), date.to_string());
    if now > info.not_after.timestamp() {
        let (subject, date) = of(info.not_after);
        return Err(CertificateRejected::Expired { subject, date });
    }
    if now < info.not_before.timestamp() {
        let (subject, date) = of(info.not_before);
        return Err(CertificateRejected::NotYet { subject, date });
    }
    Ok(())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.verify(end_entity, intermediates, server_name, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(rejected) => Err(CertificateError::Other(OtherError(Arc::new(rejected))).into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
    };

    use super::*;

    /// 2030-01-01
    const NOW: u64 = 1_893_456_000;

    fn params(names: &[&str], common_name: &str) -> CertificateParams {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        params
    }

    fn ca(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut ca = params(&[], name);
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap()
    }

    fn der(
        params: &CertificateParams,
        ca: &CertifiedIssuer<'_, KeyPair>,
    ) -> CertificateDer<'static> {
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, ca).unwrap().into()
    }

    fn verify(
        trusted: &[CertificateDer<'static>],
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &str,
    ) -> Result<(), CertificateRejected> {
        let verifier = Verifier::new(trusted.to_vec(), "trust.jks".into());
        let name = ServerName::try_from(name).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
        verifier.verify(leaf, chain, &name, now)
    }

    #[test]
    fn a_known_ca_vouches_for_the_names_of_its_certificates() {
        let ours = ca("ours");
        let trusted = [ours.der().clone()];
        let leaf = der(&params(&["nn1.example.com", "10.0.0.1"], "x"), &ours);
        verify(&trusted, &leaf, &[], "nn1.example.com").unwrap();
        verify(&trusted, &leaf, &[], "10.0.0.1").unwrap();
        let error = verify(&trusted, &leaf, &[], "x").unwrap_err();
        let CertificateRejected::Name { names, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(names, "nn1.example.com, 10.0.0.1");
    }

    #[test]
    fn a_certificate_by_common_name_alone_is_known_as_java_knows_it() {
        let ours = ca("ours");
        let leaf = der(&params(&[], "presto.example.com"), &ours);
        verify(&[ours.der().clone()], &leaf, &[], "presto.example.com").unwrap();
        let error = verify(&[ours.der().clone()], &leaf, &[], "other.example.com").unwrap_err();
        assert!(matches!(error, CertificateRejected::Name { .. }), "{error}");
    }

    #[test]
    fn a_certificate_in_the_truststore_stands_for_itself_under_its_own_name() {
        let mut own = params(&["presto.example.com"], "x");
        // as `openssl req -x509` makes them
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let leaf: CertificateDer<'static> = own
            .self_signed(&KeyPair::generate().unwrap())
            .unwrap()
            .into();
        verify(
            std::slice::from_ref(&leaf),
            &leaf,
            &[],
            "presto.example.com",
        )
        .unwrap();
        let error = verify(std::slice::from_ref(&leaf), &leaf, &[], "other").unwrap_err();
        assert!(matches!(error, CertificateRejected::Name { .. }), "{error}");
    }

    #[test]
    fn an_unknown_ca_is_named_and_so_is_the_truststore() {
        let (ours, theirs) = (ca("ours"), ca("theirs"));
        let leaf = der(&params(&["nn1"], "nn1"), &theirs);
        let error = verify(&[ours.der().clone()], &leaf, &[], "nn1")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("signed by CN=theirs, a CA that is not in trust.jks"),
            "{error}"
        );
    }

    #[test]
    fn the_error_of_an_expired_or_future_certificate_has_its_date() {
        let ours = ca("ours");
        let mut late = params(&["nn1"], "nn1");
        late.not_after = date_time_ymd(2029, 1, 1);
        let leaf = der(&late, &ours);
        for trusted in [ours.der().clone(), leaf.clone()] {
            let error = verify(&[trusted], &leaf, &[], "nn1").unwrap_err();
            assert!(
                matches!(&error, CertificateRejected::Expired { date, .. } if date.contains("2029"))
            );
        }
        let mut early = params(&["nn1"], "nn1");
        early.not_before = date_time_ymd(2031, 1, 1);
        early.not_after = date_time_ymd(2032, 1, 1);
        let error = verify(&[ours.der().clone()], &der(&early, &ours), &[], "nn1").unwrap_err();
        assert!(
            matches!(error, CertificateRejected::NotYet { .. }),
            "{error}"
        );
    }
}
