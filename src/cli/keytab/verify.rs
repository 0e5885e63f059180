//! `spnegate keytab verify`: is each key the one that the KDC has now?

use std::{collections::HashSet, fmt, io::Write, path::Path, time::Duration};

use super::{KeytabCommandError, VerifyArguments};
use crate::gss::{
    AcceptError, Acceptor, AcceptorOptions, ClientToken, GssStartError, InitiateError, Initiator,
    InitiatorOptions, Keytab, Principal, ReplayCache, Step,
    peek::{Peek, peek},
};

const DEADLINE: Duration = Duration::from_secs(10);

/// What the KDC says of a principal's newest key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Finding {
    /// It opens a ticket that the KDC made just now.
    Good { kvno: u32 },
    /// The KDC takes it as a client's; it gives no service tickets for this principal.
    GoodClient,
    /// The KDC has a newer version.
    Behind { file: u32, kdc: u32 },
    /// The KDC has an older version: this replica has not yet heard of the change.
    Ahead { file: u32, kdc: u32 },
    /// Version and KDC agree, the key does not.
    WrongKey,
    /// The KDC refuses the key, and nobody in the file could ask it for the version.
    Refused,
    /// The KDC does not know the principal.
    Unknown,
    /// No client of the file could get a ticket to test it with.
    NoClient,
    /// The principal is disabled or expired.
    Disabled { text: String },
    /// No KDC answers.
    Unreachable { text: String },
    /// Something else.
    Other { text: String },
}

impl Finding {
    fn good(&self) -> bool {
        matches!(self, Self::Good { .. } | Self::GoodClient)
    }
}

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
            Self::WrongKey => f.write_str(
                "WRONG KEY: same kvno, another key (wrong password or salt); export the keytab again",
            ),
            Self::Refused => f.write_str(
                "WRONG KEY OR OLD KVNO: the KDC refuses the key; export the keytab again",
            ),
            Self::Unknown => f.write_str(
                "UNKNOWN PRINCIPAL: not in the KDC's database; create it, or mind its spelling",
            ),
            Self::NoClient => f.write_str(
                "NOT TESTED: an SPN of Active Directory is no client; merge a key of the account \
                 into the file",
            ),
            Self::Disabled { text } => {
                write!(f, "DISABLED: {text}; enable the account in the KDC")
            }
            Self::Unreachable { text } => write!(
                f,
                "KDC UNREACHABLE: {text}; check [realms] in krb5.conf and port 88"
            ),
            Self::Other { text } => write!(f, "NOT TESTED: {text}"),
        }
    }
}

