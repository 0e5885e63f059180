//! `spnegate keytab verify`: checks that each key is the one that the KDC has now.
//!
//! `klist -k` cannot tell, and `kinit -k` fails for SPNs of Active Directory, which are not clients.

use std::{
    collections::{HashMap, HashSet},
    io::Write,
    path::Path,
    time::Duration,
};

use super::{KeytabCommandError, VerifyArguments};
use crate::gss::{
    AcceptError, Acceptor, AcceptorOptions, ClientToken, GssStartError, InitiateError, Initiator,
    InitiatorOptions, Keytab, LoginStep, Principal, ReplayCache,
    keytab::Enctype,
    peek::{Peek, peek},
};

mod finding;

use finding::Finding;

const DEADLINE: Duration = Duration::from_secs(10);

/// Writes one line per principal; returns whether all are good.
///
/// A key is used as a client's (AS exchange). For a service, a new service ticket is requested as well;
/// its key version is compared and the ticket is decrypted. If the service cannot be a client (Active
/// Directory), another principal of the file requests the ticket.
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
        good &= finding.is_good();
        writeln!(out, "{principal}: {finding}")?;
    }
    Ok(good)
}

struct Verifier {
    keytab: Keytab,
    acceptor: Acceptor,
    initiator: Initiator,
    /// Realms whose KDC did not respond; waiting for it again for each principal would take minutes.
    unreachable_realms: HashSet<String>,
    /// Results of AS exchanges. Each key is tried only once, because wrong keys lock accounts.
    as_results: HashMap<Principal, Result<(), InitiateError>>,
}

impl Verifier {
    fn new(path: &Path, keytab: Keytab) -> Result<Self, KeytabCommandError> {
        let acceptor = Acceptor::start(AcceptorOptions {
            keytab: path.to_owned(),
            // The only tokens are those that this process has just made.
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
            unreachable_realms: HashSet::new(),
            as_results: HashMap::new(),
        })
    }

    async fn verify(&mut self, principal: &Principal) -> Finding {
        let own = self.as_client(principal).await.err();
        match &own {
            Some(InitiateError::KdcUnreachable { text, .. }) => {
                return Finding::Unreachable { text: text.clone() };
            }
            Some(InitiateError::ClientRevoked { account, .. }) => {
                return Finding::Account(*account);
            }
            Some(InitiateError::PasswordExpired { .. }) => return Finding::PasswordExpired,
            Some(InitiateError::NoEnctype { .. }) => return Finding::NoEnctype,
            // A name of one component belongs to an account and is not an SPN.
            Some(InitiateError::ClientUnknown { .. }) if principal.service().is_none() => {
                return Finding::Unknown;
            }
            None if principal.service().is_none() => return Finding::GoodClient,
            None | Some(_) => {}
        }
        // The principal itself first, because that does not depend on other keys.
        let others = self
            .keytab
            .principals()
            .into_iter()
            .filter(|p| p != principal);
        let clients: Vec<Principal> = own
            .is_none()
            .then(|| principal.clone())
            .into_iter()
            .chain(others)
            .collect();
        let (mut last, mut refused) = (None, None);
        for client in clients {
            if client != *principal
                && let Err(error) = self.as_client(&client).await
            {
                // The error of an account is more useful than that of another SPN.
                if client.service().is_none() || refused.is_none() {
                    refused = Some((client, error));
                }
                continue;
            }
            match self.initiator.token(&client, principal).await {
                Ok(token) => return self.open(principal, token).await,
                Err(error) => last = Some(error),
            }
        }
        without_ticket(own, last, refused)
    }

    /// Whether the KDC accepts the newest key in an AS exchange, which requests a ticket-granting ticket
    /// only.
    async fn as_client(&mut self, principal: &Principal) -> Result<(), InitiateError> {
        if let Some(known) = self.as_results.get(principal) {
            return known.clone();
        }
        let result = self.as_exchange(principal).await;
        self.as_results.insert(principal.clone(), result.clone());
        result
    }

