//! What can be wrong with `[kerberos]`, the keytab and principals.

use std::path::PathBuf;

use crate::{
    auth::names::RuleErrorKind,
    gss::{Principal, PrincipalError, keytab::FormatError},
};

/// What is wrong with the keytab or a name in it.
#[derive(Debug, thiserror::Error)]
pub enum KerberosFault {
    /// Not a principal.
    #[error("`{text}` is no principal: {source}")]
    Principal {
        /// As written.
        text: String,
        /// Why.
        source: PrincipalError,
    },
    /// An SPN that is not `service/host`.
    #[error("`{text}` is no service principal")]
    Spn {
        /// As written.
        text: String,
    },
    /// A rule of `auth_to_local` that does not compile.
    #[error("rule {number} `{text}`: {source}")]
    Rule {
        /// Which of all rules, from 1.
        number: usize,
        /// The rule, shortened.
        text: Box<str>,
        /// What is wrong with it.
        source: RuleErrorKind,
    },
    /// The keytab's bytes are not a keytab.
    #[error("{} is no keytab: {source}", file.display())]
    KeytabMalformed {
        /// The file.
        file: PathBuf,
        /// What is wrong with its bytes.
        source: FormatError,
    },
    /// The keytab holds no key.
    #[error("{} holds no keys", file.display())]
    KeytabEmpty {
        /// The file.
        file: PathBuf,
    },
    /// The keytab does not hold the gateway's own key.
    #[error("{principal} is not in {}", file.display())]
    NotInKeytab {
        /// The file.
        file: PathBuf,
        /// Who is missing.
        principal: Principal,
    },
    /// The keytab holds no key that a browser could ask for.
    #[error("{} holds no HTTP/… key: no client could log in", file.display())]
    NoHttpKey {
        /// The file.
        file: PathBuf,
    },
    /// The keytab holds no key for a console's host.
    #[error("{} holds no key for {}", file.display(), spns.join(" or "))]
    NoKeyForHost {
        /// The file.
        file: PathBuf,
        /// What a client's ticket would name, without realm.
        spns: Vec<String>,
    },
    /// Keys of several realms, and none said to be ours.
    #[error("which realm is the gateway's? {} holds keys of {}", file.display(), realms.join(", "))]
    RealmUnclear {
        /// The file.
        file: PathBuf,
        /// Realms found.
        realms: Vec<String>,
    },
}

impl KerberosFault {
    /// What to do about it.
    pub fn cure(&self) -> String {
        match self {
            Self::Principal { .. } => {
                "Write it as the KDC does, such as \"spnegate/proxy.example.com@EXAMPLE.COM\""
                    .into()
            }
            Self::Spn { .. } => "Write service/host, with or without @REALM, such as \
                 \"HTTP/nn1.example.com\""
                .into(),
            Self::Rule { .. } => {
                "Write DEFAULT or RULE:[n:format](match)s/from/to/g/L as in Hadoop's \
                 hadoop.security.auth_to_local, one rule or several with white space between"
                    .into()
            }
            Self::KeytabMalformed { file, .. } => format!(
                "Look at it with `klist -kt {0}`; make it anew with `spnegate keytab merge -o {0} \
                 FILE…`",
                file.display()
            ),
            Self::KeytabEmpty { file } | Self::NoHttpKey { file } => format!(
                "Export HTTP/<host clients use> from the KDC (`kadmin ktadd -k http.keytab \
                 HTTP/…`) and merge: `spnegate keytab merge -o {} …`",
                file.display()
            ),
            Self::NotInKeytab { file, principal } => format!(
                "Merge the keytab that holds {principal}: `spnegate keytab merge -o {0} {0} \
                 OTHER.keytab`, or name one of `spnegate keytab list {0}`",
                file.display()
            ),
            Self::NoKeyForHost { file, spns } => format!(
                "Export {} from the KDC and merge it: `spnegate keytab merge -o {1} {1} \
                 OTHER.keytab`, or correct `hosts`",
                spns.join(" or "),
                file.display()
            ),
            Self::RealmUnclear { .. } => {
                "Set kerberos.principal, or kerberos.default_realm to one of them".into()
            }
        }
    }
}
