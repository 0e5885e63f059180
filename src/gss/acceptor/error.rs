//! Why a token was not accepted.

use std::{fmt, path::PathBuf, sync::Arc};

use crate::gss::{
    Failure, Principal, PrincipalError,
    keytab::Enctype,
    krb5_code::{
        self, BAD_INTEGRITY, BAD_TOK_HEADER, BADKEYVER, MODIFIED, NOKEY, NOT_US, REPEAT, SKEW,
        TKT_EXPIRED, TKT_NYV,
    },
    peek::Ticket,
};

/// Why a token was not accepted.
///
/// `failure` has the text of the Kerberos library, for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// The queue is full.
    #[error("too many logins wait")]
    Busy,
    /// The client's address has as many logins waiting as there is room left for others.
    #[error("too many logins of this address wait")]
    Flood,
    /// The deadline passed.
    #[error("the login took too long")]
    Timeout,
    /// The acceptor was shut down.
    #[error("the acceptor is stopped")]
    Stopped,
    /// The token is empty. GSSAPI would not fail but ask for another token.
    #[error("the token is empty")]
    Empty,
    /// NTLM without Kerberos.
    #[error("the client offers NTLM only")]
    Ntlm,
    /// SPNEGO without Kerberos or NTLM.
    #[error("the client offers no Kerberos")]
    NoKerberos,
    /// A Kerberos error message in place of a ticket.
    #[error("the client sent a Kerberos error message (KRB-ERROR{}) in place of a ticket", code(*.0))]
    KrbError(Option<u32>),
    /// A server's reply in place of a ticket.
    #[error("the client sent a server's reply (AP-REP) in place of a ticket")]
    ApRep,
    /// Another Kerberos message in place of a ticket.
    #[error("the client sent a Kerberos message that is not a ticket (AP-REQ)")]
    NoTicket,
    /// A later token of a login without the first one.
    #[error("a later token of a login whose first token is not known here")]
    Interrupted,
    /// GSSAPI cannot read it.
    #[error("the token cannot be read: {}", failure.text)]
    Malformed {
        /// The library's reason.
        failure: Failure,
    },
    /// The replay cache has a record of it.
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
    #[error("the keytab lacks the newest key of this service; export it again: {keys}: {}", failure.text)]
    KeytabOutOfDate {
        /// The key that the ticket needs, and those that are held.
        keys: Box<KeyDetails>,
        /// The library's reason.
        failure: Failure,
    },
    /// The ticket's key is older than what the keytab holds.
    #[error("the keytab no longer has the key of this ticket: {keys}: {}", failure.text)]
    TicketOutOfDate {
        /// The key that the ticket needs, and those that are held.
        keys: Box<KeyDetails>,
        /// The library's reason.
        failure: Failure,
    },
    /// The keytab has no key of the ticket's service.
    #[error("the keytab has no key of this service: {keys}: {}", failure.text)]
    NoKey {
        /// The key that the ticket needs, and those that are held.
        keys: Box<KeyDetails>,
        /// The library's reason.
        failure: Failure,
    },
    /// The keytab has keys of the ticket's service, but none of its encryption type.
    #[error(
        "the keytab has no key of this encryption type; add one, or let the KDC use another \
         (Active Directory: msDS-SupportedEncryptionTypes of the account): {keys}: {}",
        failure.text
    )]
    NoEnctype {
        /// The key that the ticket needs, and those that are held.
        keys: Box<KeyDetails>,
        /// The library's reason.
        failure: Failure,
    },
    /// The keytab's key does not open the ticket.
    #[error("no key of the keytab opens the ticket{}: {}", of(keys.as_deref()), failure.text)]
    WrongKey {
        /// The same, if the ticket could be read.
        keys: Option<Box<KeyDetails>>,
        /// The library's reason.
        failure: Failure,
    },
    /// The ticket names one service and is encrypted with the key of another.
    #[error(
        "the ticket is encrypted with the key of {opener}, which is not a key of this service: {keys}"
    )]
    OtherService {
        /// The key that the ticket needs, and those that are held.
        keys: Box<KeyDetails>,
        /// The principal whose key decrypts it.
        opener: Principal,
    },
    /// The ticket was accepted, but the service that it names could not be read.
    #[error("the ticket does not say in a readable form which service it is for")]
    Unnamed,
    /// GSSAPI gave a client or service name that is not a valid principal.
    #[error("the login's name is not usable")]
    Name(#[source] PrincipalError),
    /// GSSAPI refused it for another reason.
    #[error("the token was refused: {}", failure.text)]
    Rejected {
        /// The library's reason.
        failure: Failure,
    },
}

/// The key that a ticket needs and the keys that are held, for the log.
///
/// The ticket's fields are not authenticated, so they are escaped and shortened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDetails {
    /// The ticket's outer fields.
    pub ticket: Ticket,
    /// Versions and types of the service's keys.
    pub held: Vec<(u32, Enctype)>,
    /// The principals of the keytab, listed if it has no key of the service.
    pub others: Arc<[Principal]>,
}

/// The most keys or principals that a log line lists.
const LISTED: usize = 12;

