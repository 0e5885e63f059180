//! The accept threads.

use std::{
    collections::HashMap,
    ffi::CStr,
    sync::{Arc, atomic::Ordering, mpsc},
    time::{Duration, SystemTime},
};

use super::{
    AcceptError, Accepted, Job, Pending, Shared, Step,
    keeper::Command,
    keyring::{Found, Keyring},
};
use crate::gss::{
    Failure, Principal,
    peek::{Peek, Ticket, peek},
    shell::Shell,
    sys::{AcceptContext, AcceptCred, Leg},
};

/// GSSAPI counts an acceptor's context to live this much longer than its ticket (MIT's default
/// `clockskew`); a session must not.
const CLOCK_SKEW: u32 = 300;

/// Logins that the keeper holds at most; beyond it tickets newer than the keytab fail at once.
const HELD: usize = 256;

/// The credentials of one thread for one set of keys.
struct Credentials {
    ring: Arc<Keyring>,
    any: Option<AcceptCred>,
    named: HashMap<Principal, AcceptCred>,
}

impl Credentials {
    fn new(ring: Arc<Keyring>) -> Self {
        Self {
            ring,
            any: None,
            named: HashMap::new(),
        }
    }

    /// The credential that looks its key up by principal, version and type.
    fn named(&mut self, name: &Principal, rcache: &CStr) -> Result<&AcceptCred, Failure> {
        if !self.named.contains_key(name) {
            let cred = AcceptCred::acquire(Some(name), self.ring.name(), rcache)?;
            self.named.insert(name.clone(), cred);
        }
        self.named.get(name).ok_or_else(Failure::none)
    }

    /// The credential that tries every key.
    fn any(&mut self, rcache: &CStr) -> Result<&AcceptCred, Failure> {
        match &mut self.any {
            Some(cred) => Ok(cred),
            none @ None => Ok(none.insert(AcceptCred::acquire(None, self.ring.name(), rcache)?)),
        }
    }
}

/// Whether GSSAPI gives credentials for these keys at all.
pub(super) fn probe(ring: &Keyring, rcache: &CStr) -> Result<(), Failure> {
    AcceptCred::acquire(None, ring.name(), rcache).map(drop)
}

pub(super) fn run(shared: &Shared, keeper: &mpsc::Sender<Command>) {
    let mut credentials = Credentials::new(shared.ring.load_full());
    while let Some(mut job) = shared.jobs.pop() {
        if job.reply.is_closed() {
            continue;
        }
        let ring = shared.ring.load();
        if !Arc::ptr_eq(&ring, &credentials.ring) {
            credentials = Credentials::new(Arc::clone(&ring));
        }
        drop(ring);
        let result = accept(&mut credentials, &shared.rcache, &mut job);
        let heals = result.as_ref().err().and_then(AcceptError::heals);
        match (result, heals) {
            (Err(error), Some(cure)) if !job.again && reserve(shared) => {
                job.again = true;
                let order = Command::Held {
                    job,
                    error,
                    cure,
                    ring: Arc::clone(&credentials.ring),
                };
                if let Err(mpsc::SendError(order)) = keeper.send(order) {
                    shared.held.fetch_sub(1, Ordering::Relaxed);
                    order.give_up();
                }
            }
            // nobody may wait any more, which is as good
            (result, _) => drop(job.reply.send(result)),
        }
    }
}

/// Takes one of the places of held logins.
fn reserve(shared: &Shared) -> bool {
    shared
        .held
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
            (held < HELD).then_some(held + 1)
        })
        .is_ok()
}

fn accept(
    credentials: &mut Credentials,
    rcache: &CStr,
    job: &mut Job,
) -> Result<Step, AcceptError> {
    let ticket = match peek(&job.token) {
        Peek::Ticket(ticket) => {
            // a client that begins anew has forgotten its first leg
            job.pending = None;
            Some(ticket)
        }
        Peek::KerberosLater | Peek::Unreadable if job.token.is_empty() => {
            return Err(AcceptError::Empty);
        }
        Peek::KerberosLater | Peek::Unreadable => None,
        Peek::Answer if job.pending.is_some() => {
            // its first leg is spent: this one cannot be tried again
            job.again = true;
            None
        }
        Peek::Answer => return Err(AcceptError::Interrupted),
        Peek::Ntlm => return Err(AcceptError::Ntlm),
        Peek::NoKerberos => return Err(AcceptError::NoKerberos),
    };
    let found = ticket.as_ref().map(|ticket| credentials.ring.find(ticket));
    let mut context = match job.pending.take() {
        Some(Pending(context)) => context,
        None => AcceptContext::new(),
    };
    let explain = |failure| explain(failure, ticket.as_ref(), found);
    let direct = match (&ticket, found) {
        (Some(ticket), Some(Found::Exact)) => Some(&ticket.service),
        _ => None,
    };
    let cred = match direct {
        Some(name) => credentials.named(name, rcache),
        None => credentials.any(rcache),
    };
    let shell = direct.and_then(|_| Shell::open(&job.token));
    let token = shell.map_or(&*job.token, |shell| shell.token);
    let leg = context
        .step(cred.map_err(explain)?, token)
        .map_err(explain)?;
    match leg {
        // DCE style, which is not for HTTP: its third leg would come in SPNEGO's shell again
        Leg::Continue(_) if shell.is_some() => Err(AcceptError::Interrupted),
        Leg::Continue(token) => Ok(Step::Continue {
            token,
            pending: Pending(context),
        }),
        Leg::Done {
            client,
            lifetime,
            reply,
        } => {
            // A named credential opens tickets with a key of its own principal only, which is
            // what the context would name as its target: asking it costs a fifth of the login.
            let service = match direct {
                Some(name) => name.clone(),
                None => name(&context.target().map_err(explain)?)?,
            };
            let rest = Duration::from_secs(lifetime.saturating_sub(CLOCK_SKEW).into());
            Ok(Step::Done(Accepted {
                client: name(&client)?,
                service,
                expires: SystemTime::now() + rest,
                reply: match shell {
                    Some(shell) => Some(shell.close(reply.as_deref())),
                    None => reply,
                },
            }))
        }
    }
}

fn name(text: &str) -> Result<Principal, AcceptError> {
    text.parse().map_err(AcceptError::Name)
}

/// A failure in the light of what the ticket says of itself.
fn explain(failure: Failure, ticket: Option<&Ticket>, found: Option<Found>) -> AcceptError {
    let error = AcceptError::classify(failure);
    let (AcceptError::WrongKey { failure }, Some(ticket), Some(found)) = (&error, ticket, found)
    else {
        return error;
    };
    let service = ticket.service.clone();
    let failure = failure.clone();
    match (found, ticket.kvno) {
        (Found::Newer, Some(kvno)) => AcceptError::KeytabOutOfDate {
            service,
            kvno,
            failure,
        },
        (Found::Older, Some(kvno)) => AcceptError::TicketOutOfDate {
            service,
            kvno,
            failure,
        },
        (Found::NoPrincipal, _) => AcceptError::NoKey { service, failure },
        (Found::Exact | Found::OtherEnctype | Found::NoVersion, _)
        | (Found::Newer | Found::Older, None) => error,
    }
}
