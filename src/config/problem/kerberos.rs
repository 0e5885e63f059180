//! Problems of `[kerberos]`, the keytab and principals.

use std::path::PathBuf;

use crate::{
    auth::names::RuleErrorKind,
    gss::{Principal, PrincipalError, keytab::FormatError},
};

#[derive(Debug, thiserror::Error)]
pub(in crate::config) enum KerberosProblem {
    #[error("invalid principal `{text}`: {source}")]
    Principal {
        text: String,
        source: PrincipalError,
    },
    /// An SPN that is not `service/host`.
    #[error("invalid service principal `{text}`")]
    Spn { text: String },
    /// A rule of `auth_to_local` that does not compile.
    #[error("rule {number} `{text}`: {source}")]
    Rule {
        /// Number among all rules, from 1.
        number: usize,
        /// The rule, shortened.
        text: Box<str>,
        source: RuleErrorKind,
    },
    #[error("{} is not a valid keytab: {source}", file.display())]
    KeytabMalformed { file: PathBuf, source: FormatError },
    #[error("{} contains no keys", file.display())]
    KeytabEmpty { file: PathBuf },
    /// A principal that the gateway logs in as.
    #[error("{} contains no key of {principal}", file.display())]
    NotInKeytab { file: PathBuf, principal: Principal },
    #[error("{} contains no key of an HTTP/… principal, so no client could log in", file.display())]
    NoHttpKey { file: PathBuf },
    #[error("{} contains no key of {}", file.display(), spns.join(" or "))]
    NoKeyForHost {
        file: PathBuf,
        /// The SPNs that a client's ticket may be for, without realm.
        spns: Vec<String>,
    },
    #[error(
        "the gateway's realm is ambiguous: {} contains keys of {}",
        file.display(),
        realms.join(", ")
    )]
    RealmAmbiguous { file: PathBuf, realms: Vec<String> },
}

impl KerberosProblem {
    pub(super) fn cure(&self) -> String {
        match self {
            Self::Principal { .. } => {
                "Write the principal as the KDC does, such as \
                 \"spnegate/proxy.example.com@EXAMPLE.COM\""
                    .into()
            }
            Self::Spn { .. } => {
                "Write service/host, with or without @REALM, such as \"HTTP/nn1.example.com\""
                    .into()
            }
            Self::Rule { .. } => {
                "Write DEFAULT or RULE:[n:format](match)s/from/to/g/L as in Hadoop's \
                 hadoop.security.auth_to_local; one string may have several rules, separated by white \
                 space"
                    .into()
            }
            Self::KeytabMalformed { file, .. } => format!(
                "Inspect it with `klist -kt {0}`, or create it again with `spnegate keytab merge -o \
                 {0} FILE…`",
                file.display()
            ),
            Self::KeytabEmpty { file } | Self::NoHttpKey { file } => format!(
                "Export HTTP/<host name that clients use> from the KDC (`kadmin ktadd -k http.keytab \
                 HTTP/…`) and merge it: `spnegate keytab merge -o {} …`",
                file.display()
            ),
            Self::NotInKeytab { file, principal } => format!(
                "Merge a keytab that contains {principal}: `spnegate keytab merge -o {0} {0} \
                 OTHER.keytab`, or use a principal listed by `spnegate keytab list {0}`",
                file.display()
            ),
            Self::NoKeyForHost { file, spns } => format!(
                "Export {} from the KDC and merge it: `spnegate keytab merge -o {1} {1} \
                 OTHER.keytab`, or correct `hosts`",
                spns.join(" or "),
                file.display()
            ),
            Self::RealmAmbiguous { .. } => {
                "Set kerberos.principal, or set kerberos.default_realm to one of them".into()
            }
        }
    }
}
