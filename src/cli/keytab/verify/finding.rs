//! The result of `keytab verify` for one principal, with what to do.
//!
//! The words in capitals are documented and do not change: scripts search for them.

use std::fmt;

use crate::gss::{AccountStatus, InitiateError, Principal, keytab::Enctype};

/// The state of a principal's newest key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It decrypts a ticket that the KDC has just issued.
    Good {
        kvno: u32,
    },
    /// The KDC accepts it from a client; it issues no service tickets for this principal.
    GoodClient,
    /// The KDC has a newer version.
    Behind {
        file: u32,
        kdc: u32,
    },
    /// The KDC has an older version: the change has not been replicated to it yet.
    Ahead {
        file: u32,
        kdc: u32,
    },
    /// The key decrypts the ticket, but the version numbers differ.
    OtherNumber {
        file: u32,
        kdc: u32,
    },
    /// The KDC encrypts tickets with an encryption type that the file has no key of.
    OtherEnctype {
        kdc: Enctype,
        file: Vec<Enctype>,
    },
    /// Version and type agree with the KDC, but the key differs.
    WrongKey,
    /// The KDC refuses the key, and no other principal of the file could find out the version.
    Refused,
    /// The KDC does not know the principal.
    Unknown,
    /// The principal cannot be a client, and the file has no other one that could request a ticket.
    NoClient,
    /// The principal cannot be a client, and the KDC refuses the only other one of the file.
    ClientRefused {
        client: Principal,
        reason: ClientRefusal,
    },
    Account(AccountStatus),
    PasswordExpired,
    /// The KDC issues no tickets for the service, whose account is locked, disabled or expired.
    ServiceRefused,
    /// The KDC has no key of a type that `krb5.conf` permits.
    NoEnctype,
    /// No KDC responds.
    Unreachable {
        text: String,
    },
    Other {
        text: String,
    },
}

/// Why the KDC refuses the client that could request a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ClientRefusal {
    /// Its key differs from the KDC's.
    Key,
    Unknown,
    Account(AccountStatus),
    PasswordExpired,
    Other(String),
}

impl Finding {
    pub(super) fn is_good(&self) -> bool {
        matches!(self, Self::Good { .. } | Self::GoodClient)
    }
}

impl From<&InitiateError> for ClientRefusal {
    fn from(error: &InitiateError) -> Self {
        match error {
            InitiateError::KeyWrong { .. } => Self::Key,
            InitiateError::ClientUnknown { .. } => Self::Unknown,
            InitiateError::ClientRevoked { account, .. } => Self::Account(*account),
            InitiateError::PasswordExpired { .. } => Self::PasswordExpired,
            InitiateError::Busy
            | InitiateError::Timeout
            | InitiateError::Stopped
            | InitiateError::KdcUnreachable { .. }
            | InitiateError::UnknownSpn { .. }
            | InitiateError::ServiceRevoked { .. }
            | InitiateError::NoEnctype { .. }
            | InitiateError::NoKey { .. }
            | InitiateError::Mutual { .. }
            | InitiateError::ClockSkew { .. }
            | InitiateError::Other { .. } => Self::Other(error.to_string()),
        }
    }
}

