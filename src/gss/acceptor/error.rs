//! Why a token was not accepted.

use std::path::PathBuf;

use crate::{
    gss::{Failure, Principal, PrincipalError},
    refusal::Refusal,
};

/// Why a token was not accepted; every kind becomes one [`Refusal`].
///
/// The library's words are kept for the log, in `failure`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// The queue is full.
    #[error("too many logins wait")]
    Busy,
    /// The client's address has as many logins waiting as there is room for others.
    #[error("too many logins of this address wait")]
    Flood,
    /// The deadline passed.
    #[error("the login took too long")]
    Timeout,
    /// The acceptor was shut down.
    #[error("the acceptor is stopped")]
    Stopped,
    /// There are no bytes in the token; GSSAPI would ask for more.
    #[error("the token is empty")]
    Empty,
    /// NTLM, and no Kerberos.
    #[error("the client offers NTLM only")]
    Ntlm,
    /// SPNEGO without Kerberos or NTLM.
    #[error("the client offers no Kerberos")]
    NoKerberos,
    /// A later leg without its first.
    #[error("a later leg of a login whose first leg is not known here")]
    Interrupted,
    /// GSSAPI cannot read it.
    #[error("the token cannot be read: {}", failure.text)]
    Malformed {
        /// The library's reason.
        failure: Failure,
    },
    /// The replay cache knows it.
    #[error("the token was used before")]
    Replay,
    /// The replay cache cannot be read or written any more, so that no token can be accepted.
    #[error(
        "the replay cache {} cannot be used; free space on its disk or make it writable for this \
         user: {reason}",
        path.display()
    )]
    ReplayCache {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// The ticket has ended.
    #[error("the ticket has expired")]
    TicketExpired,
    /// The ticket begins in the future, or the authenticator's time is too far off.
    #[error("the clocks differ too much: {}", failure.text)]
    ClockSkew {
        /// The library's reason.
        failure: Failure,
    },
    /// The ticket's key is newer than the keytab.
    #[error("the keytab has no kvno {kvno} of {service} yet; export it again: {}", failure.text)]
    KeytabOutOfDate {
        /// The ticket's service.
        service: Principal,
        /// The ticket's key version.
        kvno: u32,
        /// The library's reason.
        failure: Failure,
    },
    /// The ticket's key is older than what the keytab holds.
    #[error("the keytab no longer has kvno {kvno} of {service}: {}", failure.text)]
    TicketOutOfDate {
        /// The ticket's service.
        service: Principal,
        /// The ticket's key version.
        kvno: u32,
        /// The library's reason.
        failure: Failure,
    },
    /// The keytab has no key of the ticket's service.
    #[error("the keytab has no key of {service}; names are case-sensitive: {}", failure.text)]
    NoKey {
        /// The ticket's service.
        service: Principal,
        /// The library's reason.
        failure: Failure,
    },
    /// The keytab's key does not open the ticket.
    #[error("no key of the keytab opens the ticket: {}", failure.text)]
    WrongKey {
        /// The library's reason.
        failure: Failure,
    },
    /// GSSAPI named a client or service that is no principal.
    #[error("the login's name is not usable")]
    Name(#[source] PrincipalError),
    /// GSSAPI refused it for another reason.
    #[error("the token was refused: {}", failure.text)]
    Rejected {
        /// The library's reason.
        failure: Failure,
    },
}

/// What may still make a failed token good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cure {
    /// The key of this version will soon be in the file.
    Wait,
    /// The file has changed already and was not yet loaded.
    Look,
}

// krb5 error codes (krb5.h), as minor statuses of the krb5 mechanism
const BAD_INTEGRITY: i32 = -1_765_328_353;
const TKT_EXPIRED: i32 = -1_765_328_352;
const TKT_NYV: i32 = -1_765_328_351;
const REPEAT: i32 = -1_765_328_350;
const NOT_US: i32 = -1_765_328_349;
const SKEW: i32 = -1_765_328_347;
const MODIFIED: i32 = -1_765_328_343;
const BADKEYVER: i32 = -1_765_328_340;
const NOKEY: i32 = -1_765_328_339;
/// `G_BAD_TOK_HEADER` of MIT's generic GSSAPI errors.
const BAD_TOKEN_HEADER: i32 = -2_045_022_964;

/// The words of the same errors: SPNEGO numbers them anew in every process.
const WORDS: &[(&str, i32)] = &[
    ("Token header is malformed", BAD_TOKEN_HEADER),
    ("ASN.1 ", BAD_TOKEN_HEADER),
    ("Request is a replay", REPEAT),
    ("Ticket expired", TKT_EXPIRED),
    ("Ticket not yet valid", TKT_NYV),
    ("Clock skew too great", SKEW),
    ("Decrypt integrity check failed", BAD_INTEGRITY),
    ("Message stream modified", MODIFIED),
    ("annot decrypt ticket", BAD_INTEGRITY),
    ("Cannot find key for", BADKEYVER),
    ("not found in keytab", NOT_US),
    ("found in keytab but not with enctype", BADKEYVER),
    ("No key table entry found", NOKEY),
    ("Key table entry not found", NOKEY),
    ("Service key not available", NOKEY),
    ("Key version", BADKEYVER),
    ("Wrong principal in request", NOT_US),
    ("does not match", NOT_US),
];

