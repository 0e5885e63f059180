//! Why there is no token for a backend.

use super::AccountStatus;
use crate::gss::{
    Failure, Principal,
    krb5_code::{
        self, BAD_INTEGRITY, C_PRINCIPAL_UNKNOWN, CLIENT_REVOKED, ETYPE_NOSUPP, KDC_UNREACH,
        KDCREP_SKEW, KEY_EXP, KT_NOTFOUND, NAME_EXP, PREAUTH_FAILED, REALM_CANT_RESOLVE,
        REALM_UNKNOWN, S_PRINCIPAL_UNKNOWN, SERVICE_EXP, SERVICE_REVOKED, SKEW,
    },
};

/// Why there is no token for a backend, or why the backend's proof was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InitiateError {
    /// Too many tokens wait.
    #[error("too many backend logins wait")]
    Busy,
    /// The deadline passed.
    #[error("the backend login took too long; check that the KDC responds")]
    Timeout,
    /// The initiator was shut down.
    #[error("the initiator is stopped")]
    Stopped,
    /// No KDC of the realm responds, or none is configured.
    #[error("no KDC of realm {realm} responds; check [realms] in krb5.conf and port 88: {text}")]
    KdcUnreachable {
        /// The realm.
        realm: String,
        /// The library's message.
        text: String,
    },
    /// The KDC does not know the backend's SPN.
    #[error("the KDC does not know {spn}; correct the backend's host name or set its spn")]
    UnknownSpn {
        /// The backend's service.
        spn: Principal,
    },
    /// The KDC does not know the client principal (an SPN of Active Directory is no client).
    #[error(
        "the KDC does not know {client} as a client; check its spelling, and in Active Directory use \
         the account's name, because an SPN is not a client there"
    )]
    ClientUnknown {
        /// The gateway's principal.
        client: Principal,
    },
    /// The client principal is locked, disabled or past its date.
    #[error("the KDC refuses {client}: its account {account} ({text})")]
    ClientRevoked {
        /// The gateway's principal.
        client: Principal,
        /// What is wrong with it.
        account: AccountStatus,
        /// The library's message.
        text: String,
    },
    /// The client principal's password is too old, or has to be changed at the next login.
    #[error(
        "the password of {client} has expired: {text}; let it never expire, set it again and export \
         the keytab"
    )]
    PasswordExpired {
        /// The gateway's principal.
        client: Principal,
        /// The library's message.
        text: String,
    },
    /// The backend's own account is locked, disabled or expired, so that no client gets a ticket for it.
    #[error(
        "the KDC gives no ticket for {spn}, whose account is locked, disabled or expired: {text}; \
         unlock or enable it"
    )]
    ServiceRevoked {
        /// The backend's service.
        spn: Principal,
        /// The library's message.
        text: String,
    },
    /// The KDC has no key of an encryption type that `krb5.conf` permits.
    #[error(
        "the KDC has no key for {spn} of a type that krb5.conf permits: {text}; in Active Directory \
         set msDS-SupportedEncryptionTypes of its account to 24, elsewhere see permitted_enctypes"
    )]
    NoEnctype {
        /// The service, or the client for a first ticket.
        spn: Principal,
        /// The library's message.
        text: String,
    },
    /// The key of the keytab is not the KDC's.
    #[error(
        "the keytab's key of {client} is not the KDC's; export the keytab again. Until the key changes, \
         the KDC is asked rarely, so that it does not lock the account: {text}"
    )]
    KeyWrong {
        /// The gateway's principal.
        client: Principal,
        /// The library's message.
        text: String,
    },
    /// The keytab has no key for the client principal, or cannot be read.
    #[error("the keytab has no usable key of {client}: {text}")]
    NoKey {
        /// The gateway's principal.
        client: Principal,
        /// The library's message.
        text: String,
    },
    /// The backend's mutual authentication token does not verify.
    #[error("the backend did not prove who it is: {text}")]
    Mutual {
        /// The library's message.
        text: String,
    },
    /// The KDC's clock and ours differ too much.
    #[error("the clocks of this host and the KDC differ too much: {text}")]
    ClockSkew {
        /// The library's message.
        text: String,
    },
    /// Another reason.
    #[error("no token for {spn}: {text}")]
    Other {
        /// The backend's service.
        spn: Principal,
        /// The library's message.
        text: String,
    },
}