    async fn as_exchange(&mut self, principal: &Principal) -> Result<(), InitiateError> {
        let realm = principal.realm();
        let unreachable = |text: String| InitiateError::KdcUnreachable {
            realm: realm.to_owned(),
            text,
        };
        if self.unreachable_realms.contains(realm) {
            return Err(unreachable(format!("no KDC of {realm} responded before")));
        }
        let krbtgt =
            Principal::new(["krbtgt", realm], realm).map_err(|e| InitiateError::Other {
                spn: principal.clone(),
                text: e.to_string(),
            })?;
        let result = self.initiator.token(principal, &krbtgt).await.map(drop);
        match result {
            Err(InitiateError::Timeout) => {
                self.unreachable_realms.insert(realm.to_owned());
                let seconds = DEADLINE.as_secs();
                Err(unreachable(format!("no response within {seconds} s")))
            }
            Err(error @ InitiateError::KdcUnreachable { .. }) => {
                self.unreachable_realms.insert(realm.to_owned());
                Err(error)
            }
            other => other,
        }
    }

    /// Decrypts a new service ticket with the keys of the file.
    async fn open(&self, principal: &Principal, token: ClientToken) -> Finding {
        let file = self.keytab.newest(principal).unwrap_or_default();
        let (kdc, enctype) = match peek(&token.token) {
            // The key version of a ticket is optional (RFC 4120 section 5.2.9).
            Peek::Ticket(ticket) => (ticket.kvno.unwrap_or(file), Some(ticket.enctype)),
            Peek::KerberosLater
            | Peek::Ntlm
            | Peek::NoKerberos
            | Peek::LaterToken(_)
            | Peek::KrbError(_)
            | Peek::ApRep
            | Peek::NoTicket
            | Peek::Unreadable => (file, None),
        };
        let opened = self.acceptor.accept(token.token, None, None).await;
        let held = self.enctypes(principal, file);
        match opened {
            Ok(LoginStep::Done(_)) if kdc == file => Finding::Good { kvno: kdc },
            Ok(LoginStep::Done(_)) if self.has(principal, kdc) => Finding::Ahead { file, kdc },
            Ok(LoginStep::Done(_)) => Finding::OtherNumber { file, kdc },
            Ok(LoginStep::Continue { .. }) => Finding::Other {
                text: "GSSAPI requires another round trip".to_owned(),
            },
            // Versions and types are compared before the error is read: if one differs, a failure
            // to decrypt is expected and says nothing about the key.
            Err(_) if kdc > file => Finding::Behind { file, kdc },
            Err(_) if kdc < file => Finding::Ahead { file, kdc },
            Err(_) if enctype.is_some_and(|enctype| !held.contains(&enctype)) => {
                Finding::OtherEnctype {
                    kdc: enctype.unwrap_or(Enctype(0)),
                    file: held,
                }
            }
            Err(AcceptError::WrongKey { .. }) => Finding::WrongKey,
            Err(error) => Finding::Other {
                text: error.to_string(),
            },
        }
    }

    /// The encryption types of a principal's keys with one version number.
    fn enctypes(&self, principal: &Principal, kvno: u32) -> Vec<Enctype> {
        let entries = self.keytab.entries.iter();
        let own = entries.filter(|entry| entry.principal == *principal && entry.kvno == kvno);
        own.map(|entry| entry.enctype).collect()
    }

    fn has(&self, principal: &Principal, kvno: u32) -> bool {
        !self.enctypes(principal, kvno).is_empty()
    }
}

/// The finding for a principal without a service ticket, from the errors of its own AS exchange, of the
/// last request for the ticket, and of the AS exchange of another principal of the file.
fn without_ticket(
    own: Option<InitiateError>,
    last: Option<InitiateError>,
    refused: Option<(Principal, InitiateError)>,
) -> Finding {
    match (own, last) {
        (_, Some(InitiateError::ServiceRevoked { .. })) => Finding::ServiceRefused,
        (_, Some(InitiateError::NoEnctype { .. })) => Finding::NoEnctype,
        // The name of a user with two components, such as alice/admin.
        (None, _) => Finding::GoodClient,
        (Some(InitiateError::KeyWrong { .. }), _) => Finding::Refused,
        (Some(InitiateError::ClientUnknown { .. }), Some(InitiateError::UnknownSpn { .. })) => {
            Finding::Unknown
        }
        (Some(InitiateError::ClientUnknown { .. }), None) => match refused {
            Some((client, error)) if client.service().is_none() => Finding::ClientRefused {
                reason: (&error).into(),
                client,
            },
            Some(_) | None => Finding::NoClient,
        },
        (Some(error), None) | (Some(_), Some(error)) => Finding::Other {
            text: error.to_string(),
        },
    }
}