const PASSWORD: &str = "set it to never expire (Set-ADUser -PasswordNeverExpires $true, samba-tool user \
                        setexpiry --noexpiry, kadmin: modprinc -pwexpire never), or set it again and \
                        export the keytab";

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good { kvno } => write!(f, "ok, kvno {kvno}"),
            Self::GoodClient => f.write_str("ok, as a client"),
            Self::Behind { file, kdc } => write!(
                f,
                "KVNO BEHIND: the file has {file}, the KDC {kdc}; export the keytab again and merge it"
            ),
            Self::Ahead { file, kdc } => write!(
                f,
                "KVNO AHEAD: the file has {file}, this KDC {kdc}; wait for replication, or restore \
                 the older keytab"
            ),
            Self::OtherNumber { file, kdc } => write!(
                f,
                "KVNO DIFFERS: the key is right, but its version is {file} in the file and {kdc} at the KDC; \
                 write it with that version (ktutil: addent -k {kdc}), because other servers refuse it"
            ),
            Self::OtherEnctype { kdc, file } => {
                let held: Vec<_> = file.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "NO KEY OF THIS TYPE: the KDC makes {kdc} tickets, the file has only {}; ",
                    held.join(", ")
                )?;
                // Active Directory makes RC4 tickets until the account allows AES: 24 is AES128
                // and AES256.
                f.write_str(if kdc.is_weak() {
                    "in Active Directory set msDS-SupportedEncryptionTypes of the account to 24 \
                     (Set-ADUser -KerberosEncryptionType AES128,AES256), elsewhere give the principal \
                     a new key, then export the keytab again"
                } else {
                    "export the keytab again with keys of that type"
                })
            }
            // ktutil derives the key from the password and a salt, which in Active Directory is
            // that of the account and not of the SPN.
            Self::WrongKey => f.write_str(
                "WRONG KEY: same kvno, but a different key (wrong password or salt); export the \
                 keytab again, or let ktutil get the salt from the KDC (addent -f)",
            ),
            Self::Refused => f.write_str(
                "WRONG KEY OR OLD KVNO: the KDC refuses the key; export the keytab again",
            ),
            // Active Directory issues no tickets for an SPN that two accounts have.
            Self::Unknown => f.write_str(
                "UNKNOWN PRINCIPAL: not in the KDC's database; create it or correct its spelling, and \
                 check whether it was renamed or, in Active Directory, its SPN is set on two \
                 accounts (setspn -X)",
            ),
            // There, an SPN is an attribute of an account and cannot log in by itself.
            Self::NoClient => f.write_str(
                "NOT TESTED: an SPN of Active Directory cannot be a client; merge a key of the \
                 account into the file",
            ),
            Self::ClientRefused { client, reason } => {
                write!(
                    f,
                    "NOT TESTED: an SPN of Active Directory cannot be a client, and {client}, which could \
                     request a ticket, "
                )?;
                match reason {
                    ClientRefusal::Key => f.write_str(
                        "has an old or wrong key in the file; an account and its SPNs share one key: \
                         export all of them again",
                    ),
                    ClientRefusal::Unknown => f.write_str(
                        "is not in the KDC's database; check whether the account was renamed or \
                         removed, and export it with its current name",
                    ),
                    ClientRefusal::Account(account) => account.fmt(f),
                    ClientRefusal::PasswordExpired => write!(f, "has an expired password; {PASSWORD}"),
                    ClientRefusal::Other(text) => write!(f, "fails: {text}"),
                }
            }
            Self::Account(account) => match account {
                AccountStatus::Locked => write!(f, "LOCKED: the account {account}"),
                AccountStatus::Disabled => write!(f, "DISABLED: the account {account}"),
                AccountStatus::Expired => write!(f, "EXPIRED: the account {account}"),
                AccountStatus::Refused => write!(f, "ACCOUNT REFUSED: it {account}"),
            },
            Self::PasswordExpired => write!(f, "PASSWORD EXPIRED: {PASSWORD}"),
            Self::ServiceRefused => f.write_str(
                "ACCOUNT REFUSED: the KDC issues no tickets for it; the account is locked, disabled or \
                 expired: unlock or enable it",
            ),
            Self::NoEnctype => f.write_str(
                "NO COMMON TYPE: the KDC has no key of a type that krb5.conf permits; in Active \
                 Directory set msDS-SupportedEncryptionTypes of the account to 24, elsewhere give \
                 the principal a new key or change permitted_enctypes",
            ),
            Self::Unreachable { text } => write!(
                f,
                "KDC UNREACHABLE: {text}; check [realms] in krb5.conf and port 88"
            ),
            Self::Other { text } => write!(f, "NOT TESTED: {text}"),
        }
    }
}