/// Writes one line a principal; gives whether all are good.
///
/// A key is tried as a client's (AS exchange) and, for a service, on a fresh service ticket: its
/// version is compared and the ticket opened. Where the service is no client (Active Directory),
/// another principal of the file asks for the ticket.
pub fn verify(
    arguments: &VerifyArguments,
    out: &mut dyn Write,
) -> Result<bool, KeytabCommandError> {
    let path = arguments.file.as_path();
    let keytab = Keytab::load(path)?;
    let principals = match &arguments.principal {
        None => keytab.principals(),
        Some(one) if keytab.newest(one).is_some() => vec![one.clone()],
        Some(one) => {
            return Err(KeytabCommandError::NoPrincipal {
                path: path.to_owned(),
                principal: one.clone(),
            });
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(KeytabCommandError::Start)?;
    let mut verifier = Verifier::new(path, keytab)?;
    let mut good = true;
    for principal in principals {
        let finding = runtime.block_on(verifier.verify(&principal));
        good &= finding.good();
        writeln!(out, "{principal}: {finding}")?;
    }
    Ok(good)
}

struct Verifier {
    keytab: Keytab,
    acceptor: Acceptor,
    initiator: Initiator,
    /// Realms whose KDC did not answer: not to be waited for again.
    silent: HashSet<String>,
}

impl Verifier {
    fn new(path: &Path, keytab: Keytab) -> Result<Self, KeytabCommandError> {
        let acceptor = Acceptor::start(AcceptorOptions {
            keytab: path.to_owned(),
            // our own tokens, in our own hands
            replay_cache: ReplayCache::None,
            threads: 1,
            queue: 1,
            deadline: DEADLINE,
        })
        .map_err(|error| match error {
            GssStartError::Keytab(error) => error.into(),
            GssStartError::Credential { failure, .. } => KeytabCommandError::Gss(failure),
            GssStartError::Thread(source) | GssStartError::ReplayCache { source, .. } => {
                KeytabCommandError::Start(source)
            }
        })?;
        let initiator = Initiator::start(InitiatorOptions {
            keytab: path.to_owned(),
            threads: 1,
            queue: 1,
            deadline: DEADLINE,
        })
        .map_err(KeytabCommandError::Start)?;
        Ok(Self {
            keytab,
            acceptor,
            initiator,
            silent: HashSet::new(),
        })
    }

    async fn verify(&mut self, principal: &Principal) -> Finding {
        let own = self.as_client(principal).await.err();
        match &own {
            Some(InitiateError::KdcUnreachable { text, .. }) => {
                return Finding::Unreachable { text: text.clone() };
            }
            Some(InitiateError::ClientRevoked { text, .. }) => {
                return Finding::Disabled { text: text.clone() };
            }
            None if principal.service().is_none() => return Finding::GoodClient,
            None | Some(_) => {}
        }
        // itself first: it needs nobody else
        let others = self
            .keytab
            .principals()
            .into_iter()
            .filter(|p| p != principal);
        let asking: Vec<Principal> = own
            .is_none()
            .then(|| principal.clone())
            .into_iter()
            .chain(others)
            .collect();
        let mut last = None;
        for client in asking {
            if client != *principal && self.as_client(&client).await.is_err() {
                continue;
            }
            match self.initiator.token(&client, principal).await {
                Ok(token) => return self.open(principal, token).await,
                Err(error) => last = Some(error),
            }
        }
        match (own, last) {
            // an administrator's or a user's name of two parts
            (None, _) => Finding::GoodClient,
            (Some(InitiateError::KeyWrong { .. }), _) => Finding::Refused,
            (Some(InitiateError::ClientUnknown { .. }), Some(InitiateError::UnknownSpn { .. })) => {
                Finding::Unknown
            }
            (Some(InitiateError::ClientUnknown { .. }), None) => Finding::NoClient,
            (Some(error), None) | (Some(_), Some(error)) => Finding::Other {
                text: error.to_string(),
            },
        }
    }

    /// Whether the KDC takes the newest key as a client's: the ticket-granting ticket is asked for,
    /// and nothing more.
    async fn as_client(&mut self, principal: &Principal) -> Result<(), InitiateError> {
        let realm = principal.realm();
        let unreachable = |text: String| InitiateError::KdcUnreachable {
            realm: realm.to_owned(),
            text,
        };
        if self.silent.contains(realm) {
            return Err(unreachable(format!("no KDC of {realm} answered before")));
        }
        let krbtgt =
            Principal::new(["krbtgt", realm], realm).map_err(|e| InitiateError::Other {
                spn: principal.clone(),
                text: e.to_string(),
            })?;
        let result = self.initiator.token(principal, &krbtgt).await.map(drop);
        match result {
            Err(InitiateError::Timeout) => {
                self.silent.insert(realm.to_owned());
                let seconds = DEADLINE.as_secs();
                Err(unreachable(format!("no answer within {seconds} s")))
            }
            Err(error @ InitiateError::KdcUnreachable { .. }) => {
                self.silent.insert(realm.to_owned());
                Err(error)
            }
            other => other,
        }
    }

    /// Opens a fresh service ticket with the keys of the file.
    async fn open(&self, principal: &Principal, token: ClientToken) -> Finding {
        let file = self.keytab.newest(principal).unwrap_or_default();
        let kdc = match peek(&token.token) {
            Peek::Ticket(ticket) => ticket.kvno.unwrap_or(file),
            Peek::KerberosLater
            | Peek::Ntlm
            | Peek::NoKerberos
            | Peek::Answer(_)
            | Peek::KrbError(_)
            | Peek::ApRep
            | Peek::NoTicket
            | Peek::Unreadable => file,
        };
        if kdc != file {
            return if kdc > file {
                Finding::Behind { file, kdc }
            } else {
                Finding::Ahead { file, kdc }
            };
        }
        match self.acceptor.accept(token.token, None, None).await {
            Ok(Step::Done(_)) => Finding::Good { kvno: kdc },
            Ok(Step::Continue { .. }) => Finding::Other {
                text: "GSSAPI wants another leg".to_owned(),
            },
            Err(AcceptError::WrongKey { .. }) => Finding::WrongKey,
            Err(error) => Finding::Other {
                text: error.to_string(),
            },
        }
    }
}
