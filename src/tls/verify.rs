//! Whether a server's certificate is to be believed: chain, time and name.
//!
//! As rustls does it, and in two points as Java does, for whose clients the field makes its
//! certificates: a certificate that stands itself in the truststore needs no CA, and one without
//! any alternative name is known by its common name.

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

/// Why a certificate is not believed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CertificateRejected {
    /// No known CA signed it.
    #[error(
        "its certificate ({subject}) was signed by {issuer}, and {trust} does not know that CA; add \
         the CA's certificate there, or the missing part of the chain on the server"
    )]
    UnknownIssuer {
        /// Whose it is.
        subject: String,
        /// Who signed it.
        issuer: String,
        /// Where CAs were looked for.
        trust: Arc<str>,
    },
    /// It is another host's.
    #[error(
        "its certificate names {names}, not {wanted}; write the name that it has as \
         tls = {{ server_name = \"…\" }}"
    )]
    Name {
        /// The name that it should have.
        wanted: String,
        /// Those it has.
        names: String,
    },
    /// Its time is over.
    #[error("its certificate ({subject}) has expired: {date}; it has to be renewed on the server")]
    Expired {
        /// Whose it is.
        subject: String,
        /// When.
        date: String,
    },
    /// Its time has not come.
    #[error("its certificate ({subject}) is not valid before {date}; is the clock right?")]
    NotYet {
        /// Whose it is.
        subject: String,
        /// From when.
        date: String,
    },
    /// Anything else.
    #[error("its certificate ({subject}) cannot be used: {source}")]
    Other {
        /// Whose it is.
        subject: String,
        /// Why.
        #[source]
        source: rustls::Error,
    },
}

/// Believes what a truststore believes.
#[derive(Debug)]
pub(super) struct Verifier {
    roots: RootCertStore,
    themselves: HashSet<CertificateDer<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
    trust: Arc<str>,
}

impl Verifier {
    /// Of a truststore's certificates; what cannot be a CA's may still stand for itself. `trust`
    /// names the truststore in messages.
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>, trust: Arc<str>) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in &certificates {
            // an ancient or odd one among the system's many is no reason to believe none
            let _skipped = roots.add(certificate.clone());
        }
        Self {
            roots,
            themselves: certificates.into_iter().collect(),
            algorithms: ring::default_provider().signature_verification_algorithms,
            trust,
        }
    }

    fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), CertificateRejected> {
        let facts = CertificateInfo::of(leaf);
        let subject = facts.as_ref().map_or("unreadable", |facts| &facts.subject);
        let other = |source| CertificateRejected::Other {
            subject: subject.to_owned(),
            source,
        };
        let parsed = ParsedCertificate::try_from(leaf).map_err(other)?;
        let Some(facts) = &facts else {
            return Err(other(CertificateError::BadEncoding.into()));
        };
        in_time(facts, now)?;
        if !self.themselves.contains(leaf) {
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
                        issuer: top.map_or_else(|| facts.issuer.clone(), |top| top.issuer),
                        trust: Arc::clone(&self.trust),
                    }
                }
                source => other(source),
            })?;
        }
        let wanted = name.to_str();
        let by_common_name = |name: &String| covers(name, &wanted.to_ascii_lowercase());
        if verify_server_name(&parsed, name).is_ok()
            || facts.common_name.as_ref().is_some_and(by_common_name)
        {
            return Ok(());
        }
        Err(CertificateRejected::Name {
            wanted: wanted.into_owned(),
            names: facts.all_names(),
        })
    }
}

/// The leaf's own time; rustls knows it too, and says less.
fn in_time(facts: &CertificateInfo, now: UnixTime) -> Result<(), CertificateRejected> {
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let of = |date: ASN1Time| (facts.subject.clone(), date.to_string());
    if now > facts.not_after.timestamp() {
        let (subject, date) = of(facts.not_after);
        return Err(CertificateRejected::Expired { subject, date });
    }
    if now < facts.not_before.timestamp() {
        let (subject, date) = of(facts.not_before);
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
        match self.judge(end_entity, intermediates, server_name, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(distrust) => Err(CertificateError::Other(OtherError(Arc::new(distrust))).into()),
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

    fn judge(
        trusted: &[CertificateDer<'static>],
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &str,
    ) -> Result<(), CertificateRejected> {
        let verifier = Verifier::new(trusted.to_vec(), "trust.jks".into());
        let name = ServerName::try_from(name).unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
        verifier.judge(leaf, chain, &name, now)
    }

    #[test]
    fn a_known_ca_vouches_for_the_names_of_its_certificates() {
        let ours = ca("ours");
        let trusted = [ours.der().clone()];
        let leaf = der(&params(&["nn1.example.com", "10.0.0.1"], "x"), &ours);
        judge(&trusted, &leaf, &[], "nn1.example.com").unwrap();
        judge(&trusted, &leaf, &[], "10.0.0.1").unwrap();
        let error = judge(&trusted, &leaf, &[], "x").unwrap_err();
        let CertificateRejected::Name { names, .. } = &error else {
            panic!("{error}")
        };
        assert_eq!(names, "nn1.example.com, 10.0.0.1");
    }

    #[test]
    fn a_certificate_by_common_name_alone_is_known_as_java_knows_it() {
        let ours = ca("ours");
        let leaf = der(&params(&[], "presto.example.com"), &ours);
        judge(&[ours.der().clone()], &leaf, &[], "presto.example.com").unwrap();
        let error = judge(&[ours.der().clone()], &leaf, &[], "other.example.com").unwrap_err();
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
        judge(
            std::slice::from_ref(&leaf),
            &leaf,
            &[],
            "presto.example.com",
        )
        .unwrap();
        let error = judge(std::slice::from_ref(&leaf), &leaf, &[], "other").unwrap_err();
        assert!(matches!(error, CertificateRejected::Name { .. }), "{error}");
    }

    #[test]
    fn an_unknown_ca_is_named_and_so_is_the_truststore() {
        let (ours, theirs) = (ca("ours"), ca("theirs"));
        let leaf = der(&params(&["nn1"], "nn1"), &theirs);
        let error = judge(&[ours.der().clone()], &leaf, &[], "nn1")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("signed by CN=theirs, and trust.jks does not know"),
            "{error}"
        );
    }

    #[test]
    fn a_certificate_out_of_time_is_told_by_its_date() {
        let ours = ca("ours");
        let mut late = params(&["nn1"], "nn1");
        late.not_after = date_time_ymd(2029, 1, 1);
        let leaf = der(&late, &ours);
        for trusted in [ours.der().clone(), leaf.clone()] {
            let error = judge(&[trusted], &leaf, &[], "nn1").unwrap_err();
            assert!(
                matches!(&error, CertificateRejected::Expired { date, .. } if date.contains("2029"))
            );
        }
        let mut early = params(&["nn1"], "nn1");
        early.not_before = date_time_ymd(2031, 1, 1);
        early.not_after = date_time_ymd(2032, 1, 1);
        let error = judge(&[ours.der().clone()], &der(&early, &ours), &[], "nn1").unwrap_err();
        assert!(
            matches!(error, CertificateRejected::NotYet { .. }),
            "{error}"
        );
    }
}