/// The most characters of the ticket's service in a log line. The client chooses it.
const SHOWN: usize = 200;

impl fmt::Display for KeyDetails {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ticket {
            service,
            kvno,
            enctype,
        } = &self.ticket;
        let service: String = service.to_string().chars().take(SHOWN).collect();
        write!(f, "ticket for {}", service.escape_debug())?;
        if let Some(kvno) = kvno {
            write!(f, ", kvno {kvno}")?;
        }
        write!(f, ", {enctype}; the keytab has ")?;
        let left = if self.held.is_empty() {
            let shown = self.others.iter().take(LISTED).map(ToString::to_string);
            f.write_str(&shown.collect::<Vec<_>>().join(", "))?;
            self.others.len().saturating_sub(LISTED)
        } else {
            let held = self.held.iter().take(LISTED);
            let shown = held.map(|(kvno, enctype)| format!("kvno {kvno} {enctype}"));
            f.write_str(&shown.collect::<Vec<_>>().join(", "))?;
            self.held.len().saturating_sub(LISTED)
        };
        if left > 0 {
            write!(f, " and {left} more")?;
        }
        Ok(())
    }
}

fn of(keys: Option<&KeyDetails>) -> String {
    keys.map_or_else(String::new, |keys| format!(" ({keys})"))
}

fn code(code: Option<u32>) -> String {
    code.map_or_else(String::new, |code| format!(" {code}"))
}

/// How a failed token may still be accepted after a change of the keytab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeytabRetry {
    /// Wait: the KDC has a newer key, which is about to be written to the file.
    Wait,
    /// Try once more if the file has changed already and was not loaded yet.
    Once,
}

/// Texts of the failures that have an error of their own.
const ERROR_TEXTS: &[(&str, i32)] = &[
    ("Token header is malformed", BAD_TOK_HEADER),
    ("ASN.1 ", BAD_TOK_HEADER),
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
        // The krb5 code decides where there is one; the major status is GSS_S_FAILURE for most of them.
        match (krb5_code::of(&failure, ERROR_TEXTS), failure.major) {
            (REPEAT, _) | (_, gss::_GSS_S_DUPLICATE_TOKEN) => Self::Replay,
            (TKT_EXPIRED, _) => Self::TicketExpired,
            (TKT_NYV | SKEW, _) => Self::ClockSkew { failure },
            (BAD_INTEGRITY | MODIFIED | BADKEYVER | NOKEY | NOT_US, _) => Self::WrongKey {
                keys: None,
                failure,
            },
            (BAD_TOK_HEADER, _) | (_, gss::_GSS_S_DEFECTIVE_TOKEN) => Self::Malformed { failure },
            (_, gss::_GSS_S_BAD_MECH) => Self::NoKerberos,
            _ => Self::Rejected { failure },
        }
    }

    /// Whether the token may be accepted with a newer keytab.
    pub(super) fn keytab_retry(&self) -> Option<KeytabRetry> {
        match self {
            Self::KeytabOutOfDate { .. } => Some(KeytabRetry::Wait),
            Self::WrongKey { .. }
            | Self::NoKey { .. }
            | Self::NoEnctype { .. }
            | Self::TicketOutOfDate { .. } => Some(KeytabRetry::Once),
            Self::Busy
            | Self::Flood
            | Self::Timeout
            | Self::Stopped
            | Self::Empty
            | Self::Ntlm
            | Self::NoKerberos
            | Self::KrbError(_)
            | Self::ApRep
            | Self::NoTicket
            | Self::Interrupted
            // GSSAPI has accepted it once, so the replay cache would refuse it.
            | Self::OtherService { .. }
            | Self::Unnamed
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
    fn errors_are_classified_by_text_and_by_krb5_code() {
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

    #[test]
    fn a_log_line_has_the_ticket_and_the_keys_in_a_bounded_length() {
        let mut keys = KeyDetails {
            ticket: Ticket {
                service: "HTTP/p@R".parse().unwrap(),
                kvno: Some(3),
                enctype: Enctype(23),
            },
            held: vec![(3, Enctype(18)), (2, Enctype(17))],
            others: Arc::new([]),
        };
        assert_eq!(
            keys.to_string(),
            "ticket for HTTP/p@R, kvno 3, arcfour-hmac; the keytab has \
             kvno 3 aes256-cts-hmac-sha1-96, kvno 2 aes128-cts-hmac-sha1-96"
        );
        keys.held = Vec::new();
        keys.others = vec!["HTTP/q@R".parse().unwrap(); 14].into();
        keys.ticket.kvno = None;
        let text = keys.to_string();
        assert!(text.starts_with("ticket for HTTP/p@R, arcfour-hmac; the keytab has HTTP/q@R, "));
        assert!(text.ends_with("HTTP/q@R and 2 more"), "{text}");
        let long = ["HTTP".to_owned(), "\u{1b}[31m".repeat(9_000)];
        keys.ticket.service = Principal::new(long, "R").unwrap();
        let text = keys.to_string();
        assert!(text.len() < 2_000 && !text.contains('\u{1b}'), "{text}");
    }
}