impl AcceptError {
    pub(super) fn classify(failure: Failure) -> Self {
        use libgssapi_sys as gss;
        let by_words = WORDS
            .iter()
            .find(|(words, _)| failure.text.contains(words))
            .map_or(failure.minor, |(_, code)| *code);
        match (by_words, failure.major) {
            (REPEAT, _) | (_, gss::_GSS_S_DUPLICATE_TOKEN) => Self::Replay,
            (TKT_EXPIRED, _) => Self::TicketExpired,
            (TKT_NYV | SKEW, _) => Self::ClockSkew { failure },
            (BAD_INTEGRITY | MODIFIED | BADKEYVER | NOKEY | NOT_US, _) => {
                Self::WrongKey { failure }
            }
            (BAD_TOKEN_HEADER, _) | (_, gss::_GSS_S_DEFECTIVE_TOKEN) => Self::Malformed { failure },
            (_, gss::_GSS_S_BAD_MECH) => Self::NoKerberos,
            _ => Self::Rejected { failure },
        }
    }

    /// Whether a newer keytab may cure it.
    pub(super) fn heals(&self) -> Option<Cure> {
        match self {
            Self::KeytabOutOfDate { .. } => Some(Cure::Wait),
            Self::WrongKey { .. } | Self::NoKey { .. } | Self::TicketOutOfDate { .. } => {
                Some(Cure::Look)
            }
            Self::Busy
            | Self::Flood
            | Self::Timeout
            | Self::Stopped
            | Self::Empty
            | Self::Ntlm
            | Self::NoKerberos
            | Self::Interrupted
            | Self::Malformed { .. }
            | Self::Replay
            | Self::ReplayCache { .. }
            | Self::TicketExpired
            | Self::ClockSkew { .. }
            | Self::Name(_)
            | Self::Rejected { .. } => None,
        }
    }
}

impl From<&AcceptError> for Refusal {
    fn from(error: &AcceptError) -> Self {
        match error {
            AcceptError::Busy => Self::LoginBusy,
            AcceptError::Flood => Self::LoginFlood,
            AcceptError::Timeout => Self::LoginTimeout,
            AcceptError::Stopped => Self::Draining,
            AcceptError::Empty | AcceptError::Malformed { .. } => Self::TokenMalformed,
            AcceptError::Ntlm => Self::Ntlm,
            AcceptError::Interrupted => Self::LoginInterrupted,
            AcceptError::Replay => Self::TokenReplayed,
            AcceptError::ReplayCache { .. } => Self::ReplayCache,
            AcceptError::TicketExpired => Self::TicketExpired,
            AcceptError::ClockSkew { .. } => Self::ClockSkew,
            AcceptError::KeytabOutOfDate { .. } => Self::KeytabOutOfDate,
            AcceptError::TicketOutOfDate { .. } => Self::TicketOutOfDate,
            AcceptError::NoKey { .. } | AcceptError::WrongKey { .. } => Self::WrongKey,
            AcceptError::NoKerberos | AcceptError::Name(_) | AcceptError::Rejected { .. } => {
                Self::TokenRejected
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(major: u32, minor: i32, text: &str) -> Failure {
        Failure {
            major,
            minor,
            text: text.to_owned(),
        }
    }

    #[test]
    fn causes_are_told_by_words_and_by_krb5_codes() {
        let spnego = |text| AcceptError::classify(failure(0xd_0000, 100_001, text));
        let krb5 = |code| AcceptError::classify(failure(0xd_0000, code, "words of another tongue"));
        assert_eq!(spnego("Request is a replay"), AcceptError::Replay);
        assert_eq!(krb5(REPEAT), AcceptError::Replay);
        assert_eq!(krb5(TKT_EXPIRED), AcceptError::TicketExpired);
        for text in [
            "Request ticket server HTTP/a@R kvno 3 not found in keytab; keytab is likely out of date",
            "Request ticket server HTTP/a@R kvno 3 enctype aes256-cts found in keytab but cannot decrypt ticket",
            "Cannot find key for HTTP/a@R kvno 3 in keytab",
            "No key table entry found for HTTP/a@R",
        ] {
            assert!(
                matches!(spnego(text), AcceptError::WrongKey { .. }),
                "{text}"
            );
        }
        let text = "Clock skew too great";
        assert!(matches!(spnego(text), AcceptError::ClockSkew { .. }));
        let malformed =
            AcceptError::classify(failure(libgssapi_sys::_GSS_S_DEFECTIVE_TOKEN, 0, ""));
        assert!(matches!(malformed, AcceptError::Malformed { .. }));
        assert!(matches!(spnego("?"), AcceptError::Rejected { .. }));
    }
}
