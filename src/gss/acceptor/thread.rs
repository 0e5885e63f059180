//! The accept threads.

use std::{
    collections::HashMap,
    ffi::CStr,
    sync::{Arc, mpsc},
    time::{Duration, SystemTime},
};

use super::{
    AcceptError, Accepted, Job, Pending, Shared, Step,
    clients::Clients,
    error::KeyFacts,
    keeper::Command,
    keyring::{Found, Keyring},
};
use crate::gss::{
    Failure, Principal,
    ap_req::{ApReq, Tag},
    peek::{Peek, Ticket, peek},
    shell::Shell,
    sys::{AcceptContext, AcceptCred, Leg},
};

/// The credentials of one thread for one set of keys.
struct Credentials {
    ring: Arc<Keyring>,
    /// Tries every key, with MIT's own replay cache.
    any: Option<AcceptCred>,
    /// Look their key up by principal, version and type, and leave replays to the caller.
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

    fn named(&mut self, name: &Principal) -> Result<&AcceptCred, Failure> {
        if !self.named.contains_key(name) {
            let cred = AcceptCred::acquire(Some(name), self.ring.name(), c"none:")?;
            self.named.insert(name.clone(), cred);
        }
        self.named.get(name).ok_or_else(Failure::none)
    }

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
        let result = accept(&mut credentials, shared, &mut job);
        let heals = result.as_ref().err().and_then(AcceptError::heals);
        match (result, heals) {
            (Err(error), Some(cure)) if !job.again && shared.held().take(job.source).is_ok() => {
                job.again = true;
                let order = Command::Held {
                    job,
                    error,
                    cure,
                    ring: Arc::clone(&credentials.ring),
                };
                if let Err(mpsc::SendError(order)) = keeper.send(order) {
                    order.give_up(shared);
                }
            }
            // nobody may wait any more, which is as good
            (result, _) => drop(job.reply.send(result)),
        }
    }
}

fn accept(
    credentials: &mut Credentials,
    shared: &Shared,
    job: &mut Job,
) -> Result<Step, AcceptError> {
    let mut pending = job.pending.take();
    let ticket = match peek(&job.token) {
        Peek::Ticket(ticket) => {
            // a client that begins anew has forgotten its first leg
            pending = None;
            Some(ticket)
        }
        Peek::KerberosLater | Peek::Unreadable if job.token.is_empty() => {
            return Err(AcceptError::Empty);
        }
        Peek::KerberosLater | Peek::Unreadable => None,
        Peek::Answer(ticket) => {
            let known = pending.as_ref().ok_or(AcceptError::Interrupted)?;
            // its first leg is spent: this one cannot be tried again
            job.again = true;
            ticket.or_else(|| known.ticket.clone())
        }
        Peek::Ntlm => return Err(AcceptError::Ntlm),
        Peek::NoKerberos => return Err(AcceptError::NoKerberos),
        Peek::KrbError(code) => return Err(AcceptError::KrbError(code)),
        Peek::ApRep => return Err(AcceptError::ApRep),
        Peek::NoTicket => return Err(AcceptError::NoTicket),
    };
    let ring = Arc::clone(&credentials.ring);
    let found = ticket.as_ref().map(|ticket| ring.find(ticket));
    let explain = |failure| explain(failure, ticket.as_ref(), found.as_ref(), &ring);
    if let (Some(ticket), Some(found), None) = (&ticket, &found, &pending)
        && let Some(key) = found.key(ticket)
    {
        let shell = Shell::open(&job.token);
        let token = shell.map_or(&*job.token, |shell| shell.token);
        if let Some(request) = ApReq::read(token) {
            let cred = credentials.named(key).map_err(explain)?;
            match direct(cred, shared, token, &request, explain) {
                Ok((client, lifetime, reply)) => {
                    return Ok(Step::Done(Accepted {
                        client,
                        // a named credential opens tickets with a key of its own principal only
                        service: ticket.service.clone(),
                        expires: shared.end(lifetime),
                        reply: match shell {
                            Some(shell) => Some(shell.close(reply.as_deref())),
                            None => reply,
                        },
                    }));
                }
                // a spelling may be a principal of its own: all keys are tried below
                Err(AcceptError::WrongKey { .. }) if *key != ticket.service => {}
                Err(error) => return Err(error),
            }
        }
    }
    let Pending {
        mut context,
        ticket: _,
    } = pending.unwrap_or_default();
    let cred = credentials.any(&shared.rcache).map_err(explain)?;
    let mut client = String::new();
    let leg = context.step(cred, &job.token, Some(&mut client));
    match leg.map_err(explain)? {
        Leg::Continue(token) => Ok(Step::Continue {
            token,
            pending: Pending { context, ticket },
        }),
        Leg::Done { lifetime, reply } => {
            let opener = name(&context.target().map_err(explain)?)?;
            let ticket = ticket.ok_or(AcceptError::Unnamed)?;
            if !ring.speaks_for(&opener, &ticket.service, ticket.enctype) {
                let keys = Box::new(facts(&ticket, &ring));
                return Err(AcceptError::OtherService { keys, opener });
            }
            Ok(Step::Done(Accepted {
                client: name(&client)?,
                // GSSAPI tells the first entry of the keytab that has the key, whichever that is
                service: ticket.service,
                expires: shared.end(lifetime),
                reply,
            }))
        }
    }
}