/// Texts of the failures that have an error of their own.
const ERROR_TEXTS: &[(&str, i32)] = &[
    ("Cannot contact any KDC", KDC_UNREACH),
    ("Cannot find KDC for realm", REALM_UNKNOWN),
    ("Cannot resolve network address for KDC", REALM_CANT_RESOLVE),
    ("Client's credentials have been revoked", CLIENT_REVOKED),
    ("Credentials for server have been revoked", SERVICE_REVOKED),
    ("Client's entry in database has expired", NAME_EXP),
    ("Server's entry in database has expired", SERVICE_EXP),
    ("KDC has no support for encryption type", ETYPE_NOSUPP),
    ("Password has expired", KEY_EXP),
    ("Preauthentication failed", PREAUTH_FAILED),
    ("Decrypt integrity check failed", BAD_INTEGRITY),
    ("Clock skew too great", SKEW),
    ("Keytab contains no suitable keys", KT_NOTFOUND),
    ("No key table entry found", KT_NOTFOUND),
    ("is nonexistent or empty", KT_NOTFOUND),
];

impl InitiateError {
    /// Classifies a failed exchange of `client`; for a first ticket, `spn` is the client too.
    pub(super) fn classify(failure: &Failure, client: &Principal, spn: &Principal) -> Self {
        let text = failure.text.clone();
        let client = || client.clone();
        let code = krb5_code::of(failure, ERROR_TEXTS);
        if code == C_PRINCIPAL_UNKNOWN
            || (text.starts_with("Client '") && text.contains("not found in Kerberos database"))
        {
            return Self::ClientUnknown { client: client() };
        }
        if code == S_PRINCIPAL_UNKNOWN || text.contains("not found in Kerberos database") {
            return Self::UnknownSpn { spn: spn.clone() };
        }
        match code {
            KDC_UNREACH | REALM_UNKNOWN | REALM_CANT_RESOLVE => Self::KdcUnreachable {
                realm: realm_in(&text).unwrap_or(spn.realm()).to_owned(),
                text,
            },
            CLIENT_REVOKED => Self::ClientRevoked {
                client: client(),
                account: AccountStatus::Refused,
                text,
            },
            NAME_EXP => Self::ClientRevoked {
                client: client(),
                account: AccountStatus::Expired,
                text,
            },
            KEY_EXP => Self::PasswordExpired {
                client: client(),
                text,
            },
            SERVICE_REVOKED | SERVICE_EXP => Self::ServiceRevoked {
                spn: spn.clone(),
                text,
            },
            ETYPE_NOSUPP => Self::NoEnctype {
                spn: spn.clone(),
                text,
            },
            PREAUTH_FAILED | BAD_INTEGRITY => Self::KeyWrong {
                client: client(),
                text,
            },
            KT_NOTFOUND => Self::NoKey {
                client: client(),
                text,
            },
            SKEW | KDCREP_SKEW => Self::ClockSkew { text },
            _ => Self::Other {
                spn: spn.clone(),
                text,
            },
        }
    }
}

/// `… for realm 'X'` or `… for realm "X"`
fn realm_in(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("realm ")?;
    let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    rest[1..].split(quote).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_classified_by_text_and_by_krb5_code() {
        let client: Principal = "spnegate/p@R".parse().unwrap();
        let spn: Principal = "HTTP/nn1@R".parse().unwrap();
        let classified = |minor, text: &str| {
            let failure = Failure {
                major: 0,
                minor,
                text: text.to_owned(),
            };
            InitiateError::classify(&failure, &client, &spn)
        };
        assert_eq!(
            classified(1, "Cannot contact any KDC for realm 'OTHER'"),
            InitiateError::KdcUnreachable {
                realm: "OTHER".to_owned(),
                text: "Cannot contact any KDC for realm 'OTHER'".to_owned(),
            }
        );
        let text = "Client 'spnegate/p@R' not found in Kerberos database";
        assert!(matches!(
            classified(1, text),
            InitiateError::ClientUnknown { .. }
        ));
        let text = "Server HTTP/nn1@R not found in Kerberos database";
        assert!(matches!(
            classified(1, text),
            InitiateError::UnknownSpn { .. }
        ));
        assert!(matches!(
            classified(PREAUTH_FAILED, "?"),
            InitiateError::KeyWrong { .. }
        ));
        let text = "Client's credentials have been revoked";
        assert!(matches!(
            classified(1, text),
            InitiateError::ClientRevoked { .. }
        ));
        let text = "Password has expired";
        assert!(matches!(
            classified(1, text),
            InitiateError::PasswordExpired { .. }
        ));
        let text = "Credentials for server have been revoked";
        assert!(matches!(
            classified(1, text),
            InitiateError::ServiceRevoked { .. }
        ));
        let text = "KDC has no support for encryption type";
        assert!(matches!(
            classified(1, text),
            InitiateError::NoEnctype { .. }
        ));
        assert!(matches!(classified(1, "?"), InitiateError::Other { .. }));
    }
}
