//! What `keytab verify` finds for one principal, with the cure.

use std::fmt;

use crate::gss::{AccountStatus, InitiateError, Principal, keytab::Enctype};

/// What the KDC says of a principal's newest key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// It opens a ticket that the KDC made just now.
    Good { kvno: u32 },
    /// The KDC takes it as a client's; it gives no service tickets for this principal.
    GoodClient,
    /// The KDC has a newer version.
    Behind { file: u32, kdc: u32 },
    /// The KDC has an older version: this replica has not yet heard of the change.
    Ahead { file: u32, kdc: u32 },
    /// The key opens the ticket; the versions differ.
    OtherNumber { file: u32, kdc: u32 },
    /// The KDC encrypts tickets by a type that the file has no key of.
    OtherEnctype { kdc: Enctype, file: Vec<Enctype> },
    /// Version, type and KDC agree, the key does not.
    WrongKey,
    /// The KDC refuses the key, and nobody in the file could ask it for the version.
    Refused,
    /// The KDC does not know the principal.
    Unknown,
    /// The principal is no client, and the file has no other principal that could ask for a ticket.
    NoClient,
    /// The principal is no client, and the KDC refuses the file's only one that could ask.
    ClientRefused { client: Principal, why: Why },
    /// The principal's account is refused.
    Account(AccountStatus),
    /// Its password has expired.
    PasswordExpired,
    /// The KDC gives no tickets for the service, whose account is locked, disabled or expired.
    ServiceRefused,
    /// Nothing that the KDC has suits `krb5.conf`.
    NoEnctype,
    /// No KDC answers.
    Unreachable { text: String },
    /// Something else.
    Other { text: String },
}

/// Why the KDC refuses the client that could ask for a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Its key is not the KDC's.
    Key,
    /// The KDC does not know it.
    Unknown,
    /// Its account.
    Account(AccountStatus),
    /// Its password has expired.
    PasswordExpired,
    /// Something else.
    Other(String),
}

impl Finding {
    pub(super) fn good(&self) -> bool {
        matches!(self, Self::Good { .. } | Self::GoodClient)
    }
}

impl From<&InitiateError> for Why {
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

const PASSWORD: &str = "let it never expire (Set-ADUser -PasswordNeverExpires $true, samba-tool user \
                        setexpiry --noexpiry, kadmin: modprinc -pwexpire never), or set it again and \
                        export the keytab";

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good { kvno } => write!(f, "ok, kvno {kvno}"),
            Self::GoodClient => f.write_str("ok, as a client"),
            Self::Behind { file, kdc } => write!(
                f,
                "KVNO BEHIND: the file has {file}, the KDC {kdc}; export the keytab again and merge"
            ),
            Self::Ahead { file, kdc } => write!(
                f,
                "KVNO AHEAD: the file has {file}, this KDC {kdc}; wait for replication, or restore \
                 the older keytab"
            ),
            Self::OtherNumber { file, kdc } => write!(
                f,
                "KVNO DIFFERS: the key is right, but the file calls it {file} and the KDC {kdc}; \
                 write it with that number (ktutil: addent -k {kdc}), or other servers refuse it"
            ),
            Self::OtherEnctype { kdc, file } => {
                let held: Vec<_> = file.iter().map(ToString::to_string).collect();
                write!(
                    f,
                    "NO KEY OF THIS TYPE: the KDC makes {kdc} tickets, the file has only {}; ",
                    held.join(", ")
                )?;
                f.write_str(if kdc.is_weak() {
                    "in Active Directory set msDS-SupportedEncryptionTypes of the account to 24 \
                     (Set-ADUser -KerberosEncryptionType AES128,AES256), elsewhere give the principal \
                     a new key, then export the keytab again"
                } else {
                    "export the keytab again with keys of that type"
                })
            }
            Self::WrongKey => f.write_str(
                "WRONG KEY: same kvno, another key (wrong password or salt); export the keytab \
                 again, or let ktutil ask the KDC for the salt (addent -f)",
            ),
            Self::Refused => f.write_str(
                "WRONG KEY OR OLD KVNO: the KDC refuses the key; export the keytab again",
            ),
            Self::Unknown => f.write_str(
                "UNKNOWN PRINCIPAL: not in the KDC's database; create it, mind its spelling, and \
                 look whether it was renamed or, in Active Directory, its SPN is on two accounts \
                 (setspn -X)",
            ),
            Self::NoClient => f.write_str(
                "NOT TESTED: an SPN of Active Directory is no client; merge a key of the account \
                 into the file",
            ),
            Self::ClientRefused { client, why } => {
                write!(
                    f,
                    "NOT TESTED: an SPN of Active Directory is no client, and {client}, which could \
                     ask for a ticket, "
                )?;
                match why {
                    Why::Key => f.write_str(
                        "has an old or wrong key in the file; an account and its SPNs have the same \
                         key: export all of them again",
                    ),
                    Why::Unknown => f.write_str(
                        "is not in the KDC's database; look whether the account was renamed or \
                         removed, and export it under its present name",
                    ),
                    Why::Account(account) => account.fmt(f),
                    Why::PasswordExpired => write!(f, "has an expired password; {PASSWORD}"),
                    Why::Other(text) => write!(f, "fails: {text}"),
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
                "ACCOUNT REFUSED: the KDC gives nobody a ticket for it; the account is locked, \
                 disabled or expired: unlock or enable it",
            ),
            Self::NoEnctype => f.write_str(
                "NO COMMON TYPE: the KDC has no key of a type that krb5.conf permits; in Active \
                 Directory set msDS-SupportedEncryptionTypes of the account to 24, elsewhere give \
                 the principal a new key or see permitted_enctypes",
            ),
            Self::Unreachable { text } => write!(
                f,
                "KDC UNREACHABLE: {text}; check [realms] in krb5.conf and port 88"
            ),
            Self::Other { text } => write!(f, "NOT TESTED: {text}"),
        }
    }
}