/// A login whose token can be read in one way only, with the key that its ticket names: client,
/// seconds that the context lives, and the answer.
fn direct(
    cred: &AcceptCred,
    shared: &Shared,
    token: &[u8],
    request: &ApReq<'_>,
    explain: impl Fn(Failure) -> AcceptError,
) -> Result<(Principal, u32, Option<Vec<u8>>), AcceptError> {
    let key = Clients::key(request.ticket);
    let known = shared.clients.find(&key);
    let mut text = String::new();
    let asked = known.is_none().then_some(&mut text);
    let leg = AcceptContext::new().step(cred, token, asked);
    let Leg::Done { lifetime, reply } = leg.map_err(explain)? else {
        // DCE style, which is not for HTTP
        return Err(AcceptError::Interrupted);
    };
    shared.enter(&request.tag)?;
    if let Some(client) = known {
        return Ok((client, lifetime, reply));
    }
    let client = name(&text)?;
    shared.clients.learn(key, &client);
    Ok((client, lifetime, reply))
}

impl Shared {
    /// When a ticket ends whose context lives for so many seconds more: GSSAPI adds `clockskew`, a
    /// session must not.
    fn end(&self, lifetime: u32) -> SystemTime {
        let rest = lifetime.saturating_sub(self.clockskew);
        SystemTime::now() + Duration::from_secs(rest.into())
    }

    /// Remembers an authenticator that GSSAPI has accepted, unless it was used before.
    fn enter(&self, tag: &Tag) -> Result<(), AcceptError> {
        let Some(replays) = &self.replays else {
            return Ok(());
        };
        match replays.enter(tag, SystemTime::now()) {
            Ok(true) => Ok(()),
            Ok(false) => Err(AcceptError::Replay),
            Err(error) => Err(AcceptError::ReplayCache {
                path: replays.path().to_owned(),
                reason: error.to_string(),
            }),
        }
    }
}

fn name(text: &str) -> Result<Principal, AcceptError> {
    text.parse().map_err(AcceptError::Name)
}

/// A failure in the light of what the ticket says of itself.
fn explain(
    failure: Failure,
    ticket: Option<&Ticket>,
    found: Option<&Found>,
    ring: &Keyring,
) -> AcceptError {
    let error = AcceptError::classify(failure);
    let (AcceptError::WrongKey { failure, .. }, Some(ticket), Some(found)) =
        (&error, ticket, found)
    else {
        return error;
    };
    let keys = Box::new(facts(ticket, ring));
    let failure = failure.clone();
    match found {
        Found::Newer => AcceptError::KeytabOutOfDate { keys, failure },
        Found::Older => AcceptError::TicketOutOfDate { keys, failure },
        Found::NoPrincipal => AcceptError::NoKey { keys, failure },
        Found::OtherEnctype => AcceptError::NoEnctype { keys, failure },
        Found::Exact | Found::Spelled(_) | Found::NoVersion => AcceptError::WrongKey {
            keys: Some(keys),
            failure,
        },
    }
}

fn facts(ticket: &Ticket, ring: &Keyring) -> KeyFacts {
    KeyFacts {
        ticket: ticket.clone(),
        held: ring.versions(&ticket.service),
        others: ring.principals(),
    }
}
